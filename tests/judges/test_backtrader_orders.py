"""backtrader's broker fills orders of every kind as `simulate_on_bar` does, fill by fill."""

from __future__ import annotations

import numpy as np
import pytest

from crypto_bot.market import read_candles
from judges.backtrader_orders import SCRIPTS, our_account, their_account
from judges.settings import FEES, MARKETS, REAL, SLIPPED
from judges.verdict import TOLERANCE
from reference.engine_cases import random_bars
from shared_data import shared_data

BARS = 3_000
CANDLES = ("MATIC", "LTC", "BTC", "XRP", "BTC", "SOL", "DOGE")
SLIPS = (
    *("stops either side, one cancels the other", "parts"),
    *("trailing stop", "stop replaced at each close"),
)
"""Scripts without targets: backtrader slips those that the open has passed."""


def market(kind, place):
    """Candles without outages: backtrader's orders end at a time, ours after a number of bars."""
    if kind == REAL:
        bars, _ = read_candles(shared_data(f"binance/{CANDLES[place]}_USDT-5m.parquet"))
        return bars[20_000 : 20_000 + BARS]
    return random_bars(place, BARS, move=0.002, decimals=4, outages=0.0)


@pytest.mark.parametrize("kind", MARKETS)
@pytest.mark.parametrize("name", SCRIPTS)
def test_backtrader_fills_orders_as_we_do(name, kind):
    ours, theirs = SCRIPTS[name]
    bars = market(kind, list(SCRIPTS).index(name))
    assert np.all(np.diff(bars.open_time) == bars.interval_ns)
    sides = np.random.default_rng(5).choice([-1, 0, 0, 1], len(bars))
    size = 5_000 / bars.close[0]
    costs = SLIPPED if name in SLIPS else FEES
    mine = our_account(bars, ours(sides, size, bars.interval_ns), costs)
    other = their_account(bars, theirs, costs, sides=sides, size=size)
    assert len(mine.fills) >= 30
    for number, (one, two) in enumerate(zip(mine.fills, other.fills, strict=False)):
        assert one.bar == two.bar, f"fill {number}: {one} against {two}"
        near = np.allclose(one, two, rtol=TOLERANCE, atol=0)
        assert near, f"fill {number}: {one} against {two}"
    assert len(mine.fills) == len(other.fills)
    np.testing.assert_allclose(mine.equity, other.equity, rtol=TOLERANCE)
