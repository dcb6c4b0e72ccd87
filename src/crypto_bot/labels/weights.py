"""How much a label tells: overlapping labels share what happened, old ones tell of another market."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from crypto_bot.core import Options
from crypto_bot.core.arrays import Index, PerRow
from crypto_bot.core.errors import DataError
from crypto_bot.core.timeframes import DAY_NS


class WeightOptions(Options):
    """How rows are weighted in training; the mean weight of a dataset is 1."""

    uniqueness: bool = Field(
        default=True, description="weigh a row by how little its label overlaps others"
    )
    half_life_days: float | None = Field(
        default=None,
        gt=0,
        le=36_500,
        description="a row so many days before the last counts half; None = age does not matter",
    )


def average_uniqueness(decided_bar: Index, end_bar: Index, bars: int) -> PerRow:
    """Share of each label's span that is its own, float64 (rows,), in 0 < u <= 1.

    Parameters
    ----------
    decided_bar : int64 (rows,)    bar at whose close the row is decided
    end_bar : int64 (rows,)        bar that decides its label, later than `decided_bar`
    bars : int                     how many bars there are; all of one symbol

    Raises
    ------
    DataError    if a label does not end after its decision and within the bars

    Notes
    -----
    A label covers the bars decided_bar + 1 .. end_bar. Each covered bar is shared by all labels that
    cover it, and the mean of the shares is the uniqueness: 1 for a label alone. It depends on no bar
    after `end_bar`: a label that covers an earlier bar has begun by then. Source: Lopez de Prado 2018,
    sections 4.3 and 4.4; by running sums, without the matrix of bars and labels.
    """
    decided, end = np.asarray(decided_bar), np.asarray(end_bar)
    broken = np.flatnonzero((end <= decided) | (end >= bars) | (decided < 0))
    if broken.size:
        row = int(broken[0])
        raise DataError(
            f"end_bar must lie after decided_bar and within the {bars} bars, "
            f"was {end[row]} after {decided[row]} at row {row}"
        )
    begins = np.bincount(decided + 1, minlength=bars + 1)
    concurrent = np.cumsum(begins - np.bincount(end + 1, minlength=bars + 1))
    shares = np.concatenate(([0.0], np.cumsum(1.0 / np.maximum(concurrent, 1))))
    unique: PerRow = (shares[end + 1] - shares[decided + 1]) / (end - decided)
    # Running sums round: a label alone is exactly alone.
    return np.minimum(unique, 1.0)


def time_decay(decided_at_ns: Index, half_life_days: float) -> PerRow:
    """Weight 1 at the last decision, half of that `half_life_days` before it, float64 (rows,)."""
    if not len(decided_at_ns):
        return np.ones(0)
    age_days = (decided_at_ns.max() - decided_at_ns) / DAY_NS
    decayed: PerRow = 0.5 ** (age_days / half_life_days)
    return decayed
