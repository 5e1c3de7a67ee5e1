"""The kernels' cache on disk: one file for each kernel and signature, see `kernels.compile`.

A name holds all that the machine code depends on, so a file is never out of date, only unused. A
checksum guards against files that are damaged, since Numba would run whatever code is in them.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import pickle
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
from numba import types
from numba.core import config
from numba.core.caching import NullCache
from numba.core.compiler import CompileResult
from numba.core.registry import cpu_target
from numba.core.serialize import dumps

_log = logging.getLogger("inrcodec")

UNUSED_DAYS = 60
"""Files that no process has used for so many days are removed."""

_DAY = 86400.0
_CHECKSUM = hashlib.sha256().digest_size
_OPTIONS = ("OPT", "BOUNDSCHECK", "LOOP_VECTORIZE", "SLP_VECTORIZE", "USING_SVML")

_IMPORT = re.compile(r"^from ([\w.]+) import (\([^)]*\)|.*)", re.MULTILINE)

Types = list[Any]
"""The types of a kernel's arguments as JSON has them, see `described`."""


@cache
def folder() -> Path:
    """The folder for this machine's code: a subfolder of INRCODEC_CACHE or of the user's cache.

    It need not exist, nor be writable.
    """
    codegen = cpu_target.target_context.codegen()
    machine = (
        *(sys.implementation.cache_tag, numba.__version__, llvmlite.__version__, np.__version__),
        codegen.magic_tuple(),
        *((option, getattr(config, option, None)) for option in _OPTIONS),
    )
    return _base() / f"kernels-{_digest(repr(machine))}"


def _base() -> Path:
    named = os.environ.get("INRCODEC_CACHE")
    if named:
        return Path(named)
    local = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    with contextlib.suppress(RuntimeError):
        user = (Path(local) if local else Path.home() / ".cache") / "inrcodec"
        if _writable(user):
            return user
    owner = os.getuid() if hasattr(os, "getuid") else 0
    return Path(tempfile.gettempdir()) / f"inrcodec-{owner}"


def _writable(path: Path) -> bool:
    """Whether files can be made in a folder, or it can be made."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return os.access(path, os.W_OK | os.X_OK)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@cache
def _sources(module: str) -> str:
    """The digest of a module's source and of all modules of this package that it imports."""
    known, waiting = dict[str, str](), [module]
    while waiting:
        name = waiting.pop()
        if name not in known:
            known[name], imported = _source(name)
            waiting += imported
    return _digest(json.dumps(sorted(known.items())))


@cache
def _source(module: str) -> tuple[str, list[str]]:
    """A module's source, and what it imports of its package; nothing where it is no module."""
    package, _, rest = module.partition(".")
    places = [Path(place, *rest.split(".")) for place in getattr(_loaded(package), "__path__", [])]
    files = [
        *(file for place in places for file in (place.with_suffix(".py"), place / "__init__.py")),
        Path(getattr(_loaded(module), "__file__", None) or os.devnull),
    ]
    source = next((file.read_text("utf8") for file in files if file.is_file()), "")
    # A name that is imported from a module may be a module itself.
    return source, [
        name
        for start, names in _IMPORT.findall(source)
        if start.partition(".")[0] == package
        for name in (start, *(f"{start}.{name}" for name in re.findall(r"\w+", names)))
    ]


def _loaded(module: str) -> Any:
    return sys.modules.get(module)


def described(kind: Any) -> Any:
    """A Numba type as JSON: a scalar's name, or the parts of an array or a tuple.

    >>> described(types.Array(types.float32, 2, "C")), described(types.UniTuple(types.int64, 2))
    (['array', 'float32', 2, 'C'], ['tuple', 'int64', 'int64'])
    """
    if isinstance(kind, types.Array):
        parts = ["array", described(kind.dtype), kind.ndim, kind.layout]
        return parts if kind.mutable else [*parts, "readonly"]
    if isinstance(kind, types.BaseNamedTuple):
        made = kind.instance_class
        return ["named", f"{made.__module__}:{made.__qualname__}", *map(described, kind.types)]
    if isinstance(kind, types.BaseTuple):
        return ["tuple", *map(described, kind.types)]
    return str(kind)


def typed(description: Any) -> Any:
    """The Numba type that `described` gave.

    >>> print(typed(["tuple", "int64", ["array", "float32", 1, "C"]]))
    Tuple(int64, array(float32, 1d, C))
    """
    if isinstance(description, str):
        return getattr(types, {"bool": "boolean"}.get(description, description))
    kind, *parts = description
    if kind == "array":
        dtype, dimensions, layout, *readonly = parts
        return types.Array(typed(dtype), dimensions, layout, readonly=bool(readonly))
    if kind == "tuple":
        return types.BaseTuple.from_types([typed(part) for part in parts])
    return types.BaseTuple.from_types([typed(part) for part in parts[1:]], found(parts[0]))


def found(name: str) -> Any:
    """What "module:qualified.name" names."""
    module, _, path = name.partition(":")
    __import__(module)
    value: Any = sys.modules[module]
    for part in path.split("."):
        value = getattr(value, part)
    return value


def path_of(kernel: str, arguments: Sequence[Any]) -> Path:
    """The file of a kernel, "module:name", for arguments as `described`."""
    module, _, name = kernel.partition(":")
    return folder() / f"{name}-{_digest(json.dumps([kernel, _sources(module), arguments]))}.kernel"


def read(path: Path) -> bytes | None:
    """The content of a file, or None if there is none, or it is damaged or another user's."""
    try:
        with path.open("rb") as file:
            trusted, data = _trusted(os.fstat(file.fileno()).st_uid), file.read()
    except OSError:
        return None
    content = data[_CHECKSUM:]
    sound = data[:_CHECKSUM] == hashlib.sha256(content).digest()
    return content if sound and trusted else None


def _trusted(owner: int) -> bool:
    """Whether code of a file's owner may run: the user or the administrator."""
    return not hasattr(os, "getuid") or owner in (0, os.getuid())


def write(path: Path, content: bytes) -> None:
    """Write a file at once, whatever other processes do; raises OSError where that fails."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not _trusted(path.parent.stat().st_uid):
        raise PermissionError(f"{path.parent} belongs to another user")
    handle, temporary = tempfile.mkstemp(".tmp", "", path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(hashlib.sha256(content).digest() + content)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def remove_unused() -> None:
    """Remove files that no process has used for `UNUSED_DAYS` days."""
    oldest = time.time() - UNUSED_DAYS * _DAY
    for path in folder().parent.glob("kernels-*/*"):
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < oldest:
                path.unlink()
    for path in folder().parent.glob("kernels-*"):
        # Only an empty one can be removed.
        with contextlib.suppress(OSError):
            path.rmdir()


used: list[tuple[str, Types]] = []
"""Kernels that this process has asked for, with the types of their arguments."""

compiled_here: list[tuple[str, Types]] = []
"""Those of them that it has compiled."""


class KernelCache(NullCache):  # type: ignore[misc]
    """The compiled signatures of one kernel, for its dispatcher.

    Whatever goes wrong in reading counts as not there, in writing as not kept.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        """`function` is what is compiled; it is known by its module and name."""
        self._module = function.__module__
        self._kernel = f"{function.__module__}:{function.__qualname__}"

    @property
    def cache_path(self) -> str:
        """The folder, as Numba's caches give it."""
        return str(folder())

    def load_overload(self, signature: Any, target: Any) -> Any:
        """The compiled kernel for the types of its arguments, or None."""
        # As Numba's own caches: it loads what the compiled code needs.
        target.refresh()
        arguments = [described(kind) for kind in _arguments(signature)]
        used.append((self._kernel, arguments))
        path = path_of(self._kernel, arguments)
        content = read(path)
        if content is None or not _source(self._module)[0]:
            return None
        try:
            kernel = CompileResult._rebuild(target, *pickle.loads(content))
        except Exception as error:  # anything that another Numba's objects may raise
            _log.debug("cannot load %s: %s", path, error)
            return None
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _DAY:
                os.utime(path)
        return kernel

    def save_overload(self, signature: Any, kernel: Any) -> None:
        """Keep what was compiled."""
        arguments = [described(kind) for kind in _arguments(signature)]
        compiled_here.append((self._kernel, arguments))
        if kernel.library.has_dynamic_globals or not _source(self._module)[0]:
            return
        try:
            write(path_of(self._kernel, arguments), dumps(kernel._reduce()))
        except Exception as error:  # whatever it is, the kernel itself is there
            warn_once(f"compiled kernels cannot be kept: {error}")


def _arguments(signature: Any) -> Iterator[Any]:
    return iter(signature if isinstance(signature, tuple) else signature.args)


_warned = False


def warn_once(message: str) -> None:
    """Log one line, the first time in this process that something is wrong with the cache."""
    global _warned
    if not _warned:
        _warned = True
        _log.warning("inrcodec: %s; see INRCODEC_CACHE", message)
