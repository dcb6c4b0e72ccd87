"""The first of three barriers that the price touches: target, stop or the end of the horizon."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, ClassVar

import numpy as np
from numba import njit
from pydantic import Field

from crypto_bot.core import Bars
from crypto_bot.core.arrays import Index, PerBar, PerBarTime
from crypto_bot.labels.base import (
    ROUNDING_FRAC,
    LabelOptions,
    Labels,
    assembled,
    describe,
    label_kind,
    unbroken_end_bars,
)


class VerticalTouch(StrEnum):
    """What a bar is called whose price touched neither barrier within the horizon."""

    FLAT = "flat"
    """Class 0."""
    SIGN = "sign"
    """The sign of the return over the horizon; 0 only for an equal close."""


class TripleBarrierOptions(LabelOptions):
    """Options of `triple_barrier_labels`."""

    kind: ClassVar[str] = "triple_barrier"

    horizon_bars: int = Field(
        default=12, ge=1, le=100_000, description="bars until the vertical barrier"
    )
    upper_deviations: float = Field(
        default=1.0, gt=0, le=100, description="upper barrier, standard deviations of the horizon"
    )
    lower_deviations: float = Field(
        default=1.0, gt=0, le=100, description="lower barrier, standard deviations of the horizon"
    )
    volatility_bars: int = Field(
        default=100, ge=2, le=100_000, description="span of the trailing volatility, bars"
    )
    vertical_touch: VerticalTouch = Field(
        default=VerticalTouch.FLAT, description="what a bar is called that touched neither barrier"
    )


@label_kind(TripleBarrierOptions)
def triple_barrier_labels(bars: Bars, options: TripleBarrierOptions | None = None) -> Labels:
    """Label each bar by the first barrier its future touches: upper +1, lower -1, vertical 0.

    Parameters
    ----------
    bars : Bars
    options : TripleBarrierOptions, optional    12 bars, one deviation either side unless told

    Returns
    -------
    Labels    classes (-1, 0, 1); the end is the touching bar

    Notes
    -----
    A barrier lies `deviations * volatility * sqrt(horizon_bars)` from the close, in logarithms: one
    deviation is one standard deviation of the whole horizon's move, whatever the horizon. The
    volatility is known at the close (`trailing_volatility`). Bars after the decision touch by high
    and low; if one bar touches both, the lower barrier counts, as the stop does in the engine.

    Reads `horizon_bars` ahead at most. Unlabelled: bars before the volatility is known or where it
    is 0 (flat prices), and bars with less than the whole horizon of unbroken bars after them, even if a barrier
    was touched before: else the last bars would be labelled only if something happened. Source:
    Lopez de Prado 2018, ch. 3.
    """
    options = TripleBarrierOptions() if options is None else options
    volatility = trailing_volatility(
        bars.close, bars.open_time, bars.interval_ns, options.volatility_bars
    )
    values, end_bar = _first_touches(
        bars.high,
        bars.low,
        bars.close,
        volatility * np.sqrt(options.horizon_bars),
        unbroken_end_bars(bars, options.horizon_bars),
        options.upper_deviations,
        options.lower_deviations,
        options.vertical_touch == VerticalTouch.SIGN,
    )
    definition = describe("triple_barrier", bars, options, horizon_bars=options.horizon_bars)
    return assembled(bars, values, end_bar, classes=(-1, 0, 1), definition=definition)


@njit(cache=True, nogil=True)
def trailing_volatility(
    close: PerBar, open_time: PerBarTime, interval_ns: int, span_bars: int
) -> Any:
    """Standard deviation of one bar's log return, exponentially weighted, float64 (bars,).

    Parameters
    ----------
    close, open_time : of the bars
    interval_ns : int    a return over more than this is no one-bar return and is left out
    span_bars : int      weights fall by 1 - 2 / (span_bars + 1) a bar

    Notes
    -----
    Bar t reads closes up to t. NaN until `span_bars` returns were seen. The weights are those of
    pandas' ``ewm(span, adjust=True)``, unbiased; updated as in West 1979, without cancellation.
    """
    volatility = np.full(len(close), np.nan)
    kept = 1.0 - 2.0 / (span_bars + 1.0)
    weight, squares, mean, moment, seen = 0.0, 0.0, 0.0, 0.0, 0
    for i in range(len(close)):
        if i > 0 and open_time[i] - open_time[i - 1] == interval_ns:
            step = np.log(close[i] / close[i - 1])
            weight = kept * weight + 1.0
            squares = kept * kept * squares + 1.0
            off = step - mean
            mean += off / weight
            moment = kept * moment + off * (step - mean)
            seen += 1
        if seen >= span_bars:
            volatility[i] = np.sqrt(moment * weight / (weight * weight - squares))
    return volatility


@njit(cache=True, nogil=True)
def _first_touches(  # type: ignore[no-untyped-def]
    high: PerBar,
    low: PerBar,
    close: PerBar,
    deviation: PerBar,
    last_bar: Index,
    upper_deviations: float,
    lower_deviations: float,
    is_sign: bool,
):
    values = np.zeros(len(close), np.int8)
    end_bar = np.full(len(close), -1, np.int64)
    for i in range(len(close)):
        # Written so that NaN fails.
        if last_bar[i] < 0 or not deviation[i] > ROUNDING_FRAC:
            continue
        upper = close[i] * np.exp(upper_deviations * deviation[i])
        lower = close[i] * np.exp(-lower_deviations * deviation[i])
        bar = i + 1
        while bar < last_bar[i] and low[bar] > lower and high[bar] < upper:
            bar += 1
        end_bar[i] = bar
        if low[bar] <= lower:
            values[i] = -1
        elif high[bar] >= upper:
            values[i] = 1
        elif is_sign:
            values[i] = np.sign(close[bar] - close[i])
    return values, end_bar
