"""Compiling kernels that allocate nothing, without numba's reference counts.

One atomic count per array and call, contended by all threads, took five sixths of the time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit

_Kernel = TypeVar("_Kernel", bound=Callable[..., Any])


def uncounted(function: _Kernel) -> _Kernel:
    """Compile a function that allocates nothing."""
    compiler: Any = njit
    compiled: _Kernel = compiler(cache=True, nogil=True, _nrt=False)(function)
    return compiled


def inlined(function: _Kernel) -> _Kernel:
    """Compile a small function that allocates nothing into whatever calls it."""
    compiler: Any = njit
    compiled: _Kernel = compiler(cache=True, nogil=True, _nrt=False, forceinline=True)(function)
    return compiled
