"""Plain twins of every feature family: the textbook formula, one bar after another, no state shared.

`TWINS` maps a family's template to a function of the bars and its windows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np

from crypto_bot.core import Bar, Bars
from crypto_bot.features import REGIMES, compute_features

Series = np.ndarray
NAN = float("nan")


def rolling(x: Series, window: int, rule: Callable[[Series], float]) -> Series:
    """`rule` of the last `window` values; NaN where there are too few or one is NaN."""
    values = np.full(len(x), NAN)
    for t in range(window - 1, len(x)):
        part = x[t - window + 1 : t + 1]
        if not np.isnan(part).any():
            values[t] = rule(part)
    return values


def mean(x: Series, window: int) -> Series:
    return rolling(x, window, lambda part: part[0] if np.ptp(part) == 0 else part.mean())


def deviation(x: Series, window: int, ddof: int = 0) -> Series:
    return rolling(x, window, lambda part: 0.0 if np.ptp(part) == 0 else part.std(ddof=ddof))


def divide(a: Series, b: Series) -> Series:
    a, b = np.broadcast_arrays(a, b)
    return np.array([p / q if q != 0 else NAN for p, q in zip(a, b, strict=True)])


def before(x: Series, bars: int) -> Series:
    return np.concatenate([np.full(min(bars, len(x)), NAN), x[: max(len(x) - bars, 0)]])


def smooth(x: Series, window: int, weight: float, late: int = 0) -> Series:
    """Exponential mean seeded by the mean of the first `window` values, `late` values later."""
    values = np.full(len(x), NAN)
    first = int(np.isnan(x).sum()) + late
    for t in range(first + window - 1, len(x)):
        if t == first + window - 1:
            values[t] = x[first : t + 1].mean()
        else:
            values[t] = (1 - weight) * values[t - 1] + weight * x[t]
    return values


def ema(x: Series, window: int, late: int = 0) -> Series:
    return smooth(x, window, 2 / (window + 1), late)


def wilder(x: Series, window: int) -> Series:
    return smooth(x, window, 1 / window)


def changes(x: Series) -> Series:
    return x - before(x, 1)


def rsi(bars: Bars, window: int) -> Series:
    change = changes(bars.close)
    gain = wilder(np.maximum(change, 0), window)
    loss = wilder(np.maximum(-change, 0), window)
    value = 100 * divide(gain, gain + loss)
    for t in range(window + 1, len(value)):
        if change[t] == 0:
            value[t] = value[t - 1]
    return value


def true_range(bars: Bars) -> Series:
    close = before(bars.close, 1)
    ranges = [bars.high - bars.low, np.abs(bars.high - close), np.abs(bars.low - close)]
    return np.max(ranges, axis=0)


def atr(bars: Bars, window: int) -> Series:
    return wilder(true_range(bars), window)


def direction(bars: Bars, window: int) -> tuple[Series, Series, Series]:
    """ADX, +DI, -DI: Wilder's sums, seeded as TA-Lib does with window - 1 movements."""
    up, down = changes(bars.high), -changes(bars.low)
    rise = np.where((up > down) & (up > 0), up, 0.0)
    fall = np.where((down > up) & (down > 0), down, 0.0)
    sums = [wilder_sum(part, window) for part in (rise, fall, true_range(bars))]
    plus, minus = 100 * divide(sums[0], sums[2]), 100 * divide(sums[1], sums[2])
    strength = 100 * divide(np.abs(sums[0] - sums[1]), sums[0] + sums[1])
    adx, held = np.full(len(up), NAN), 0.0
    for t in range(window, len(up)):
        if not np.isnan(strength[t]):
            seeding = t < 2 * window
            held += strength[t] / window if seeding else (strength[t] - held) / window
        if t >= 2 * window - 1 and not np.isnan(strength[t]):
            adx[t] = held
    return adx, plus, minus


def wilder_sum(x: Series, window: int) -> Series:
    values, total = np.full(len(x), NAN), 0.0
    for t in range(1, len(x)):
        total = total + x[t] if t < window else total - total / window + x[t]
        values[t] = total if t >= window else NAN
    return values


def stoch(bars: Bars, window: int) -> Series:
    low, high = rolling(bars.low, window, np.min), rolling(bars.high, window, np.max)
    return 100 * divide(bars.close - low, high - low)


def bollinger(bars: Bars, window: int, scale: float) -> Series:
    return mean(bars.close, window) + scale * deviation(bars.close, window)


def bollinger_width(bars: Bars, window: int) -> Series:
    return (bollinger(bars, window, 2) - bollinger(bars, window, -2)) / bars.close


def bollinger_place(bars: Bars, window: int) -> Series:
    lower, upper = bollinger(bars, window, -2), bollinger(bars, window, 2)
    return divide(bars.close - lower, upper - lower)


def keltner(bars: Bars, window: int, scale: float) -> Series:
    return ema(bars.close, window) + scale * atr(bars, window)


def keltner_width(bars: Bars, window: int) -> Series:
    return (keltner(bars, window, 1.5) - keltner(bars, window, -1.5)) / bars.close


def macd(bars: Bars, fast: int, slow: int) -> Series:
    return ema(bars.close, fast, late=slow - fast) - ema(bars.close, slow)


def macd_signal(bars: Bars, fast: int, slow: int, signal: int) -> Series:
    return ema(macd(bars, fast, slow), signal)


def vwap(bars: Bars, window: int) -> Series:
    typical = (bars.high + bars.low + bars.close) / 3
    return divide(mean(typical * bars.volume, window), mean(bars.volume, window))


def z(x: Series, window: int) -> Series:
    return divide(x - mean(x, window), deviation(x, window))


def returns(bars: Bars, window: int) -> Series:
    return bars.close / before(bars.close, window) - 1


def signed_volume(bars: Bars) -> Series:
    return np.sign(changes(bars.close)) * bars.volume


def line(x: Series, window: int, figure: Callable[[float, float, Series], float]) -> Series:
    """`figure` of the last value, the slope and the residuals of numpy's least squares line."""
    places = np.arange(window, dtype=float)

    def fitted(part: Series) -> float:
        design = np.stack([places - places.mean(), np.ones(window)], axis=1)
        (slope, level), *_ = np.linalg.lstsq(design, part - part[0], rcond=None)
        values = part[0] + design @ np.array([slope, level])
        return figure(values[-1], slope, part - values)

    return rolling(x, window, fitted)


def gaussian(x: Series, window: int) -> Series:
    weights = [np.exp(-((4 * k / window) ** 2) / 2) for k in range(window)]
    return rolling(x, window, lambda part: np.dot(part[::-1], weights) / np.sum(weights))


def flow(bars: Bars) -> Series:
    place = divide((bars.close - bars.low) - (bars.high - bars.close), bars.high - bars.low)
    return np.where(bars.high == bars.low, 0.0, place) * bars.volume


def shape(bars: Bars, rule: Callable[[float, float, float, float], float]) -> Series:
    """`rule` of body, upper and lower shadow and range of each candle."""
    values = []
    for bar in bars:
        body, top = abs(bar.close - bar.open), max(bar.open, bar.close)
        values.append(
            rule(body, bar.high - top, min(bar.open, bar.close) - bar.low, bar.high - bar.low)
        )
    return np.array(values, float)


def engulfing(bars: Bars) -> Series:
    rows, values = list(bars), np.full(len(bars), NAN)
    for t in range(1, len(rows)):
        now, past = rows[t], rows[t - 1]
        bodies = [tuple(sorted((bar.open, bar.close))) for bar in (past, now)]
        covers = bodies[1][0] <= bodies[0][0] and bodies[0][1] <= bodies[1][1]
        rises, rose = now.close - now.open, past.close - past.open
        is_other = (rises > 0 > rose) or (rises < 0 < rose)
        values[t] = np.sign(rises) if covers and is_other and abs(rises) > abs(rose) else 0.0
    return values


def inside(bars: Bars) -> Series:
    high, low = before(bars.high, 1), before(bars.low, 1)
    is_within = (bars.high <= high) & (bars.low >= low) & (bars.high - bars.low < high - low)
    return np.where(np.isnan(high), NAN, is_within)


def closing(bars: Bars, figure: Callable[[datetime], float]) -> Series:
    times = (datetime.fromtimestamp(ns // 10**9, UTC) for ns in bars.close_time.tolist())
    return np.array([figure(time) for time in times], float)


def regime(bars: Bars) -> Series:
    """The rules in words. Indicators have twins of their own; here no tie hangs on a rounding."""
    names = ["adx_12", "ema_6", "ema_18", "bb_width_18", "volume_sma_18", "rsi_12", "atr_12"]
    values = np.full(len(bars), NAN)
    for t, (row, bar) in enumerate(zip(compute_features(bars, names).values, bars, strict=True)):
        adx, fast, slow, width, volume, rsi, atr = row
        if np.isnan(row).any():
            continue
        rules = {
            "trending": adx > 12 and fast > slow,
            "sideways": adx < 20 and width < 0.02,
            "breakout": width < 0.035 and bar.volume > 1.5 * volume,
            "mean-reverting": 30 <= rsi <= 70 and abs(bar.close / fast - 1) < 0.04,
            "volatile": bar.high - bar.low > 1.3 * atr,
        }
        first = next((name for name, holds in rules.items() if holds), "sideways")
        values[t] = REGIMES.index(first)
    return values


def is_regime(bars: Bars, name: str) -> Series:
    codes = regime(bars)
    return np.where(np.isnan(codes), NAN, codes == REGIMES.index(name))


def turn(bars: Bars, figure: Callable[[float], float], days: int) -> Series:
    """`figure` of the angle of each close within its day or, from Monday on, its week."""
    monday = datetime(1970, 1, 5, tzinfo=UTC).timestamp()
    return closing(
        bars, lambda t: figure(2 * np.pi * ((t.timestamp() - monday) / 86_400 / days % 1))
    )


def to_funding(time: datetime) -> int:
    """Minute by minute until the hour is one of the exchange's."""
    minutes = 1
    while (time + timedelta(minutes=minutes)).strftime("%H:%M") not in ("00:00", "08:00", "16:00"):
        minutes += 1
    return minutes


def fractional(bars: Bars, hundredths: int) -> Series:
    """numpy's convolution with the binomial series by its gamma functions."""
    order, weights = hundredths / 100, [1.0]
    while True:
        k = len(weights)
        sign = 1 / (math.gamma(-order) * math.exp(math.lgamma(k + 1) - math.lgamma(k - order)))
        if abs(sign) < 1e-4:
            break
        weights.append(sign)
    weights[-1] -= sum(weights)
    values, window = np.full(len(bars), NAN), len(weights)
    if len(bars) >= window:
        values[window - 1 :] = np.convolve(np.log(bars.close), weights, mode="valid")
    return values


def aligned_return(bars: Bars, window: int) -> Series:
    values = returns(bars, window)
    is_late = bars.open_time - before(bars.open_time.astype(float), window) != (
        window * bars.interval_ns
    )
    return np.where(is_late, NAN, values)


def triple(bars: Bars, rule: Callable[[Bar, Bar, Bar], bool]) -> Series:
    """1 where the rule holds, -1 where it holds with every price's sign turned."""
    rows, values = list(bars), np.full(len(bars), NAN)
    for t in range(2, len(rows)):
        three = rows[t - 2 : t + 1]
        turned = [
            row._replace(open=-row.open, high=-row.low, low=-row.high, close=-row.close)
            for row in three
        ]
        values[t] = float(rule(*three)) - float(rule(*turned))
    return values


def reversal(first: Bar, second: Bar, third: Bar) -> bool:
    return (
        second.low == min(first.low, second.low, third.low)
        and second.low not in (first.low, third.low)
        and all(third.close > bar.high for bar in (first, second))
    )


def outside(first: Bar, second: Bar, third: Bar) -> bool:
    covers = second.open < first.close < first.open < second.close
    return covers and third.close > second.close


def soldiers(first: Bar, second: Bar, third: Bar) -> bool:
    rises = all(bar.close > bar.open for bar in (first, second, third))
    opens = first.open <= second.open <= first.close and second.open <= third.open <= second.close
    return rises and opens and first.close < second.close < third.close


TWINS: dict[str, Callable[..., Series]] = {
    "sma_{}": lambda b, w: mean(b.close, w),
    "ema_{}": lambda b, w: ema(b.close, w),
    "sma_ratio_{}_{}": lambda b, f, s: mean(b.close, f) / mean(b.close, s),
    "ema_ratio_{}_{}": lambda b, f, s: ema(b.close, f) / ema(b.close, s),
    "close_to_sma_{}": lambda b, w: b.close / mean(b.close, w) - 1,
    "close_to_ema_{}": lambda b, w: b.close / ema(b.close, w) - 1,
    "rsi_{}": rsi,
    "rsi_z_{}": lambda b, w: z(rsi(b, 14), w),
    "stoch_k_{}": stoch,
    "stoch_d_{}": lambda b, w: mean(stoch(b, w), 3),
    "bb_upper_{}": lambda b, w: bollinger(b, w, 2),
    "bb_lower_{}": lambda b, w: bollinger(b, w, -2),
    "bb_width_{}": bollinger_width,
    "bb_percent_{}": bollinger_place,
    "close_to_bb_upper_{}": lambda b, w: divide(b.close, bollinger(b, w, 2)) - 1,
    "close_to_bb_lower_{}": lambda b, w: divide(b.close, bollinger(b, w, -2)) - 1,
    "atr_{}": atr,
    "atr_frac_{}": lambda b, w: atr(b, w) / b.close,
    "adx_{}": lambda b, w: direction(b, w)[0],
    "plus_di_{}": lambda b, w: direction(b, w)[1],
    "minus_di_{}": lambda b, w: direction(b, w)[2],
    "macd_line_{}_{}": macd,
    "macd_signal_{}_{}_{}": macd_signal,
    "macd_hist_{}_{}_{}": lambda b, f, s, g: macd(b, f, s) - macd_signal(b, f, s, g),
    "donchian_high_{}": lambda b, w: before(rolling(b.high, w, np.max), 1),
    "donchian_low_{}": lambda b, w: before(rolling(b.low, w, np.min), 1),
    "keltner_upper_{}": lambda b, w: keltner(b, w, 1.5),
    "keltner_lower_{}": lambda b, w: keltner(b, w, -1.5),
    "keltner_width_{}": keltner_width,
    "vwap_{}": vwap,
    "close_to_vwap_{}": lambda b, w: b.close / vwap(b, w) - 1,
    "volume_sma_{}": lambda b, w: mean(b.volume, w),
    "volume_ratio_{}": lambda b, w: divide(b.volume, mean(b.volume, w)),
    "volume_z_{}": lambda b, w: z(b.volume, w),
    "zscore_{}": lambda b, w: z(b.close, w),
    "return_{}": returns,
    "roc_{}": lambda b, w: 100 * returns(b, w),
    "return_std_{}": lambda b, w: deviation(returns(b, 1), w, ddof=1),
    "obv_frac_{}": lambda b, w: divide(mean(signed_volume(b), w), mean(b.volume, w)),
    "linreg_{}": lambda b, w: line(b.close, w, lambda level, slope, residuals: level),
    "linreg_slope_{}": lambda b, w: line(b.close, w, lambda level, slope, residuals: slope),
    "linreg_deviation_{}": lambda b, w: line(
        b.close, w, lambda level, slope, residuals: np.sqrt(np.mean(residuals**2))
    ),
    "gma_{}": lambda b, w: gaussian(b.close, w),
    "atr_ratio_{}_{}": lambda b, f, s: divide(atr(b, f), atr(b, s)),
    "atr_sma_{}_{}": lambda b, w, m: mean(atr(b, w), m),
    "true_range_{}": lambda b, w: mean(true_range(b), w),
    "cmf_{}": lambda b, w: divide(mean(flow(b), w), mean(b.volume, w)),
    "pivot": lambda b: (b.high + b.low + b.close) / 3,
    "doji": lambda b: shape(b, lambda body, up, down, span: span > 0 and body <= 0.1 * span),
    "hammer": lambda b: shape(
        b, lambda body, up, down, span: body > 0 and down >= 2 * body and up <= 0.5 * body
    ),
    "shooting_star": lambda b: shape(
        b, lambda body, up, down, span: -(body > 0 and up >= 2 * body and down <= 0.5 * body)
    ),
    "engulfing": engulfing,
    "inside_bar": inside,
    "hour": lambda b: closing(b, lambda time: time.hour),
    "weekday": lambda b: closing(b, lambda time: time.weekday()),
    "minute_of_day": lambda b: closing(b, lambda time: 60 * time.hour + time.minute),
    "hour_sin": lambda b: turn(b, np.sin, 1),
    "hour_cos": lambda b: turn(b, np.cos, 1),
    "weekday_sin": lambda b: turn(b, np.sin, 7),
    "weekday_cos": lambda b: turn(b, np.cos, 7),
    "minutes_to_funding": lambda b: closing(b, to_funding),
    "fracdiff_{}": fractional,
    "aligned_return_{}": aligned_return,
    "three_bar_reversal": lambda b: triple(b, reversal),
    "three_outside": lambda b: triple(b, outside),
    "three_soldiers": lambda b: triple(b, soldiers),
    "regime": regime,
    "is_trending": lambda b: is_regime(b, "trending"),
    "is_sideways": lambda b: is_regime(b, "sideways"),
    "is_mean_reverting": lambda b: is_regime(b, "mean-reverting"),
    "is_breakout": lambda b: is_regime(b, "breakout"),
    "is_volatile": lambda b: is_regime(b, "volatile"),
    "obv": lambda b: np.cumsum(np.concatenate([b.volume[:1], signed_volume(b)[1:]])),
}


def _close_to(template: str) -> Callable[..., Series]:
    return lambda bars, *windows: divide(bars.close, TWINS[template](bars, *windows)) - 1


def _share(template: str) -> Callable[..., Series]:
    return lambda bars, *windows: TWINS[template](bars, *windows) / bars.close


LEVELS = ("donchian_high", "donchian_low", "keltner_upper", "keltner_lower", "linreg", "gma")
TWINS |= {f"close_to_{name}_{{}}": _close_to(f"{name}_{{}}") for name in LEVELS}
TWINS |= {
    "close_to_pivot": _close_to("pivot"),
    "macd_line_frac_{}_{}": _share("macd_line_{}_{}"),
    "macd_signal_frac_{}_{}_{}": _share("macd_signal_{}_{}_{}"),
    "macd_hist_frac_{}_{}_{}": _share("macd_hist_{}_{}_{}"),
    "linreg_slope_frac_{}": _share("linreg_slope_{}"),
    "linreg_deviation_frac_{}": _share("linreg_deviation_{}"),
    "atr_sma_frac_{}_{}": _share("atr_sma_{}_{}"),
    "true_range_frac_{}": _share("true_range_{}"),
}
