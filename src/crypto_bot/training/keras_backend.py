"""Keras and what it computes with: the backend asked for, else the first that is installed."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.util import find_spec
from typing import Any, Literal

from crypto_bot.core.errors import MissingExtra
from crypto_bot.training.devices import CPU, cpu_instead

NetworkDevice = Literal["cpu", "gpu"]

BACKENDS = ("torch", "jax", "tensorflow")
"""In order of preference."""
BACKEND_VARIABLE = "KERAS_BACKEND"


def load_keras() -> Any:
    """The keras module, on the backend `KERAS_BACKEND` names, else on the first one installed.

    Raises MissingExtra, which names the install line, without Keras or without any backend. The
    choice is made once a process: a Keras that was imported before stays as it is.
    """
    if "keras" not in sys.modules:
        os.environ[BACKEND_VARIABLE] = chosen_backend()
    try:
        import keras
    except ImportError as error:
        raise MissingExtra(error.name or "keras", "deep") from error
    return keras


def chosen_backend() -> str:
    """`KERAS_BACKEND` if set, else the first installed of `BACKENDS`; MissingExtra without one."""
    asked = os.environ.get(BACKEND_VARIABLE)
    installed = [name for name in BACKENDS if find_spec(name) is not None]
    if not asked and not installed:
        raise MissingExtra(f"one of {', '.join(BACKENDS)}", "deep")
    return asked or installed[0]


def usable_network_device(asked: NetworkDevice) -> tuple[NetworkDevice, str]:
    """The device to train on and a note of it; a GPU the backend does not see gives the CPU, said so."""
    if asked == CPU or _has_gpu():
        return asked, asked
    backend = load_keras().backend.backend()
    return "cpu", cpu_instead("gpu", RuntimeError(f"{backend} sees no GPU"))


def device_scope(device: NetworkDevice) -> AbstractContextManager[Any]:
    """Where Keras computes inside a `with`; a GPU is what backends take by themselves."""
    scope: AbstractContextManager[Any] = (
        load_keras().device("cpu") if device == CPU else nullcontext()
    )
    return scope


def _has_gpu() -> bool:
    keras = load_keras()
    if keras.backend.backend() == "torch":
        import torch

        return bool(torch.cuda.is_available())
    return bool(keras.distribution.list_devices("gpu"))


def backend_packages() -> tuple[str, ...]:
    """Distributions a network is made with: Keras, its backend, and what writes and runs the export."""
    return ("keras", load_keras().backend.backend(), "onnx", "onnxruntime")


@contextmanager
def array_copies_allowed() -> Iterator[None]:
    """Keras 3.15 hands its variables to numpy without NumPy 2's `copy` word, which warns and works."""
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "__array__ implementation doesn't accept a copy", DeprecationWarning
        )
        yield
