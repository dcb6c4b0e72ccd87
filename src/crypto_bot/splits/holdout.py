"""The last stretch of history, set aside and touched once."""

from __future__ import annotations

from typing import NamedTuple

from crypto_bot.core.arrays import Index
from crypto_bot.core.errors import ConfigError, DataError
from crypto_bot.core.timeframes import timeframe_ns
from crypto_bot.dataset import Dataset
from crypto_bot.splits.base import (
    DEFAULT_EMBARGO_BARS,
    Split,
    check_times,
    split_before,
    start_of_moment,
)


class Holdout(NamedTuple):
    """The rows to develop on, and where the untouched rest starts.

    The rest is `dataset.take(dataset.decided_at_ns >= start_ns)`; touch it once.
    """

    development: Dataset
    start_ns: int


def split_holdout(
    dataset: Dataset, fraction: float = 0.2, *, embargo_bars: int = DEFAULT_EMBARGO_BARS
) -> Holdout:
    """Set the last stretch of history aside.

    Parameters
    ----------
    fraction : float       share of the rows to hold out, 0 < fraction < 1
    embargo_bars : int     bars left out before the hold-out, on top of the purge

    Returns
    -------
    Holdout    (development, start_ns): development's labels all ended before start_ns - embargo

    Raises
    ------
    ConfigError    if the fraction is out of range
    DataError      if nothing would be left on one side
    """
    if not 0.0 < fraction < 1.0:
        raise ConfigError(f"fraction must be between 0 and 1, was {fraction}")
    embargo_ns = embargo_bars * timeframe_ns(dataset.timeframe)
    split = holdout_split(dataset.decided_at_ns, dataset.label_end_ns, fraction, embargo_ns)
    return Holdout(dataset.take(split.train), split.test_start_ns)


def holdout_split(
    decided_at_ns: Index, label_end_ns: Index, fraction: float, embargo_ns: int
) -> Split:
    check_times(decided_at_ns, label_end_ns)
    rows = len(decided_at_ns)
    first = start_of_moment(decided_at_ns, int(rows * (1.0 - fraction))) if rows else 0
    split = (
        split_before(decided_at_ns, label_end_ns, 0, 0, first, rows, embargo_ns) if rows else None
    )
    if split is None or len(split.train) == 0:
        raise DataError(
            f"rows must leave some before and in a hold-out of {fraction:.0%}, was {rows} rows; "
            "give a longer history"
        )
    return split
