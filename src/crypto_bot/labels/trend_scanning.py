"""Is a trend under way from here? The horizon whose straight line fits most surely decides."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import numpy as np
from numba import njit
from pydantic import Field

from crypto_bot.core import Bars
from crypto_bot.core.arrays import Index, PerBar
from crypto_bot.core.errors import ConfigError
from crypto_bot.labels.base import (
    LabelOptions,
    Labels,
    assembled,
    describe,
    label_kind,
    unbroken_end_bars,
)

RESIDUAL_FLOOR = 1e-12
"""Least share of the variance that a line leaves: a perfect one has a large t-value, not infinity."""


class TrendScanningOptions(LabelOptions):
    """Options of `trend_scanning_labels`."""

    kind: ClassVar[str] = "trend_scanning"

    minimum_bars: int = Field(default=5, ge=2, le=10_000, description="shortest horizon, bars")
    maximum_bars: int = Field(default=20, ge=2, le=10_000, description="longest horizon, bars")
    step_bars: int = Field(default=1, ge=1, le=1_000, description="bars between two horizons")
    minimum_t: float = Field(
        default=2.0, ge=0, le=1_000, description="a smaller t-value of the slope is class 0"
    )

    def model_post_init(self, context: Any) -> None:
        """Refuse horizons in the wrong order."""
        del context
        if self.minimum_bars > self.maximum_bars:
            raise ConfigError(
                f"minimum_bars must be at most maximum_bars ({self.maximum_bars}), "
                f"was {self.minimum_bars}"
            )


class TrendScan(NamedTuple):
    """The surest trend from each bar on.

    t_value : float64 (bars,)      of the slope, of the horizon where it is largest; NaN where none
    horizon_bars : int64 (bars,)   that horizon; -1 where none
    """

    t_value: PerBar
    horizon_bars: Index


@label_kind(TrendScanningOptions)
def trend_scanning_labels(bars: Bars, options: TrendScanningOptions | None = None) -> Labels:
    """Label each bar by the sign of the surest trend that begins there; 0 if none is sure enough.

    Parameters
    ----------
    bars : Bars
    options : TrendScanningOptions, optional    horizons of 5 to 20 bars, |t| >= 2 unless told

    Returns
    -------
    Labels    classes (-1, 0, 1); the end is the last bar of the *longest* horizon

    Notes
    -----
    Which horizon wins is only known when all have been looked at: the label ends `maximum_bars`
    later, not where its trend does (`scan_trends` tells that). Purging at the end of the winning
    horizon, as is often done, lets bars behind it into the label. Reads `maximum_bars` ahead;
    unlabelled unless every one of these bars exists. Source: Lopez de Prado 2020, section 5.4.
    """
    options = TrendScanningOptions() if options is None else options
    scan = scan_trends(bars, options)
    is_sure = np.abs(scan.t_value) >= options.minimum_t
    values = np.where(is_sure, np.sign(np.nan_to_num(scan.t_value)), 0.0).astype(np.int8)
    return assembled(
        bars,
        values,
        unbroken_end_bars(bars, options.maximum_bars),
        classes=(-1, 0, 1),
        definition=describe("trend_scanning", bars, options, horizon_bars=options.maximum_bars),
    )


def scan_trends(bars: Bars, options: TrendScanningOptions | None = None) -> TrendScan:
    """The horizon from each bar whose least-squares line of log closes has the largest |t|.

    A horizon of h bars fits h + 1 closes. Of equal |t| the shorter horizon wins. Looks
    `maximum_bars` ahead; NaN and -1 where one of these bars is missing.
    """
    options = TrendScanningOptions() if options is None else options
    return TrendScan(
        *_scan(
            np.log(bars.close),
            unbroken_end_bars(bars, options.maximum_bars),
            options.minimum_bars,
            options.maximum_bars,
            options.step_bars,
        )
    )


@njit(cache=True, nogil=True)
def _scan(price: PerBar, last_bar: Index, shortest: int, longest: int, step: int):  # type: ignore[no-untyped-def]
    t_value = np.full(len(price), np.nan)
    horizon_bars = np.full(len(price), -1, np.int64)
    for i in range(len(price)):
        if last_bar[i] < 0:
            continue
        y_sum, xy_sum, yy_sum, best, at = 0.0, 0.0, 0.0, 0.0, shortest
        for h in range(1, longest + 1):
            # From the first close on, so that the sums are of moves, not of levels.
            y = price[i + h] - price[i]
            y_sum += y
            xy_sum += h * y
            yy_sum += y * y
            if h < shortest or (h - shortest) % step != 0:
                continue
            count = h + 1.0
            xx = count * (count * count - 1.0) / 12.0
            xy = xy_sum - y_sum * h / 2.0
            yy = yy_sum - y_sum * y_sum / count
            if yy <= 0.0:
                continue
            slope = xy / xx
            residual = max(yy - slope * xy, RESIDUAL_FLOOR * yy)
            t = slope / np.sqrt(residual / (count - 2.0) / xx)
            if abs(t) > abs(best):
                best, at = t, h
        t_value[i] = best
        horizon_bars[i] = at
    return t_value, horizon_bars
