"""DataFrames as the Bot v3.1 guide's `df_5m`: lower-case OHLCV, datetime index."""

from __future__ import annotations

from crypto_bot.market import SimulationOptions, simulate_market


def df_5m(bars=1500, *, symbol=None):
    (market,) = simulate_market(SimulationOptions(seed=3, symbols=1, bars=bars))
    frame = market.to_pandas()
    return frame if symbol is None else frame.assign(symbol=symbol)
