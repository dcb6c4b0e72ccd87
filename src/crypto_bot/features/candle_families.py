"""Families of volume, of a candle's shape and time, and of the market's regime."""

from __future__ import annotations

from crypto_bot.features import candles, regimes, triples
from crypto_bot.features import nodes as n
from crypto_bot.features.families import Family, member
from crypto_bot.features.nodes import Node, Series
from crypto_bot.features.price_families import PRICE_FAMILIES
from crypto_bot.features.regimes import RegimeOptions


def _vwap(window: int) -> Node:
    money = n.mean(n.product(n.TYPICAL, "volume"), window)
    return n.ratio(money, n.mean("volume", window))


def _volume_balance(window: int) -> Node:
    return n.ratio(n.mean(n.SIGNED_VOLUME, window), n.mean("volume", window))


def _regime(options: RegimeOptions) -> Node:
    families = (*PRICE_FAMILIES, *CANDLE_FAMILIES)
    inputs: list[Series] = []
    for name in options.columns():
        found = member(name, families)
        inputs.append(name if found is None else found.node)
    return n.regime(tuple(inputs), options.thresholds())


CANDLE_FAMILIES: tuple[Family, ...] = (
    Family(
        "vwap_{}",
        "mean of (high + low + close) / 3 over {0} bars, weighted by volume",
        (20,),
        _vwap,
    ),
    Family(
        "close_to_vwap_{}",
        "close / vwap_{0} - 1",
        (20,),
        lambda w: n.change("close", _vwap(w)),
    ),
    Family("volume_sma_{}", "mean of the last {0} volumes", (10,), lambda w: n.mean("volume", w)),
    Family(
        "volume_ratio_{}",
        "volume / volume_sma_{0}",
        (10,),
        lambda w: n.ratio("volume", n.mean("volume", w)),
        2,
    ),
    Family(
        "volume_z_{}",
        "volume less its mean over {0} bars, in population standard deviations of those bars",
        (20,),
        lambda w: n.zscore("volume", w),
        2,
    ),
    Family(
        "obv_frac_{}",
        "volume of rising closes less that of falling ones over {0} bars, as a share of all volume",
        (20,),
        _volume_balance,
        2,
    ),
    Family("obv", "on-balance volume since the first bar", (), lambda: n.BALANCE),
    Family(
        "cmf_{}",
        "Chaikin money flow: volume of {0} bars, each times where its close lies between low (-1) "
        "and high (1), as a share of all",
        (20,),
        lambda w: n.ratio(n.mean(n.FLOW, w), n.mean("volume", w)),
    ),
    Family("pivot", "(high + low + close) / 3 of the bar", (), lambda: n.TYPICAL),
    Family(
        "doji",
        "1 where the body is at most a tenth of the bar's range, else 0",
        (),
        lambda: n.shape(candles.DOJI),
    ),
    Family(
        "hammer",
        "1 where the lower shadow is at least twice and the upper at most half the body, else 0",
        (),
        lambda: n.shape(candles.HAMMER),
    ),
    Family(
        "shooting_star",
        "-1 where the upper shadow is at least twice and the lower at most half the body, else 0",
        (),
        lambda: n.shape(candles.SHOOTING_STAR),
    ),
    Family(
        "engulfing",
        "1 where a rising body covers the falling one before and more, -1 the reverse, else 0",
        (),
        lambda: n.pair("open", "close", candles.ENGULFING),
    ),
    Family(
        "inside_bar",
        "1 where the range lies within that of the bar before and is smaller, else 0",
        (),
        lambda: n.pair("high", "low", candles.INSIDE),
    ),
    Family(
        "three_bar_reversal",
        "1 where the bar before reached lower than both beside it and the close is above the highs "
        "of both before, -1 the reverse, else 0",
        (),
        lambda: n.triple(triples.REVERSAL),
    ),
    Family(
        "three_outside",
        "1 where a rising body lay beyond both ends of the falling one before and the close is "
        "higher still, -1 the reverse, else 0",
        (),
        lambda: n.triple(triples.OUTSIDE),
    ),
    Family(
        "three_soldiers",
        "1 where three bodies rise, each opened within the one before and closed above it, "
        "-1 the reverse, else 0",
        (),
        lambda: n.triple(triples.SOLDIERS),
    ),
    Family("hour", "hour of the close, 0..23, UTC", (), lambda: n.clock_time(candles.HOUR)),
    Family(
        "weekday",
        "day of the week of the close, Monday 0 to Sunday 6, UTC",
        (),
        lambda: n.clock_time(candles.WEEKDAY),
    ),
    Family(
        "minute_of_day",
        "minutes from midnight to the close, 0..1439, UTC",
        (),
        lambda: n.clock_time(candles.MINUTE_OF_DAY),
    ),
    Family(
        "hour_sin",
        "sine of the close's time of day, a full turn from midnight to midnight, UTC",
        (),
        lambda: n.clock_time(candles.DAY_SIN),
    ),
    Family(
        "hour_cos",
        "cosine of the close's time of day, a full turn from midnight to midnight, UTC",
        (),
        lambda: n.clock_time(candles.DAY_COS),
    ),
    Family(
        "weekday_sin",
        "sine of the close's time of week, a full turn from Monday to Monday, UTC",
        (),
        lambda: n.clock_time(candles.WEEK_SIN),
    ),
    Family(
        "weekday_cos",
        "cosine of the close's time of week, a full turn from Monday to Monday, UTC",
        (),
        lambda: n.clock_time(candles.WEEK_COS),
    ),
    Family(
        "minutes_to_funding",
        "minutes from the close to the next 00, 08 or 16 o'clock UTC; 480 at that hour itself",
        (),
        lambda: n.clock_time(candles.TO_FUNDING),
    ),
    Family(
        "regime",
        "place in REGIMES of the first rule that holds: trending 0, sideways 1, breakout 3, "
        "mean-reverting 2, volatile 4; sideways where none does",
        (),
        lambda: _regime(RegimeOptions()),
    ),
    Family(
        "is_trending",
        "1 where regime is trending, else 0",
        (),
        lambda: n.is_value(_regime(RegimeOptions()), regimes.TRENDING),
    ),
    Family(
        "is_sideways",
        "1 where regime is sideways, else 0",
        (),
        lambda: n.is_value(_regime(RegimeOptions()), regimes.SIDEWAYS),
    ),
    Family(
        "is_mean_reverting",
        "1 where regime is mean-reverting, else 0",
        (),
        lambda: n.is_value(_regime(RegimeOptions()), regimes.MEAN_REVERTING),
    ),
    Family(
        "is_breakout",
        "1 where regime is breakout, else 0",
        (),
        lambda: n.is_value(_regime(RegimeOptions()), regimes.BREAKOUT),
    ),
    Family(
        "is_volatile",
        "1 where regime is volatile, else 0",
        (),
        lambda: n.is_value(_regime(RegimeOptions()), regimes.VOLATILE),
    ),
)
