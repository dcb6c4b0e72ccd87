"""Data beyond candles that a strategy may need, and how to lay them beside the bars."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from crypto_bot.core import Bars
from crypto_bot.core.arrays import PerBar, PerBarTime
from crypto_bot.core.errors import ConfigError, DataError, nearest

EXTRA_COLUMNS = {
    "ask_size": "quantity offered at the best ask, base currency",
    "best_ask": "lowest price asked, quote currency",
    "best_bid": "highest price bid, quote currency",
    "bid_size": "quantity wanted at the best bid, base currency",
    "book_age_seconds": "age of the order book at the bar's close, seconds",
    "chain_fee_quote": "fee of a transaction on the chain, its priority fee included, quote currency",
    "gas_gwei": "price of gas on the chain, gwei",
    "implied_close": "price that two other pairs imply, quote currency",
    "listing_age_bars": "bars since the symbol was listed, 0 at its first bar",
    "other_close": "price of the second asset",
    "other_venue_close": "price of the same asset on the other venue or chain",
    "p_down": "a model's probability of a fall, 0..1",
    "p_up": "a model's probability of a rise, 0..1",
    "pool_buys": "purchases from the token's pool during the bar",
    "pool_liquidity_quote": "money in the token's pool, quote currency",
    "pool_sells": "sales to the token's pool during the bar",
    "top_holders_frac": "share of the supply that the ten largest holders have, 0..1",
    "tradingview_direction": "side that the last TradingView alert wants, -1, 0 or 1",
}
"""Columns that candles cannot give -> what stands in them; each is known at the bar's close."""


@dataclass(frozen=True)
class Need:
    """Data beyond candles, and the columns that stand for them.

    Attributes
    ----------
    data : str                such as 'an order book'
    columns : tuple of str    names from `EXTRA_COLUMNS`
    """

    data: str
    columns: tuple[str, ...]


ORDER_BOOK = Need("an order book", ("best_bid", "best_ask", "bid_size", "ask_size"))
BOOK_SIZES = Need("an order book", ("bid_size", "ask_size"))
BOOK_AGE = Need("its age", ("book_age_seconds",))
SECOND_ASSET = Need("the prices of a second asset", ("other_close",))
OTHER_VENUE = Need("the prices of a second venue or chain", ("other_venue_close",))
GAS = Need("the price of gas", ("gas_gwei",))
LISTING = Need("the time of the listing", ("listing_age_bars",))
CHAIN_FEE = Need("the chain's fee", ("chain_fee_quote",))
HOLDERS = Need("who holds the token", ("top_holders_frac",))
IMPLIED_PRICE = Need("the prices of two other pairs", ("implied_close",))
POOL = Need("the token's pool", ("pool_liquidity_quote", "pool_buys", "pool_sells"))
TRADINGVIEW = Need("TradingView alerts", ("tradingview_direction",))


def needed_columns(needs: Iterable[Need]) -> tuple[str, ...]:
    """All columns of these needs, in order."""
    return tuple(name for need in needs for name in need.columns)


def refusal(name: str, needs: Iterable[Need]) -> DataError:
    """What to tell whoever runs the strategy `name` without its data."""
    needs = tuple(needs)
    data = " and ".join(need.data for need in needs)
    return DataError(
        f"{name} needs {data}: columns {', '.join(needed_columns(needs))} per bar; "
        "give them to signals(columns) or to signals_on(bars, extra=...)"
    )


def check_extra(name: str, needs: Iterable[Need], extra: Mapping[str, PerBar], bars: Bars) -> None:
    """Check columns given beside candles.

    Raises
    ------
    ConfigError    for a column that the strategy `name` does not read
    DataError      for one that is not float64 (bars,) or holds no finite number at all
    """
    known = needed_columns(needs)
    for column, values in extra.items():
        if column not in known:
            raise ConfigError(
                f"extra must hold only what {name} needs ({', '.join(known) or 'nothing'}), "
                f"was {column!r}{nearest(column, known)}"
            )
        if values.dtype != np.float64 or values.shape != (len(bars),):
            raise DataError(
                f"extra[{column!r}] must be float64 ({len(bars)},) for {name}, one value a bar, "
                f"was {values.dtype} {values.shape}"
            )
        if len(bars) and not np.isfinite(values).any():
            raise DataError(f"extra[{column!r}] must hold a finite number for {name}, had none")


def known_at_close(
    bars: Bars, time_ns: PerBarTime, values: PerBar, *, oldest_ns: int | None = None
) -> PerBar:
    """The last value known at the close of every bar: for data with times of their own.

    Parameters
    ----------
    bars : Bars
    time_ns : int64 (rows,)      moment each value became known, UTC ns, increasing; of another
                                 symbol's bars it is `close_time`
    values : float64 (rows,)
    oldest_ns : int              a value older than this at a bar's close is not used; None: any age

    Returns
    -------
    float64 (bars,)    NaN before the first value, and where the last is too old

    Raises
    ------
    DataError    if times and values differ in length, or times do not increase
    """
    if time_ns.shape != values.shape or time_ns.ndim != 1:
        raise DataError(f"values must be one a time {time_ns.shape}, were {values.shape}")
    if len(time_ns) > 1 and np.diff(time_ns).min() <= 0:
        row = int(np.flatnonzero(np.diff(time_ns) <= 0)[0]) + 1
        raise DataError(f"time_ns must increase, was {time_ns[row]} at row {row}; sort it first")
    last = np.searchsorted(time_ns, bars.close_time, side="right") - 1
    is_known = last >= 0
    if oldest_ns is not None and len(time_ns):
        is_known &= bars.close_time - time_ns[last] <= oldest_ns
    found = np.full(len(bars), np.nan)
    found[is_known] = values[last[is_known]]
    return found
