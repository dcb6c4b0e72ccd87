"""Random markets, signals and options for tests of the engine."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from crypto_bot.core import Bars, Signals
from crypto_bot.core.timeframes import DAY_NS, timeframe_ns
from crypto_bot.engine import (
    CostOptions,
    ExitOptions,
    Reentry,
    SignalExit,
    SizingMethod,
    SizingOptions,
)


def random_bars(seed, count, *, timeframe="1h", move=0.02, decimals=2, outages=0.05):
    """Candles with gaps between close and open, ties from rounding, and missing bars."""
    rng = np.random.default_rng(seed)
    step = timeframe_ns(timeframe)
    slots = np.cumsum(np.where(rng.random(count) < outages, rng.integers(2, 40, count), 1))
    close = np.round(100 * np.exp(np.cumsum(rng.normal(0, move, count))), decimals)
    close = np.maximum(close, 0.01)
    gap = np.where(rng.random(count) < 0.4, rng.normal(0, move / 2, count), 0.0)
    before = np.concatenate(([100.0], close[:-1]))
    open_ = np.maximum(np.round(before * np.exp(gap), decimals), 0.01)
    high = np.round(np.maximum(open_, close) * (1 + rng.exponential(move / 3, count)), decimals)
    low = np.round(np.minimum(open_, close) / (1 + rng.exponential(move / 3, count)), decimals)
    high = np.maximum(high, np.maximum(open_, close))
    low = np.maximum(np.minimum(low, np.minimum(open_, close)), 0.01)
    times = (19_000 * DAY_NS // step + slots) * step
    if step > DAY_NS:
        times = times // DAY_NS * DAY_NS
    return Bars("BTC/USDT", timeframe, times, open_, high, low, close, np.ones(count))


def random_direction(seed, count, *, mean_run=4.0):
    """Runs of -1, 0, +1 of random length."""
    rng = np.random.default_rng(seed)
    direction = np.zeros(count, np.int8)
    start = 0
    while start < count:
        run = int(rng.geometric(1 / mean_run))
        direction[start : start + run] = rng.integers(-1, 2)
        start += run
    return direction


def signals(direction):
    """Signals of these directions, score 1 where there is one."""
    direction = np.asarray(direction, np.int8)
    return Signals(direction, np.abs(direction).astype(np.float64))


@st.composite
def markets(draw, most=120):
    """Bars and directions."""
    count = draw(st.integers(1, most))
    seed = draw(st.integers(0, 2**32 - 1))
    bars = random_bars(
        seed,
        count,
        timeframe=draw(st.sampled_from(["5m", "1h", "4h", "1d", "1w"])),
        move=draw(st.sampled_from([0.001, 0.02, 0.15])),
        decimals=draw(st.sampled_from([0, 2, 6])),
    )
    mean_run = draw(st.sampled_from([1.2, 4.0, 30.0]))
    return bars, random_direction(seed + 1, count, mean_run=mean_run)


def _maybe(values):
    return st.none() | values


@st.composite
def option_sets(draw):
    """Costs, exits and sizing that fit together."""
    fee = st.sampled_from([0.0, 0.001, 0.02])
    costs = CostOptions(
        taker_fee_frac=draw(fee),
        maker_fee_frac=draw(fee),
        slippage_frac=draw(st.sampled_from([0.0, 0.001, 0.03])),
        quantity_step=draw(st.sampled_from([0.0, 0.5, 7.0])),
        minimum_quantity=draw(st.sampled_from([0.0, 0.0, 6.0])),
        minimum_notional_quote=draw(st.sampled_from([0.0, 0.0, 900.0])),
    )
    distance = st.sampled_from([0.002, 0.02, 0.1, 0.4])
    exits = ExitOptions(
        stop_loss_frac=draw(_maybe(distance)),
        take_profit_frac=draw(_maybe(distance)),
        trailing_stop_frac=draw(_maybe(distance)),
        max_holding_bars=draw(_maybe(st.integers(1, 9))),
        cooldown_bars=draw(st.sampled_from([0, 0, 1, 5])),
        signal_exit=draw(st.none() | st.sampled_from(SignalExit)),
        reentry=draw(st.sampled_from(Reentry)),
    )
    methods = [m for m in SizingMethod if m is not SizingMethod.RISK_TO_STOP]
    sizing = SizingOptions(
        method=draw(st.sampled_from(list(SizingMethod) if exits.stop_loss_frac else methods)),
        fraction=draw(st.sampled_from([0.3, 1.0])),
        quote=draw(st.sampled_from([500.0, 5_000.0])),
        risk_frac=draw(st.sampled_from([0.01, 0.2])),
        allow_short=draw(st.booleans()),
        initial_cash=1_000.0,
    )
    return costs, exits, sizing
