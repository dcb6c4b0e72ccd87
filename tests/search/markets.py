"""Small invented markets and strategies of every declared kind of parameter."""

from __future__ import annotations

from functools import cache

from crypto_bot.market import SimulationOptions, simulate_market


@cache
def market(symbols=1, bars=24 * 60, seed=42):
    """Hourly candles, the same objects every time."""
    return tuple(
        simulate_market(SimulationOptions(symbols=symbols, timeframe="1h", bars=bars, seed=seed))
    )
