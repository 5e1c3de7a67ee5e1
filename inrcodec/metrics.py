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
    return psnr_of_mse(float(np.mean(np.square(np.subtract(a, b, dtype=np.float64)))), peak)


def psnr_of_mse(mse: float, peak: float) -> float:
    """Give the peak signal-to-noise ratio in dB of a mean squared error.

    Args:
        mse: the mean squared error, 0 or more.
        peak: the range of the samples: 255 or 65535 for integers, 2 for samples in [-1, 1].

    Returns:
        dB; infinity where `mse` is 0.

    >>> psnr_of_mse(4e-3, peak=2)
    30.0
    """
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


def ssim(a: _Samples, b: _Samples, peak: int) -> float:
    """Give SSIM (Wang et al. 2004, a Gaussian window of 11 pixels), the mean over the channels.

    Args:
        a: (H, W, C) integer samples.
        b: integer samples of the same shape.
        peak: the largest sample value, 255 or 65535.

    Returns:
        -1 to 1, 1 where `a` equals `b`; NaN where the smaller side is under 11 pixels.

    Raises:
        ValueError: the shapes differ.
    """
    from skimage.metrics import structural_similarity

    if a.shape != b.shape:
        raise ValueError(f"shapes differ: {a.shape} and {b.shape}")
    if min(a.shape[:2]) < _WINDOW:
        return math.nan
    return float(
        structural_similarity(
            a,
            b,
            data_range=peak,
            channel_axis=2,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
    )


def lpips(a: _Samples, b: _Samples, peak: int) -> float:
    """Give LPIPS (Zhang et al. 2018) with AlexNet, by the package `lpips`.

    Args:
        a: (H, W, C) integer samples, grey or RGB.
        b: integer samples of the same shape.
        peak: the largest sample value, 255 or 65535.

    Returns:
        0 where `a` equals `b`, larger where they look more different.

    Raises:
        ValueError: the shapes differ.
        ImageError: the package is missing, or cannot fetch its network.
    """
    import torch

    from inrcodec.errors import ImageError

    if a.shape != b.shape:
        raise ValueError(f"shapes differ: {a.shape} and {b.shape}")
    try:
        from lpips import LPIPS

        network = LPIPS(net="alex", verbose=False).eval()
    except (ImportError, OSError) as error:
        raise ImageError(
            f"LPIPS needs a package and its weights, pip install lpips: {error}"
        ) from error
    x, y = (torch.from_numpy(2 * s.astype(np.float32) / peak - 1) for s in (a, b))
    with torch.no_grad():
        # Grey pictures are shown to the network as RGB.
        return float(network(*(s.permute(2, 0, 1)[None].expand(1, 3, -1, -1) for s in (x, y))))
