"""Predictions of rows that their model never saw, and what trading on them would have earned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from crypto_bot.core.arrays import Index, Mask, PerBar, PerRowClass
from crypto_bot.core.bars import Bars
from crypto_bot.core.errors import DataError
from crypto_bot.core.funding import FundingRates
from crypto_bot.core.models import class_column, side_columns
from crypto_bot.core.orders import Signals
from crypto_bot.core.progress import track
from crypto_bot.core.timeframes import iso_time
from crypto_bot.dataset import Dataset
from crypto_bot.engine import (
    BacktestResult,
    CostOptions,
    ExitOptions,
    SizingOptions,
    exits_for,
    simulate,
)
from crypto_bot.predictors import scalers_of
from crypto_bot.splits import (
    CombinatorialOptions,
    Split,
    combinatorial_paths,
    group_of_rows,
    split_dataset,
)
from crypto_bot.strategies import Strategy
from crypto_bot.training import TrainedModel, Trainer, rows_for
from crypto_bot.validation.every_bar import candle_columns, every_bar_columns
from crypto_bot.validation.leaks_fitting import Pipeline, check_scaler_inside_fold
from crypto_bot.validation.leaks_rows import check_predictions_out_of_sample, check_split_purged


@dataclass(frozen=True, eq=False)
class OutOfSample:
    """What each row's fold predicted for it.

    Attributes
    ----------
    probabilities : float64 (rows, classes)    columns as in `classes`; NaN where untested
    fold : int64 (rows,)                       which fold tested the row, -1 where none did
    classes : tuple of int
    models : tuple of TrainedModel             one a fold, or none where others predicted
    splits : tuple of Split
    start_ns, end_ns : int                     first and last tested decision
    """

    probabilities: PerRowClass
    fold: Index
    classes: tuple[int, ...]
    models: tuple[TrainedModel, ...]
    splits: tuple[Split, ...]
    start_ns: int
    end_ns: int

    @property
    def is_tested(self) -> Mask:
        """bool (rows,)"""
        return self.fold >= 0


def out_of_sample(dataset: Dataset, trainer: Trainer, splits: Sequence[Split]) -> OutOfSample:
    """Train one model a fold and predict the rows it never saw.

    Raises
    ------
    LeakError    if a split is not purged, or a scaler saw other rows
    DataError    if there is no fold, a row is tested twice, a fold's training rows are of one class, or
                 a feature is NaN, infinite or named twice

    Notes
    -----
    Every split is checked by `check_split_purged` before its model is trained; a model that scales
    its features by `check_scaler_inside_fold`; all predictions by
    `check_predictions_out_of_sample`.
    """
    if not splits:
        raise DataError("splits must hold at least one fold, was empty")
    probabilities = np.full((len(dataset), len(dataset.classes)), np.nan)
    fold = np.full(len(dataset), -1, dtype=np.int64)
    models = []
    for split in track(splits, f"validate {trainer.name}"):
        found, model = predict_fold(dataset, trainer, split)
        if (fold[split.test] >= 0).any():
            raise DataError(f"fold {split.fold} must test rows no other fold tests, did not")
        probabilities[split.test], fold[split.test] = found, split.fold
        models.append(model)
    return _checked(dataset, probabilities, fold, models, splits)


def out_of_sample_paths(
    dataset: Dataset, trainer: Trainer, options: CombinatorialOptions | None = None
) -> tuple[OutOfSample, ...]:
    """Every history that combinatorial folds can tell of rows their models never saw.

    Parameters
    ----------
    options : CombinatorialOptions    None: its defaults, 28 models and 7 paths

    Returns
    -------
    tuple of OutOfSample    one a path; each predicts every row once, `fold` is the split's number

    Raises
    ------
    LeakError, DataError    as `out_of_sample`
    """
    options = CombinatorialOptions() if options is None else options
    splits = split_dataset(dataset, options)
    predicted = [
        predict_fold(dataset, trainer, split)
        for split in track(splits, f"combinations of {trainer.name}")
    ]
    group = group_of_rows(dataset.decided_at_ns, options.groups)
    found = []
    for path in combinatorial_paths(options.groups, options.test_groups):
        fold = path[group]
        probabilities = np.full((len(dataset), len(dataset.classes)), np.nan)
        for k in np.unique(path):
            is_served = fold[splits[k].test] == k
            probabilities[splits[k].test[is_served]] = predicted[k][0][is_served]
        serving = [int(k) for k in np.unique(path)]
        models = [predicted[k][1] for k in serving]
        found.append(_checked(dataset, probabilities, fold, models, [splits[k] for k in serving]))
    return tuple(found)


def _checked(
    dataset: Dataset,
    probabilities: PerRowClass,
    fold: Index,
    models: Sequence[TrainedModel],
    splits: Sequence[Split],
) -> OutOfSample:
    check_predictions_out_of_sample(
        probabilities, fold, splits, dataset.decided_at_ns, dataset.label_end_ns
    )
    tested = dataset.decided_at_ns[fold >= 0]
    return OutOfSample(
        probabilities=probabilities,
        fold=fold,
        classes=dataset.classes,
        models=tuple(models),
        splits=tuple(splits),
        start_ns=int(tested.min()),
        end_ns=int(tested.max()),
    )


def predict_fold(
    dataset: Dataset, trainer: Trainer, split: Split
) -> tuple[PerRowClass, TrainedModel]:
    """Train on a fold's training rows; probabilities (test rows, classes) in the dataset's order.

    Raises LeakError if the split is not purged, DataError if the fold's training rows are of one class
    or empty, or a feature of the fold is NaN, infinite or named twice.
    """
    check_split_purged(split, dataset.decided_at_ns, dataset.label_end_ns)
    train = dataset.take(split.train).weighed()
    test = dataset.take(split.test)
    _check_fold(train, test, split)
    model = trainer.fit(train)
    predictor = model.predictor
    tested = rows_for(predictor, test)
    for names, scaler in scalers_of(predictor):
        seen = train.columns(names).features
        check_scaler_inside_fold(*scaler, seen, names, weights=train.weights)
    found = predictor.predict_proba(tested)
    columns = [class_column(predictor, label, found) for label in dataset.classes]
    return np.column_stack(columns), model


def _check_fold(train: Dataset, test: Dataset, split: Split) -> None:
    name = f"fold {split.fold} from {iso_time(split.test_start_ns)}"
    names = train.feature_names
    twice = sorted({each for each in names if names.count(each) > 1})
    if twice:
        raise DataError(f"{name} must have each feature once, had {', '.join(twice)} twice or more")
    counts = train.class_counts()
    if sum(count > 0 for count in counts.values()) < 2:
        raise DataError(
            f"{name} must learn from at least two classes, had {counts}; "
            "give a longer history or fewer folds"
        )
    for what, given, rows in (("learn", train, split.train), ("predict", test, split.test)):
        is_finite = np.isfinite(given.features)
        if not is_finite.all():
            place, column = np.argwhere(~is_finite)[0]
            raise DataError(
                f"{name} must {what} from finite features, {names[column]} was "
                f"{given.features[place, column]} at row {rows[place]}; drop such rows"
            )


def trainer_pipeline(trainer: Trainer) -> Pipeline:
    """A trainer as a pipeline from all rows and a split to test predictions, for the leak checks."""

    def predict(dataset: Dataset, split: Split) -> PerRowClass:
        return predict_fold(dataset, trainer, split)[0]

    return predict


def prediction_columns(dataset: Dataset, predictions: OutOfSample, bars: Bars) -> dict[str, PerBar]:
    """Out-of-sample `p_up` and `p_down` at each bar, float64 (bars,); NaN where untested.

    NaN too where the fold's model abstains (its band, `TrainedModel.thresholds`). Raises DataError
    if these are not the bars that the dataset was built from.
    """
    rows = _rows_of(dataset, bars)
    for name, label in (("p_up", 1), ("p_down", -1 if -1 in dataset.classes else 0)):
        if label not in dataset.classes:
            raise DataError(f"classes must hold {label} for {name}, was {dataset.classes}")
    sides = {name: np.full(len(dataset), np.nan) for name in ("p_up", "p_down")}
    bands = {
        split.fold: model.thresholds
        for split, model in zip(predictions.splits, predictions.models, strict=False)
    }
    for fold in np.unique(predictions.fold[predictions.is_tested]).tolist():
        served = np.flatnonzero(predictions.fold == fold)
        given = predictions.probabilities[served]
        for name, side in side_columns(dataset.classes, given, bands.get(fold, {})).items():
            sides[name][served] = side
    columns = {}
    for name, side in sides.items():
        columns[name] = np.full(len(bars), np.nan)
        columns[name][dataset.bar_index[rows]] = side[rows]
    return columns


def trade_out_of_sample(
    dataset: Dataset,
    predictions: OutOfSample,
    bars: Sequence[Bars],
    strategy: Strategy,
    *,
    costs: CostOptions | None = None,
    exits: ExitOptions | None = None,
    sizing: SizingOptions | None = None,
    funding: Mapping[str, FundingRates] | None = None,
) -> list[BacktestResult]:
    """Trade each symbol on its out-of-sample predictions through the engine, costs included.

    Parameters
    ----------
    bars : one `Bars` a symbol       those the dataset was built from
    strategy : Strategy              reads `p_up` and `p_down`, such as `get_strategy("model")`, or
                                     `p_up` beside candles, as `get_strategy("meta")` does
    funding : symbol -> rates        charged where a symbol has them

    Returns
    -------
    list[BacktestResult]    per symbol, over the bars from the first to the last tested decision and
                            the one bar after it, at whose open the last decision is filled

    Notes
    -----
    A strategy that reads candles too decides at bars that may be no rows of the dataset: for it each
    fold's model predicts every bar of its stretch, see `every_bar_columns`.
    """
    found = []
    for each in bars:
        columns = prediction_columns(dataset, predictions, each)
        if strategy.features() or strategy.prices:
            columns = {
                **every_bar_columns(dataset, predictions, each, market=bars, funding=funding),
                **candle_columns(each, strategy.features()),
            }
        stretch = _tested_stretch(each, predictions)
        whole = strategy.signals(columns)
        signals = Signals(whole.direction[stretch], whole.score[stretch])
        found.append(
            simulate(
                each[stretch],
                signals,
                costs=costs,
                exits=exits_for(strategy, exits or ExitOptions()),
                sizing=sizing,
                funding=(funding or {}).get(each.symbol),
            )
        )
    return found


def _tested_stretch(bars: Bars, predictions: OutOfSample) -> slice:
    first = int(np.searchsorted(bars.close_time, predictions.start_ns))
    last = int(np.searchsorted(bars.close_time, predictions.end_ns, side="right"))
    if first >= last:
        raise DataError(f"{bars.symbol} must have bars in the tested stretch, had none")
    return slice(first, min(last + 1, len(bars)))


def _rows_of(dataset: Dataset, bars: Bars) -> Index:
    if bars.symbol not in dataset.symbols:
        raise DataError(f"{bars.symbol} must be one of {', '.join(dataset.symbols)}, was not")
    rows = np.flatnonzero(dataset.symbol_index == dataset.symbols.index(bars.symbol))
    at = dataset.bar_index[rows]
    if rows.size and (
        at.max() >= len(bars)
        or not np.array_equal(bars.close_time[at], dataset.decided_at_ns[rows])
    ):
        raise DataError(
            f"{bars.symbol} bars must be those the dataset was built from, times differ"
        )
    return rows
