"""How kernels are compiled that only other kernels call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit

Kernel = TypeVar("Kernel", bound=Callable[..., Any])
_OPTIONS: dict[str, Any] = {
    "cache": True,
    "nogil": True,
    "error_model": "numpy",
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}


def inner_njit(kernel: Kernel) -> Kernel:
    """Compile a function that Python never calls.

    The wrappers that would let Python call it are most of the work of compiling a small function.
    The decorator's name holds njit, by which `kernel_cache` knows a kernel's source.
    """
    compiled: Kernel = njit(**_OPTIONS)(kernel)
    return compiled
