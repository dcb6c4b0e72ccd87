"""Closed trades as labelled rows: what splits, purging and trainers work on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crypto_bot.core.arrays import Index, Mask, PerRow
from crypto_bot.core.errors import DataError
from crypto_bot.dataset import Dataset
from crypto_bot.selector.candidates import Candidates

OPEN, UNDEFINED = "open", "undefined"
"""Why an entry teaches nothing: its trade has not ended; a feature has no value."""


@dataclass(frozen=True, eq=False)
class TradeRows:
    """Closed trades to learn from.

    Attributes
    ----------
    dataset : Dataset            label 1 where the trade earned something after costs; it ends when
                                 the exit's bar has closed
    returns : float64 (rows,)    after costs, over what was spent
    strategy : int64 (rows,)     place in `strategies`
    strategies : tuple of str
    """

    dataset: Dataset
    returns: PerRow
    strategy: Index
    strategies: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.dataset)

    def take(self, rows: Index | Mask) -> TradeRows:
        """The rows of an ascending index or a mask."""
        return TradeRows(
            self.dataset.take(rows), self.returns[rows], self.strategy[rows], self.strategies
        )


def trade_rows(candidates: Candidates) -> TradeRows:
    """The candidates whose trades have ended, in the same order; the others are counted.

    Raises DataError where none is left.
    """
    is_closed = candidates.known_at_ns >= 0
    is_defined = np.isfinite(candidates.features).all(axis=1)
    kept = np.flatnonzero(is_closed & is_defined)
    if not kept.size:
        raise DataError(
            f"trades must end and have every feature to learn from, {len(candidates)} did not; "
            "give a longer history"
        )
    trades = candidates.trades[kept]
    symbols = tuple(sorted({slot.bars.symbol for slot in candidates.slots}))
    place = np.array([symbols.index(slot.bars.symbol) for slot in candidates.slots], np.int64)
    before = np.array([len(slot.history or ()) for slot in candidates.slots], np.int64)
    owner = candidates.slot[kept]
    dataset = Dataset(
        features=np.ascontiguousarray(candidates.features[kept]),
        feature_names=candidates.feature_names,
        labels=(trades["return_frac"] > 0.0).astype(np.int8),
        weights=np.ones(len(kept)),
        classes=(0, 1),
        decided_at_ns=candidates.decided_at_ns[kept],
        label_end_ns=candidates.known_at_ns[kept],
        bar_index=trades["entry_bar"] - 1 + before[owner],
        symbol_index=place[owner],
        symbols=symbols,
        timeframe=candidates.timeframe,
        label_definition={"name": "profitable_trade", "strategies": list(candidates.strategies)},
        fingerprint=candidates.fingerprint,
        dropped={
            OPEN: int(np.count_nonzero(~is_closed)),
            UNDEFINED: int(np.count_nonzero(is_closed & ~is_defined)),
        },
        is_simulated=candidates.is_simulated,
    )
    return TradeRows(
        dataset, trades["return_frac"].copy(), candidates.strategy[kept], candidates.strategies
    )
