"""Compilation of kernels by Numba, once for a machine.

The machine code of kernels is kept on disk, in the first of these folders that can be written:

    $INRCODEC_CACHE
    $XDG_CACHE_HOME/inrcodec, else ~/.cache/inrcodec      (%LOCALAPPDATA% on Windows)
    inrcodec-USERID in the folder for temporary files

It has a subfolder for each combination of processor and versions of Python, NumPy and Numba,
with a file for each kernel and the types of its arguments. The name of a file also depends
on the source of the kernel's module and of what that imports. Files that no process has used for 60
days are removed, and all may be deleted at any time: what is missing or damaged is compiled again.
Where nothing can be written each process compiles what it needs, after one warning (logger
`inrcodec`).

`ensure` compiles the kernels of a task in processes of their own, one for each core, before the
task begins. `python -m inrcodec.kernels.warm` does so for all tasks, for example while an image of
a container is built.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba.core import config

from inrcodec.kernels.cache import KernelCache
from inrcodec.kernels.linking import Kernel
from inrcodec.kernels.warm import ensure

__all__ = ["compiled", "ensure"]

F = TypeVar("F", bound=Callable[..., Any])
_OPTIONS: dict[str, Any] = {"fastmath": True, "nogil": True, "error_model": "numpy"}


def compiled(function: F) -> F:
    """A kernel: compiled at the first call with each types of arguments, and kept on disk."""
    if getattr(config, "DISABLE_JIT", False):
        return function
    return cast(F, Kernel(function, _OPTIONS, KernelCache(function)))
