"""The `.prc` file format: reading and writing, specified in `docs/format.md`. Imports no torch."""

from __future__ import annotations

import os
from pathlib import Path

from inrcodec.container.prc import PrcFile, read, read_header
from inrcodec.errors import FormatError

__all__ = ["PrcFile", "bytes_of", "open", "read_header"]


def open(source: bytes | str | os.PathLike[str], finest: int = 0) -> PrcFile:
    """Read a file's header, parts and quantized coefficients, without rendering it.

    `source` is a path, or a file's bytes. A file cut short is read as far as it goes; then the
    result's `complete` is False. Latent planes that those of the level `finest` and above
    can do without are left out.

    >>> import inrcodec
    >>> inrcodec.open(b"not a picture")
    Traceback (most recent call last):
    ...
    inrcodec.errors.FormatError: not a .prc file

    Raises:
        FormatError: not a readable `.prc` file; the message says what is wrong.
    """
    return read(bytes_of(source), finest)


def bytes_of(source: bytes | str | os.PathLike[str]) -> bytes:
    """A file's bytes, from its path or as they are; raises FormatError if it cannot be read."""
    if isinstance(source, bytes):
        return source
    try:
        return Path(source).read_bytes()
    except OSError as error:
        raise FormatError(f"cannot read {os.fspath(source)}: {error.strerror or error}") from error
