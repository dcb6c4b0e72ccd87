"""What each fold's model says at every bar of its stretch, for strategies that decide anywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from crypto_bot.core.arrays import PerBar
from crypto_bot.core.bars import OHLCV, Bars
from crypto_bot.core.errors import DataError
from crypto_bot.core.funding import FundingRates
from crypto_bot.core.models import class_column
from crypto_bot.dataset import Dataset
from crypto_bot.features import FeatureTable, compute_features, compute_panel, feature

if TYPE_CHECKING:
    from crypto_bot.validation.out_of_sample import OutOfSample


def every_bar_columns(
    dataset: Dataset,
    predictions: OutOfSample,
    bars: Bars,
    *,
    market: Sequence[Bars] = (),
    funding: Mapping[str, FundingRates] | None = None,
) -> dict[str, PerBar]:
    """Out-of-sample `p_up` and `p_down` at every bar of the tested stretch, float64 (bars,).

    For labels that only some bars have, such as meta-labels: live, the model is asked at every close.

    Parameters
    ----------
    bars : Bars    of one symbol of the dataset
    market, funding    all symbols' bars, and rates by symbol, for features that need them

    Raises
    ------
    DataError    if a fold trains on rows behind its test: such bars would not be out of sample

    Notes
    -----
    A fold's model predicts from its first tested decision to the next fold's first, so never a bar
    before its last training label was known. NaN outside and where a feature is undefined.
    """
    table = _features(dataset.feature_names, bars, market, funding or {})
    found = np.full((len(bars), len(dataset.classes)), np.nan)
    begins = [int(dataset.decided_at_ns[split.test].min()) for split in predictions.splits]
    order = np.argsort(begins)
    ends = [begins[k] for k in order[1:]] + [predictions.end_ns + 1]
    for k, end_ns in zip(order, ends, strict=True):
        split, predictor = predictions.splits[k], predictions.models[k].predictor
        if dataset.label_end_ns[split.train].max() > begins[k]:
            raise DataError(
                f"fold {split.fold} must train only on labels known before its test, did not; "
                "predict every bar with walk-forward or hold-out splits"
            )
        first, last = np.searchsorted(bars.close_time, [begins[k], end_ns])
        rows = np.ascontiguousarray(table.matrix(predictor.feature_names)[first:last])
        probabilities = predictor.predict_proba(rows)
        for at, label in enumerate(dataset.classes):
            found[first:last, at] = class_column(predictor, label, probabilities)
    down = -1 if -1 in dataset.classes else 0
    place = dataset.classes.index
    return {"p_up": found[:, place(1)].copy(), "p_down": found[:, place(down)].copy()}


def _features(
    names: Sequence[str], bars: Bars, market: Sequence[Bars], funding: Mapping[str, FundingRates]
) -> FeatureTable:
    if not any(feature(name, bars.timeframe).needs_market for name in names):
        return compute_features(bars, names, funding=funding.get(bars.symbol))
    tables = compute_panel(market, names, funding=funding)
    return next(
        table for each, table in zip(market, tables, strict=True) if each.symbol == bars.symbol
    )


def candle_columns(bars: Bars, names: Sequence[str]) -> dict[str, PerBar]:
    """Prices, volume and these features of the bars, by name."""
    columns: dict[str, PerBar] = {name: getattr(bars, name) for name in OHLCV}
    if names:
        table = compute_features(bars, names)
        columns.update((name, table.column(name)) for name in names)
    return columns
