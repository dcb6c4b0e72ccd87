"""The trainer's label: short, flat or long by the return over a horizon in minutes."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field

from crypto_bot.core import Bars
from crypto_bot.core.timeframes import MINUTE_NS
from crypto_bot.labels.base import (
    ROUNDING_FRAC,
    LabelOptions,
    Labels,
    describe,
    label_kind,
    labels_of_moves,
)


class ThreeClassOptions(LabelOptions):
    """Options of `three_class_labels`."""

    kind: ClassVar[str] = "three_class"

    horizon_minutes: float = Field(
        default=15, gt=0, le=525_600, description="how far ahead, in minutes of real time"
    )
    hold_threshold: float = Field(
        default=0.0015, ge=0, lt=1, description="a smaller move is flat; fraction of price"
    )


@label_kind(ThreeClassOptions)
def three_class_labels(bars: Bars, options: ThreeClassOptions | None = None) -> Labels:
    """Label +1 where the return over the horizon exceeds the hold threshold, -1 below minus it, else 0.

    Parameters
    ----------
    bars : Bars
    options : ThreeClassOptions, optional    15 minutes and 0.0015 unless told

    Returns
    -------
    Labels    classes (-1, 0, 1): short, flat, long

    Notes
    -----
    The horizon is rounded up to whole bars (15 minutes on 1h bars is one hour); the definition says
    both. Reads exactly that far ahead: purge at least that much. A move of exactly the threshold is
    flat. Bars whose deciding bar is missing, in the tail or in an outage, are unlabelled.
    """
    options = ThreeClassOptions() if options is None else options
    horizon_bars = max(1, math.ceil(options.horizon_minutes * MINUTE_NS / bars.interval_ns))
    limit = options.hold_threshold + ROUNDING_FRAC

    def classify(moves: npt.NDArray[np.float64]) -> npt.NDArray[np.int8]:
        return (moves > limit).astype(np.int8) - (moves < -limit).astype(np.int8)

    return labels_of_moves(
        bars,
        horizon_ns=horizon_bars * bars.interval_ns,
        classify=classify,
        classes=(-1, 0, 1),
        definition=describe(
            "three_class",
            bars,
            options,
            horizon_minutes=options.horizon_minutes,
            horizon_bars=horizon_bars,
        ),
    )
