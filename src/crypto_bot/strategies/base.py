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

Columns: TypeAlias = Mapping[str, PerBar]
"""Feature or price name -> float64 (bars,)"""

SignalExitName: TypeAlias = Literal["flat", "opposite"]
"""What direction 0 means to a position: leave it ('flat') or hold until the other side ('opposite')."""

REGIMES = ("trending", "sideways", "mean-reverting", "breakout", "volatile")


class StrategyParameters(Options):
    """Base of a strategy's parameters: fields with default, range and help.

    `below` names pairs of fields of which the first must be smaller than the second.
    """

    below: ClassVar[tuple[tuple[str, str], ...]] = ()

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

    def features(self) -> tuple[str, ...]:
        """Names of the features it reads; raw prices and volume are always at hand beside them."""
        return self.parameters.features()

    def lookback_bars(self) -> int:
        """Bars of columns behind one signal, its own bar included; features' own history apart."""
        return self.parameters.lookback_bars()

    def history_bars(self) -> int:
        """Bars after which a signal no longer depends on where the candles began.

        Raises ConfigError if a feature never forgets its start.
        """
        from crypto_bot.features import feature

        longest = 0
        for name in self.features():
            settled = feature(name).settled_bars
            if settled is None:
                raise ConfigError(f"{self.name} must read features that settle, {name} never does")
            longest = max(longest, settled)
        return longest + self.lookback_bars()

    def signals(self, columns: Columns) -> Signals:
        """Wanted side and strength at the close of every bar.

        Parameters
        ----------
        columns : mapping of str to float64 (bars,)   features and raw columns; more are ignored

        Returns
        -------
        Signals    direction int8 (bars,); score float64 (bars,) in 0..1, 0 where direction is 0

        Raises
        ------
        DataError    if a column is missing, not float64 or of another length

        Notes
        -----
        Reads columns up to and including bar t, at most `lookback_bars()` of them. A NaN in any
        feature it reads at t gives direction 0 at t.
        """
        return self.function(self._read(columns), self.parameters)

    def signals_on(self, bars: Bars) -> Signals:
        """`signals` on these candles, computing the features first.

        Raises ConfigError for a strategy that reads a model's predictions: candles lack them.
        """
        if self.predictions:
            raise ConfigError(
                f"{self.name} must be given columns {', '.join(self.predictions)}, candles have "
                "none; call signals() with a predictor's probabilities"
            )
        from crypto_bot.features import compute_features

        columns: dict[str, PerBar] = {name: getattr(bars, name) for name in OHLCV}
        names = self.features()
        if names:
            table = compute_features(bars, names)
            columns.update((name, table.column(name)) for name in names)
        return self.signals(columns)

    def _read(self, columns: Columns) -> dict[str, PerBar]:
        names = (*self.features(), *self.prices, *self.predictions)
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
