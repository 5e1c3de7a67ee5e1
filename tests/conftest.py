"""Pictures that the tests share; small, made here or shipped in scikit-image."""

from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

import inrcodec.cli  # noqa: F401  (its threads sleep while they wait; before torch)

import torch  # isort: skip

# Without a GPU its kernels are run by Python, on the CPU.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

# No test fails because its machine is busy.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.fixture(scope="session")
def photograph() -> Image.Image:
    """RGB, 48x32: a part of scikit-image's cat, reduced."""
    from skimage.data import chelsea

    return Image.fromarray(chelsea()).crop((110, 50, 350, 210)).resize((48, 32))


@pytest.fixture(scope="session")
def grey16() -> Image.Image:
    """I;16, 40x24: a slope with a bump, which uses more than 8 bits."""
    y, x = np.mgrid[0:24, 0:40]
    bump = 20000 * np.exp(-((x - 12) ** 2 + (y - 12) ** 2) / 40)
    return Image.fromarray((bump + 900 * x + 37 * y).astype(np.uint16))


@pytest.fixture(scope="session")
def rgba(photograph: Image.Image) -> Image.Image:
    """RGBA, 48x32: the photograph, fading out downwards."""
    picture = photograph.convert("RGBA")
    picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    return picture
