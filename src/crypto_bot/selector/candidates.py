"""Every entry that strategies made in accounts of their own, and what was known when they decided."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from crypto_bot.core.arrays import Index, PerBarDirection, PerBarFeature, PerRow, PerTrade
from crypto_bot.core.bars import Bars
from crypto_bot.core.errors import ConfigError, DataError
from crypto_bot.core.funding import FundingRates
from crypto_bot.core.orders import ExitReason
from crypto_bot.engine import CostOptions, ExitOptions, SizingOptions, settled_bars, simulate
from crypto_bot.features import REGIMES, compute_features
from crypto_bot.portfolio import Slot, portfolio_slots
from crypto_bot.selector.options import DIRECTED, SELECTOR_FEATURES
from crypto_bot.strategies import Strategy

_REGIME = "regime"
SIDE = "side"
Announce = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Candidates:
    """Entries in order of decision, then symbol, then strategy.

    Attributes
    ----------
    slots : tuple of Slot            every strategy on every symbol, with its own signals
    strategies : tuple of str        names, in the order given
    slot : int64 (entries,)          whose entry
    strategy : int64 (entries,)      place in `strategies`
    trades : TRADE (entries,)        as the strategy's own account made them, bars as in its slot
    decided_at_ns : int64 (entries,) close of the bar before the entry: features are known then
    known_at_ns : int64 (entries,)   close of the exit's bar; -1 while open
    features : float64 (entries, features)    NaN where undefined or unsettled
    feature_names : tuple of str     see `feature_columns`
    regime : int8 (entries,)         place in `REGIMES`, -1 unknown
    """

    slots: tuple[Slot, ...]
    strategies: tuple[str, ...]
    slot: Index
    strategy: Index
    trades: PerTrade
    decided_at_ns: Index
    known_at_ns: Index
    features: PerBarFeature
    feature_names: tuple[str, ...]
    regime: PerBarDirection

    def __len__(self) -> int:
        return len(self.trades)

    @property
    def timeframe(self) -> str:
        """Of all candles."""
        return self.slots[0].bars.timeframe

    @property
    def is_simulated(self) -> bool:
        """Whether any candle is."""
        return any(slot.bars.is_simulated for slot in self.slots)

    @property
    def fingerprint(self) -> str:
        """sha256 of the trades, the features and what they are called."""
        found = hashlib.sha256(repr((self.feature_names, self.strategies)).encode())
        for array in (self.trades, self.features, self.slot, self.decided_at_ns):
            found.update(np.ascontiguousarray(array).tobytes())
        return found.hexdigest()

    def table(self) -> pl.DataFrame:
        """A row per entry: whose, when, what was known, what came; empty where not known yet."""
        closed = self.known_at_ns >= 0
        symbols = np.array([slot.bars.symbol for slot in self.slots])
        names = np.array([*REGIMES, "unknown"])
        returns = self.trades["return_frac"]
        found = {
            "symbol": symbols[self.slot],
            "timeframe": np.full(len(self), self.timeframe),
            "strategy": np.array(self.strategies)[self.strategy],
            "regime": names[self.regime],
            "decided_at_ns": self.decided_at_ns,
            "known_at_ns": np.where(closed, self.known_at_ns, -1),
            "profitable": np.where(closed, returns > 0, -1).astype(np.int8),
            "return_after_costs": np.where(closed, returns, np.nan),
            "exit_reason": np.array([reason.name.lower() for reason in ExitReason])[
                self.trades["exit_reason"]
            ],
        }
        columns = {name: self.features[:, k] for k, name in enumerate(self.feature_names)}
        unknown = pl.col("known_at_ns", "profitable").replace(-1, None)
        return pl.DataFrame(found | columns).with_columns(unknown).fill_nan(None)


def collect_candidates(
    bars: Sequence[Bars],
    strategies: Sequence[Strategy],
    *,
    exits: ExitOptions | None = None,
    costs: CostOptions | None = None,
    sizing: SizingOptions | None = None,
    start_ns: int | None = None,
    funding: Mapping[str, FundingRates] | None = None,
    features: Sequence[str] = SELECTOR_FEATURES,
    announce: Announce = lambda _line: None,
) -> Candidates:
    """Trade every strategy on every symbol in an account of its own and keep each entry.

    Parameters
    ----------
    bars : Sequence[Bars]             of one timeframe, one a symbol
    strategies : Sequence[Strategy]   of rules, differently named
    exits, costs, sizing, start_ns, funding    as for `portfolio_slots`
    features : names of the catalogue that settle
    announce : told about progress

    Raises
    ------
    ConfigError    no strategy, a name given twice, an unknown feature or one that never settles
    DataError      no bars, several timeframes, or not one entry

    Notes
    -----
    Features, regime and side are those at the close of the bar before the entry. A trade is known
    when its exit bar closes. Entries are kept whether or not a shared account could have paid them.
    """
    _check(bars, strategies)
    costs, sizing = costs or CostOptions(), sizing or SizingOptions()
    slots = portfolio_slots(
        bars,
        strategies,
        exits=exits,
        costs=costs,
        sizing=sizing,
        start_ns=start_ns,
        funding=funding,
    )
    slots = [slot for slot in slots if len(slot.bars)]
    trades = []
    for number, slot in enumerate(slots):
        if number % len(bars) == 0:
            announce(f"{slot.name} trades {len(bars)} pairs in accounts of its own")
        result = simulate(
            slot.bars,
            slot.signals,
            costs=costs,
            exits=slot.exits,
            sizing=sizing,
            funding=slot.funding,
            history=slot.history,
        )
        trades.append(result.trades)
    if not sum(map(len, trades)):
        raise DataError(
            f"strategies must enter at least once to be chosen among, "
            f"{', '.join(each.name for each in strategies)} never did; give a longer history"
        )
    return _joined(bars, [each.name for each in strategies], slots, trades, tuple(features))


def feature_columns(features: Sequence[str], strategies: Sequence[str]) -> tuple[str, ...]:
    """Columns of a selector: features (times the side where directed), side, regimes, strategies."""
    named = [f"side*{name}" if name in DIRECTED else name for name in features]
    regimes = [f"regime.{name}" for name in REGIMES]
    return (*named, SIDE, *regimes, *(f"strategy.{name}" for name in strategies))


def _check(bars: Sequence[Bars], strategies: Sequence[Strategy]) -> None:
    names = [each.name for each in strategies]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated or not names:
        raise ConfigError(
            f"strategies must be named once each, repeated {repeated or 'none given'}"
        )
    timeframes = sorted({each.timeframe for each in bars})
    symbols = [each.symbol for each in bars]
    if len(timeframes) != 1 or len(set(symbols)) < len(symbols):
        raise DataError(
            f"bars must be one Bars a symbol of one timeframe, had {timeframes} of {symbols}"
        )


def _joined(
    bars: Sequence[Bars],
    strategies: list[str],
    slots: Sequence[Slot],
    trades: Sequence[PerTrade],
    features: tuple[str, ...],
) -> Candidates:
    lengths = [len(each) for each in trades]
    slot = np.repeat(np.arange(len(slots)), lengths)
    together = np.concatenate(trades)
    owner = np.array([strategies.index(each.name) for each in slots], np.int64)[slot]
    decided, known = _times(slots, trades)
    order = np.lexsort((slot, _symbol_places(slots)[slot], decided))
    rows = _known_values(bars, slots, trades, features)[order]
    side = together["direction"][order].astype(np.float64)
    regime = np.where(np.isnan(rows[:, -1]), -1, rows[:, -1]).astype(np.int8)
    return Candidates(
        slots=tuple(slots),
        strategies=tuple(strategies),
        slot=slot[order],
        strategy=owner[order],
        trades=together[order],
        decided_at_ns=decided[order],
        known_at_ns=known[order],
        features=_matrix(rows[:, :-1], features, side, regime, owner[order], len(strategies)),
        feature_names=feature_columns(features, strategies),
        regime=regime,
    )


def _symbol_places(slots: Sequence[Slot]) -> Index:
    symbols = sorted({slot.bars.symbol for slot in slots})
    return np.array([symbols.index(slot.bars.symbol) for slot in slots], np.int64)


def _times(slots: Sequence[Slot], trades: Sequence[PerTrade]) -> tuple[Index, Index]:
    """When each entry was decided and when its result was known."""
    decided, known = [], []
    for slot, each in zip(slots, trades, strict=True):
        closes = slot.bars.close_time
        decided.append(closes[each["entry_bar"] - 1])
        known.append(np.where(each["exit_bar"] >= 0, closes[each["exit_bar"]], -1))
    return np.concatenate(decided), np.concatenate(known)


def _known_values(
    bars: Sequence[Bars],
    slots: Sequence[Slot],
    trades: Sequence[PerTrade],
    features: tuple[str, ...],
) -> npt.NDArray[np.float64]:
    """float64 (entries, features + 1): features and the regime's code at each decision."""
    names = (*features, _REGIME)
    settled = settled_bars(names, bars[0].timeframe)
    tables = {each.symbol: compute_features(each, names).values for each in bars}
    found = []
    for slot, each in zip(slots, trades, strict=True):
        row = each["entry_bar"] - 1 + (0 if slot.history is None else len(slot.history))
        values = tables[slot.bars.symbol][row]
        found.append(np.where((row >= settled)[:, None], values, np.nan))
    return np.concatenate(found)


def _matrix(
    values: PerBarFeature,
    features: tuple[str, ...],
    side: PerRow,
    regime: PerBarDirection,
    strategy: Index,
    strategies: int,
) -> PerBarFeature:
    directed = [
        (values[:, k] - DIRECTED[name]) * side if name in DIRECTED else values[:, k]
        for k, name in enumerate(features)
    ]
    in_regime = regime[:, None] == np.arange(len(REGIMES))
    of_strategy = strategy[:, None] == np.arange(strategies)
    return np.ascontiguousarray(np.column_stack((*directed, side, in_regime, of_strategy)))
