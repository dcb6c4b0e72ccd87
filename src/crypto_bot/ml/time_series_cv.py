"""The Bot v3.1 guide's `time_series_cv`: expanding windows, every fold tested on what came next.

::

    python -m crypto_bot.ml.time_series_cv --data candles.csv [--splits 5]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from crypto_bot.core.arrays import Index
from crypto_bot.core.errors import ConfigError, CryptoBotError, DataError

if TYPE_CHECKING:
    import pandas as pd

TARGET = "target_nextNup"


def time_series_cv(
    features_df: pd.DataFrame,
    n_splits: int = 5,
    *,
    target_col: str = TARGET,
    feature_names: Sequence[str] | None = None,
    horizon_bars: int = 5,
    trees: int = 100,
    seed: int = 42,
) -> list[dict[str, Any]]:
    """Train the guide's forest on ever more rows and test it on the stretch after them.

    Parameters
    ----------
    features_df : DataFrame    as `create_features` returns it
    n_splits : folds; the rows are cut into n_splits + 1 stretches, all but the first are tested
    target_col, feature_names : as for `train_ml_model`
    horizon_bars : how far the target looks ahead
    trees, seed : of the forest

    Returns
    -------
    list of dict    a fold each: fold, train_size, purged, test_size, accuracy, majority_accuracy,
        other_metrics (balanced_accuracy, log_loss, brier), train_end, test_start, test_end

    Raises
    ------
    ConfigError    n_splits or horizon_bars below 1
    DataError      as `train_ml_model`, or a fold whose training rows are too few or of one class

    Notes
    -----
    Unlike the guide's sketch, rows whose target is not yet known when the test begins are left out of
    training (by the index's times where it has them, else by rows), and the last fold tests the
    remainder of the division too. The scaler is fitted inside each fold. `majority_accuracy` is that
    of always saying the training rows' commonest class: an accuracy below it has learnt nothing.
    """
    from crypto_bot.ml.train_model import read_table, settled_rows

    if n_splits < 1:
        raise ConfigError(f"n_splits must be at least 1, was {n_splits}")
    if horizon_bars < 1:
        raise ConfigError(f"horizon_bars must be at least 1, was {horizon_bars}")
    frame = settled_rows(features_df)
    table = read_table(frame, target_col, feature_names)
    rows = len(table.target)
    stretch = rows // (n_splits + 1)
    if stretch < 1:
        raise DataError(f"features_df must have at least {n_splits + 1} rows, was {rows}")
    known_at, decided_at = _times(frame, horizon_bars)
    found = []
    for fold in range(1, n_splits + 1):
        start = fold * stretch
        end = rows if fold == n_splits else start + stretch
        train = np.flatnonzero(known_at[:start] < decided_at[start])
        _check_fold(fold, table.target[train], target_col)
        scores = _scores(table, train, slice(start, end), trees, seed)
        found.append(
            {
                "fold": fold,
                "train_size": len(train),
                "purged": start - len(train),
                "test_size": end - start,
                **scores,
                "train_end": str(frame.index[train[-1]]),
                "test_start": str(frame.index[start]),
                "test_end": str(frame.index[end - 1]),
            }
        )
    return found


def _times(frame: pd.DataFrame, horizon_bars: int) -> tuple[Index, Index]:
    """When each row's target is known and when it is decided: times, or row numbers without them."""
    import pandas as pd

    from crypto_bot.core.timeframes import timeframe_ns
    from crypto_bot.ml.feature_engineering import frame_timeframe

    if not isinstance(frame.index, pd.DatetimeIndex):
        numbers = np.arange(len(frame), dtype=np.int64)
        return numbers + horizon_bars, numbers
    times = np.asarray(frame.index.as_unit("ns").asi8)
    return times + horizon_bars * timeframe_ns(frame_timeframe(frame.index)), times


def _check_fold(fold: int, target: npt.NDArray[np.int64], target_col: str) -> None:
    if len(np.unique(target)) < 2:
        raise DataError(
            f"fold {fold} must train on at least two classes of {target_col}, had "
            f"{np.unique(target).tolist()} in {len(target)} rows; take fewer splits or more rows"
        )


def _scores(table: Any, train: Index, test: slice, trees: int, seed: int) -> dict[str, Any]:
    from crypto_bot.training import ForestOptions
    from crypto_bot.training.forest import fit_forest, forest_probabilities
    from crypto_bot.training.scoring import score_probabilities

    options = ForestOptions(n_estimators=trees, random_state=seed)
    target = table.target
    fitted = fit_forest(table.features[train], target[train], options)
    classes = tuple(np.unique(target).tolist())
    counts = [int((target[train] == label).sum()) for label in classes]
    scores = score_probabilities(
        target[test].astype(np.int8),
        forest_probabilities(fitted, table.features[test], classes),
        classes,
        majority_class=classes[int(np.argmax(counts))],
    )
    recalls = [each.recall for each in scores.per_class if each.recall is not None]
    return {
        "accuracy": scores.accuracy,
        "majority_accuracy": scores.majority_accuracy,
        "other_metrics": {
            "balanced_accuracy": float(np.mean(recalls)),
            "log_loss": scores.log_loss,
            "brier": scores.brier,
        },
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the step; returns the exit code (0 done, 1 data refused, 2 bad usage)."""
    options = _parser().parse_args(arguments)
    try:
        _run(options)
    except CryptoBotError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m crypto_bot.ml.time_series_cv")
    parser.add_argument(
        "--data", type=Path, required=True, help="candles: CSV, CSV7, Parquet or feather"
    )
    parser.add_argument("--symbol", help="such as BTC/USDT; default: as the file says")
    parser.add_argument("--timeframe", help="such as 5m; default: as the file says")
    parser.add_argument("--splits", type=int, default=5, help="folds (default: 5)")
    return parser


def _run(options: argparse.Namespace) -> None:
    from crypto_bot.market import read_candles
    from crypto_bot.ml.feature_engineering import create_features

    bars, _ = read_candles(options.data, symbol=options.symbol, timeframe=options.timeframe)
    mark = " SIMULATED" if bars.is_simulated else ""
    sys.stdout.write(f"{bars.symbol} {bars.timeframe}{mark}: {len(bars)} bars\n")
    folds = time_series_cv(create_features(bars.to_pandas()), options.splits)
    sys.stdout.write("fold  train  purged  test  accuracy  majority\n")
    for each in folds:
        sys.stdout.write(
            f"{each['fold']:>4}  {each['train_size']:>5}  {each['purged']:>6}  "
            f"{each['test_size']:>4}  {each['accuracy']:>8.4f}  {each['majority_accuracy']:>8.4f}\n"
        )
    means = [float(np.mean([each[k] for each in folds])) for k in ("accuracy", "majority_accuracy")]
    sys.stdout.write(f"mean accuracy {means[0]:.4f}, of the majority class {means[1]:.4f}\n")


if __name__ == "__main__":
    sys.exit(main())
