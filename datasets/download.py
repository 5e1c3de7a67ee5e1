"""Downloads that go on where an earlier one stopped, by HTTP ranges (RFC 9110, section 14)."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path

Report = Callable[[int, int | None], None]
"""Takes the bytes that are there and, where it is known, how many there will be."""

TIMEOUT = 60.0
"""Seconds that a server may be silent."""

_BLOCK = 2**16


@contextmanager
def alone(folder: Path, wait: bool = True) -> Iterator[None]:
    """Make `folder`, and hold off all other processes and threads that come here for it.

    Where the system has no such locks, nobody is held off.

    Raises:
        BlockingIOError: somebody is here already, and `wait` is false.
        OSError: the folder cannot be made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ImportError:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise
        except OSError:
            pass  # Network file systems may refuse to lock folders.
        yield
    finally:
        os.close(handle)


def to_file(url: str, part: Path, size: int | None = None, report: Report | None = None) -> None:
    """Complete the file `part` with what is at `url`; on an error it keeps what has come.

    A server that does not know ranges sends all of it anew. What `part` held before is not
    checked, nor is a part of `size` bytes or more fetched again: the caller compares sums.

    Raises:
        OSError: the server cannot be reached, refuses or breaks off, or `part` cannot be written.
        http.client.HTTPException: it does not speak HTTP.
    """
    there = part.stat().st_size if part.exists() else 0
    if size is not None and there >= size:
        return
    headers = {"User-Agent": "inrcodec"}
    if there:
        headers["Range"] = f"bytes={there}-"
    request = urllib.request.Request(url, headers=headers)
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        with error:
            if there and error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                return  # Nothing follows: the part is complete, or not of this file.
        raise
    with response:
        resumed = response.headers.get("Content-Range", "").startswith(f"bytes {there}-")
        there = there if resumed else 0
        total = size if response.length is None else there + response.length
        with open(part, "ab" if resumed else "wb") as file:
            while total is None or there < total:
                block = response.read1(_BLOCK)
                if not block:
                    break
                file.write(block)
                there += len(block)
                if report:
                    report(there, total)
            file.flush()
            os.fsync(file.fileno())
    if total is not None and there < total:
        raise ConnectionError(f"the connection ended after {there} of {total} bytes")
