"""Two timeframes: each rule by hand, and on candles only what a closed longer bar says."""

import numpy as np
import pytest

from crypto_bot.core.timeframes import DAY_NS
from crypto_bot.market import resample
from crypto_bot.strategies import get_strategy
from strategies.markets import bars_of, random_bars
from strategies.test_rules import NAN, constant, run

NAMES = ("daily_trend_rsi", "daily_pivot", "confluence", "adaptive_stop", "dual_ma_atr")


def trend_columns(rsi, **changes):
    return constant(len(rsi), rsi_14=rsi, **{"close@1d": 110, "sma_10@1d": 100} | changes)


def test_daily_trend_rsi_buys_a_dip_in_a_trend_up():
    columns = trend_columns([50, 30, 29, 50, 69, 70, 50, 71])
    assert run("daily_trend_rsi", columns)[0] == [0, 0, 1, 1, 1, 0, 0, 0]
    assert run("daily_trend_rsi", columns, hold_bars=2)[0] == [0, 0, 1, 1, 0, 0, 0, 0]
    falling = trend_columns([50, 70, 71, 50, 31, 30, 50, 29], **{"close@1d": 90})
    assert run("daily_trend_rsi", falling)[0] == [0, 0, -1, -1, -1, 0, 0, 0]


@pytest.mark.parametrize(
    "changes",
    [{"close@1d": 100}, {"close@1d": 90}, {"sma_10@1d": NAN}, {"close@1d": NAN}],
)
def test_daily_trend_rsi_needs_the_trend(changes):
    assert run("daily_trend_rsi", trend_columns([20]))[0] == [1]
    assert run("daily_trend_rsi", trend_columns([20], **changes))[0] == [0]


def test_daily_trend_rsi_leaves_when_the_trend_turns():
    columns = trend_columns([20, 50, 50, 50], **{"close@1d": [110, 110, 100, 110]})
    assert run("daily_trend_rsi", columns)[0] == [1, 1, 0, 0]


def pivot_columns(close, **changes):
    """A day of high 103, low 98, close 99: pivot 100."""
    base = {"high@1d": 103, "low@1d": 98, "close@1d": 99}
    return constant(len(close), close=close, **base | changes)


def test_daily_pivot_trades_from_support_and_resistance_to_the_pivot():
    columns = pivot_columns([99.1, 99, 99.5, 100, 99.5, 101, 100.5, 100, 100.5])
    direction, score = run("daily_pivot", columns)
    assert direction == [0, 1, 1, 0, 0, -1, -1, 0, 0]
    assert score[1:3] == [0.333333, 0.166667]
    assert run("daily_pivot", columns, hold_bars=1)[0] == [0, 1, 0, 0, 0, -1, 0, 0, 0]
    assert run("daily_pivot", columns, band_frac=0.02)[0] == [0] * 9


def test_daily_pivot_leaves_a_level_that_breaks():
    columns = pivot_columns([99, 97.1, 96.9, 98.5, 104, 102.9])
    assert run("daily_pivot", columns)[0] == [1, 1, 0, 1, 0, -1]


@pytest.mark.parametrize("name", ["high@1d", "low@1d", "close@1d"])
def test_daily_pivot_reads_all_three_prices_of_the_day(name):
    assert run("daily_pivot", pivot_columns([99]))[0] == [1]
    assert run("daily_pivot", pivot_columns([99], **{name: NAN}))[0] == [0]
    lower = {"high@1d": 102, "low@1d": 97, "close@1d": 98}[name]
    assert run("daily_pivot", pivot_columns([99], **{name: lower}))[0] == [0]


def agreeing(**changes):
    base = {"sma_10@1d": 2, "sma_30@1d": 1, "sma_10": 2, "sma_30": 1, "rsi_14": 65}
    return constant(1, **base | changes)


def test_confluence_goes_where_all_agree():
    assert run("confluence", agreeing()) == ([1], [0.5])
    down = agreeing(**{"sma_10@1d": 0.5, "sma_10": 0.5, "rsi_14": 44})
    assert run("confluence", down) == ([-1], [0.2])
    assert run("confluence", agreeing(rsi_14=95))[1] == [1]


@pytest.mark.parametrize(
    "changes",
    [{"sma_10@1d": 1}, {"sma_10@1d": 0.5}, {"sma_10": 1}, {"sma_10": 0.5}, {"rsi_14": 50}]
    + [{name: NAN} for name in ("sma_10@1d", "sma_30@1d", "sma_10", "sma_30", "rsi_14")],
)
def test_confluence_needs_every_agreement(changes):
    assert run("confluence", agreeing(**changes)) == ([0], [0])


def stop_columns(close, **changes):
    base = {"close": close, "sma_10": 2, "sma_30": 1, "atr_14": 2, "donchian_high_20": 100}
    base |= {"donchian_low_20": 90, "true_range_5@1d": 5, "true_range_20@1d": 5}
    return constant(len(close), **base | changes)


def test_adaptive_stop_hangs_on_the_best_price():
    assert run("adaptive_stop", stop_columns([100, 95, 94.1, 94, 93]))[0] == [1, 1, 1, 0, 0]
    short = stop_columns([90, 95, 95.9, 96, 97], sma_10=0.5)
    assert run("adaptive_stop", short)[0] == [-1, -1, -1, 0, 0]


def test_adaptive_stop_tightens_when_the_days_grow_wild():
    calm, wild = {"true_range_5@1d": 7.5}, {"true_range_5@1d": 7.6}
    assert run("adaptive_stop", stop_columns([97.1, 97, 95], **calm))[0] == [1, 1, 1]
    assert run("adaptive_stop", stop_columns([97.1, 97, 95], **wild))[0] == [1, 0, 0]
    assert run("adaptive_stop", stop_columns([97.1, 97, 95], **wild), wild_ratio=2.0)[0] == [1] * 3


@pytest.mark.parametrize(
    "changes",
    [{"sma_10": 1}, *({name: NAN} for name in get_strategy("adaptive_stop").features())],
)
def test_adaptive_stop_needs_every_number(changes):
    assert run("adaptive_stop", stop_columns([100], **changes))[0] == [0]


@pytest.mark.parametrize("name", NAMES)
def test_the_longer_timeframe_is_a_parameter(name):
    field = "trend_timeframe" if name == "dual_ma_atr" else "timeframe"
    daily = get_strategy(name).features()
    hourly = get_strategy(name, **{field: "4h"}).features()
    assert [each.replace("@1d", "@4h") for each in daily] == list(hourly)
    assert any("@" in each for each in daily)


def hours(count=2_400, seed=6):
    return random_bars(count, seed=seed, timeframe="1h")


def test_what_a_day_says_counts_from_its_close_and_not_before():
    bars = hours()
    days = resample(bars, "1d")
    pivots = (days.high + days.low + days.close) / 3
    one = get_strategy("daily_pivot", hold_bars=1)
    direction = one.signals_on(bars).direction
    expected = np.zeros(len(bars), np.int8)
    for t, (closed, close) in enumerate(zip(bars.close_time, bars.close, strict=True)):
        past = int(np.searchsorted(days.close_time, closed, side="right"))
        if past:
            away = close / pivots[past - 1] - 1
            expected[t] = -np.sign(away) if 0.01 <= abs(away) <= 0.03 else 0
    assert direction.tolist() == expected.tolist()
    assert {-1, 0, 1} == set(direction.tolist())


@pytest.mark.parametrize("name", NAMES)
def test_the_rest_of_the_day_changes_nothing_before_it(name):
    bars, other = hours(), hours(seed=7)
    noon = 2_000 - 2_000 % 24 + 11
    assert bars.close_time[noon] % DAY_NS == DAY_NS // 2
    columns = [
        np.concatenate((getattr(bars, key)[: noon + 1], getattr(other, key)[noon + 1 :]))
        for key in ("open", "high", "low", "close", "volume")
    ]
    one = get_strategy(name)
    whole = one.signals_on(bars).direction
    mixed = one.signals_on(bars_of(*columns, timeframe="1h")).direction
    assert whole[: noon + 1].tolist() == mixed[: noon + 1].tolist()
    assert whole[:noon].any()
    assert whole[noon + 1 :].tolist() != mixed[noon + 1 :].tolist()
