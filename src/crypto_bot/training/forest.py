"""Random forests with the Bot v3.1 guide's defaults, exported as plain arrays."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field

from crypto_bot.core import Options
from crypto_bot.core.arrays import Index, PerBarFeature, PerRow
from crypto_bot.dataset import Dataset
from crypto_bot.predictors import FOREST_FILE, RANDOM_FOREST, TreeEnsemble, write_forest
from crypto_bot.predictors.trees import AVERAGE, DEFAULT_LEFT, MISSING_NAN
from crypto_bot.training.trainers import (
    TrainedModel,
    check_export,
    rebuilt_predictor,
    require_two_classes,
    sample_rows,
    shares,
    uneven_weights,
)

if TYPE_CHECKING:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.preprocessing import StandardScaler


class ForestOptions(Options):
    """Options of `ForestTrainer`; the defaults are the guide's."""

    n_estimators: int = Field(default=100, ge=1, le=10_000, description="trees")
    random_state: int = Field(default=42, ge=0, lt=2**32, description="seed")
    max_depth: int | None = Field(
        default=None, ge=1, le=1000, description="deepest split; None grows until leaves are pure"
    )
    min_samples_leaf: int = Field(default=1, ge=1, description="rows a leaf keeps at least")
    max_features: Literal["sqrt", "log2"] | float = Field(
        default="sqrt", description="features tried at a split: a rule or a fraction"
    )
    class_weight: Literal["balanced"] | None = Field(
        default=None, description="'balanced' weighs classes inversely to their frequency"
    )
    n_jobs: int = Field(default=0, ge=0, description="threads while fitting; 0 is all cores")


class FittedForest(NamedTuple):
    """scikit-learn's own objects, scaler first."""

    scaler: StandardScaler
    model: RandomForestClassifier


class ForestTrainer:
    """StandardScaler and RandomForestClassifier, fitted on the given rows and on nothing else."""

    def __init__(self, options: ForestOptions | None = None) -> None:
        self.options = ForestOptions() if options is None else options

    @property
    def name(self) -> str:
        """Such as 'random_forest (100 trees)'."""
        return f"{RANDOM_FOREST} ({self.options.n_estimators} trees)"

    def fit(self, dataset: Dataset) -> TrainedModel:
        """Train, export and check that the export predicts what scikit-learn does.

        The same rows and options give byte-identical files, whatever `n_jobs`. A class absent from
        the rows keeps its column, with probability 0. Raises DataError if the rows are of one class.
        """
        require_two_classes(dataset)
        start = time.perf_counter()
        fitted = fit_forest(
            dataset.features, dataset.labels, self.options, weights=uneven_weights(dataset)
        )
        seconds = time.perf_counter() - start
        ensemble = export_forest(fitted, dataset.classes)
        files = {FOREST_FILE: write_forest(ensemble, dataset.feature_names, dataset.classes)}
        predictor = rebuilt_predictor(RANDOM_FOREST, dataset, files)
        sample = sample_rows(dataset)
        check_export(predictor, sample, forest_probabilities(fitted, sample, dataset.classes))
        return TrainedModel(
            predictor=predictor,
            files=files,
            importance=shares(dataset.feature_names, fitted.model.feature_importances_),
            model_type=RANDOM_FOREST,
            options=self.options.model_dump(),
            device="cpu",
            seconds=seconds,
            seed=self.options.random_state,
        )


def fit_forest(
    features: PerBarFeature,
    targets: npt.NDArray[Any],
    options: ForestOptions,
    *,
    weights: PerRow | None = None,
) -> FittedForest:
    """Fit the scaler, then the forest on the scaled rows; both by the rows' weights, None is 1 each."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(features, sample_weight=weights)
    settings = options.model_dump()
    settings["n_jobs"] = options.n_jobs or -1
    model = RandomForestClassifier(**settings).fit(
        scaler.transform(features), targets, sample_weight=weights
    )
    # Threads add trees up in the order they finish: only one thread predicts the same bits twice.
    model.set_params(n_jobs=1)
    return FittedForest(scaler, model)


def forest_probabilities(
    fitted: FittedForest, features: PerBarFeature, classes: tuple[int, ...]
) -> npt.NDArray[np.float64]:
    """scikit-learn's probabilities (rows, classes), with a zero column for an absent class."""
    known = fitted.model.predict_proba(fitted.scaler.transform(features))
    out = np.zeros((len(features), len(classes)))
    out[:, np.searchsorted(classes, fitted.model.classes_)] = known
    return out


def export_forest(fitted: FittedForest, classes: tuple[int, ...]) -> TreeEnsemble:
    """The forest as arrays, a column for each of `classes` (ascending) whether seen or not."""
    columns = np.searchsorted(classes, fitted.model.classes_).astype(np.int64)
    parts = [
        _Part.of(estimator.tree_, columns, len(classes)) for estimator in fitted.model.estimators_
    ]
    nodes = np.cumsum([0] + [len(part.feature) for part in parts])
    leaves = np.cumsum([0] + [len(part.leaf_values) for part in parts])
    leaf_values, position = np.unique(
        np.concatenate([part.leaf_values for part in parts]), axis=0, return_inverse=True
    )
    position = position.reshape(-1)
    children = [
        _moved(part.children, node, position[leaf:end])
        for part, node, leaf, end in zip(parts, nodes[:-1], leaves[:-1], leaves[1:], strict=True)
    ]
    roots = [
        node if len(part.feature) else ~position[leaf]
        for part, node, leaf in zip(parts, nodes[:-1], leaves[:-1], strict=True)
    ]
    return TreeEnsemble(
        roots=np.array(roots, dtype=np.int32),
        feature=np.concatenate([part.feature for part in parts]).astype(np.int32),
        threshold=np.concatenate([part.threshold for part in parts]),
        children=np.concatenate(children).astype(np.int32),
        missing=np.concatenate([part.missing for part in parts]),
        leaf_values=leaf_values,
        mean=np.array(fitted.scaler.mean_, dtype=np.float64),
        scale=np.array(fitted.scaler.scale_, dtype=np.float64),
        link=AVERAGE,
        classes=len(classes),
        steepness=1.0,
        is_float32=True,
    )


def _moved(
    children: npt.NDArray[np.int64], first_node: int, leaf_position: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """One tree's children as indices into the joined arrays."""
    is_leaf = children < 0
    moved = children + first_node
    moved[is_leaf] = ~leaf_position[~children[is_leaf]]
    return moved


class _Part(NamedTuple):
    """One tree, its leaves split from its inner nodes and its equal leaves merged."""

    feature: npt.NDArray[np.int64]
    threshold: npt.NDArray[np.float64]
    children: npt.NDArray[np.int64]
    missing: npt.NDArray[np.uint8]
    leaf_values: npt.NDArray[np.float64]

    @classmethod
    def of(cls, tree: Any, columns: Index, classes: int) -> _Part:
        is_leaf = tree.children_left < 0
        inner = np.flatnonzero(~is_leaf)
        values = np.zeros((int(is_leaf.sum()), classes))
        values[:, columns] = tree.value[is_leaf, 0, :]
        leaf_values, position = np.unique(values, axis=0, return_inverse=True)
        place = np.empty(len(is_leaf), dtype=np.int64)
        place[inner] = np.arange(len(inner))
        place[is_leaf] = ~position.reshape(-1)
        goes_left = tree.missing_go_to_left[inner].astype(np.uint8)
        return cls(
            feature=tree.feature[inner].astype(np.int64),
            threshold=tree.threshold[inner].astype(np.float64),
            children=np.stack(
                (place[tree.children_left[inner]], place[tree.children_right[inner]]), axis=1
            ),
            missing=(goes_left * DEFAULT_LEFT + MISSING_NAN).astype(np.uint8),
            leaf_values=leaf_values,
        )
