"""From feature values to intent, one bar at a time; each maker also has its vectorised twin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, Self

import numpy as np

from crypto_bot.core.arrays import PerBar, PerBarFeature, PerRow
from crypto_bot.core.bars import OHLCV, Bar, Bars
from crypto_bot.core.errors import ConfigError, DataError
from crypto_bot.core.models import Predictor, require_schema, side_columns
from crypto_bot.core.orders import Signals
from crypto_bot.engine.options import SignalExit
from crypto_bot.strategies import Strategy, get_strategy


class DecisionMaker(Protocol):
    """Turns the features of a closed bar into a wanted side.

    Law: `decide` bar by bar gives the direction and score of `signals` on the whole, bit for bit.
    """

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Features it reads, in the order it wants their values."""
        ...

    @property
    def signal_exit(self) -> SignalExit:
        """What direction 0 means to a position."""
        ...

    @property
    def trained_until_ns(self) -> int | None:
        """Last candle a model learned from; None where nothing was learned."""
        ...

    def started(self, feature_names: tuple[str, ...]) -> Self:
        """One of its own memory for one symbol, fed with features in this order.

        Raises ModelError or DataError when they are not what it reads.
        """
        ...

    def observe(self, values: PerBarFeature, bars: Bars) -> None:
        """Remember bars of history, (bars, features) values beside them, without deciding."""
        ...

    def decide(self, values: PerRow, bar: Bar) -> tuple[int, float]:
        """Wanted side -1, 0, +1 and strength 0..1 at the close of `bar`; (0, 0.0) on NaN values."""
        ...

    def signals(self, columns: Mapping[str, PerBar]) -> Signals:
        """The same for a whole history: features and raw prices by name, float64 (bars,)."""
        ...


class ModelDecisions:
    """Act where a model's probability is high enough: the `model` strategy on a live bar.

    Parameters
    ----------
    predictor : Predictor
    threshold : float             a side needs a probability above this
    allow_short : bool            False: a high probability of falling gives no side
    trained_until_ns : int        last candle the model learned from, for the model-age limit
    thresholds : the card's       an abstain band in it (`band_up` ...) is honoured

    Notes
    -----
    'Up' is class 1. 'Down' is class -1, or class 0 of a model that knows only 0 and 1.
    """

    def __init__(
        self,
        predictor: Predictor,
        *,
        threshold: float = 0.6,
        allow_short: bool = True,
        trained_until_ns: int | None = None,
        thresholds: Mapping[str, float] | None = None,
    ) -> None:
        self._predictor = predictor
        self._thresholds = dict(thresholds or {})
        self._strategy = get_strategy("model", threshold=threshold, allow_short=allow_short)
        self._trained_until_ns = trained_until_ns

    @property
    def feature_names(self) -> tuple[str, ...]:
        return self._predictor.feature_names

    @property
    def signal_exit(self) -> SignalExit:
        return SignalExit(self._strategy.signal_exit)

    @property
    def trained_until_ns(self) -> int | None:
        return self._trained_until_ns

    def started(self, feature_names: tuple[str, ...]) -> Self:
        require_schema(feature_names, self._predictor)
        return self

    def observe(self, values: PerBarFeature, bars: Bars) -> None:
        """A model looks at one bar only: nothing to remember."""

    def decide(self, values: PerRow, bar: Bar) -> tuple[int, float]:
        del bar
        return _last(self._signals_of(values.reshape(1, -1)))

    def decide_rows(self, values: PerBarFeature) -> list[tuple[int, float]]:
        """`decide` for bars of several symbols at once, (rows, features); rows never mix."""
        direction, score = self._signals_of(values)
        return list(zip(direction.tolist(), score.tolist(), strict=True))

    def signals(self, columns: Mapping[str, PerBar]) -> Signals:
        return self._signals_of(np.column_stack([columns[name] for name in self.feature_names]))

    def _signals_of(self, matrix: PerBarFeature) -> Signals:
        probabilities = self._predictor.predict_proba(matrix)
        return self._strategy.signals(
            side_columns(self._predictor.classes, probabilities, self._thresholds)
        )


class StrategyDecisions:
    """A rule strategy on live bars: its signals on the last `lookback_bars` rows of its columns.

    Parameters
    ----------
    strategy : Strategy    one that reads candles; for a model's probabilities use ModelDecisions

    Raises ConfigError for a strategy on predictions, DataError for one that needs other data.
    """

    def __init__(self, strategy: Strategy) -> None:
        if strategy.predictions:
            raise ConfigError(
                f"strategy must read candles only, was {strategy.name}, which needs "
                f"{', '.join(strategy.predictions)}; use ModelDecisions with a predictor"
            )
        if strategy.needs:
            raise strategy.refusal()
        self._strategy = strategy
        self._names = (*strategy.features(), *OHLCV)
        self._rows = max(1, strategy.lookback_bars())
        self._memory = np.empty((len(self._names), 2 * self._rows + 62))
        self._end = 0

    @property
    def strategy(self) -> Strategy:
        return self._strategy

    @property
    def feature_names(self) -> tuple[str, ...]:
        return self._strategy.features()

    @property
    def signal_exit(self) -> SignalExit:
        return SignalExit(self._strategy.signal_exit)

    @property
    def trained_until_ns(self) -> int | None:
        return None

    def started(self, feature_names: tuple[str, ...]) -> Self:
        if feature_names != self.feature_names:
            raise DataError(
                f"features must be {self._strategy.name}'s {list(self.feature_names)} in order, "
                f"were {list(feature_names)}"
            )
        return type(self)(self._strategy)

    def observe(self, values: PerBarFeature, bars: Bars) -> None:
        for row, bar in zip(values[-self._rows :], bars[-self._rows :], strict=True):
            self._remember(row, bar)

    def decide(self, values: PerRow, bar: Bar) -> tuple[int, float]:
        self._remember(values, bar)
        start = max(0, self._end - self._rows)
        window = self._memory[:, start : self._end]
        return _last(self._strategy.signals(dict(zip(self._names, window, strict=True))))

    def signals(self, columns: Mapping[str, PerBar]) -> Signals:
        return self._strategy.signals(columns)

    def _remember(self, values: PerRow, bar: Bar) -> None:
        memory = self._memory
        if self._end == memory.shape[1]:
            kept = self._rows - 1
            memory[:, :kept] = memory[:, self._end - kept :].copy()
            self._end = kept
        memory[:-5, self._end] = values
        memory[-5:, self._end] = bar[1:]
        self._end += 1


def _last(signals: Signals) -> tuple[int, float]:
    return int(signals.direction[-1]), float(signals.score[-1])
