"""Named checks of rows and of how they are split. Each raises LeakError naming what leaked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from crypto_bot.core.arrays import Index, Mask, PerRow, PerRowClass
from crypto_bot.core.bars import Bars
from crypto_bot.core.errors import ConfigError, DataError, LeakError
from crypto_bot.core.timeframes import iso_time
from crypto_bot.dataset import Dataset
from crypto_bot.splits import Split


def check_split_purged(
    split: Split, decided_at_ns: Index, label_end_ns: Index, embargo_ns: int | None = None
) -> None:
    """LeakError if a training row's label overlaps a test row's, embargo included, on either side.

    Parameters
    ----------
    split : Split
    decided_at_ns, label_end_ns : int64 (rows,)    of the rows that were split
    embargo_ns : int                               None: what the split says of itself

    Notes
    -----
    A row's span runs from its decision to its label's end. Training and test spans must lie apart by
    more than the embargo; unless the split trains on later rows, every training label must also have
    ended before the first test decision.
    """
    name = f"check_split_purged: fold {split.fold}"
    shared = np.unique(split.test[np.isin(split.test, split.train)])
    if shared.size:
        raise LeakError(
            f"{name} train and test must share no row, shared {shared.size}, first {shared[0]}"
        )
    if len(split.train) == 0 or len(split.test) == 0:
        return
    apart_ns = split.embargo_ns if embargo_ns is None else embargo_ns
    if not split.trains_on_later:
        _check_past_only(name, split, decided_at_ns, label_end_ns, apart_ns)
        return
    by_time = split.test[np.argsort(decided_at_ns[split.test], kind="stable")]
    starts, ends = decided_at_ns[by_time], np.maximum.accumulate(label_end_ns[by_time])
    begun = np.searchsorted(starts, label_end_ns[split.train] + apart_ns, side="right")
    known = np.where(begun > 0, ends[np.maximum(begun - 1, 0)], np.iinfo(np.int64).min)
    meets = np.flatnonzero((begun > 0) & (known >= decided_at_ns[split.train] - apart_ns))
    if meets.size:
        row = int(split.train[meets[0]])
        raise LeakError(
            f"{name} training labels must end before a test block starts or begin after its last "
            f"label ended, embargo included, {meets.size} did not, first row {row} from "
            f"{iso_time(int(decided_at_ns[row]))} to {iso_time(int(label_end_ns[row]))}; "
            "purge by the label's end on both sides"
        )


def _check_past_only(
    name: str, split: Split, decided_at_ns: Index, label_end_ns: Index, embargo_ns: int
) -> None:
    start_ns = int(decided_at_ns[split.test].min())
    limit_ns = start_ns - embargo_ns
    late = split.train[label_end_ns[split.train] >= limit_ns]
    if late.size:
        row = int(late[0])
        raise LeakError(
            f"{name} training labels must end before {iso_time(limit_ns)} (test start "
            f"{iso_time(start_ns)} less embargo), {late.size} did not, first row {row} ending "
            f"{iso_time(int(label_end_ns[row]))}; purge by the label's end"
        )


def check_predictions_out_of_sample(
    probabilities: PerRowClass,
    fold: Index,
    splits: Sequence[Split],
    decided_at_ns: Index,
    label_end_ns: Index,
) -> None:
    """LeakError unless every prediction came from a fold that had not seen its row's outcome.

    Parameters
    ----------
    probabilities : float64 (rows, classes)    NaN where there is no prediction
    fold : int64 (rows,)                       which fold predicted, -1 where none
    """
    name = "check_predictions_out_of_sample"
    predicted = np.flatnonzero(np.isfinite(probabilities).any(axis=1))
    orphans = predicted[fold[predicted] < 0]
    if orphans.size:
        raise LeakError(
            f"{name}: row {orphans[0]} must name the fold that predicted it, named none"
        )
    for split in splits:
        rows = predicted[fold[predicted] == split.fold]
        if rows.size == 0:
            continue
        foreign = rows[np.isin(rows, split.test, invert=True)]
        if foreign.size:
            raise LeakError(
                f"{name}: fold {split.fold} must predict its test rows only, predicted row {foreign[0]}"
            )
        if split.trains_on_later:
            check_split_purged(replace(split, test=rows), decided_at_ns, label_end_ns, 0)
            continue
        known_ns = int(label_end_ns[split.train].max()) if len(split.train) else -1
        first = int(rows[np.argmin(decided_at_ns[rows])])
        if known_ns >= decided_at_ns[first]:
            raise LeakError(
                f"{name}: fold {split.fold} must be trained on labels known before row {first} "
                f"({iso_time(int(decided_at_ns[first]))}), one ended {iso_time(known_ns)}"
            )


def check_decided_after_close(dataset: Dataset, bars: Sequence[Bars]) -> None:
    """LeakError if a row is decided before its bar closed, or its label known before it is decided.

    Parameters
    ----------
    bars : one `Bars` a symbol    those the dataset was built from

    Raises
    ------
    DataError    if a symbol of the dataset has no bars here, or a row lies beyond them
    """
    name, by_symbol = "check_decided_after_close", {each.symbol: each for each in bars}
    for number, symbol in enumerate(dataset.symbols):
        rows = np.flatnonzero(dataset.symbol_index == number)
        if symbol not in by_symbol:
            raise DataError(f"bars must hold {symbol}, did not")
        close_ns, at = by_symbol[symbol].close_time, dataset.bar_index[rows]
        if rows.size and at.max() >= len(close_ns):
            raise DataError(f"{symbol} rows must lie in its {len(close_ns)} bars, was {at.max()}")
        early = rows[dataset.decided_at_ns[rows] < close_ns[at]]
        if early.size:
            row = int(early[0])
            raise LeakError(
                f"{name}: row {row} of {symbol} must be decided when its bar closes "
                f"({iso_time(int(close_ns[dataset.bar_index[row]]))}), was "
                f"{iso_time(int(dataset.decided_at_ns[row]))}; the candle was still open"
            )
    known = np.flatnonzero(dataset.label_end_ns <= dataset.decided_at_ns)
    if known.size:
        raise LeakError(
            f"{name}: row {known[0]} must have a label that ends after its decision, ended "
            f"{iso_time(int(dataset.label_end_ns[known[0]]))}"
        )


def check_no_duplicate_rows(dataset: Dataset, split: Split) -> None:
    """LeakError if one decision, or one vector of features, is on both sides of a split.

    Notes
    -----
    A decision is a symbol's bar. Equal features count only where some feature is continuous: has a
    quarter as many values as there are rows or more, so that a calendar may repeat itself.
    """
    name = f"check_no_duplicate_rows: fold {split.fold}"
    keys = np.column_stack((dataset.symbol_index, dataset.bar_index)).astype(np.float64)
    values = [len(np.unique(column)) for column in dataset.features.T]
    is_continuous = 4 * max(values, default=0) >= len(dataset)
    for what, table in (("decision", keys), ("vector of features", dataset.features)):
        if what != "decision" and not is_continuous:
            continue
        number = np.unique(table, axis=0, return_inverse=True)[1].ravel()
        shared = np.isin(number[split.test], number[split.train])
        if shared.any():
            row = int(split.test[np.argmax(shared)])
            twin = int(split.train[np.argmax(number[split.train] == number[row])])
            raise LeakError(
                f"{name} must have no {what} on both sides, test row {row} is training row {twin} "
                f"again ({np.count_nonzero(shared)} rows); drop duplicates before splitting"
            )


def check_target_not_in_features(dataset: Dataset, *, at_most_auc: float = 0.95) -> None:
    """LeakError if one feature alone tells a label from the others better than anything honest can.

    Parameters
    ----------
    at_most_auc : float    area under the ROC curve of one feature for one class; so much, or as
                           little as 1 - that, is taken for the answer itself

    Raises
    ------
    ConfigError    if `at_most_auc` is not between 0.5 and 1
    """
    if not 0.5 < at_most_auc < 1.0:
        raise ConfigError(f"at_most_auc must be between 0.5 and 1, was {at_most_auc}")
    for label in dataset.classes:
        is_label = dataset.labels == label
        if is_label.all() or not is_label.any():
            continue
        for name, column in zip(dataset.feature_names, dataset.features.T, strict=True):
            area = area_under_curve(column, is_label)
            if max(area, 1.0 - area) > at_most_auc:
                raise LeakError(
                    f"check_target_not_in_features: {name} must not tell label {label} by itself, "
                    f"its area under the curve was {area:.4f} on {len(column)} rows; "
                    "the target is among the features"
                )


def area_under_curve(score: PerRow, is_positive: Mask) -> float:
    """Chance that a random positive scores above a random negative; ties count half."""
    from scipy.stats import rankdata

    positives = int(np.count_nonzero(is_positive))
    negatives = len(score) - positives
    if positives == 0 or negatives == 0:
        raise DataError(f"rows must hold both classes, was {positives} of {len(score)} positive")
    ranks = rankdata(score)
    total = float(ranks[is_positive].sum())
    return (total - positives * (positives + 1) / 2) / (positives * negatives)
