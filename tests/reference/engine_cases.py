"""Random markets, signals and options for tests of the engine."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from crypto_bot.core import Bars, FundingRates, Signals
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
    volume = np.round(rng.exponential(300.0, count), 1)
    return Bars("BTC/USDT", timeframe, times, open_, high, low, close, volume)


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


FINER = {"5m": "1m", "1h": "15m", "4h": "1h", "1d": "6h", "1w": "1d"}


def finer_bars(bars, seed=0):
    """Finer candles that lie inside these, some of them missing."""
    rng = np.random.default_rng(seed)
    timeframe = FINER[bars.timeframe]
    parts = bars.interval_ns // timeframe_ns(timeframe)
    rows = []
    for bar in bars:
        turns = rng.uniform(bar.low, bar.high, parts - 1)
        turns[rng.integers(parts - 1)] = bar.low
        turns[rng.integers(parts - 1)] = bar.high
        path = np.concatenate(([bar.open], turns, [bar.close]))
        for part in range(parts):
            if rng.random() < 0.9:
                a, b = path[part], path[part + 1]
                time = bar.open_time + part * timeframe_ns(timeframe)
                rows.append((time, a, max(a, b), min(a, b), b))
    times, *prices = map(np.array, zip(*rows, strict=True))
    return Bars(bars.symbol, timeframe, times, *prices, np.ones(len(times)))


def funding_every_eight_hours(bars, rate):
    """Alternating payments on the exchange's hours, over the span of the bars."""
    step = 8 * timeframe_ns("1h")
    first, last = int(bars.open_time[0]), int(bars.close_time[-1])
    times = np.arange(first // step * step, last + 1, step)
    inside = (times > first) & (times <= bars.open_time[-1])
    if not inside.any():
        return None
    return FundingRates(bars.symbol, times, np.where(np.arange(len(times)) % 3, rate, -rate))


def _maybe(values):
    return st.none() | values


PLAIN_METHODS = (
    SizingMethod.PERCENT_OF_EQUITY,
    SizingMethod.FIXED_QUOTE,
    SizingMethod.FIXED_QUANTITY,
    SizingMethod.RISK_TO_STOP,
)


@st.composite
def option_sets(draw):
    """Costs, exits and sizing that fit together, such as the fast path takes."""
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
    sizing = SizingOptions(
        method=draw(st.sampled_from(PLAIN_METHODS if exits.stop_loss_frac else PLAIN_METHODS[:-1])),
        quantity=draw(st.sampled_from([0.3, 8.0])),
        fraction=draw(st.sampled_from([0.3, 1.0])),
        quote=draw(st.sampled_from([500.0, 5_000.0])),
        risk_frac=draw(st.sampled_from([0.01, 0.2])),
        allow_short=draw(st.booleans()),
        initial_cash=1_000.0,
    )
    return costs, exits, sizing


@st.composite
def rich_option_sets(draw):
    """Costs, exits and sizing with leverage, liquidation, interest, ATR, volume and volatility."""
    costs, exits, sizing = draw(option_sets())
    distance = st.sampled_from([0.3, 1.0, 4.0])
    costs = costs.replace(
        slippage_atr_mult=draw(st.sampled_from([0.0, 0.1])),
        slippage_volume_mult=draw(st.sampled_from([0.0, 0.02])),
        borrow_rate_annual_frac=draw(st.sampled_from([0.0, 0.5])),
    )
    exits = exits.replace(
        stop_loss_atr=draw(_maybe(distance)),
        take_profit_atr=draw(_maybe(distance)),
        trailing_stop_atr=draw(_maybe(distance)),
        atr_bars=draw(st.sampled_from([2, 7])),
    )
    has_stop = exits.stop_loss_frac is not None or exits.stop_loss_atr is not None
    methods = [m for m in SizingMethod if has_stop or m is not SizingMethod.RISK_TO_STOP]
    sizing = sizing.replace(
        method=draw(st.sampled_from(methods)),
        leverage=draw(st.sampled_from([1.0, 3.0, 20.0])),
        maintenance_margin_frac=draw(_maybe(st.sampled_from([0.01, 0.3]))),
        kelly_minimum_trades=2,
        kelly_cap_frac=draw(st.sampled_from([0.1, 0.9])),
        target_volatility_annual_frac=draw(st.sampled_from([0.2, 3.0])),
        volatility_bars=3,
    )
    return costs, exits, sizing
