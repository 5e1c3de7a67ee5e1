"""Rate and distortion: bits per pixel, PSNR, and MS-SSIM (Wang, Simoncelli and Bovik 2003)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

_Samples = NDArray[np.integer[Any]]


def bpp(size_bytes: int, width: int, height: int) -> float:
    """Give the rate in bits per pixel of a file of `size_bytes`.

    >>> bpp(2048, 512, 512)
    0.0625
    """
    return 8 * size_bytes / (width * height)


def psnr(a: _Samples, b: _Samples, peak: int) -> float:
    """Give the peak signal-to-noise ratio in dB, of the mean squared error over all channels.

    Args:
        a: integer samples of any shape.
        b: integer samples of the same shape.
        peak: the largest sample value, 255 or 65535.

    Returns:
        dB; infinity where `a` equals `b`.

    Raises:
        ValueError: the shapes differ.

    >>> round(psnr(np.zeros((2, 2, 3), np.uint8), np.ones((2, 2, 3), np.uint8), 255), 2)
    48.13
    """
    if a.shape != b.shape:
        raise ValueError(f"shapes differ: {a.shape} and {b.shape}")
    mse = float(np.mean(np.square(np.subtract(a, b, dtype=np.float64))))
    return math.inf if mse == 0 else 10 * math.log10(peak**2 / mse)


_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_WINDOW = 11  # pixels of the Gaussian window, and so the smallest side that a scale can have


def ms_ssim(a: _Samples, b: _Samples, peak: int) -> float:
    """Give MS-SSIM, the mean over the channels, as `pytorch_msssim` computes it.

    The standard five scales need a smaller side of over 160 pixels. With less, it is that of as
    many scales as fit, their weights scaled to the sum of all five: not comparable with published
    numbers.

    Args:
        a: (H, W, C) integer samples.
        b: integer samples of the same shape.
        peak: the largest sample value, 255 or 65535.

    Returns:
        0 to 1, 1 where `a` equals `b`; NaN where the smaller side is under 11 pixels.

    Raises:
        ValueError: the shapes differ.
    """
    import torch
    from pytorch_msssim.ssim import _fspecial_gauss_1d, _ssim

    if a.shape != b.shape:
        raise ValueError(f"shapes differ: {a.shape} and {b.shape}")
    weights = _WEIGHTS[: _scales(min(a.shape[:2]))]
    if not weights:
        return math.nan
    x, y = (
        torch.from_numpy(s.astype(np.float32)).permute(2, 0, 1)[None].contiguous() for s in (a, b)
    )
    # The loop of pytorch_msssim.ms_ssim, which itself refuses sides of 160 pixels and less.
    window = _fspecial_gauss_1d(_WINDOW, 1.5).repeat(x.shape[1], 1, 1, 1)
    product = torch.ones(x.shape[1])
    for scale, weight in enumerate(weights):
        ssim, contrast = _ssim(x, y, data_range=peak, win=window, size_average=False)
        term = ssim if scale == len(weights) - 1 else contrast
        product = product * torch.relu(term[0]) ** (weight * sum(_WEIGHTS) / sum(weights))
        padding = [side % 2 for side in x.shape[2:]]
        x, y = (torch.nn.functional.avg_pool2d(s, 2, padding=padding) for s in (x, y))
    return float(product.mean())


def _scales(side: int) -> int:
    """The number of scales whose side, halved and rounded up each time, holds the window."""
    scales = 0
    while side >= _WINDOW and scales < len(_WEIGHTS):
        scales, side = scales + 1, (side + 1) // 2
    return scales
