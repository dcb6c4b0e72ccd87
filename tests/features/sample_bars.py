"""Bars for the feature tests: ordinary random walks, and everything a feature may stumble over."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from crypto_bot.core import Bars
from crypto_bot.features import feature, known_names
from crypto_bot.features.catalogue import FAMILIES

MINUTE_NS = 60_000_000_000


def random_bars(
    length: int, *, seed: int = 0, volatility: float = 0.002, price: float = 100.0
) -> Bars:
    """A random walk: no two prices alike, volume in every bar."""
    rng = np.random.default_rng(seed)
    close = price * np.exp(np.cumsum(rng.normal(0.0, volatility, length)))
    opened = np.concatenate([[price], close[:-1]])[:length]
    high = np.maximum(opened, close) * (1 + rng.random(length) * volatility)
    low = np.minimum(opened, close) * (1 - rng.random(length) * volatility)
    times = np.arange(length) * MINUTE_NS
    return Bars("BTC/USDT", "1m", times, opened, high, low, close, 1 + 99 * rng.random(length))


def rough_bars(length: int, seed: int) -> Bars:
    """Stretches of random walk, flat prices, no volume, jumps and outages, in random order."""
    rng = np.random.default_rng(seed)
    steps = rng.normal(0.0, 10.0 ** rng.uniform(-5, -1), length)
    volume = 10.0 ** rng.uniform(-8, 8) * rng.random(length)
    gaps = np.ones(length, np.int64)
    is_flat = np.zeros(length, bool)
    at = 0
    while at < length:
        stretch = slice(at, at + int(rng.integers(1, 60)))
        match int(rng.integers(0, 5)):
            case 0:
                steps[stretch], is_flat[stretch] = 0.0, True
            case 1:
                volume[stretch] = 0.0
            case 2:
                steps[at] = rng.choice([-1.0, 1.0])
            case 3:
                gaps[at] = int(rng.integers(2, 5000))
        at = stretch.stop
    close = 10.0 ** rng.uniform(-6, 5) * np.exp(np.cumsum(steps))
    opened = np.where(is_flat, close, np.concatenate([close[:1], close[:-1]]))
    reach = np.where(is_flat, 0.0, np.abs(steps) * rng.random(length))
    high, low = np.maximum(opened, close) * (1 + reach), np.minimum(opened, close) / (1 + reach)
    return Bars("BTC/USDT", "1m", np.cumsum(gaps) * MINUTE_NS, opened, high, low, close, volume)


def flat_bars(length: int, *, price: float = 0.1, volume: float = 0.0) -> Bars:
    prices = np.full(length, price)
    return Bars(
        "BTC/USDT",
        "1m",
        np.arange(length) * MINUTE_NS,
        prices,
        prices,
        prices,
        prices,
        np.full(length, volume),
    )


def any_bars(*, longest: int = 200) -> st.SearchStrategy[Bars]:
    """One bar to `longest`, of every kind above."""
    lengths, seeds = st.integers(1, longest), st.integers(0, 2**32 - 1)
    return st.one_of(
        st.builds(rough_bars, lengths, seeds),
        st.builds(flat_bars, lengths, volume=st.sampled_from([0.0, 1.0])),
        st.builds(lambda length, seed: random_bars(length, seed=seed), lengths, seeds),
    )


LONGER = (
    *("open@5m", "high@3m", "low@2m", "close@5m", "volume@15m", "close@1m"),
    *("sma_10@5m", "ema_10@2m", "rsi_14@5m", "atr_14@3m", "stoch_d@15m", "macd_hist@3m"),
    *("bb_percent_5@15m", "adx_14@2m", "donchian_high_20@15m", "volume_ratio@5m", "vwap_5@1h"),
    *("obv_frac_20@5m", "return_std_5@15m", "sma_3@5m", "linreg_slope_5@3m", "gma_5@15m"),
    *("engulfing@5m", "hour@1h", "regime@2m", "cmf_5@3m"),
)
"""Features of longer bars than the minutes of this module; each kind of step is among them."""

LAGGED = (
    *("close~1", "rsi_14~3", "sma_10~20", "macd_hist~2", "obv_frac_20~5", "hour~1", "regime~2"),
    *("stoch_d~1@5m", "sma_3@5m~2", "close~2@3m", "atr_14@3m~7", "close~1@2m~1", "volume@15m~20"),
)
"""Values of some bars ago: of the bars, of longer bars, and of both."""


def names_of_one_pair() -> tuple[str, ...]:
    """Each known feature that needs one pair's bars and nothing else."""
    found = map(feature, known_names())
    return tuple(each.name for each in found if not (each.needs_market or each.needs_funding))


def every_name() -> tuple[str, ...]:
    """Each of them, each family with narrow windows besides its usual ones, `LONGER`, `LAGGED`."""
    narrow = (
        family.template.format(*(family.narrowest + step * k for k in range(len(family.windows))))
        for family in FAMILIES
        for step in (1, 4)
    )
    return tuple(dict.fromkeys((*names_of_one_pair(), *narrow, *LONGER, *LAGGED)))
