"""What a stored result hangs on besides candles and settings: the code that computed it."""

from __future__ import annotations

import hashlib
import inspect
import platform
import sys
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from pathlib import Path
from types import CodeType
from typing import Any

import crypto_bot
from crypto_bot.core.errors import ConfigError
from crypto_bot.strategies import Strategy, list_strategies

_PACKAGES = ("core", "features", "strategies", "engine")
_LIBRARIES = ("numba", "numpy")


@cache
def engine_version() -> str:
    """sha256 of every source that turns candles into metrics, of the compiler's and Python's version.

    Wider than the name of the kernel folder, which leaves out sources without a kernel: a rule
    written in plain numpy changes results too.
    """
    digest = hashlib.sha256(f"{sys.version_info[:2]} {platform.machine()}".encode())
    for name in _LIBRARIES:
        digest.update(f"{name} {version(name)}".encode())
    root = Path(crypto_bot.__file__).parent
    for package in _PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            digest.update(str(path.relative_to(root)).encode() + path.read_bytes())
    return digest.hexdigest()


def strategy_version(strategy: Strategy) -> str:
    """The engine's version, and the code of a strategy or feature that is the user's own."""
    from crypto_bot.features.own import own_features

    list_strategies()
    own: list[Callable[..., Any]] = []
    if not str(strategy.function.__module__).startswith("crypto_bot."):
        own += [strategy.function, type(strategy.parameters).features]
    own += [item.step for _, item in sorted(own_features().items())]
    if not own:
        return engine_version()
    digest = hashlib.sha256(engine_version().encode())
    for function in own:
        digest.update(_code(function))
    return digest.hexdigest()


def _code(function: Callable[..., Any]) -> bytes:
    """The whole file a function stands in; where there is none, its own code."""
    plain = inspect.unwrap(getattr(function, "py_func", function))
    source = inspect.getsourcefile(plain)
    if source is not None and Path(source).is_file():
        return Path(source).read_bytes()
    code = getattr(plain, "__code__", None)
    if code is None:
        raise ConfigError(f"{function!r} must be a function with code of its own to be stored")
    return _of_code(code)


def _of_code(code: CodeType) -> bytes:
    constants = b"".join(
        _of_code(value) if isinstance(value, CodeType) else _in_order(value).encode()
        for value in code.co_consts
    )
    return code.co_code + constants + repr(code.co_names).encode()


def _in_order(value: Any) -> str:
    """A set's members come in another order in every process."""
    return repr(sorted(map(repr, value)) if isinstance(value, frozenset) else value)
