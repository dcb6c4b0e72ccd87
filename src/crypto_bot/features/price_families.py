"""Families of prices: averages, oscillators, bands, channels, ranges, lines and returns."""

from __future__ import annotations

from crypto_bot.features import nodes as n
from crypto_bot.features.families import Family
from crypto_bot.features.nodes import Node


def _atr(window: int) -> Node:
    return n.wilder(n.TRUE_RANGE, window)


def _return(window: int) -> Node:
    return n.change("close", n.lag("close", window))


def _stoch(window: int) -> Node:
    return n.place("close", n.lowest("low", window), n.highest("high", window), 100.0)


def _bollinger(window: int, scale: float) -> Node:
    return n.band(n.mean("close", window), n.deviation("close", window), scale)


def _keltner(window: int, scale: float) -> Node:
    return n.band(n.smooth("close", window), _atr(window), scale)


def _macd_line(fast: int, slow: int) -> Node:
    """As in TA-Lib the fast average is seeded late, so that both begin at the same bar."""
    return n.minus(n.smooth("close", fast, delay=slow - fast), n.smooth("close", slow))


def _macd_signal(fast: int, slow: int, signal: int) -> Node:
    return n.smooth(_macd_line(fast, slow), signal)


PRICE_FAMILIES: tuple[Family, ...] = (
    Family("sma_{}", "mean of the last {0} closes", (10,), lambda w: n.mean("close", w)),
    Family(
        "ema_{}",
        "exponential mean of closes, weight 2/({0}+1), seeded by the mean of the first {0}",
        (10,),
        lambda w: n.smooth("close", w),
        2,
    ),
    Family(
        "sma_ratio_{}_{}",
        "sma_{0} / sma_{1}",
        (10, 30),
        lambda f, s: n.ratio(n.mean("close", f), n.mean("close", s)),
    ),
    Family(
        "ema_ratio_{}_{}",
        "ema_{0} / ema_{1}",
        (10, 30),
        lambda f, s: n.ratio(n.smooth("close", f), n.smooth("close", s)),
        2,
    ),
    Family(
        "close_to_sma_{}",
        "close / sma_{0} - 1",
        (10,),
        lambda w: n.change("close", n.mean("close", w)),
    ),
    Family(
        "close_to_ema_{}",
        "close / ema_{0} - 1",
        (10,),
        lambda w: n.change("close", n.smooth("close", w)),
        2,
    ),
    Family(
        "rsi_{}",
        "Wilder's relative strength index of {0} closes, 0..100",
        (14,),
        lambda w: n.rsi("close", w),
        2,
    ),
    Family(
        "rsi_z_{}",
        "rsi_14 less its mean over {0} bars, in population standard deviations of those bars",
        (20,),
        lambda w: n.zscore(n.rsi("close", 14), w),
        2,
    ),
    Family(
        "stoch_k_{}",
        "fast %K: close between the lowest low (0) and highest high (100) of the last {0} bars",
        (14,),
        _stoch,
    ),
    Family("stoch_d_{}", "mean of the last 3 stoch_k_{0}", (14,), lambda w: n.mean(_stoch(w), 3)),
    Family(
        "bb_upper_{}",
        "sma_{0} + 2 population standard deviations of the last {0} closes",
        (20,),
        lambda w: _bollinger(w, 2.0),
    ),
    Family(
        "bb_lower_{}",
        "sma_{0} - 2 population standard deviations of the last {0} closes",
        (20,),
        lambda w: _bollinger(w, -2.0),
    ),
    Family(
        "bb_width_{}",
        "(bb_upper_{0} - bb_lower_{0}) / close",
        (20,),
        lambda w: n.spread(_bollinger(w, 2.0), _bollinger(w, -2.0), "close"),
    ),
    Family(
        "bb_percent_{}",
        "close between bb_lower_{0} (0) and bb_upper_{0} (1)",
        (20,),
        lambda w: n.place("close", _bollinger(w, -2.0), _bollinger(w, 2.0), 1.0),
        2,
    ),
    Family(
        "close_to_bb_upper_{}",
        "close / bb_upper_{0} - 1",
        (20,),
        lambda w: n.change("close", _bollinger(w, 2.0)),
    ),
    Family(
        "close_to_bb_lower_{}",
        "close / bb_lower_{0} - 1",
        (20,),
        lambda w: n.change("close", _bollinger(w, -2.0)),
    ),
    Family("atr_{}", "Wilder's mean of the true range over {0} bars", (14,), _atr),
    Family("atr_frac_{}", "atr_{0} / close", (14,), lambda w: n.ratio(_atr(w), "close")),
    Family(
        "adx_{}",
        "Wilder's average directional index of {0} bars, 0..100",
        (14,),
        lambda w: n.direction(w, 0),
        2,
    ),
    Family("plus_di_{}", "Wilder's +DI of {0} bars", (14,), lambda w: n.direction(w, 1), 2),
    Family("minus_di_{}", "Wilder's -DI of {0} bars", (14,), lambda w: n.direction(w, 2), 2),
    Family(
        "macd_line_{}_{}",
        "exponential mean of {0} closes less that of {1}, both begun at bar {1}",
        (12, 26),
        _macd_line,
        2,
    ),
    Family(
        "macd_signal_{}_{}_{}",
        "exponential mean of {2} macd_line_{0}_{1}",
        (12, 26, 9),
        _macd_signal,
        2,
    ),
    Family(
        "macd_hist_{}_{}_{}",
        "macd_line_{0}_{1} - macd_signal_{0}_{1}_{2}",
        (12, 26, 9),
        lambda f, s, g: n.minus(_macd_line(f, s), _macd_signal(f, s, g)),
        2,
    ),
    Family(
        "donchian_high_{}",
        "highest high of the {0} bars before this one",
        (20,),
        lambda w: n.lag(n.highest("high", w), 1),
    ),
    Family(
        "donchian_low_{}",
        "lowest low of the {0} bars before this one",
        (20,),
        lambda w: n.lag(n.lowest("low", w), 1),
    ),
    Family("keltner_upper_{}", "ema_{0} + 1.5 atr_{0}", (20,), lambda w: _keltner(w, 1.5), 2),
    Family("keltner_lower_{}", "ema_{0} - 1.5 atr_{0}", (20,), lambda w: _keltner(w, -1.5), 2),
    Family(
        "keltner_width_{}",
        "(keltner_upper_{0} - keltner_lower_{0}) / close",
        (20,),
        lambda w: n.spread(_keltner(w, 1.5), _keltner(w, -1.5), "close"),
        2,
    ),
    Family(
        "zscore_{}",
        "close less sma_{0}, in population standard deviations of those closes",
        (20,),
        lambda w: n.zscore("close", w),
        2,
    ),
    Family("return_{}", "close / close {0} bars ago - 1, a fraction", (1,), _return),
    Family("roc_{}", "100 return_{0}, percent", (5,), lambda w: n.scaled(_return(w), 100.0)),
    Family(
        "return_std_{}",
        "sample standard deviation (divisor {0} - 1) of the last {0} return_1",
        (5,),
        lambda w: n.deviation(_return(1), w, spent=1),
        2,
    ),
    Family(
        "linreg_{}",
        "value at this bar of the least squares line through the last {0} closes",
        (20,),
        lambda w: n.line("close", w, 0),
        2,
    ),
    Family(
        "linreg_slope_{}",
        "rise a bar of the least squares line through the last {0} closes",
        (20,),
        lambda w: n.line("close", w, 1),
        2,
    ),
    Family(
        "linreg_deviation_{}",
        "population standard deviation of the last {0} closes from their least squares line",
        (20,),
        lambda w: n.line("close", w, 2),
        3,
    ),
    Family(
        "gma_{}",
        "mean of the last {0} closes, that of k bars ago weighted exp(-(4k/{0})^2 / 2)",
        (20,),
        lambda w: n.gaussian("close", w),
    ),
    Family(
        "fracdiff_{}",
        "fractional difference, of order {0} hundredths, of the close's logarithm",
        (40,),
        lambda hundredths: n.fractional(n.LOG_CLOSE, hundredths / 100),
        widest=99,
    ),
    Family(
        "aligned_return_{}",
        "close / close {0} bars ago - 1, where no bar since then is missing",
        (1,),
        n.aligned_return,
    ),
    Family(
        "atr_ratio_{}_{}",
        "atr_{0} / atr_{1}",
        (14, 50),
        lambda f, s: n.ratio(_atr(f), _atr(s)),
    ),
    Family(
        "atr_sma_{}_{}",
        "mean of the last {1} atr_{0}",
        (14, 50),
        lambda w, m: n.mean(_atr(w), m),
        is_rising=False,
    ),
    Family(
        "true_range_{}",
        "mean of the last {0} true ranges: an ATR that settles with its window",
        (14,),
        lambda w: n.mean(n.TRUE_RANGE, w),
    ),
)
