"""Files that versions of the format wrote, and what they decode to: for ever."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import inrcodec

GOLDEN = Path(__file__).parent / "golden"

SYMBOLS = {
    "rgb_identity_v0": "af863851faa4570fb38c2e92b6769d847e187a16a958b5fff2c93417d2d5d02d",
    "grey16_hadamard_v0": "573dabf622e2215b41da96129c4b7820b4d204595b4be2f398b7a00b91a0ae75",
    "rgba_kronecker_icc_v0": "92219bbf4e4ab96b0cefb71689663d574642f70e704651f081cdc602f462ea01",
    "grey_dense_v0": "f47ac30bb454e6d1dfa5349a413043410f59d58fc2b6ff0e0b882237365525fd",
    "la_sparse_v0": "b70738b67b6f7f357e212209d1ee176ab027d6945898e0b88af07d320207cca5",
    "rgb_pyramid_v2": "8221653221b5b68f1c4d0dfe29b714819c6d445438d21b077c86e0e5b5aee677",
    "grey16_pyramid_v2": "763c208ae1b3e67f90c7d609f533d7a9b6acf4b67809f7f43fffc259bfe48f8c",
    "rgba_pyramid_sparse_v2": "c4295b0e0d442d97faf12b2a06ac6c25fd81601671c2bddc169ab8a5493bd73b",
    "grey_magnitude_v3": "2c992e2cc455aad86ce93f7827917b70366292247220c7bfdbc9ff33da537a96",
    "rgb_contribution_v3": "3be02122fbb9a236da00a819404ecaa9a1d9c39cb04a9de1415a91c88cd53c48",
    "rgb_wide_v4": "4a48935529bcaff0f1e0ae7f12c81f1d100451b9180efbf2abda1f8aaae1b9c8",
    "rgb_deep_v5": "ae61ad192f28cb53a30fb02e2e2a0d852029918dfc66b583ecc5e6c91d57aee4",
    "rgb_sets_v6": "7ad312da8b22b18b032a008a4ec92a2365b345d548e172f997a2fcb3246ac3cd",
    "rgb_smooth_v7": "2775e068debd179dd95863bb0ef26504111fb1e34220860deaa80d81a8bd4af4",
    "rgb_adaptive_v8": "b1d8d5888d38a467404c7812714e8b518f47f88c56bddd71f31e6a8dbbd23864",
    "rgb_stages_v9": "732bd3a71773c749f7a434ad4b9414e31bddd2f9a6eb1e7629a3f479f1be16e6",
}
"""SHA-256 of each file's symbols, layer after layer and then plane after plane, as little-endian
32-bit integers."""


def golden(name: str) -> bytes:
    return (GOLDEN / f"{name}.prc").read_bytes()


def symbols_hash(data: bytes) -> str:
    file = inrcodec.open(data)
    arrays = [*(layer.symbols for layer in file.layers), *file.latents]
    return hashlib.sha256(b"".join(x.astype("<i4").tobytes() for x in arrays)).hexdigest()


@pytest.mark.parametrize("name", SYMBOLS)
def test_the_integers_never_change(name):
    assert symbols_hash(golden(name)) == SYMBOLS[name]


@pytest.mark.parametrize(
    "name",
    [
        "rgb_identity_v0",
        "rgb_pyramid_v2",
        "rgb_deep_v5",
        "rgb_sets_v6",
        "rgb_smooth_v7",
        "rgb_adaptive_v8",
    ],
)
@pytest.mark.parametrize("threads", ["1", "2"])
def test_the_integers_are_the_same_in_any_process_and_thread_count(threads, name):
    code = (
        "import sys, torch, numpy; torch.set_num_threads(int(sys.argv[2])); torch.manual_seed(1); "
        "import inrcodec, hashlib; file = inrcodec.open(sys.argv[1]); "
        "arrays = [*(layer.symbols for layer in file.layers), *file.latents]; "
        "print(hashlib.sha256(b''.join(x.astype('<i4').tobytes() for x in arrays)).hexdigest())"
    )
    path = GOLDEN / f"{name}.prc"
    command = [sys.executable, "-c", code, str(path), threads]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert printed.strip() == SYMBOLS[name]


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
    seen: set[int] = set()
    for length in range(len(data)):
        try:
            file = inrcodec.open(data[:length])
        except inrcodec.FormatError as error:
            assert "\n" not in str(error)
            continue
        assert not file.complete and file.bytes_read <= length
        if file.bytes_read not in seen:
            seen.add(file.bytes_read)
            picture = inrcodec.decode(data[:length], device="cpu")
            assert f"cut short after {file.bytes_read} bytes" in picture.info["partial"]
            assert picture.size == (whole.header.width, whole.header.height)
    # A prefix is readable from the end of the first pass on; latents, and bit planes in an order,
    # may end anywhere.
    ends = {part.offset + part.size for part in whole.parts[1:-1]}
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
    if not file.icc:
        assert file.overhead <= 48 + 6 * (len(file.layers) + len(file.latents))
