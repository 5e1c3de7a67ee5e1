"""What `inrcodec.decode` promises: any grid, marked partial pictures, bounded memory."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from PIL import Image

import inrcodec
from inrcodec import decoder
from inrcodec.families.siren.segments import write_layers
from inrcodec.image import from_pillow
from inrcodec.metrics import psnr
from inrcodec.prc import write
from tests.test_golden import golden


@pytest.fixture(scope="module")
def encoded(photograph) -> bytes:
    return inrcodec.encode(photograph, max_bytes=1100, effort=2, device="cpu")


def test_a_grid_of_odd_multiples_holds_the_pixels_of_the_plain_one(encoded):
    """Pixel centres of the picture are centres of a grid three times as fine: same function."""
    plain = np.asarray(inrcodec.decode(encoded)).astype(int)
    fine = np.asarray(inrcodec.decode(encoded, scale=3)).astype(int)
    assert fine.shape == (96, 144, 3)
    assert np.abs(fine[1::3, 1::3] - plain).max() <= 1


def test_size_and_scale_name_the_same_grid(encoded):
    by_scale, by_size = inrcodec.decode(encoded, scale=0.5), inrcodec.decode(encoded, size=(24, 16))
    assert by_scale.size == (24, 16)
    assert by_scale.tobytes() == by_size.tobytes()


@pytest.mark.parametrize("size", [(0, 4), (4, -1), (1 << 16, 1), (1 << 15, 1 << 14)])
def test_impossible_sizes_are_refused(encoded, size):
    with pytest.raises(inrcodec.ImageError, match="sides are 1 to 65535"):
        inrcodec.decode(encoded, size=size)


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_impossible_scales_are_refused(encoded, scale):
    with pytest.raises(inrcodec.ImageError, match="scale"):
        inrcodec.decode(encoded, scale=scale)


def test_size_and_scale_together_are_refused(encoded):
    with pytest.raises(inrcodec.ImageError, match="not both"):
        inrcodec.decode(encoded, size=(4, 4), scale=2)


def test_a_prefix_gives_a_coarser_picture_that_says_so(encoded, photograph):
    original = from_pillow(photograph)
    file = inrcodec.open(encoded)
    first = file.parts[1].offset + file.parts[1].size
    assert first < 0.85 * len(encoded)
    for cut in (first, len(encoded) - 1):
        picture = inrcodec.decode(encoded[:cut])
        assert "cut short" in picture.info["partial"]
        coarse = psnr(from_pillow(picture).samples, original.samples, 255)
        whole = psnr(from_pillow(inrcodec.decode(encoded)).samples, original.samples, 255)
        assert 14 < coarse < whole - 0.5
    with pytest.raises(inrcodec.FormatError, match="cut short"):
        inrcodec.decode(encoded[: first - 1])
    assert "partial" not in inrcodec.decode(encoded).info


def test_small_chunks_give_the_same_picture(encoded, monkeypatch):
    whole = inrcodec.decode(encoded)
    monkeypatch.setattr(decoder, "CHUNK", 700)
    parts = inrcodec.decode(encoded)
    assert np.abs(np.asarray(whole).astype(int) - np.asarray(parts)).max() <= 1


@pytest.mark.parametrize("name", ["rgb_identity", "rgb_stages", "rgb_pyramid_deep"])
def test_threads_do_not_change_the_picture(name, monkeypatch):
    """Enough pixels for several threads."""
    pictures = []
    for cores in ({0}, {0, 1}, {0, 1, 2}):
        monkeypatch.setattr(os, "sched_getaffinity", lambda process, cores=cores: cores)
        pictures.append(inrcodec.decode(golden(name), scale=6).tobytes())
    assert pictures[0] == pictures[1] == pictures[2]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_a_gpu_gives_the_same_picture_within_one_code(encoded):
    cpu, gpu = (
        np.asarray(inrcodec.decode(encoded, device=device)).astype(int)
        for device in ("cpu", "cuda")
    )
    difference = np.abs(cpu - gpu)
    assert difference.max() <= 1 and (difference > 0).mean() < 1e-3


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_a_gpu_encodes(photograph):
    data = inrcodec.encode(photograph, max_bytes=900, effort=1, device="cuda")
    assert 873 <= len(data) <= 900
    decoded = from_pillow(inrcodec.decode(data, device="cpu"))
    assert psnr(decoded.samples, from_pillow(photograph).samples, 255) > 19


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is here")
def test_a_missing_gpu_is_an_error(encoded):
    with pytest.raises(ValueError, match="no CUDA device here"):
        inrcodec.decode(encoded, device="cuda")


def test_a_path_decodes_as_its_bytes(encoded, tmp_path):
    path = tmp_path / "a.prc"
    path.write_bytes(encoded)
    assert inrcodec.decode(path).tobytes() == inrcodec.decode(encoded).tobytes()
    with pytest.raises(inrcodec.FormatError, match="cannot read"):
        inrcodec.decode(tmp_path / "absent.prc")


def test_importing_and_opening_needs_no_torch(encoded, tmp_path):
    import subprocess
    import sys

    path = tmp_path / "a.prc"
    path.write_bytes(encoded)
    code = (
        "import sys, inrcodec; file = inrcodec.open(sys.argv[1]); "
        "assert file.header.width == 48 and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)


def test_no_refinement_is_no_loss(encoded):
    """Files with and without a refinement pass decode alike: the format's choice, not quality's."""
    file = inrcodec.open(encoded)
    plain = write(file.header, write_layers(file.header, file.layers))
    assert len(encoded) - len(plain) <= 12
    assert inrcodec.decode(plain).tobytes() == inrcodec.decode(encoded).tobytes()


def test_modes_come_from_the_header(grey16):
    data = inrcodec.encode(grey16, max_bytes=200, effort=1)
    picture = inrcodec.decode(data, size=(5, 4))
    assert isinstance(picture, Image.Image) and picture.mode == "I;16" and picture.size == (5, 4)
