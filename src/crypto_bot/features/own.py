"""A user's own feature: one decorated step function, run by both drivers like the built-in ones."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from crypto_bot.core.arrays import PerBar
from crypto_bot.core.bars import OHLCV
from crypto_bot.core.errors import ConfigError

Step = TypeVar("Step", bound=Callable[..., Any])

_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, eq=False)
class OwnFeature:
    """A registered step with what its catalogue entry says."""

    name: str
    inputs: tuple[str, ...]
    step: Callable[..., Any] = field(repr=False)
    start: tuple[float, ...]
    warmup_bars: int
    settled_bars: int | None
    definition: str

    @cached_property
    def _history(self) -> Callable[..., Any]:
        return _compile(self.step)

    def run(self, memory: PerBar, inputs: Sequence[PerBar], out: PerBar) -> None:
        """Carry the state in `memory` over the bars of `inputs`, writing one value a bar."""
        state = type(self.start)._make(memory.tolist())  # type: ignore[attr-defined]
        memory[:] = self._history(state, np.ascontiguousarray(np.stack(inputs, axis=1)), out)


def _compile(step: Callable[..., Any]) -> Callable[..., Any]:
    """A compiled loop round the step; compiled anew in each process, which costs a fraction of a second."""
    from numba import njit
    from numba.core.dispatcher import Dispatcher

    compiled = step if isinstance(step, Dispatcher) else njit(nogil=True, error_model="numpy")(step)

    def history(state: Any, inputs: npt.NDArray[np.float64], out: PerBar) -> Any:
        for i in range(out.size):
            state, out[i] = compiled(state, inputs[i])
        return state

    driver: Callable[..., Any] = njit(nogil=True, error_model="numpy")(history)
    return driver


_OWN: dict[str, OwnFeature] = {}


def own_features() -> dict[str, OwnFeature]:
    """The registered features by name, in order of registration."""
    return dict(_OWN)


def register_feature(
    name: str,
    *,
    inputs: Sequence[str],
    start: tuple[float, ...],
    warmup_bars: int,
    settled_bars: int | None,
    definition: str,
) -> Callable[[Step], Step]:
    """Make a step function a feature that `compute_features` and `FeatureStream` know by name.

    Parameters
    ----------
    name : lower-case name, not yet taken
    inputs : raw columns (open, high, low, close, volume) or names of features
    start : NamedTuple of floats, the state before the first bar
    warmup_bars, settled_bars : leading NaN bars; leading bars that depend on the start (None: all)
    definition : one line of words for model cards

    Returns
    -------
    The decorator of ``step(state, x) -> (state, value)``: x float64 (inputs,) holds this bar's
    inputs, the new state is of `start`'s type with floats only. The step is compiled by numba.

    Raises
    ------
    ConfigError    if the name is malformed or taken, or the state is no NamedTuple of floats

    Notes
    -----
    A step sees one bar and its own state, so it cannot look ahead. ``tests/laws/test_features.py``
    holds every feature to the declared numbers that is registered before it is collected.

    >>> from typing import NamedTuple
    >>> class Peak(NamedTuple):
    ...     high: float
    >>> @register_feature("fall_from_peak", inputs=["high", "close"], start=Peak(0.0),
    ...     warmup_bars=0, settled_bars=None, definition="close / highest high so far - 1")
    ... def fall_from_peak_step(state, x):
    ...     peak = max(state.high, x[0])
    ...     return Peak(peak), x[1] / peak - 1.0
    >>> forget_feature("fall_from_peak")
    """
    _check_entry(name, inputs, start)

    def enrol(step: Step) -> Step:
        _OWN[name] = OwnFeature(
            name, tuple(inputs), step, start, warmup_bars, settled_bars, definition
        )
        return step

    return enrol


def _check_entry(name: str, inputs: Sequence[str], start: tuple[float, ...]) -> None:
    from crypto_bot.features.catalogue import feature

    if not _NAME.fullmatch(name):
        raise ConfigError(f"feature name must be lower-case letters, digits and _, was {name!r}")
    if _is_taken(name):
        raise ConfigError(
            f"feature name must be new, was {name!r}; take another or forget_feature first"
        )
    if not hasattr(start, "_make") or not all(isinstance(value, float) for value in start):
        raise ConfigError(f"start must be a NamedTuple of floats, was {start!r}")
    for each in inputs:
        if each not in OHLCV:
            feature(each)


def _is_taken(name: str) -> bool:
    from crypto_bot.features.catalogue import feature

    try:
        feature(name)
    except ConfigError:
        return name in OHLCV
    return True


def forget_feature(name: str) -> None:
    """Take a registered feature out again; ConfigError if there is none of this name."""
    if name not in _OWN:
        raise ConfigError(f"{name} must be a registered feature, was not")
    del _OWN[name]
