"""Candle files for command tests: a small invented market written as a real one would be."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from crypto_bot.core import Bars
from crypto_bot.market import SimulationOptions, simulate_market


@cache
def market(bars: int = 2000, edge: float = 0.0) -> Bars:
    options = SimulationOptions(
        seed=7, symbols=1, timeframe="15m", bars=bars, outages_per_year=0, edge_strength=edge
    )
    return simulate_market(options)[0]


def write_candles(path: Path, bars: int = 2000, *, edge: float = 0.0, **columns: object) -> Path:
    """A CSV with header, such as BTC_USDT-15m.csv; `columns` replace columns by a value."""
    frame = market(bars, edge).to_pandas().assign(**columns)
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_csv(path)
    return path
