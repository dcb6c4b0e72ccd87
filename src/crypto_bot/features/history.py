"""History: many bars to a table of features, by one plan in which nothing is computed twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from crypto_bot.core.arrays import PerBar, PerBarFeature
from crypto_bot.core.bars import OHLCV, Bars
from crypto_bot.core.errors import ConfigError, nearest
from crypto_bot.core.funding import FundingRates
from crypto_bot.core.timeframes import SECOND_NS
from crypto_bot.features.catalogue import S0_FEATURES, Feature
from crypto_bot.features.nodes import Outside
from crypto_bot.features.payments import funding_columns
from crypto_bot.features.plans import Plan, plan_features, settled_bars_of

STRETCH = 2048
"""Bars a plan runs over at a time: the board of a stretch stays in the processor's cache."""


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """Features of every bar.

    Attributes
    ----------
    features : tuple of Feature               what each column is
    values : float64 (bars, features)         Fortran order; NaN during warm-up and where 0 / 0
    """

    features: tuple[Feature, ...]
    values: PerBarFeature

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names, in order."""
        return tuple(each.name for each in self.features)

    @property
    def warmup_bars(self) -> int:
        """Leading bars at which some feature is not defined yet."""
        return max(each.warmup_bars for each in self.features)

    @property
    def settled_bars(self) -> int | None:
        """Leading bars at which some feature still depends on the start; None if one always will."""
        return settled_bars_of(self.features)

    def __len__(self) -> int:
        return len(self.values)

    def column(self, name: str) -> PerBar:
        """float64 (bars,): one feature, a view. Raises ConfigError if the table lacks it."""
        return self.values[:, self._index(name)]

    def matrix(self, names: Sequence[str]) -> PerBarFeature:
        """float64 (bars, features): the named features in this order, a copy."""
        return self.values[:, [self._index(name) for name in names]]

    def _index(self, name: str) -> int:
        if name not in self.names:
            raise ConfigError(
                f"column must be one of the table's {len(self.names)} features, was {name!r}{nearest(name, self.names)}"
            )
        return self.names.index(name)


def compute_features(
    bars: Bars,
    names: Sequence[str] = S0_FEATURES,
    *,
    funding: FundingRates | None = None,
    out: PerBarFeature | None = None,
) -> FeatureTable:
    """Compute features of every bar.

    Parameters
    ----------
    bars : Bars
    names : feature names, any windows, longer timeframes and lags (see `feature`); each distinct
        part is computed once
    funding : the pair's payments, needed for features of funding only
    out : float64 (features, bars), written, whose transpose is then `values`; None: fresh memory

    Returns
    -------
    FeatureTable    values float64 (bars, features), equal bit for bit to what `FeatureStream` gives

    Raises
    ------
    ConfigError    if a name is unknown, given twice, or none is given, or its timeframe is no
                   multiple of the bars', or it needs other pairs (`compute_panel`), or `out` has
                   another shape; before anything is computed
    DataError      if a feature of funding is asked for without the pair's payments

    Notes
    -----
    Reads no bar after the one it describes. NaN during warm-up and where a quotient is 0 / 0 (flat
    prices, no volume); never infinite. A missing bar is not filled: windows count bars, not time.
    `name@timeframe` is the value of the last longer bar closed by the bar's own close.

    >>> import numpy as np
    >>> from crypto_bot.core import Bars
    >>> price = np.array([1.0, 2.0, 3.0, 4.0])
    >>> bars = Bars("BTC/USDT", "5m", np.arange(4) * 300_000_000_000, price, price, price, price, price)
    >>> compute_features(bars, ["sma_2", "return_1"]).values.tolist()
    [[nan, nan], [1.5, 1.0], [2.5, 0.5], [3.5, 0.33333333333333326]]
    """
    plan = plan_features(names, bars.timeframe)
    refuse_market(plan, "compute_panel")
    shape = (len(plan.features), len(bars))
    values = np.empty(shape) if out is None else out
    if values.shape != shape:
        raise ConfigError(f"out must have the shape (features, bars) {shape}, was {values.shape}")
    outside = funding_columns(plan.outside_columns, bars.close_time, bars.symbol, funding)
    run_plan(plan, plan.start.copy(), bars, values, outside)
    return FeatureTable(plan.features, values.T)


def refuse_market(plan: Plan, way_out: str) -> None:
    """Raise ConfigError where one pair alone is to give a feature of the market."""
    asked = [each.name for each in plan.features if each.needs_market]
    if asked:
        raise ConfigError(
            f"names must need one pair only, {', '.join(asked)} need all pairs at once; use {way_out}"
        )


def run_plan(
    plan: Plan,
    memory: PerBar,
    bars: Bars,
    values: PerBarFeature | None,
    outside: Mapping[Outside, PerBar],
) -> None:
    """Carry `memory` over all bars; `values` (features, bars), if given, receives every feature.

    `outside` holds the columns that the plan reads beside the bars.
    """
    columns = [getattr(bars, name) for name in OHLCV]
    board = plan.board(min(STRETCH, len(bars)))
    shown = plan.shown.tolist()
    for begin in range(0, len(bars), STRETCH):
        count = min(STRETCH, len(bars) - begin)
        stretch = slice(begin, begin + count)
        for row, column in enumerate(columns):
            board[row, :count] = column[stretch]
        if plan.reads_time:
            board[len(OHLCV), :count] = bars.open_time[stretch] // SECOND_NS
        for column, row in plan.outside:
            board[row, :count] = outside[column][stretch]
        plan.advance(memory, board, count)
        if values is not None:
            for k, row in enumerate(shown):
                values[k, stretch] = board[row, :count]
