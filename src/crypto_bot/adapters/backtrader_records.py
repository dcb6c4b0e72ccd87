"""What a Backtrader run did, in this project's records: fills, round trips, equity, metrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from crypto_bot.adapters.backtrader_broker import BrokerFill
from crypto_bot.adapters.backtrader_package import bt
from crypto_bot.core.arrays import PerBar, PerTrade
from crypto_bot.core.bars import Bars
from crypto_bot.core.orders import TRADE, ExitReason
from crypto_bot.engine import FILL

_PROTECTIVE = (ExitReason.STOP, ExitReason.TRAILING, ExitReason.TARGET)


class FeedTrades(NamedTuple):
    """What was traded on one feed.

    bars : Bars
    trades : TRADE (trades,)     from flat to flat; one still open is last, reason OPEN
    fills : FILL (fills,)        every execution, a reversal as two
    """

    bars: Bars
    trades: PerTrade
    fills: npt.NDArray[Any]


class AccountRecorder(bt.Analyzer):  # type: ignore[misc]
    """Equity and position at every close of the first feed."""

    def start(self) -> None:
        """Nothing is known yet."""
        self.equity: list[float] = []
        self.position: list[float] = []

    def next(self) -> None:
        """Mark this close; a later call within the same bar of the first feed marks it again."""
        seen = len(self.strategy.data)
        if seen == 0:
            return
        held = [self.strategy.getposition(data).size for data in self.strategy.datas]
        if seen > len(self.equity):
            self.equity.append(0.0)
            self.position.append(0.0)
        self.equity[-1] = self.strategy.broker.getvalue()
        self.position[-1] = held[0] or next((size for size in held[1:] if size), 0.0)

    def get_analysis(self) -> dict[str, PerBar]:
        """Equity (bars,) in quote and position (bars,) in base of the first feed held."""
        return {"equity": np.array(self.equity), "position": np.array(self.position)}


def feed_trades(bars: Bars, fills: Sequence[BrokerFill]) -> FeedTrades:
    """Executions on one feed as fills and round trips.

    Notes
    -----
    A round trip goes from flat to flat: `quantity` is all that was entered, prices are averages
    weighted by quantity, the reason is that of the last exit. Stops and targets of the entry bar
    count as filled inside it.
    """
    rows = _in_parts(fills)
    parts = np.zeros(len(rows), FILL)
    for name, column in zip(rows[0]._fields if rows else (), zip(*rows, strict=True), strict=True):
        parts[name] = column
    trips = [_trip(bars, group) for group in _from_flat_to_flat(parts)]
    trades = np.array(trips, TRADE) if trips else np.zeros(0, TRADE)
    return FeedTrades(bars, trades, parts)


class _Part(NamedTuple):
    """One fill of `FILL`, by name: fields that other engines need are left 0."""

    bar: int
    is_at_open: bool
    quantity: float
    price: float
    fee: float
    reason: int


def _in_parts(fills: Sequence[BrokerFill]) -> list[_Part]:
    """A reversal is an exit and an entry."""
    parts: list[_Part] = []
    entry_bar = -1
    for fill in fills:
        if fill.closed:
            is_inside = fill.bar == entry_bar and fill.reason in _PROTECTIVE
            parts.append(
                _Part(
                    fill.bar,
                    fill.is_at_open and not is_inside,
                    fill.closed,
                    fill.price,
                    fill.closed_fee,
                    fill.reason,
                )
            )
        if fill.opened:
            entry_bar = fill.bar
            parts.append(
                _Part(
                    fill.bar,
                    fill.is_at_open,
                    fill.opened,
                    fill.price,
                    fill.opened_fee,
                    int(ExitReason.OPEN),
                )
            )
    return parts


def _from_flat_to_flat(parts: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    groups, begin, held = [], 0, 0.0
    for row, quantity in enumerate(parts["quantity"].tolist()):
        held += quantity
        # Partial exits leave dust of their rounding, never as much as a real quantity.
        if abs(held) <= 1e-12 * abs(quantity):
            groups.append(parts[begin : row + 1])
            begin, held = row + 1, 0.0
    return [*groups, parts[begin:]] if begin < len(parts) else groups


def _trip(bars: Bars, parts: npt.NDArray[Any]) -> Any:
    side = 1 if parts["quantity"][0] > 0 else -1
    is_entry = np.sign(parts["quantity"]) == side
    entries, exits = parts[is_entry], parts[~is_entry]
    quantity = float(np.abs(entries["quantity"]).sum())
    left = quantity - float(np.abs(exits["quantity"]).sum())
    is_open = left > 1e-12 * quantity
    last_close = float(bars.close[-1])
    entry_price = float((np.abs(entries["quantity"]) * entries["price"]).sum() / quantity)
    exit_quote = float((np.abs(exits["quantity"]) * exits["price"]).sum())
    exit_price = (exit_quote + (left * last_close if is_open else 0.0)) / quantity
    fees = float(parts["fee"].sum())
    pnl = (exit_price - entry_price) * quantity * side - fees
    last = parts[-1]
    at_open = bool(last["is_at_open"])
    closed_at = (bars.open_time if at_open else bars.close_time)[last["bar"]]
    trip = np.zeros((), TRADE)
    trip["entry_bar"] = entries["bar"][0]
    trip["exit_bar"] = -1 if is_open else last["bar"]
    trip["entry_time"] = bars.open_time[entries["bar"][0]]
    trip["exit_time"] = bars.close_time[-1] if is_open else closed_at
    trip["direction"] = side
    trip["quantity"] = quantity
    trip["entry_price"] = entry_price
    trip["exit_price"] = exit_price
    trip["fees_quote"] = fees
    trip["pnl_quote"] = pnl
    trip["return_frac"] = pnl / (quantity * entry_price)
    trip["exit_reason"] = ExitReason.OPEN if is_open else last["reason"]
    return trip
