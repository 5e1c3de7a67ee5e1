"""Compilation of kernels by Numba."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit

F = TypeVar("F", bound=Callable[..., Any])
_OPTIONS: dict[str, Any] = {"fastmath": True, "nogil": True, "error_model": "numpy"}


def compiled(function: F) -> F:
    """Compile at the first call, and keep the result on disk where the place allows it."""
    try:
        kernel: F = njit(cache=True, **_OPTIONS)(function)
    except RuntimeError:
        # Neither the package's folder nor the user's cache can be written.
        kernel = njit(**_OPTIONS)(function)
    return kernel
