"""Named checks of what is computed from bars: nothing may change when later bars do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from crypto_bot.core.arrays import Index, PerBarFeature, PerRow
from crypto_bot.core.bars import PRICES, Bars
from crypto_bot.core.errors import DataError, LeakError
from crypto_bot.core.timeframes import iso_time
from crypto_bot.dataset import Dataset
from crypto_bot.labels import Labels
from crypto_bot.validation.out_of_sample import OutOfSample

if TYPE_CHECKING:
    from crypto_bot.features import FeatureTable

Compute = Callable[[Bars], "FeatureTable | PerBarFeature | PerRow"]
ComputePanel = Callable[[Sequence[Bars]], "Sequence[FeatureTable | PerBarFeature | PerRow]"]
Learn = Callable[[Sequence[Bars]], tuple[Dataset, OutOfSample]]
_FEWEST_BARS = 20


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


def check_panel_sees_no_future(
    compute: ComputePanel,
    bars: Sequence[Bars],
    *,
    names: Sequence[str] = (),
    cuts: int = 3,
    seed: int = 42,
) -> None:
    """LeakError if a feature made from several symbols depends on any symbol's later bars.

    Parameters
    ----------
    compute : callable      several Bars -> one FeatureTable or array (bars, features) a symbol
    bars : several `Bars`   at least 20 each
    names, cuts, seed       as `check_features_see_no_future`

    Notes
    -----
    A cut is a moment: bars of every symbol that close after it are altered at once.
    """
    _check_bars(bars)
    found = [_values(each, names) for each in compute(bars)]
    random = np.random.default_rng(seed)
    first = max(int(each.close_time[len(each) // 4]) for each in bars)
    last = min(int(each.close_time[-2]) for each in bars)
    for cut_ns in np.linspace(first, last, cuts).astype(np.int64).tolist():
        kept = [_bars_until(each, cut_ns) for each in bars]
        altered = [alter_future(b, k - 1, random) for b, k in zip(bars, kept, strict=True)]
        again = [_values(each, names)[1] for each in compute(altered)]
        for each, (columns, values), other, count in zip(bars, found, again, kept, strict=True):
            labels = [f"{each.symbol} {name}" for name in columns]
            check = "check_panel_sees_no_future"
            _compare(labels, values[:count], other[:count], count - 1, "other prices", check)


def check_labels_end_when_declared(
    make: Callable[[Bars], Labels], bars: Bars, *, cuts: int = 5, seed: int = 42
) -> None:
    """LeakError if a label depends on a bar that closes after the moment its label says it ended.

    Parameters
    ----------
    make : callable    Bars -> Labels, such as `lambda bars: make_labels(bars, options)`
    bars : Bars        at least 20

    Notes
    -----
    At each cut the later bars are altered; labels whose `end_time_ns` is not after it must stay.
    """
    _check_bars([bars])
    found = make(bars)
    random = np.random.default_rng(seed)
    for cut in np.linspace(len(bars) // 4, len(bars) - 2, cuts).astype(int).tolist():
        again = make(alter_future(bars, cut, random))
        is_over = found.is_labelled & (found.end_time_ns <= bars.close_time[cut])
        changed = np.flatnonzero(is_over & (found.values != again.values))
        if changed.size:
            row = int(changed[-1])
            raise LeakError(
                f"check_labels_end_when_declared: label {row} must not depend on bars that close "
                f"after its end {iso_time(int(found.end_time_ns[row]))}, was {found.values[row]} and "
                f"with other prices after it {again.values[row]}; declare the true end"
            )


def check_bars_future_ignored(
    learn: Learn, bars: Sequence[Bars], *, cuts: int = 3, seed: int = 42
) -> None:
    """LeakError if any out-of-sample prediction changes when bars after its decision change.

    Parameters
    ----------
    learn : callable    the whole pipeline: several Bars -> (Dataset, OutOfSample)
    bars : one `Bars` a symbol
    cuts : int          moments tried; the first tested rows of so many folds, spread over them

    Raises
    ------
    DataError    if the pipeline predicted nothing

    Notes
    -----
    Features, labels, splits, selection, fitting, stopping, calibration: whatever let the future in
    shows here, for pipelines that learn from the past alone. The whole pipeline runs once a cut.
    """
    _check_bars(bars)
    dataset, found = learn(bars)
    folds = np.unique(found.fold[found.fold >= 0])
    if folds.size == 0:
        raise DataError("predictions must be of some row, were of none")
    chosen = folds[np.unique(np.linspace(0, len(folds) - 1, cuts).astype(int))]
    random = np.random.default_rng(seed)
    for fold in chosen.tolist():
        cut_ns = int(dataset.decided_at_ns[found.fold == fold].min())
        kept = [_bars_until(each, cut_ns) for each in bars]
        altered = [alter_future(b, k - 1, random) for b, k in zip(bars, kept, strict=True)]
        _compare_predictions((dataset, found), learn(altered), cut_ns)


def _compare_predictions(
    one: tuple[Dataset, OutOfSample], other: tuple[Dataset, OutOfSample], cut_ns: int
) -> None:
    name = "check_bars_future_ignored"
    rows: list[Index] = [np.flatnonzero(each.decided_at_ns <= cut_ns) for each, _ in (one, other)]
    if len(rows[0]) != len(rows[1]):
        raise LeakError(
            f"{name}: rows decided by {iso_time(cut_ns)} must not depend on later bars, were "
            f"{len(rows[0])} and with other prices after it {len(rows[1])}"
        )
    left, right = (each.probabilities[k] for (_, each), k in zip((one, other), rows, strict=True))
    same = (left == right) | (np.isnan(left) & np.isnan(right))
    if not same.all():
        row = int(rows[0][np.argmin(same.all(axis=1))])
        raise LeakError(
            f"{name}: the prediction of row {row} ({iso_time(int(one[0].decided_at_ns[row]))}) must "
            f"not depend on bars after {iso_time(cut_ns)}, was {left[rows[0] == row][0].tolist()} and "
            f"with other prices after it {right[rows[0] == row][0].tolist()}"
        )


def _check_bars(bars: Sequence[Bars]) -> None:
    fewest = min((len(each) for each in bars), default=0)
    if fewest < _FEWEST_BARS:
        raise DataError(f"bars must be at least {_FEWEST_BARS} to look for leaks in, was {fewest}")


def _bars_until(bars: Bars, moment_ns: int) -> int:
    """How many bars are closed by then; at least 1."""
    return max(1, int(np.searchsorted(bars.close_time, moment_ns, side="right")))


def _values(result: Any, names: Sequence[str]) -> tuple[tuple[str, ...], PerBarFeature]:
    if hasattr(result, "values") and hasattr(result, "names"):
        return tuple(result.names), np.asarray(result.values, dtype=np.float64)
    array = np.asarray(result, dtype=np.float64)
    array = array[:, None] if array.ndim == 1 else array
    known = tuple(names) or tuple(f"column {k}" for k in range(array.shape[1]))
    return known, array


def _compare(
    names: Sequence[str],
    found: PerBarFeature,
    again: PerBarFeature,
    cut: int,
    how: str,
    check: str = "check_features_see_no_future",
) -> None:
    left = np.ascontiguousarray(found).view(np.int64)
    right = np.ascontiguousarray(again).view(np.int64)
    is_other = (left != right) & ~(np.isnan(found) & np.isnan(again))
    if not is_other.any():
        return
    column = int(np.argmax(is_other.any(axis=0)))
    row = int(np.argmax(is_other[:, column]))
    raise LeakError(
        f"{check}: {names[column]} at row {row} must not depend on bars after "
        f"row {cut}, was {found[row, column]!r} and with {how} after it {again[row, column]!r}"
    )
