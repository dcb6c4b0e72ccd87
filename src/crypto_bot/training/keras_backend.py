"""Keras and what it computes with: the backend asked for, else the first that is installed."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

from crypto_bot.core.errors import MissingExtra

BACKENDS = ("torch", "jax", "tensorflow")
"""In order of preference."""
BACKEND_VARIABLE = "KERAS_BACKEND"


def load_keras() -> Any:
    """The keras module, on the backend `KERAS_BACKEND` names, else on the first one installed.

    Raises MissingExtra, which names the install line, without Keras or without any backend. The
    choice is made once a process: a Keras that was imported before stays as it is.
    """
    if "keras" not in sys.modules and not os.environ.get(BACKEND_VARIABLE):
        found = [name for name in BACKENDS if find_spec(name) is not None]
        if not found:
            raise MissingExtra(f"one of {', '.join(BACKENDS)}", "deep")
        os.environ[BACKEND_VARIABLE] = found[0]
    try:
        import keras
    except ImportError as error:
        raise MissingExtra(error.name or "keras", "deep") from error
    return keras


def backend_versions() -> dict[str, str]:
    """Versions of Keras, its backend, and what writes and runs the exported network."""
    names = ("keras", load_keras().backend.backend(), "onnx", "onnxruntime")
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = str(getattr(sys.modules.get(name), "__version__", "unknown"))
    return found


@contextmanager
def array_copies_allowed() -> Iterator[None]:
    """Keras 3.15 hands its variables to numpy without NumPy 2's `copy` word, which warns and works."""
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "__array__ implementation doesn't accept a copy", DeprecationWarning
        )
        yield
