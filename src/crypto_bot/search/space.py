"""What is searched: a strategy's declared ranges, so drawn that every sample is a valid setting."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, Protocol, TypeAlias, get_args, get_origin

from pydantic.fields import FieldInfo

from crypto_bot.core.errors import ConfigError, nearest
from crypto_bot.engine import ExitOptions
from crypto_bot.search.exits import ExitSpace
from crypto_bot.strategies import Strategy, get_strategy
from crypto_bot.strategies.base import Definition
from crypto_bot.strategies.catalog import definition

Span: TypeAlias = tuple[float, float] | range | Sequence[Any] | float | str | bool
"""How one axis is named: (low, high), a range, a list of values, or one value."""

_LOG_RATIO = 4.0
_DIGITS = 4


class Draw(Protocol):
    """Where values come from: a random generator, a sampler that learns, or a record."""

    def integer(self, name: str, low: int, high: int, is_log: bool) -> int:
        """A whole number in low..high."""
        ...

    def number(self, name: str, low: float, high: float, is_log: bool) -> float:
        """A number in low..high."""
        ...

    def choice(self, name: str, values: Sequence[Any]) -> Any:
        """One of the values, which have no order."""
        ...


@dataclass(frozen=True)
class Setting:
    """One point of a space: what a backtest needs besides candles, costs and sizing."""

    parameters: Mapping[str, Any]
    exits: ExitOptions

    @cached_property
    def key(self) -> str:
        """JSON of both: equal settings have equal keys."""
        exits = self.exits.model_dump(mode="json")
        return json.dumps([dict(self.parameters), exits], sort_keys=True)


@dataclass(frozen=True)
class Axis:
    """One parameter that is searched: a range, or the values given for it.

    Attributes
    ----------
    name : str
    low, high : int | float    bounds of a range, both possible
    values : tuple             instead of a range, in order where they have one; one value: fixed
    has_order : bool           False: a Literal or bool, whose values are no steps of anything
    is_log : bool              a range is spaced by ratio
    """

    name: str
    low: float = 0
    high: float = 0
    values: tuple[Any, ...] = ()
    has_order: bool = True
    is_log: bool = False
    is_integer: bool = False

    @property
    def is_fixed(self) -> bool:
        """Whether there is nothing to choose."""
        return len(self.values) == 1 or (not self.values and self.low == self.high)

    def within(self, low: float, high: float) -> Axis:
        """The same axis where it is low..high; a choice without order is left as it is."""
        if not self.has_order:
            return self
        if self.values:
            kept = tuple(value for value in self.values if low <= value <= high)
            return replace(self, values=kept, low=1, high=0 if not kept else 1)
        return replace(self, low=max(self.low, low), high=min(self.high, high))

    @property
    def least(self) -> Any:
        """The smallest value."""
        return min(self.values) if self.values else self.low

    @property
    def most(self) -> Any:
        """The largest value."""
        return max(self.values) if self.values else self.high

    @property
    def is_empty(self) -> bool:
        """Whether no value is left."""
        return not self.values and self.low > self.high

    def drawn(self, draw: Draw) -> Any:
        """A value."""
        if self.is_fixed:
            return self.values[0] if self.values else self.low
        if self.values:
            if not self.has_order:
                return draw.choice(self.name, self.values)
            return self.values[draw.integer(self.name, 0, len(self.values) - 1, False)]
        if self.is_integer:
            return draw.integer(self.name, int(self.low), int(self.high), self.is_log)
        return self._plain(draw.number(self.name, self.low, self.high, self.is_log))

    def at(self, share: float) -> Any:
        """The value at a share 0..1 of the way from the least to the most."""
        if self.values:
            return self.values[min(int(share * len(self.values)), len(self.values) - 1)]
        if self.is_log:
            value = self.low * (self.high / self.low) ** share
        else:
            value = self.low + (self.high - self.low) * share
        if self.is_integer:
            return min(max(round(value), int(self.low)), int(self.high))
        return self._plain(value)

    def levels(self, count: int) -> list[Any]:
        """`count` values from the least to the most, fewer where there are fewer; all given ones."""
        if self.values:
            return list(self.values)
        if self.is_fixed or count == 1:
            return [self.at(0.0 if self.is_fixed else 0.5)]
        return list(dict.fromkeys(self.at(step / (count - 1)) for step in range(count)))

    def _plain(self, value: float) -> float:
        """The value as a person would type it, four digits, where that stays inside."""
        short = float(f"{value:.{_DIGITS}g}")
        return short if self.low <= short <= self.high else min(max(value, self.low), self.high)


@dataclass(frozen=True)
class SearchSpace:
    """The settings of one strategy that a search may try.

    Attributes
    ----------
    strategy : str
    axes : tuple of Axis       every parameter, those that are not searched with one value
    below : pairs of names     the first must be smaller than the second
    exits : ExitSpace
    is_whole : bool            every parameter has its whole declared range
    """

    strategy: str
    axes: tuple[Axis, ...]
    below: tuple[tuple[str, str], ...]
    exits: ExitSpace
    is_whole: bool = False

    def describe(self) -> dict[str, Any]:
        """JSON-ready: everything that decides what is drawn."""
        axes = {a.name: list(a.values) or [a.low, a.high, a.is_log] for a in self.axes}
        return {"strategy": self.strategy, "axes": axes, "exits": self.exits.describe()}

    @property
    def searched(self) -> tuple[Axis, ...]:
        """The parameters with something to choose."""
        return tuple(axis for axis in self.axes if not axis.is_fixed)

    def draw(self, draw: Draw) -> Setting:
        """A valid setting: where one parameter must be below another, the larger is drawn above it.

        The larger one is drawn as the share 0..1 of the way through what the smaller leaves, so
        that each name keeps one range, which samplers that learn need.
        """
        values: dict[str, Any] = {}
        for axis in self._ordered:
            allowed = axis.within(-math.inf, self._ceiling(axis.name))
            smaller = [low for low in self._smaller(axis.name) if self._top(low) >= allowed.least]
            if not smaller or allowed.is_fixed:
                values[axis.name] = allowed.drawn(draw)
                continue
            floor = max(_above(values[low]) for low in smaller)
            share = draw.number(f"{axis.name} above {' and '.join(smaller)}", 0.0, 1.0, False)
            values[axis.name] = allowed.within(floor, math.inf).at(share)
        return self.setting(values, self.exits.draw(draw))

    def setting(self, values: Mapping[str, Any], exits: ExitOptions) -> Setting:
        """The setting with these parameters; raises ConfigError where a value is refused."""
        bound = get_strategy(self.strategy, **values)
        return Setting(bound.parameters.model_dump(mode="json"), exits)

    def is_valid(self, values: Mapping[str, Any]) -> bool:
        """Whether every pair of `below` is in order."""
        return all(values[low] < values[high] for low, high in self.below)

    @cached_property
    def _ordered(self) -> tuple[Axis, ...]:
        """The axes, those that must be smaller before those that must be larger."""
        by_name, done = {axis.name: axis for axis in self.axes}, dict[str, Axis]()

        def place(name: str) -> None:
            for low in self._smaller(name):
                if low not in done:
                    place(low)
            done.setdefault(name, by_name[name])

        for name in by_name:
            place(name)
        return tuple(done.values())

    def _smaller(self, name: str) -> list[str]:
        return [low for low, high in self.below if high == name]

    def _ceiling(self, name: str) -> float:
        """The largest value that leaves room for everything that must be larger."""
        bounds = [self._top(high) for low, high in self.below if low == name]
        axis = next(axis for axis in self.axes if axis.name == name)
        return min((_beneath(top, axis) for top in bounds), default=math.inf)

    def _top(self, name: str) -> Any:
        axis = next(axis for axis in self.axes if axis.name == name)
        return axis.within(-math.inf, self._ceiling(name)).most


def _above(value: Any) -> float:
    return value + 1 if isinstance(value, int) else math.nextafter(value, math.inf)


def _beneath(value: Any, axis: Axis) -> float:
    if axis.is_integer and float(value).is_integer():
        return float(value) - 1
    return math.nextafter(value, -math.inf)


def search_space(
    strategy: str | Strategy,
    space: Mapping[str, Span] | None = None,
    exits: ExitOptions | ExitSpace | None = None,
) -> SearchSpace:
    """The space of a strategy.

    Parameters
    ----------
    strategy : str or Strategy    a bound strategy gives the values of parameters not searched
    space : name -> span          what is searched: (low, high), a range, a list, or one value; all
                                  else keeps its default. None: every parameter in its declared range
    exits : ExitSpace             exits that are searched too; ExitOptions: these, not searched

    Raises
    ------
    ConfigError    for an unknown name, a value outside the declared range, or pairs that leave no
                   valid setting
    DataError      for a strategy that needs more than candles
    """
    name = strategy if isinstance(strategy, str) else strategy.name
    found = definition(name)
    bound = found.bind({}) if isinstance(strategy, str) else strategy
    if bound.needs:
        raise bound.refusal()
    defaults = bound.parameters.model_dump(mode="json")
    for wanted in space or {}:
        if wanted not in defaults:
            raise ConfigError(
                f"space.{wanted} must be a parameter of {name}{nearest(wanted, defaults)}"
            )
    axes = tuple(
        _axis(found, field, info, defaults[field], space)
        for field, info in found.parameters.model_fields.items()
    )
    made = SearchSpace(name, axes, found.parameters.below, _exit_space(exits), space is None)
    for axis in axes:
        if axis.within(-math.inf, made._ceiling(axis.name)).is_empty:
            larger = " and ".join(high for low, high in made.below if low == axis.name)
            raise ConfigError(
                f"space.{axis.name} must leave a value below {larger}, was {axis.least} at least"
            )
    return made


def _exit_space(exits: ExitOptions | ExitSpace | None) -> ExitSpace:
    if isinstance(exits, ExitSpace):
        return exits
    return ExitSpace(base=ExitOptions() if exits is None else exits)


def _axis(
    found: Definition, name: str, info: FieldInfo, default: Any, space: Mapping[str, Span] | None
) -> Axis:
    whole = _declared(name, info, default)
    if space is None and name not in found.parameters.data_choices:
        return whole
    if space is None or name not in space:
        return replace(whole, values=(default,))
    given = space[name]
    if isinstance(given, tuple) and len(given) == 2 and not whole.values:
        low, high = (_checked(found, whole, value) for value in given)
        if low > high:
            raise ConfigError(f"space.{name} must rise from low to high, was {low}..{high}")
        return replace(whole, low=low, high=high, is_log=whole.is_log and high >= _LOG_RATIO * low)
    if isinstance(given, range) and len(given):
        # Its ends first: a range may be too long to be walked through.
        _checked(found, whole, given[0])
        _checked(found, whole, given[-1])
    listed = given if isinstance(given, Sequence) and not isinstance(given, str) else [given]
    values = [_checked(found, whole, value) for value in listed]
    if not values:
        raise ConfigError(f"space.{name} must hold at least one value, was empty")
    distinct = dict.fromkeys(values)
    return replace(whole, values=tuple(sorted(distinct) if whole.has_order else distinct))


def _declared(name: str, info: FieldInfo, default: Any) -> Axis:
    """The whole declared range; a parameter without one stays what it is."""
    kind = info.annotation
    if get_origin(kind) is Literal:
        return Axis(name, values=get_args(kind), has_order=False)
    if kind is bool:
        return Axis(name, values=(False, True), has_order=False)
    lows = [rule.ge for rule in info.metadata if hasattr(rule, "ge")]
    highs = [rule.le for rule in info.metadata if hasattr(rule, "le")]
    if kind not in (int, float) or not lows or not highs:
        return Axis(name, values=(default,), has_order=False)
    low, high = kind(lows[0]), kind(highs[0])
    is_log = low > 0 and high >= _LOG_RATIO * low
    return Axis(name, low, high, is_log=is_log, is_integer=kind is int)


def _checked(found: Definition, whole: Axis, value: Any) -> Any:
    """The value as the parameter's type holds it; ConfigError where it lies outside."""
    if whole.values and len(whole.values) > 1 and value not in whole.values:
        raise ConfigError(
            f"space.{whole.name} must be among {', '.join(map(str, whole.values))}, was {value!r}"
        )
    if not whole.values:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not whole.low <= value <= whole.high:
            raise ConfigError(
                f"space.{whole.name} must lie in {whole.low}..{whole.high} for {found.name}, "
                f"was {value!r}"
            )
        if whole.is_integer and value != int(value):
            raise ConfigError(f"space.{whole.name} must be whole numbers, was {value!r}")
        return int(value) if whole.is_integer else float(value)
    return value
