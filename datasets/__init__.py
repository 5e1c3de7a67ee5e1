"""Test pictures, found on disk or fetched from their public home, and checked by SHA-256.

Each set is a module with `names()`, `path(name, root)`, `load(name, root)` and `fetch(root)`. The
pictures of a set lie under `root`, in a folder with the name of the module.
"""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path

from PIL import Image


class DataError(Exception):
    """A picture is absent or not the published one; the message says what to do."""


def locate(root: str | os.PathLike[str] | None = None) -> Path:
    """Give the folder that holds the sets.

    It is `root`; without one, the environment variable INRCODEC_DATA; else the folder shared/data
    beside the checkout if there is one; else ~/.cache/inrcodec.
    """
    given = root or os.environ.get("INRCODEC_DATA")
    if given:
        return Path(given)
    sibling = Path(__file__).resolve().parents[2] / "shared" / "data"
    return sibling if sibling.is_dir() else Path.home() / ".cache" / "inrcodec"


def fingerprint(image: Image.Image) -> str:
    """Give the SHA-256 (hex) of mode, size and samples: the same however the file is compressed."""
    head = f"{image.mode} {image.width}x{image.height} "
    return hashlib.sha256(head.encode() + image.tobytes()).hexdigest()


def checked(data: bytes, sha256: str, origin: str | os.PathLike[str]) -> Image.Image:
    """Give the picture of an image file's bytes, loaded.

    Raises:
        DataError: it cannot be read, or its `fingerprint` is not `sha256`; names `origin`.
    """
    try:
        image = Image.open(io.BytesIO(data))
        image.load()
    except Exception as error:  # Pillow's readers raise errors of any type on damaged files.
        raise DataError(f"{origin}: damaged: {error}") from error
    if fingerprint(image) != sha256:
        raise DataError(f"{origin}: not the published picture (its pixels' SHA-256 differs)")
    return image
