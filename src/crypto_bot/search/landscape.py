"""How the ground lies round the winner: its neighbours, and a map of two parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from crypto_bot.core.errors import ConfigError, nearest
from crypto_bot.search.exits import EXIT_NAMES
from crypto_bot.search.space import Axis, SearchSpace, Setting
from crypto_bot.search.study import OnTrial, SearchResult, values_of

_STEP = 0.1
_STEP_OF_RANGE = 0.05


@dataclass(frozen=True)
class Plateau:
    """How good the neighbours of a setting are, relative to it.

    Attributes
    ----------
    mean_frac : float | None     mean of the neighbours' values / the setting's value
    worst_frac : float | None    lowest of the neighbours' values / the setting's value
    neighbours : int
    moved : dict                 parameter or exit -> lowest value among its neighbours

    Notes
    -----
    A neighbour differs in one number: one step down or up, a step being 10 % of the value (whole
    numbers: at least 1; zero: 5 % of the range), or the next value of a list, inside the searched
    range. A neighbour without enough trades counts as 0. 1 is flat ground, 0 or less a lonely
    peak. None where the value is not above 0 or nothing can be moved.
    """

    mean_frac: float | None
    worst_frac: float | None
    neighbours: int
    moved: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class ParameterMap:
    """Values over two parameters, all else as in one setting.

    Attributes
    ----------
    x, y : str                        names; y is '' where only one number is searched
    across, down : list               their values, rising
    values : float64 (down, across)   NaN where the setting is not valid or had too few trades
    setting : Setting                 the one it is drawn round, exits included
    place : (row, column)             where that setting lies
    """

    x: str
    y: str
    across: list[Any]
    down: list[Any]
    values: npt.NDArray[np.float64]
    setting: Setting
    place: tuple[int, int]


def dimensions(space: SearchSpace, setting: Setting) -> dict[str, Axis]:
    """The numbers that were searched, exits that the setting uses included."""
    found = {axis.name: axis for axis in space.searched if axis.has_order}
    for name, (low, high) in space.exits.ranges().items():
        field_name = EXIT_NAMES[name]
        if getattr(setting.exits, field_name) is not None and low < high:
            is_whole = name == "holding"
            found[field_name] = Axis(field_name, low, high, is_log=True, is_integer=is_whole)
    return found


def moved(space: SearchSpace, setting: Setting, changes: dict[str, Any]) -> Setting | None:
    """The setting with some numbers changed; None where the parameters are out of order."""
    values = {name: changes.get(name, value) for name, value in setting.parameters.items()}
    if not space.is_valid(values):
        return None
    exits = {name: value for name, value in changes.items() if name not in setting.parameters}
    return space.setting(values, setting.exits.replace(**exits) if exits else setting.exits)


def neighbours(space: SearchSpace, setting: Setting) -> list[tuple[str, Setting]]:
    """The settings one step away, each with the name of what was moved."""
    found = []
    for name, axis in dimensions(space, setting).items():
        for value in _steps(axis, _value(setting, name)):
            near = moved(space, setting, {name: value})
            if near is not None:
                found.append((name, near))
    return found


def plateau(result: SearchResult, setting: Setting, on_trial: OnTrial | None = None) -> Plateau:
    """Try the neighbours of a setting of `result` and compare; see `Plateau`."""
    near = neighbours(result.plan.space, setting)
    tried = [setting, *(item for _, item in near)]
    own, *others = values_of(result.plan, tried, on_trial)["value"].fill_null(0.0).to_list()
    lowest: dict[str, float] = {}
    for (name, _), value in zip(near, others, strict=True):
        lowest[name] = min(value, lowest.get(name, value))
    if not others or own <= 0.0:
        return Plateau(None, None, len(near), lowest)
    return Plateau(float(np.mean(others)) / own, min(others) / own, len(near), lowest)


def parameter_map(
    result: SearchResult,
    *,
    setting: Setting | None = None,
    axes: Sequence[str] | None = None,
    levels: int = 12,
    ground: Plateau | None = None,
    on_trial: OnTrial | None = None,
) -> ParameterMap | None:
    """Values over two parameters round a setting: its own exits and other parameters, no means.

    Parameters
    ----------
    setting : Setting        None: the best one
    axes : two names         None: the two whose neighbours fall furthest, by `ground`, else the
                             first two that were searched
    levels : int             values a side, spread over the searched range, besides the setting's own
    ground : Plateau         of this setting

    Returns
    -------
    ParameterMap    None where no number was searched

    Raises
    ------
    ConfigError    for an axis that was not searched, or levels below 2
    """
    if levels < 2:
        raise ConfigError(f"levels must be at least 2, was {levels}")
    chosen = result.best_setting() if setting is None else setting
    known = dimensions(result.plan.space, chosen)
    names = _chosen_axes(known, axes, ground)
    if not names:
        return None
    across, *rest = [_levels(known[name], _value(chosen, name), levels) for name in names]
    down = rest[0] if rest else [None]
    cells = [
        (row, column, near)
        for row, y in enumerate(down)
        for column, x in enumerate(across)
        if (near := moved(result.plan.space, chosen, _changes(names, x, y))) is not None
    ]
    found = values_of(result.plan, [near for _, _, near in cells], on_trial)["value"]
    values = np.full((len(down), len(across)), np.nan)
    for (row, column, _), value in zip(cells, found, strict=True):
        values[row, column] = np.nan if value is None else value
    row = down.index(_value(chosen, names[1])) if len(names) > 1 else 0
    place = (row, across.index(_value(chosen, names[0])))
    return ParameterMap(names[0], (*names, "")[1], across, down, values, chosen, place)


def _changes(names: Sequence[str], x: Any, y: Any) -> dict[str, Any]:
    return dict(zip(names, (x, y), strict=False))


def _chosen_axes(
    known: dict[str, Axis], axes: Sequence[str] | None, ground: Plateau | None
) -> list[str]:
    if axes is not None:
        for name in axes:
            if name not in known:
                raise ConfigError(
                    f"axes must be numbers searched, was {name!r}{nearest(name, known)}"
                )
        if len(set(axes)) != len(axes) or len(axes) not in (1, 2):
            raise ConfigError(f"axes must be one or two different names, was {', '.join(axes)}")
        return list(axes)
    falls = {} if ground is None else ground.moved
    return sorted(known, key=lambda name: falls.get(name, np.inf))[:2]


def _levels(axis: Axis, own: Any, count: int) -> list[Any]:
    spread = axis.levels(count)
    if axis.values and len(spread) > count:
        spread = [spread[(i * (len(spread) - 1)) // (count - 1)] for i in range(count)]
    return sorted({*spread, own})


def _value(setting: Setting, name: str) -> Any:
    return setting.parameters.get(name, getattr(setting.exits, name, None))


def _steps(axis: Axis, value: Any) -> list[Any]:
    if axis.values:
        place = axis.values.index(value)
        return [axis.values[i] for i in (place - 1, place + 1) if 0 <= i < len(axis.values)]
    step = abs(value) * _STEP or (axis.high - axis.low) * _STEP_OF_RANGE
    if axis.is_integer:
        step = max(1, round(step))
    whole = replace(axis, values=())
    steps = (min(max(value + way * step, whole.low), whole.high) for way in (-1, 1))
    plain = (int(v) if axis.is_integer else float(f"{v:.6g}") for v in steps)
    return [v for v in plain if v != value and axis.low <= v <= axis.high]
