"""Whole-file writes that a crash cannot leave half done."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path


def write_atomically(path: str | os.PathLike[str], data: bytes) -> None:
    """Write `data` to `path`: the file then holds all of it or, on an error, what it held before.

    The bytes go to a temporary file in the same folder that then replaces `path`; a symbolic link
    is followed. Devices and pipes (`/dev/stdout`) cannot be replaced and are written to directly.

    Raises:
        OSError: the folder is missing, read-only or full; the message names `path`.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_atomically(Path(folder, "a.prc"), b"seed")
    ...     [file.name for file in Path(folder).iterdir()]
    ['a.prc']
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        target.write_bytes(data)
        return
    temporary = target.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        # Opened by plain open(), not tempfile, so that the file gets the permissions of the umask.
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except OSError as error:
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
