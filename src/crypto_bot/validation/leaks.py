"""Named checks that the future never reached the past. Each raises LeakError naming what leaked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from crypto_bot.core.arrays import Index, PerBarFeature, PerRow, PerRowClass
from crypto_bot.core.bars import PRICES, Bars
from crypto_bot.core.errors import DataError, LeakError
from crypto_bot.core.timeframes import iso_time
from crypto_bot.splits import Split

if TYPE_CHECKING:
    from crypto_bot.features import FeatureTable

Compute = Callable[[Bars], "FeatureTable | PerBarFeature | PerRow"]
_SCALER_TOLERANCE = 1e-9


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
    shared = np.intersect1d(split.train, split.test)
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


def check_scaler_inside_fold(
    mean: PerRow,
    scale: PerRow,
    train_features: PerBarFeature,
    feature_names: Sequence[str] = (),
    *,
    weights: PerRow | None = None,
) -> None:
    """LeakError unless a scaler's mean and scale are those of the training rows alone.

    Parameters
    ----------
    mean, scale : float64 (features,)             as fitted; scale is the population deviation,
                                                  1 where that is 0
    train_features : float64 (rows, features)     the fold's training rows, unscaled
    feature_names : names for the message
    weights : float64 (rows,)                     how much each row counted; None is 1 each
    """
    average = np.average(train_features, axis=0, weights=weights)
    deviation = np.sqrt(np.average((train_features - average) ** 2, axis=0, weights=weights))
    expected = {
        "mean": average,
        "scale": np.where(deviation > 0.0, deviation, 1.0),
    }
    size = np.abs(train_features).max(axis=0, initial=0.0) + np.finfo(np.float64).tiny
    for what, fitted in (("mean", mean), ("scale", scale)):
        off = np.abs(fitted - expected[what])
        # A constant column has a deviation of rounding noise, which scikit-learn takes for 0.
        is_constant = deviation <= 1e-12 * size
        wrong = np.flatnonzero((off > _SCALER_TOLERANCE * size) & ~is_constant)
        if wrong.size:
            column = int(wrong[0])
            label = feature_names[column] if column < len(feature_names) else f"column {column}"
            raise LeakError(
                f"check_scaler_inside_fold: {what} of {label} must be the training rows' "
                f"{expected[what][column]:.12g}, was {fitted[column]:.12g} ({wrong.size} features); "
                "fit the scaler on the fold's training rows only"
            )


def check_features_see_no_future(
    compute: Compute,
    bars: Bars,
    *,
    names: Sequence[str] = (),
    cuts: int = 5,
    seed: int = 42,
) -> None:
    """LeakError if a feature's value up to some bar depends on any bar after it.

    Parameters
    ----------
    compute : callable       Bars -> FeatureTable or float64 (bars, features) or (bars,)
    bars : Bars              at least 20
    names : column names, where `compute` gives a bare array
    cuts : int               how many moments are tried, spread over the bars
    seed : int               of the altered future

    Notes
    -----
    At each cut the later bars are once replaced by other prices and volumes and once cut off; the
    values up to the cut must stay the same bit for bit, NaN included.
    """
    if len(bars) < 20:
        raise DataError(f"bars must be at least 20 to look for leaks in, was {len(bars)}")
    columns, found = _values(compute(bars), names)
    random = np.random.default_rng(seed)
    for cut in np.linspace(len(bars) // 4, len(bars) - 2, cuts).astype(int).tolist():
        for how, other in (
            ("other prices", alter_future(bars, cut, random)),
            ("none", bars[: cut + 1]),
        ):
            _, again = _values(compute(other), names)
            _compare(columns, found[: cut + 1], again[: cut + 1], cut, how)


def alter_future(bars: Bars, last_kept: int, random: np.random.Generator) -> Bars:
    """The same bars up to `last_kept`, different prices and volumes after it."""
    later = len(bars) - last_kept - 1
    factor = np.ones(len(bars))
    factor[last_kept + 1 :] = np.exp(0.2 * random.standard_normal(later) + 0.3)
    changed: dict[str, Any] = {name: getattr(bars, name) * factor for name in PRICES}
    changed["volume"] = bars.volume * factor + (factor != 1.0)
    return replace(bars, **changed)


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
        foreign = np.setdiff1d(rows, split.test)
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


def _values(result: Any, names: Sequence[str]) -> tuple[tuple[str, ...], PerBarFeature]:
    if hasattr(result, "values") and hasattr(result, "names"):
        return tuple(result.names), np.asarray(result.values, dtype=np.float64)
    array = np.asarray(result, dtype=np.float64)
    array = array[:, None] if array.ndim == 1 else array
    known = tuple(names) or tuple(f"column {k}" for k in range(array.shape[1]))
    return known, array


def _compare(
    names: Sequence[str], found: PerBarFeature, again: PerBarFeature, cut: int, how: str
) -> None:
    left = np.ascontiguousarray(found).view(np.int64)
    right = np.ascontiguousarray(again).view(np.int64)
    is_other = (left != right) & ~(np.isnan(found) & np.isnan(again))
    if not is_other.any():
        return
    column = int(np.argmax(is_other.any(axis=0)))
    row = int(np.argmax(is_other[:, column]))
    raise LeakError(
        f"check_features_see_no_future: {names[column]} at row {row} must not depend on bars after "
        f"row {cut}, was {found[row, column]!r} and with {how} after it {again[row, column]!r}"
    )
