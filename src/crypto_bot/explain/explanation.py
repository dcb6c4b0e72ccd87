"""`explain_model`: everything that is known of why a kind of model says what it says."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from crypto_bot.core import Predictor
from crypto_bot.core.arrays import Index, PerBarFeature, PerRow
from crypto_bot.core.errors import DataError
from crypto_bot.core.models import side_columns
from crypto_bot.dataset import Dataset
from crypto_bot.explain.contributions import Contributions, can_contribute, contributions
from crypto_bot.explain.dependence import PartialDependence, partial_dependence, quantile_grid
from crypto_bot.explain.options import ExplainOptions
from crypto_bot.features import FeatureDrift
from crypto_bot.predictors import (
    CalibratedPredictor,
    EnsemblePredictor,
    OnnxPredictor,
    StackedPredictor,
    TreePredictor,
)
from crypto_bot.training import TrainedModel, rows_for
from crypto_bot.training.permutation import permuted_rises
from crypto_bot.validation import OutOfSample

_LAG = re.compile(r"~\d+$")


@dataclass(frozen=True)
class PermutedFeature:
    """What permuting a feature costs, in log loss, out of sample.

    Attributes
    ----------
    mean : float           rise of the log loss, over folds and repeats; about 0 or below: no use
    deviation : float      sample deviation of the folds' means (of the repeats, of a single fold)
    helped : float         share of the folds in which permuting it made the loss worse
    """

    name: str
    mean: float
    deviation: float
    helped: float


@dataclass(frozen=True, eq=False)
class ShapRows:
    """Contributions of some out-of-sample rows, most important feature first.

    Attributes
    ----------
    feature_names : tuple of str
    mean_absolute : float64 (features,)      mean size over rows and sums, in log odds
    values : float64 (rows, features)        to the score of the last class
    features : float64 (rows, features)      the rows themselves
    method : str
    """

    feature_names: tuple[str, ...]
    mean_absolute: PerRow
    values: PerBarFeature
    features: PerBarFeature
    method: str


@dataclass(frozen=True, eq=False)
class Explanation:
    """Why a kind of model says what it says, on rows that its folds' models never saw.

    Attributes
    ----------
    model_type : str
    classes : tuple of int
    folds, rows : int                         models looked at, rows they were tested on
    permutation : tuple of PermutedFeature    most important first
    shap : ShapRows or None                   None where the model cannot be taken apart
    dependence : tuple of PartialDependence   of the most important features
    drift : tuple of FeatureDrift             between training and now, most moved first
    level_features : tuple of str             those of them that carry a price or a volume
    abstained : float or None                 share of rows in the model's abstain band; None: no band
    """

    model_type: str
    classes: tuple[int, ...]
    folds: int
    rows: int
    permutation: tuple[PermutedFeature, ...]
    shap: ShapRows | None
    dependence: tuple[PartialDependence, ...]
    drift: tuple[FeatureDrift, ...] = ()
    level_features: tuple[str, ...] = ()
    abstained: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """The numbers, JSON-ready; rows of single predictions are left out."""
        return {
            "model_type": self.model_type,
            "folds": self.folds,
            "rows": self.rows,
            "abstained": self.abstained,
            "mean_absolute_shap": None if self.shap is None else _by_name(self.shap),
            "permutation_importance": {
                each.name: {
                    "mean": each.mean,
                    "deviation": each.deviation,
                    "folds_helped": each.helped,
                }
                for each in self.permutation
            },
            "partial_dependence": {
                each.feature: {"grid": each.grid.tolist(), "mean": each.mean.tolist()}
                for each in self.dependence
            },
            "drift": {
                each.name: {
                    "psi": each.psi,
                    "ks": each.ks,
                    "level": str(each.level),
                    "carries_a_level": each.name in self.level_features,
                }
                for each in self.drift
            },
        }


@dataclass(frozen=True, eq=False)
class _Fold:
    """A fold's model and the rows that it predicted."""

    model: TrainedModel
    rows: Index


def explain_model(
    dataset: Dataset,
    predictions: OutOfSample,
    options: ExplainOptions | None = None,
    *,
    drift: Sequence[FeatureDrift] = (),
    level_features: Sequence[str] = (),
) -> Explanation:
    """Explain a kind of model by its walk-forward: each fold's model on the rows it predicted.

    Parameters
    ----------
    dataset : Dataset             the rows that `predictions` belongs to
    predictions : OutOfSample     with its models
    drift, level_features         to be kept beside it: `feature_drift` of training rows and now, and
                                  which features carry a price or a volume

    Returns
    -------
    Explanation    the same for the same inputs

    Raises
    ------
    DataError    if the predictions carry no models, or tested no row

    Notes
    -----
    No row explains a model that learned from it: on training rows a feature that a model merely
    learned by heart looks as important as one that works.
    """
    options = ExplainOptions() if options is None else options
    folds = _folds(dataset, predictions)
    random = np.random.default_rng(options.seed)
    share = min(_share_of_rows(fold.model.predictor, options) for fold in folds)
    permutation = _permutation(dataset, folds, options, share, random)
    shap = _shap(dataset, folds, options, share, random)
    order = shap.feature_names if shap is not None else tuple(e.name for e in permutation)
    return Explanation(
        model_type=folds[0].model.model_type,
        classes=dataset.classes,
        folds=len(folds),
        rows=sum(len(fold.rows) for fold in folds),
        permutation=permutation,
        shap=shap,
        dependence=_dependence(dataset, folds, order, options, share, random),
        drift=tuple(drift),
        level_features=tuple(level_features),
        abstained=_abstained(predictions, folds),
    )


def _folds(dataset: Dataset, predictions: OutOfSample) -> list[_Fold]:
    if not predictions.models:
        raise DataError(
            "predictions must carry the models of their folds to be explained, had none"
        )
    is_known = np.isfinite(predictions.probabilities).all(axis=1)
    is_known &= np.isfinite(dataset.features).all(axis=1)
    found = [
        _Fold(model, np.flatnonzero((predictions.fold == split.fold) & is_known))
        for split, model in zip(predictions.splits, predictions.models, strict=True)
    ]
    tested = [fold for fold in found if len(fold.rows)]
    if not tested:
        raise DataError("predictions must have tested some row to be explained, tested none")
    return tested


def _share_of_rows(predictor: Predictor, options: ExplainOptions) -> float:
    """How many of the wanted rows this model is asked about: fewer, the longer a row takes."""
    networks, trees = _size(predictor)
    if networks:
        return options.slow_model_frac
    return min(1.0, options.most_trees / max(1, trees))


def _size(predictor: Predictor) -> tuple[int, int]:
    """Networks and trees in a model."""
    if isinstance(predictor, TreePredictor):
        return 0, len(predictor.ensemble.roots)
    if isinstance(predictor, (CalibratedPredictor, EnsemblePredictor, StackedPredictor)):
        found = [_size(member) for member in predictor.members]
        return sum(n for n, _ in found), sum(trees for _, trees in found)
    return int(isinstance(predictor, OnnxPredictor)), 0


def _drawn(fold: _Fold, folds: Sequence[_Fold], rows: int, random: np.random.Generator) -> Index:
    """The fold's share of so many rows, ascending; drawn, for every n-th row may be one symbol's."""
    wanted = min(len(fold.rows), max(1, round(rows / len(folds))))
    return np.sort(random.choice(fold.rows, wanted, replace=False))


def lag_groups(names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """A feature and its past values (`rsi_14~3`) as one group, under the feature's name."""
    groups: dict[str, tuple[str, ...]] = {}
    for name in names:
        base = _LAG.sub("", name)
        groups[base] = (*groups.get(base, ()), name)
    return groups


def _permutation(
    dataset: Dataset,
    folds: Sequence[_Fold],
    options: ExplainOptions,
    share: float,
    random: np.random.Generator,
) -> tuple[PermutedFeature, ...]:
    found: list[Mapping[str, npt.NDArray[np.float64]]] = []
    for fold in folds:
        rows = _drawn(fold, folds, max(1, round(options.permuted_rows * share)), random)
        predictor = fold.model.predictor
        found.append(
            permuted_rises(
                predictor,
                dataset.take(rows),
                repeats=options.repeats,
                random=random,
                groups=lag_groups(predictor.feature_names),
            )
        )
    absent = np.zeros(options.repeats)
    names = list(dict.fromkeys(name for each in found for name in each))
    rises = {name: np.array([each.get(name, absent) for each in found]) for name in names}
    permuted = [
        PermutedFeature(
            name,
            float(rises[name].mean()),
            _deviation(rises[name]),
            float((rises[name].mean(axis=1) > 0).mean()),
        )
        for name in names
    ]
    return tuple(sorted(permuted, key=lambda each: -each.mean))


def _deviation(rises: npt.NDArray[np.float64]) -> float:
    of_folds = rises.mean(axis=1) if len(rises) > 1 else rises[0]
    return float(of_folds.std(ddof=1)) if len(of_folds) > 1 else 0.0


def _shap(
    dataset: Dataset,
    folds: Sequence[_Fold],
    options: ExplainOptions,
    share: float,
    random: np.random.Generator,
) -> ShapRows | None:
    if not all(can_contribute(fold.model) for fold in folds):
        return None
    names = dataset.feature_names
    pieces, seen, sizes = [], [], []
    method = ""
    total = max(1, round(options.contribution_rows * share))
    for fold in folds:
        rows = dataset.take(_drawn(fold, folds, total, random))
        found = contributions(fold.model, rows_for(fold.model.predictor, rows))
        pieces.append(_spread(found, found.values[:, :, -1], names))
        sizes.append(_spread(found, np.abs(found.values).mean(axis=2), names))
        seen.append(rows.features)
        method = found.method
    read = {name for fold in folds for name in fold.model.predictor.feature_names}
    size = np.concatenate(sizes).mean(axis=0)
    order = [k for k in np.argsort(-size, kind="stable").tolist() if names[k] in read]
    return ShapRows(
        tuple(names[k] for k in order),
        size[order],
        np.concatenate(pieces)[:, order],
        np.concatenate(seen)[:, order],
        method,
    )


def _spread(found: Contributions, values: PerBarFeature, names: Sequence[str]) -> PerBarFeature:
    """The values under all names; a feature that a fold's model does not read adds nothing."""
    wide = np.zeros((len(values), len(names)))
    wide[:, [names.index(name) for name in found.feature_names]] = values
    return wide


def _dependence(
    dataset: Dataset,
    folds: Sequence[_Fold],
    order: Sequence[str],
    options: ExplainOptions,
    share: float,
    random: np.random.Generator,
) -> tuple[PartialDependence, ...]:
    total = max(1, round(options.dependence_rows * share))
    drawn = [_drawn(fold, folds, total, random) for fold in folds]
    tested = np.concatenate([fold.rows for fold in folds])
    found: list[PartialDependence] = []
    for name in [name for name in order if name in dataset.feature_names]:
        if len(found) >= options.dependence_features:
            break
        values = dataset.features[tested, dataset.feature_names.index(name)]
        grid = quantile_grid(values, options.grid)
        readers = [k for k, f in enumerate(folds) if name in f.model.predictor.feature_names]
        if len(grid) < 2 or not readers:
            continue
        curves = [
            _curve(dataset, folds[k], drawn[k], name, grid, options, len(readers)) for k in readers
        ]
        weights = [len(drawn[k]) for k in readers]
        found.append(
            PartialDependence(
                name,
                grid,
                np.average([curve.mean for curve in curves], axis=0, weights=weights),
                np.concatenate([curve.single for curve in curves]),
            )
        )
    return tuple(found)


def _curve(
    dataset: Dataset,
    fold: _Fold,
    rows: Index,
    name: str,
    grid: PerRow,
    options: ExplainOptions,
    readers: int,
) -> PartialDependence:
    predictor = fold.model.predictor
    single = -(-options.single_rows // readers)
    features = rows_for(predictor, dataset.take(rows))
    return partial_dependence(predictor, features, name, grid, single_rows=single)


def _abstained(predictions: OutOfSample, folds: Sequence[_Fold]) -> float | None:
    """Share of the tested rows for which their fold's model takes no side by its abstain band."""
    if not any("band_up" in fold.model.thresholds for fold in folds):
        return None
    silent = rows = 0
    for fold in folds:
        given = predictions.probabilities[fold.rows]
        sides = side_columns(predictions.classes, given, fold.model.thresholds)
        silent += int(np.isnan(sides["p_up"]).sum())
        rows += len(fold.rows)
    return silent / rows


def _by_name(shap: ShapRows) -> dict[str, float]:
    return dict(zip(shap.feature_names, shap.mean_absolute.tolist(), strict=True))
