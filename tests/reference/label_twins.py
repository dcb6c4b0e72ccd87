"""Labels and weights the slow, plain way: one bar after another, numpy's own least squares."""

import math

import numpy as np
import pandas as pd

from crypto_bot.labels.trend_scanning import RESIDUAL_FLOOR


def volatility_twin(bars, span):
    """pandas' exponentially weighted deviation of the one-bar returns that exist."""
    found = np.full(len(bars), np.nan)
    returns, rows = [], []
    for i in range(1, len(bars)):
        if bars.open_time[i] - bars.open_time[i - 1] == bars.interval_ns:
            returns.append(math.log(bars.close[i] / bars.close[i - 1]))
            rows.append(i)
    spread = pd.Series(returns, dtype=float).ewm(span=span).std().to_numpy()
    known = np.nan
    for i in range(len(bars)):
        if i in rows:
            at = rows.index(i)
            known = spread[at] if at + 1 >= span else np.nan
        found[i] = known
    return found


def is_unbroken(bars, row, horizon):
    end = row + horizon
    whole = horizon * bars.interval_ns
    return end < len(bars) and bars.open_time[end] - bars.open_time[row] == whole


def triple_barrier_twin(bars, options):
    """(value, end) of each bar, None where unlabelled."""
    volatility = volatility_twin(bars, options.volatility_bars)
    found = []
    for i in range(len(bars)):
        width = volatility[i] * math.sqrt(options.horizon_bars)
        if not is_unbroken(bars, i, options.horizon_bars) or not width > 1e-12:
            found.append(None)
            continue
        top = bars.close[i] * math.exp(options.upper_deviations * width)
        bottom = bars.close[i] * math.exp(-options.lower_deviations * width)
        answer = None
        for bar in range(i + 1, i + options.horizon_bars + 1):
            if bars.low[bar] <= bottom:
                answer = (-1, bar)
            elif bars.high[bar] >= top:
                answer = (1, bar)
            if answer is not None:
                break
        if answer is None:
            last = i + options.horizon_bars
            move = bars.close[last] - bars.close[i]
            answer = (int(np.sign(move)) if options.vertical_touch == "sign" else 0, last)
        found.append(answer)
    return found


def slope_t(y):
    """t-value of the slope of an ordinary least-squares line through y."""
    if np.ptp(y) == 0:
        return 0.0
    design = np.column_stack((np.ones(len(y)), np.arange(len(y))))
    moved = y - y[0]
    fitted, *_ = np.linalg.lstsq(design, moved, rcond=None)
    residual = np.sum((moved - design @ fitted) ** 2)
    residual = max(residual, RESIDUAL_FLOOR * np.sum((moved - moved.mean()) ** 2))
    variance = residual / (len(y) - 2) * np.linalg.inv(design.T @ design)
    return fitted[1] / math.sqrt(variance[1, 1])


def trend_twin(bars, options):
    """(t, horizon) of each bar, None where a bar is missing."""
    price, found = np.log(bars.close), []
    horizons = range(options.minimum_bars, options.maximum_bars + 1, options.step_bars)
    for i in range(len(bars)):
        if not is_unbroken(bars, i, options.maximum_bars):
            found.append(None)
            continue
        values = [slope_t(price[i : i + h + 1]) for h in horizons]
        best = int(np.argmax(np.abs(values)))
        found.append((values[best], horizons[best]))
    return found


def uniqueness_twin(decided, end, bars):
    """The matrix of which label covers which bar, and its mean shares."""
    covers = np.zeros((bars, len(decided)))
    for k, (first, last) in enumerate(zip(decided, end, strict=True)):
        covers[first + 1 : last + 1, k] = 1.0
    together = covers.sum(axis=1, keepdims=True)
    shares = np.divide(covers, together, out=np.zeros_like(covers), where=together > 0)
    return shares.sum(axis=0) / covers.sum(axis=0)
