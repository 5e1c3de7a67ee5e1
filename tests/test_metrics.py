"""What inrcodec.metrics promises."""

import math

import numpy as np
import pytest
import torch
from pytorch_msssim import ms_ssim as reference_ms_ssim
from skimage.metrics import peak_signal_noise_ratio

from inrcodec.metrics import bpp, ms_ssim, psnr


def pair(height: int, width: int, channels: int, peak: int = 255) -> tuple[np.ndarray, np.ndarray]:
    """A smooth picture and a noisy copy of it."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width]
    smooth = 0.5 + 0.4 * np.sin(0.2 * x + 0.1 * y)[:, :, None] * np.ones(channels)
    noisy = np.clip(smooth + rng.normal(0, 0.05, smooth.shape), 0, 1)
    dtype = np.uint8 if peak == 255 else np.uint16
    return np.round(smooth * peak).astype(dtype), np.round(noisy * peak).astype(dtype)


@pytest.mark.parametrize("peak", [255, 65535])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_psnr_is_that_of_scikit_image(channels: int, peak: int) -> None:
    a, b = pair(20, 30, channels, peak)
    assert psnr(a, b, peak) == pytest.approx(peak_signal_noise_ratio(a, b, data_range=peak))


def test_psnr_of_extremes() -> None:
    black, white = np.zeros((3, 3, 1), np.uint16), np.full((3, 3, 1), 65535, np.uint16)
    assert psnr(black, white, 65535) == 0
    assert psnr(white, white, 65535) == math.inf


@pytest.mark.parametrize("shape", [(161, 200, 3), (200, 163, 1), (176, 162, 4)])
def test_ms_ssim_is_that_of_pytorch_msssim(shape: tuple[int, int, int]) -> None:
    a, b = pair(*shape)
    x, y = (torch.from_numpy(s).permute(2, 0, 1)[None].float() for s in (a, b))
    assert ms_ssim(a, b, 255) == pytest.approx(float(reference_ms_ssim(x, y)), abs=1e-6)


@pytest.mark.parametrize("side", [11, 21, 41, 81, 160, 161])
def test_ms_ssim_of_small_pictures_lies_between_0_and_1(side: int) -> None:
    a, b = pair(side, side + 5, 3)
    assert ms_ssim(a, a, 255) == pytest.approx(1)
    assert 0 < ms_ssim(a, b, 255) < 0.99


def test_ms_ssim_does_not_depend_on_the_bit_depth() -> None:
    a, b = pair(40, 40, 1)
    wide = [s.astype(np.uint16) * 257 for s in (a, b)]
    assert ms_ssim(*wide, 65535) == pytest.approx(ms_ssim(a, b, 255), abs=1e-5)


def test_ms_ssim_needs_11_pixels() -> None:
    a, b = pair(10, 500, 1)
    assert math.isnan(ms_ssim(a, b, 255))


def test_other_shapes_are_refused() -> None:
    a, b = np.zeros((20, 20, 3), np.uint8), np.zeros((20, 20, 1), np.uint8)
    for metric in (psnr, ms_ssim):
        with pytest.raises(ValueError, match="shapes differ"):
            metric(a, b, 255)


def test_bpp_counts_bits_per_pixel() -> None:
    assert bpp(49152, 768, 512) == 1
