"""The Bot v3.1 label `target_nextNup`: is the close N bars later higher than this one?"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from crypto_bot.core import Bars
from crypto_bot.labels.base import LabelOptions, Labels, describe, label_kind, labels_of_moves


class NextUpOptions(LabelOptions):
    """Options of `next_n_up_labels`."""

    kind: ClassVar[str] = "next_up"

    horizon_bars: int = Field(default=5, ge=1, le=100_000, description="how far ahead, in bars")


@label_kind(NextUpOptions)
def next_n_up_labels(bars: Bars, options: NextUpOptions | None = None) -> Labels:
    """Label 1 where the close `horizon_bars` intervals later is higher, else 0 (an equal close is 0).

    Parameters
    ----------
    bars : Bars
    options : NextUpOptions, optional    horizon in bars, 5 unless told

    Returns
    -------
    Labels    classes (0, 1)

    Notes
    -----
    Reads exactly `horizon_bars` intervals ahead: purge at least that much between train and test.
    The last `horizon_bars` bars are unlabelled, and so is a bar whose deciding bar is missing.
    """
    options = NextUpOptions() if options is None else options
    count = options.horizon_bars
    return labels_of_moves(
        bars,
        horizon_ns=count * bars.interval_ns,
        classify=lambda moves: (moves > 0.0).astype(np.int8),
        classes=(0, 1),
        definition=describe(
            f"next_{count}_up",
            bars,
            options,
            horizon_bars=count,
            hold_threshold=0.0,
        ),
    )
