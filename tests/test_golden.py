"""Files of the format, one for each feature, and what they decode to: for as long as it lasts.

`tests/golden/make.py` made them once for the version.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import inrcodec
from inrcodec.image import srgb_profile

GOLDEN = Path(__file__).parent / "golden"

SYMBOLS: dict[str, str] = {
    "rgb_identity": "10925dc80de5ad89f897ce7fb6378872cced3ad1610388cc7aadd8650b35174d",
    "grey_dense": "51d84faf24ecae0a918ab611fd99c93207f6c6acfdcdd279d22d453bdd61d716",
    "grey16_hadamard": "b21951881e90ec561fc7e7fdb9ec84e1a05fbfb3e71e38e7548df6d476c7d0f1",
    "rgba_kronecker": "d7daa9c57222c1835e09e5373589aac937d476625df7f0632ac7e9ba4c74d147",
    "la_sparse": "9231c08b66291aa6c92a4510b94a3d729f21bc331c622e62edacee932002f62b",
    "rgb_ends_mixed": "02b74ec2868b2088cc07f035766ba2acffa8cfc39c74db0205b70354721d86ef",
    "rgb_refinement": "d70e84cf1b028650cb2db494d416bc0664794fbef673507607062f9fc635f471",
    "grey_magnitude": "5db6b32e9764478188caf8f7a0da0be2cc24398f33441a12045d618f65e69d65",
    "rgb_listed": "b447f2105a45fe4751e6ddd77530855721dc6f85e72a175150a29519e3bd50b8",
    "rgb_stages": "4e73cec51c8ffd656c06222c81d5f1033a511ae251feb397c7e3d5fbae1082f7",
    "rgb_range": "af89d0493d0198a5ee41530bcfe4f0ea7a1a1dc1f6de3b35e3354865024a6a74",
    "rgb_srgb": "72542bce8589cb4f04e0f220620a2cb0952bddea940eea9988875f35c5d45729",
    "rgb_metadata": "0f01618de60b647a0833ae5728f4c5c1f7e0839f365904c526d5abc1257b3101",
    "rgb_pyramid": "780729a34b9f94b6f8289f77a4860049ff37034f6183c1f2456b3e5de7604057",
    "rgb_pyramid_second": "8975221767699e041331e061b8dd5514c257cd85e2446a58461eb02327e609a0",
    "rgb_pyramid_filter": "76d49fb5fb039dd5fbde31fde4a19789541aa355d847626c5e295f242aa3f2b1",
    "rgb_pyramid_deep": "ff83f59b7254bee4349281fcb6e0ed659cb13dc75ff718b5d0f4f1a114a8f721",
    "rgb_pyramid_taps": "485f488b9c22e209d05c397765a0a18b3b7bee9792f6aab2798188973c057613",
    "rgb_pyramid_wide": "e69e7c74c31970381ca8fafc9c7ee8bbc3823bb6887414e9ab587b04a1ec2c65",
    "rgb_pyramid_sets": "edf1555603c02c0a6767d8c6ad1563e2b02621efe759230e1e2d1264b9674de9",
    "la_pyramid": "60e40dc64c4d6dd448dd962f7b1c72a07cb6636b0383f249bb1a632381ce7c14",
    "grey16_pyramid": "de5c9ffe8858fbd77c14cc44b0ba3d568e8ec7c3a30cb11070c1d1c919ad6be3",
    "rgba_pyramid_sparse": "d03a806bd6cc092b9a267821363fac7ab1a00db38cc81ff144529b140e67fc79",
}
"""SHA-256 of each file's symbols, layer after layer and then plane after plane, as little-endian
32-bit integers."""


def golden(name: str) -> bytes:
    return (GOLDEN / f"{name}.prc").read_bytes()


def symbols_hash(data: bytes) -> str:
    file = inrcodec.open(data)
    arrays = [*(layer.symbols for layer in file.layers), *file.latents]
    return hashlib.sha256(b"".join(x.astype("<i4").tobytes() for x in arrays)).hexdigest()


def test_each_golden_file_is_held_to_its_symbols_and_is_small():
    paths = {path.stem: path for path in GOLDEN.glob("*.prc")}
    assert paths.keys() == {*SYMBOLS, "container"}
    assert all(path.stat().st_size < 2000 for path in paths.values())


@pytest.mark.parametrize("name", SYMBOLS)
def test_the_integers_never_change(name):
    assert symbols_hash(golden(name)) == SYMBOLS[name]


@pytest.mark.parametrize("threads", ["1", "2"])
def test_the_integers_are_the_same_in_any_process_and_thread_count(threads):
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from tests.test_golden import *; "
        "print(*(symbols_hash(golden(name)) for name in SYMBOLS))"
    )
    counts = dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "MKL_NUM_THREADS"), threads)
    command = [sys.executable, "-c", code, str(GOLDEN.parents[1])]
    printed = subprocess.run(
        command, check=True, capture_output=True, text=True, env=os.environ | counts
    ).stdout
    assert printed.split() == list(SYMBOLS.values())


@pytest.mark.parametrize("name", SYMBOLS)
def test_the_pixels_change_by_one_code_value_at_most_and_rarely(name):
    expected = Image.open(GOLDEN / f"{name}.png")
    picture = inrcodec.decode(golden(name), device="cpu")
    assert picture.mode == expected.mode and picture.size == expected.size
    difference = np.abs(np.asarray(picture).astype(int) - np.asarray(expected).astype(int))
    # Of 16-bit samples, with steps 257 times as fine, float32 rounding moves more than few.
    assert difference.max() <= 1 and (difference > 0).mean() < (0.05 if "16" in name else 1e-3)


@pytest.mark.parametrize("name", SYMBOLS)
def test_every_truncation_is_an_error_or_a_marked_partial_picture(name):
    data = golden(name)
    whole = inrcodec.open(data)
    # A prefix is readable from the end of the coefficients on; latents, and bit planes in an order,
    # may end anywhere.
    ends = {part.offset + part.size for part in whole.parts[1:-1]}
    seen: set[int] = set()
    for length in range(len(data)):
        try:
            file = inrcodec.open(data[:length])
        except inrcodec.FormatError as error:
            assert "\n" not in str(error)
            continue
        assert not file.complete and file.bytes_read <= length
        assert f"cut short after {file.bytes_read} bytes" in file.lacking
        if file.bytes_read in ends - seen or length % 10 == 0:
            picture = inrcodec.decode(data[:length], device="cpu")
            assert picture.info["partial"] == file.lacking
            assert picture.size == (whole.header.width, whole.header.height)
        seen.add(file.bytes_read)
    assert ends <= seen and (whole.latents or whole.order or ends == seen)


@pytest.mark.parametrize("flip", [0x01, 0x10, 0x80, 0xFF])
@pytest.mark.parametrize("name", SYMBOLS)
def test_every_flipped_byte_is_an_error_or_a_marked_partial_picture(name, flip):
    data = golden(name)
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= flip
        try:
            file = inrcodec.open(bytes(damaged))
        except inrcodec.FormatError as error:
            assert "\n" not in str(error)
        else:
            # A segment that claims to be longer looks like one that was cut.
            assert not file.complete, f"byte {position} may be changed unnoticed"
            assert "partial" in inrcodec.decode(bytes(damaged), device="cpu").info


@pytest.mark.parametrize("name", SYMBOLS)
def test_overhead_is_within_its_limit(name):
    file = inrcodec.open(golden(name))
    if not (file.icc or file.exif or file.xmp):
        assert file.overhead <= 48 + 6 * (len(file.layers) + len(file.latents))


def test_metadata_and_the_range_of_samples_reach_the_picture():
    file, picture = inrcodec.open(golden("rgb_metadata")), inrcodec.decode(golden("rgb_metadata"))
    assert picture.info["icc_profile"] == file.icc and file.icc.startswith(b"not a profile")
    assert file.exif.startswith(b"II*\0") and file.xmp.startswith(b"<x:xmpmeta")
    assert inrcodec.decode(golden("rgb_srgb")).info["icc_profile"] == srgb_profile()
    for name in ("rgb_range", "grey16_pyramid"):
        header = inrcodec.open(golden(name)).header
        samples = np.asarray(inrcodec.decode(golden(name)))
        assert 0 < header.low <= samples.min() and samples.max() <= header.top < header.peak
