"""Parameter sets to try: a deterministic spread inside the declared ranges."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from crypto_bot.core.errors import ConfigError
from crypto_bot.strategies.base import Definition, StrategyParameters
from crypto_bot.strategies.catalog import definition

_LATTICE_LIMIT = 40_000
_MOST_LEVELS = 200
_NEAR = 3.0
"""Sets are first sought between a third and three times the defaults, then in the whole ranges."""


def parameter_grid(name: str, size: int) -> list[dict[str, Any]]:
    """`size` different valid parameter sets of a strategy, its defaults first.

    Parameters
    ----------
    name : str    of a strategy
    size : int    number of sets, >= 1

    Returns
    -------
    list of dict    parameter -> value, complete, ready for `get_strategy(name, **values)`

    Raises
    ------
    ConfigError    for an unknown strategy, or a size below 1 or beyond the sets that exist

    Notes
    -----
    Each parameter takes a few levels between its bounds (spaced by ratio where the bounds are
    positive), so that sets share features and the sweep computes few distinct ones. Two parameters
    give a lattice that a heat map can show; more give a low-discrepancy sample of the lattice.
    Parameters that decide which data are needed stay at their defaults.

    >>> parameter_grid("sma_cross", 2)[0]
    {'fast': 10, 'slow': 30}
    """
    found = definition(name)
    if size < 1:
        raise ConfigError(f"size must be at least 1, was {size}")
    defaults = found.parameters().model_dump()
    most = 1
    for near in (_NEAR, math.inf):
        count = max(3, math.ceil(size ** (1.0 / len(defaults))))
        while count <= _MOST_LEVELS:
            others = [sets for sets in _valid_sets(found, near, count, size) if sets != defaults]
            if len(others) >= size - 1:
                return [defaults, *_spread(others, size - 1)]
            most = max(most, len(others) + 1)
            count += max(1, count // 4)
    raise ConfigError(f"size must be at most {most} for {name}, was {size}")


def _field_levels(field: FieldInfo, near: float, count: int) -> list[Any]:
    kind, default = field.annotation, field.default
    if get_origin(kind) is Literal:
        return list(get_args(kind))
    if kind is bool:
        return [default, not default]
    least, most = _bounds(field)
    steps = [step / (count - 1) for step in range(count)]
    if least > 0:
        low, high = max(least, default / near), min(most, default * near)
        values = [low * (high / low) ** step for step in steps]
    else:
        reach = (most - least) * near / 10.0
        low, high = max(least, default - reach), min(most, default + reach)
        values = [low + (high - low) * step for step in steps]
    rounded = map(round, values) if kind is int else (float(f"{value:.4g}") for value in values)
    inside: set[Any] = {type(default)(min(max(value, least), most)) for value in rounded}
    return sorted(inside | {default})


def _bounds(field: FieldInfo) -> tuple[float, float]:
    lows = [rule.ge for rule in field.metadata if hasattr(rule, "ge")]
    highs = [rule.le for rule in field.metadata if hasattr(rule, "le")]
    if not lows or not highs:
        raise ConfigError(f"parameter must declare ge and le, was {field!r}")
    return float(lows[0]), float(highs[0])


def _valid_sets(found: Definition, near: float, count: int, size: int) -> list[dict[str, Any]]:
    """Valid combinations of `count` levels each: all of a small lattice, a sample of a large one."""
    fields = found.parameters.model_fields
    kept = found.parameters.data_choices
    levels = [
        [field.default] if name in kept else _field_levels(field, near, count)
        for name, field in fields.items()
    ]
    total = math.prod(len(values) for values in levels)
    combinations = product(*levels) if total <= _LATTICE_LIMIT else _sample(levels, 8 * size + 64)
    distinct = dict.fromkeys(combinations)
    sets = (dict(zip(fields, values, strict=True)) for values in distinct)
    return [values for values in sets if _is_valid(found.parameters, values)]


def _sample(levels: list[list[Any]], count: int) -> Iterator[tuple[Any, ...]]:
    """Combinations by an additive recurrence, whose steps are powers of one irrational number."""
    root = 2.0
    for _ in range(64):
        root = (1.0 + root) ** (1.0 / (len(levels) + 1))
    steps = [root ** -(axis + 1) for axis in range(len(levels))]
    for index in range(1, count + 1):
        places = ((0.5 + index * step) % 1.0 for step in steps)
        yield tuple(
            values[int(place * len(values))] for values, place in zip(levels, places, strict=True)
        )


def _is_valid(parameters: type[StrategyParameters], values: dict[str, Any]) -> bool:
    return all(values[low] < values[high] for low, high in parameters.below)


def _spread(sets: list[dict[str, Any]], size: int) -> list[dict[str, Any]]:
    """`size` of the sets, at even distances."""
    return [sets[(index * len(sets)) // size] for index in range(size)]
