"""The `.prc` file format: reading and writing, specified in `docs/format.md`. Imports no torch."""

from __future__ import annotations

import os
from pathlib import Path

from inrcodec.container.prc import PrcFile, read
from inrcodec.errors import FormatError

__all__ = ["PrcFile", "open"]


def open(source: bytes | str | os.PathLike[str]) -> PrcFile:
    """Read a file's header, parts and quantized coefficients, without rendering it.

    `source` is a path, or a file's bytes. A file cut short is read as far as it goes; then the
    result's `complete` is False.

    >>> import inrcodec
    >>> inrcodec.open(b"not a picture")
    Traceback (most recent call last):
    ...
    inrcodec.errors.FormatError: not a .prc file

    Raises:
        FormatError: not a readable `.prc` file; the message says what is wrong.
    """
    if isinstance(source, bytes):
        return read(source)
    try:
        return read(Path(source).read_bytes())
    except OSError as error:
        raise FormatError(f"cannot read {os.fspath(source)}: {error.strerror or error}") from error
