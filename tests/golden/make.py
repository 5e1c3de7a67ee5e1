"""Makes the golden files anew: `python -m tests.golden.make`, from the root of the repository.

Each file shows one feature of the format. Symbols are random, from fixed seeds; nothing is trained.
The script writes a `.prc` and a `.png` of each, and prints the hashes that `tests/test_golden.py`
holds. It runs once for each version of the format: afterwards the files hold the code to it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import inrcodec
from tests.files import container_file, pyramid_file, siren_file
from tests.test_golden import symbols_hash

GOLDEN = Path(__file__).parent

SETS = (4, 3, 2, 2, 1, 2, 1, 0)
"""Levels of two sets of planes."""

DEEP = {"second": 8, "filtered": True}

FILES: dict[str, Callable[[], bytes]] = {
    "rgb_identity": lambda: siren_file(seed=1),
    "grey_dense": lambda: siren_file(1, seed=2, basis="dense", compaction=90),
    "grey16_hadamard": lambda: siren_file(1, seed=3, basis="hadamard", compaction=80, bits=16),
    "rgba_kronecker": lambda: siren_file(4, seed=4, basis="kronecker", compaction=90),
    "la_sparse": lambda: siren_file(2, seed=5, basis="sparse", compaction=100),
    "rgb_ends_mixed": lambda: siren_file(
        seed=24, basis="hadamard", compaction=80, whole_first=False, whole_last=False
    ),
    "rgb_refinement": lambda: siren_file(seed=7, withheld=2),
    "grey_magnitude": lambda: siren_file(1, seed=8, order="magnitude"),
    "rgb_listed": lambda: siren_file(seed=9, order="listed"),
    "rgb_stages": lambda: siren_file(seed=10, width=12, stages=(5, 3, 4)),
    "rgb_range": lambda: siren_file(seed=11, low=16, high=235),
    "rgb_srgb": lambda: siren_file(seed=12, srgb=True),
    "rgb_metadata": lambda: siren_file(
        seed=13,
        metadata={
            "icc": b"not a profile, but as long as a small one: " + bytes(range(200)),
            "exif": b"II*\0\x08\0\0\0\0\0\0\0\0\0",
            "xmp": b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>a picture, a picture</x:xmpmeta>",
        },
    ),
    "rgb_pyramid": lambda: pyramid_file(seed=14),
    "rgb_pyramid_second": lambda: pyramid_file(seed=15, network={"second": 8}),
    "rgb_pyramid_filter": lambda: pyramid_file(seed=16, network={"filtered": True}),
    "rgb_pyramid_deep": lambda: pyramid_file(seed=17, network=DEEP),
    "rgb_pyramid_taps": lambda: pyramid_file(seed=18, network={"taps": 3}),
    "rgb_pyramid_wide": lambda: pyramid_file(seed=19, network={"neighbours": 18, "context": 8}),
    "rgb_pyramid_sets": lambda: pyramid_file(SETS, seed=20, parts=(3, 2, 3)),
    "la_pyramid": lambda: pyramid_file((2, 1, 0), channels=2, seed=25, parts=(2, 1)),
    "grey16_pyramid": lambda: pyramid_file(channels=1, seed=22, bits=16, low=900, high=40000),
    "rgba_pyramid_sparse": lambda: pyramid_file(
        channels=4, seed=23, basis="sparse", compaction=70, network=DEEP
    ),
}
"""The bytes of each file, by its name."""


def main() -> None:
    """Write all files, and print the hashes of their symbols."""
    (GOLDEN / "container.prc").write_bytes(container_file())
    for name, make in FILES.items():
        data = make()
        (GOLDEN / f"{name}.prc").write_bytes(data)
        picture = inrcodec.decode(data)
        picture.info.clear()
        picture.save(GOLDEN / f"{name}.png")
        print(f'    "{name}": "{symbols_hash(data)}",')


if __name__ == "__main__":
    main()
