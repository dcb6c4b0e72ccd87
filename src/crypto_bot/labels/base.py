"""What a label is, where its horizon ends in real time, and which kinds exist."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import numpy as np
import numpy.typing as npt

from crypto_bot.core import Bars, Options
from crypto_bot.core.arrays import Index, Mask, PerBarDirection, PerBarTime
from crypto_bot.core.errors import ConfigError, nearest
from crypto_bot.core.timeframes import MINUTE_NS

UNLABELLED = -128
"""Value of a bar without a label: no class, so that a forgotten mask shows instead of training."""

ROUNDING_FRAC = 1e-12
"""Binary fractions miss decimal prices by about 1e-16: a move this near a threshold equals it."""


class LabelOptions(Options):
    """Base of every label kind's options; `make_labels` chooses the kind by their type.

    `kind` is the name by which a definition is read back, see `label_options`.
    """

    kind: ClassVar[str] = ""


@dataclass(frozen=True, eq=False)
class Labels:
    """One label per bar, and the moment it became known.

    Attributes
    ----------
    values : int8 (bars,)          one of `classes`; `UNLABELLED` where there is none
    end_bar : int64 (bars,)        index of the deciding bar; -1 where unlabelled
    end_time_ns : int64 (bars,)    close time of the deciding bar, UTC ns; -1 where unlabelled
    is_labelled : bool (bars,)     False in the tail and wherever an outage hides the outcome
    classes : tuple of int         every value a label can take, ascending
    definition : dict              JSON-ready: name, kind, timeframe, every option,
                                   horizon_minutes, effective_horizon_minutes, horizon_bars (None
                                   where the horizon has no bound)
    side : int8 (bars,) or None    direction that the label judges, 0 where unlabelled; None for
                                   labels that judge no bet

    Notes
    -----
    Looks ahead by construction: the label of bar t reads bars up to `end_bar[t]`. A split must purge
    every training row whose `end_time_ns` reaches into the test span.
    """

    values: npt.NDArray[np.int8]
    end_bar: Index
    end_time_ns: PerBarTime
    is_labelled: Mask
    classes: tuple[int, ...]
    definition: dict[str, Any]
    side: PerBarDirection | None = None

    def __len__(self) -> int:
        return len(self.values)

    def count(self, label: int) -> int:
        """How many bars carry this label."""
        return int(np.count_nonzero(self.is_labelled & (self.values == label)))


Maker = Callable[[Bars, Any], Labels]
Function = TypeVar("Function", bound=Callable[..., Labels])
_KINDS: dict[type[LabelOptions], Maker] = {}


def label_kind(options: type[LabelOptions]) -> Callable[[Function], Function]:
    """Enrol a function as the maker of the labels that `options` describe."""

    def enrol(function: Function) -> Function:
        _KINDS[options] = function
        return function

    return enrol


def label_kinds() -> tuple[type[LabelOptions], ...]:
    """The options class of every kind of label, in the order of their names."""
    return tuple(sorted(_KINDS, key=lambda kind: kind.__name__))


def make_labels(bars: Bars, options: LabelOptions) -> Labels:
    """Label every bar by the kind that `options` belong to.

    Raises
    ------
    ConfigError    if no kind of label has options of this type
    """
    maker = _KINDS.get(type(options))
    if maker is None:
        known = ", ".join(kind.__name__ for kind in label_kinds())
        raise ConfigError(f"options must be one of {known}, was {type(options).__name__}")
    return maker(bars, options)


def horizon_end_bars(close_time: PerBarTime, horizon_ns: int) -> Index:
    """Index of the bar that closes exactly `horizon_ns` after each bar, -1 where none does.

    Bars missing inside the horizon do not matter, a bar missing at its end does: a later one would
    answer another question.
    """
    wanted = close_time + horizon_ns
    candidate = np.searchsorted(close_time, wanted)
    exists = candidate < len(close_time)
    exists[exists] = close_time[candidate[exists]] == wanted[exists]
    return np.where(exists, candidate, -1).astype(np.int64)


def unbroken_end_bars(bars: Bars, horizon_bars: int) -> Index:
    """Index of the bar `horizon_bars` later where every bar up to it exists, else -1.

    For labels that ask what happened on the way: a missing bar may have held the answer.
    """
    count = len(bars)
    found = np.full(count, -1, dtype=np.int64)
    if horizon_bars >= count:
        return found
    rows = np.arange(count - horizon_bars)
    ahead = bars.open_time[horizon_bars:] - bars.open_time[: count - horizon_bars]
    found[rows] = np.where(ahead == horizon_bars * bars.interval_ns, rows + horizon_bars, -1)
    return found


def assembled(
    bars: Bars,
    values: npt.NDArray[np.int8],
    end_bar: Index,
    *,
    classes: tuple[int, ...],
    definition: dict[str, Any],
    side: PerBarDirection | None = None,
) -> Labels:
    """Read-only `Labels` of values and deciding bars, which are -1 where there is no label."""
    labelled = end_bar >= 0
    values = np.where(labelled, values, np.int8(UNLABELLED)).astype(np.int8)
    end_time_ns = np.where(labelled, bars.close_time[np.maximum(end_bar, 0)], -1)
    arrays = (values, end_bar, end_time_ns, labelled)
    for array in (*arrays, *(() if side is None else (side,))):
        array.flags.writeable = False
    return Labels(*arrays, classes=classes, definition=definition, side=side)


def labels_of_moves(
    bars: Bars,
    *,
    horizon_ns: int,
    classify: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.int8]],
    classes: tuple[int, ...],
    definition: dict[str, Any],
) -> Labels:
    """Label each bar by its return from close to the close one horizon later."""
    end_bar = horizon_end_bars(bars.close_time, horizon_ns)
    labelled = end_bar >= 0
    values = np.full(len(bars), UNLABELLED, dtype=np.int8)
    values[labelled] = classify(bars.close[end_bar[labelled]] / bars.close[labelled] - 1.0)
    return assembled(bars, values, end_bar, classes=classes, definition=definition)


def describe(
    name: str,
    bars: Bars,
    options: LabelOptions,
    *,
    horizon_bars: int | None,
    horizon_minutes: float | None = None,
    **more: float,
) -> dict[str, Any]:
    """The definition that travels with a model trained on these labels.

    `horizon_minutes` is what was asked where that is not whole bars.
    """
    effective = None if horizon_bars is None else horizon_bars * bars.interval_ns / MINUTE_NS
    return {
        **options.model_dump(mode="json"),
        "name": name,
        "kind": options.kind,
        "horizon_minutes": effective if horizon_minutes is None else horizon_minutes,
        "effective_horizon_minutes": effective,
        "horizon_bars": horizon_bars,
        "timeframe": bars.timeframe,
        **more,
    }


def label_options(definition: Mapping[str, Any]) -> LabelOptions:
    """The options that gave labels of this definition, such as a model card's.

    Raises
    ------
    ConfigError    if its kind is unknown or an option is missing or refused
    """
    kinds = {kind.kind: kind for kind in label_kinds()}
    name = str(definition.get("kind"))
    if name not in kinds:
        raise ConfigError(
            f"label.kind must be one of {', '.join(sorted(kinds))}, was {name}"
            f"{nearest(name, kinds)}"
        )
    kind = kinds[name]
    missing = [field for field in kind.model_fields if field not in definition]
    if missing:
        raise ConfigError(f"label must hold {', '.join(missing)} of {kind.__name__}, did not")
    return kind.from_mapping({f: definition[f] for f in kind.model_fields}, path="label")
