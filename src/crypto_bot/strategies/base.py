"""What a strategy is, and the decorator that enrols one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from inspect import getdoc
from typing import Any, ClassVar, Literal, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from crypto_bot.core import OHLCV, Bars, Options, Signals
from crypto_bot.core.arrays import PerBar
from crypto_bot.core.errors import ConfigError, DataError
from crypto_bot.strategies.needs import Need, check_extra, needed_columns, refusal

Columns: TypeAlias = Mapping[str, PerBar]
"""Feature or price name -> float64 (bars,)"""

SignalExitName: TypeAlias = Literal["flat", "opposite"]
"""What direction 0 means to a position: leave it ('flat') or hold until the other side ('opposite')."""

REGIMES = ("trending", "sideways", "mean-reverting", "breakout", "volatile")


class StrategyParameters(Options):
    """Base of a strategy's parameters: fields with default, range and help.

    `below` names pairs of fields of which the first must be smaller than the second. `data_choices`
    names fields that decide which data are needed; `parameter_grid` leaves them at their defaults.
    """

    below: ClassVar[tuple[tuple[str, str], ...]] = ()
    data_choices: ClassVar[tuple[str, ...]] = ()

    def model_post_init(self, context: Any) -> None:
        """Check the pairs in `below`; raises ConfigError naming the first field."""
        del context
        for low, high in self.below:
            smaller, larger = getattr(self, low), getattr(self, high)
            if smaller >= larger:
                raise ConfigError(f"{low} must be below {high} ({larger}), was {smaller}")

    def features(self) -> tuple[str, ...]:
        """Names of the features that are read, as `crypto_bot.features` knows them."""
        raise NotImplementedError(f"{type(self).__name__} must declare features()")

    def lookback_bars(self) -> int:
        """Bars of columns behind one signal, its own bar included."""
        return 1

    def compared(self) -> tuple[str, str] | None:
        """Two features if the rule is just that the side is long while the first is greater, short
        while the second is, none where they are equal or missing: a sweep then compares them
        itself. None: the rule is another.
        """
        return None

    def needs(self) -> tuple[Need, ...]:
        """Data beyond candles that must be given, from `crypto_bot.strategies.needs`."""
        return ()


Function: TypeAlias = Callable[[Columns, Any], Signals]
Decorated = TypeVar("Decorated", bound=Function)


@dataclass(frozen=True)
class Definition:
    """A strategy before its parameters are chosen."""

    name: str
    parameters: type[StrategyParameters]
    regime: tuple[str, ...]
    signal_exit: SignalExitName
    prices: tuple[str, ...]
    predictions: tuple[str, ...]
    function: Function

    def bind(self, values: Mapping[str, Any]) -> Strategy:
        """The strategy with these parameters; raises ConfigError as `<name>.<parameter> must ...`."""
        try:
            parameters = self.parameters(**values)
        except ConfigError as error:
            raise ConfigError(f"{self.name}.{error}") from None
        return Strategy(
            name=self.name,
            regime=self.regime,
            parameters=parameters,
            signal_exit=self.signal_exit,
            prices=self.prices,
            predictions=self.predictions,
            function=self.function,
        )


@dataclass(frozen=True)
class Strategy:
    """A strategy bound to its parameters.

    Attributes
    ----------
    name : str
    regime : tuple of str       the markets it is meant for, from `REGIMES`
    parameters : StrategyParameters
    signal_exit : str           'flat' or 'opposite': what direction 0 means while in a position
    prices : tuple of str       raw columns it reads
    predictions : tuple of str  columns a model must provide; empty for rule strategies
    """

    name: str
    regime: tuple[str, ...]
    parameters: StrategyParameters
    signal_exit: SignalExitName
    prices: tuple[str, ...]
    predictions: tuple[str, ...]
    function: Function = field(repr=False, compare=False)

    @property
    def summary(self) -> str:
        """One line on what it does."""
        return (getdoc(self.function) or "").splitlines()[0]

    @property
    def needs(self) -> tuple[Need, ...]:
        """Data beyond candles that must be given; empty for a strategy that candles suffice for."""
        predicted = (Need("a model's predictions", self.predictions),) if self.predictions else ()
        return (*predicted, *self.parameters.needs())

    def features(self) -> tuple[str, ...]:
        """Names of the features it reads; raw prices and volume are always at hand beside them."""
        return self.parameters.features()

    def compared(self) -> tuple[str, str] | None:
        """The two features whose order is the side; None where the rule is another."""
        return self.parameters.compared()

    def lookback_bars(self) -> int:
        """Bars of columns behind one signal, its own bar included; features' own history apart."""
        return self.parameters.lookback_bars()

    def history_bars(self, timeframe: str | None = None) -> int:
        """Bars after which a signal no longer depends on where the candles began.

        `timeframe` is the candles'; features of longer bars (`name@timeframe`) need it. Raises
        ConfigError if a feature never forgets its start.
        """
        from crypto_bot.features import feature

        longest = 0
        for name in self.features():
            settled = feature(name, timeframe).settled_bars
            if settled is None:
                raise ConfigError(f"{self.name} must read features that settle, {name} never does")
            longest = max(longest, settled)
        return longest + self.lookback_bars()

    def signals(self, columns: Columns) -> Signals:
        """Wanted side and strength at the close of every bar.

        Parameters
        ----------
        columns : mapping of str to float64 (bars,)   features, raw columns and those of `needs`;
                                                      more are ignored

        Returns
        -------
        Signals    direction int8 (bars,); score float64 (bars,) in 0..1, 0 where direction is 0

        Raises
        ------
        DataError    if a column is missing, not float64 or of another length

        Notes
        -----
        Reads columns up to and including bar t, at most `lookback_bars()` of them. A NaN in any
        feature or needed column at t gives direction 0 at t.
        """
        return self.function(self._read(columns), self.parameters)

    def signals_on(self, bars: Bars, extra: Columns | None = None) -> Signals:
        """`signals` on these candles, computing the features first.

        Parameters
        ----------
        bars : Bars
        extra : mapping of str to float64 (bars,)    the columns of `needs`, known at each close;
                                                     `known_at_close` lays other data beside bars

        Raises
        ------
        DataError      if a needed column is missing ('... needs an order book: columns ...'), of
                       another shape or without a finite number
        ConfigError    if `extra` holds a column that is not needed
        """
        extra = extra or {}
        if not set(needed_columns(self.needs)) <= set(extra):
            raise self.refusal()
        check_extra(self.name, self.needs, extra, bars)
        from crypto_bot.features import compute_features

        columns: dict[str, PerBar] = {name: getattr(bars, name) for name in OHLCV}
        names = self.features()
        if names:
            table = compute_features(bars, names)
            columns.update((name, table.column(name)) for name in names)
        return self.signals({**columns, **extra})

    def refusal(self) -> DataError:
        """The error for running it without the data it needs; it names them and their columns."""
        return refusal(self.name, self.needs)

    def _read(self, columns: Columns) -> dict[str, PerBar]:
        needed = needed_columns(self.needs)
        if any(columns.get(name) is None for name in needed):
            raise self.refusal()
        names = (*self.features(), *self.prices, *needed)
        read: dict[str, PerBar] = {}
        length = -1
        for name in names:
            values = columns.get(name)
            if values is None:
                raise DataError(
                    f"columns must have {name} for {self.name}, was missing; "
                    "compute strategy.features() first"
                )
            length = len(values) if length < 0 else length
            if values.dtype != np.float64 or values.shape != (length,):
                raise DataError(
                    f"columns[{name!r}] must be float64 ({length},) for {self.name}, "
                    f"was {values.dtype} {values.shape}"
                )
            read[name] = _read_only(values)
        return read


def _read_only(values: PerBar) -> PerBar:
    """A contiguous view that cannot be written to: kernels then compile for one type of column."""
    view = np.ascontiguousarray(values).view()
    view.flags.writeable = False
    return view


_DEFINITIONS: dict[str, Definition] = {}


def strategy(
    name: str,
    *,
    parameters: type[StrategyParameters],
    regime: tuple[str, ...],
    signal_exit: SignalExitName,
    prices: tuple[str, ...] = (),
    predictions: tuple[str, ...] = (),
) -> Callable[[Decorated], Decorated]:
    """Enrol the decorated function as the strategy `name`.

    Parameters
    ----------
    name : str                      as users write it
    parameters : type               its `StrategyParameters`
    regime : tuple of str           markets it is meant for, from `REGIMES`
    signal_exit : 'flat' | 'opposite'
    prices : tuple of str           raw columns it reads, from open high low close volume
    predictions : tuple of str      columns that only a model can provide

    Raises
    ------
    ConfigError    for a name that is taken, an unknown regime or raw column
    """
    for kind, given, known in (("regime", regime, REGIMES), ("prices", prices, OHLCV)):
        for value in given:
            if value not in known:
                raise ConfigError(f"{name}.{kind} must be among {', '.join(known)}, was {value!r}")

    def enrol(function: Decorated) -> Decorated:
        taken = _DEFINITIONS.get(name)
        if taken is not None and taken.function.__module__ != function.__module__:
            raise ConfigError(
                f"strategy name must be new, was {name!r}, taken by {taken.function.__module__}"
            )
        _DEFINITIONS[name] = Definition(
            name, parameters, regime, signal_exit, prices, predictions, function
        )
        return function

    return enrol


def enrolled() -> Mapping[str, Definition]:
    """The strategies whose modules were imported so far."""
    return _DEFINITIONS


def whole_score(direction: npt.NDArray[np.int8]) -> Signals:
    """Signals of a rule that holds or does not: score 1 wherever there is a direction."""
    return Signals(direction, np.not_equal(direction, 0).astype(np.float64))
