"""The rows a search works on: candles with their datasets, one a kind of label, made once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crypto_bot.core import Bars
from crypto_bot.core.arrays import Index
from crypto_bot.core.timeframes import timeframe_ns
from crypto_bot.dataset import Dataset, build_dataset
from crypto_bot.labels import LabelOptions
from crypto_bot.splits import Split
from crypto_bot.splits.base import split_before

TRAIN_STEPS_A_HORIZON = 4
"""Training rows a label horizon: closer ones say nearly the same twice."""


class RowBoard:
    """Candles of one timeframe, and a dataset for each label that is asked for.

    Parameters
    ----------
    bars : one `Bars` a symbol
    feature_names : ordered schema
    start_ns : decisions before this are left out (their bars only warm features up)

    Raises
    ------
    DataError, ConfigError    as `build_dataset`, on the first use of a label
    """

    def __init__(
        self, bars: Sequence[Bars], feature_names: Sequence[str], *, start_ns: int = 0
    ) -> None:
        self.bars = tuple(bars)
        self.feature_names = tuple(feature_names)
        self.start_ns = start_ns
        self._made: dict[str, Dataset] = {}

    @property
    def timeframe(self) -> str:
        """Of the candles."""
        return self.bars[0].timeframe

    @property
    def interval_ns(self) -> int:
        """Length of a bar."""
        return timeframe_ns(self.timeframe)

    def dataset(self, labels: LabelOptions) -> Dataset:
        """Every labelled row from `start_ns` on."""
        key = f"{type(labels).__name__} {labels.model_dump_json()}"
        if key not in self._made:
            whole = build_dataset(self.bars, feature_names=self.feature_names, labels=labels)
            self._made[key] = whole.take(whole.decided_at_ns >= self.start_ns)
        return self._made[key]


def cut_at(
    dataset: Dataset, start_ns: int, end_ns: int | None, *, fold: int, embargo_ns: int
) -> Split:
    """Train on what was known before `start_ns` less the embargo, test from there to before `end_ns`."""
    decided = dataset.decided_at_ns
    first = int(np.searchsorted(decided, start_ns))
    last = len(decided) if end_ns is None else int(np.searchsorted(decided, end_ns))
    return split_before(decided, dataset.label_end_ns, fold, 0, first, last, embargo_ns)


def training_rows(dataset: Dataset, rows: Index, interval_ns: int) -> Index:
    """Those of `rows` that lie a quarter of the label's horizon apart on the calendar."""
    horizon = int(dataset.label_definition["horizon_bars"])
    every = max(1, horizon // TRAIN_STEPS_A_HORIZON)
    found: Index = rows[dataset.decided_at_ns[rows] // interval_ns % every == 0]
    return found
