"""Simulated candles, and small datasets that can and cannot be learned from."""

from __future__ import annotations

from functools import cache

import numpy as np

from crypto_bot.core import Bars
from crypto_bot.dataset import build_dataset
from crypto_bot.features import S0_FEATURES
from crypto_bot.labels import NextUpOptions, ThreeClassOptions
from crypto_bot.market import SimulationOptions, simulate_market

MINUTES_NS = 60_000_000_000


@cache
def market(symbols=2, bars=1500, **options):
    return tuple(simulate_market(SimulationOptions(seed=5, symbols=symbols, bars=bars, **options)))


@cache
def dataset(classes=2):
    labels = NextUpOptions() if classes == 2 else ThreeClassOptions()
    return build_dataset(market(), feature_names=S0_FEATURES[4:12], labels=labels)


def plain_bars(close, volume=None, *, symbol="BTC/USDT", start=0, keep=None):
    """5-minute bars around the closes given; `keep` leaves some of them out, as an outage does."""
    close = np.asarray(close, dtype=np.float64)
    times = (start + np.arange(len(close))) * 5 * MINUTES_NS
    rows = np.arange(len(close)) if keep is None else np.asarray(keep)
    volume = np.ones(len(close)) if volume is None else np.asarray(volume, dtype=np.float64)
    return Bars(
        symbol, "5m", times[rows], close[rows], close[rows], close[rows], close[rows], volume[rows]
    )


def walk(count, seed=0):
    return 100.0 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.002, count)))
