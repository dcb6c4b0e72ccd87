"""Candles, directions and trades of ledgers that are worked out by hand.

Unless a test says otherwise: 1h candles (open, high, low, close), cash 1,000, no costs.
"""

from __future__ import annotations

import numpy as np
import pytest

from crypto_bot.core import Bars, ExitReason, Signals
from crypto_bot.core.timeframes import DAY_NS, HOUR_NS
from crypto_bot.engine import CostOptions, ExitOptions, SizingOptions, simulate

START = 20_000 * DAY_NS
FREE = CostOptions(taker_fee_frac=0, maker_fee_frac=0, slippage_frac=0)
COSTLY = CostOptions(taker_fee_frac=0.002, maker_fee_frac=0.001, slippage_frac=0.01)
FLAT_CANDLE = (100, 100, 100, 100)


def candles_at(candles, *, hours=None, volume=None, timeframe="1h"):
    """Bars of these candles; hours count from START, one after the other unless given."""
    rows = np.array(candles, np.float64).T
    hours = np.arange(len(candles)) if hours is None else np.array(hours)
    volume = np.ones(len(candles)) if volume is None else np.array(volume, np.float64)
    times = START + (hours * HOUR_NS).astype(np.int64)
    return Bars("BTC/USDT", timeframe, times, *rows, volume)


def run(
    candles,
    direction,
    *,
    hours=None,
    volume=None,
    costs=FREE,
    exits=None,
    funding=None,
    finer=None,
    **sizing,
):
    """The backtest of these directions."""
    wanted = np.array(direction, np.int8)
    return simulate(
        candles_at(candles, hours=hours, volume=volume),
        Signals(wanted, np.abs(wanted).astype(np.float64)),
        costs=costs,
        exits=exits or ExitOptions(),
        sizing=SizingOptions(**{"initial_cash": 1_000.0, **sizing}),
        funding=funding,
        finer=finer,
    )


def ledger(result):
    """Per trade: entry bar and price, exit bar and price, signed quantity, pnl, reason."""
    return [
        (
            int(t["entry_bar"]),
            pytest.approx(float(t["entry_price"])),
            int(t["exit_bar"]),
            pytest.approx(float(t["exit_price"])),
            pytest.approx(float(t["quantity"]) * int(t["direction"])),
            pytest.approx(float(t["pnl_quote"])),
            ExitReason(int(t["exit_reason"])),
        )
        for t in result.trades
    ]
