"""Features chosen inside the training rows, with the evidence: clusters, importance, stability.

Choosing on all rows before they are split is a leak: the labels of the test rows then say which
features look good on them. Here the choice is part of `fit`, so every fold chooses for itself.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pydantic import Field

from crypto_bot.core import Predictor
from crypto_bot.core.arrays import Index, PerBarFeature, PerRow
from crypto_bot.core.errors import ConfigError, nearest
from crypto_bot.dataset import Dataset
from crypto_bot.splits import Split, split_dataset
from crypto_bot.training.clusters import correlation_clusters, rank_correlation
from crypto_bot.training.out_of_fold import InnerFolds, rows_for
from crypto_bot.training.trainers import TrainedModel, Trainer, require_two_classes


class SelectionOptions(InnerFolds):
    """What a feature must show to be kept."""

    max_correlation: float = Field(
        default=0.8,
        gt=0,
        le=1,
        description="rank correlation, either sign, from which features are one cluster; one is kept",
    )
    repeats: int = Field(default=3, ge=1, le=1000, description="permutations of a feature a fold")
    minimum_stability: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="share of the folds that must keep a member of a cluster",
    )
    most_features: int | None = Field(
        default=None, ge=1, description="keep at most so many, the best; None is no limit"
    )
    always_keep: tuple[str, ...] = Field(default=(), description="features kept whatever they show")
    seed: int = Field(default=42, ge=0, lt=2**31, description="seed of the permutations")


@dataclass(frozen=True)
class FeatureEvidence:
    """Why a feature was kept or left out.

    Attributes
    ----------
    importance, deviation : float or None    rise of the log loss on unseen rows when its values are
                                             permuted: mean and standard deviation over the folds in
                                             which it stood for its cluster; None where it never did
    stability : float                        share of the folds that kept it
    cluster : int                            of all training rows, numbered in the order of features
    cluster_stability : float                share of the folds that kept some member of its cluster
    is_kept : bool
    """

    importance: float | None
    deviation: float | None
    stability: float
    cluster: int
    cluster_stability: float
    is_kept: bool


@dataclass(frozen=True)
class Selection:
    """Features kept, in the dataset's order, and the evidence for each of all."""

    kept: tuple[str, ...]
    evidence: Mapping[str, FeatureEvidence]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {name: vars(each) for name, each in self.evidence.items()}


class SelectingTrainer:
    """Chooses features on the training rows alone, then trains another trainer on those."""

    def __init__(self, inner: Trainer, options: SelectionOptions | None = None) -> None:
        self.inner = inner
        self.options = SelectionOptions() if options is None else options

    @property
    def name(self) -> str:
        """Such as 'lightgbm (400 rounds) on chosen features'."""
        return f"{self.inner.name} on chosen features"

    def fit(self, dataset: Dataset) -> TrainedModel:
        """Choose, then train on all rows with the chosen features; the model reads those only.

        Raises DataError if the rows are of one class or too few for the folds.
        """
        require_two_classes(dataset)
        start = time.perf_counter()
        selection = select_features(dataset, self.inner, self.options)
        trained = self.inner.fit(dataset.columns(selection.kept))
        return replace(
            trained,
            options={**trained.options, "selection": self.options.model_dump(mode="json")},
            seconds=time.perf_counter() - start,
            evidence={**trained.evidence, "selection": selection.to_dict()},
        )


def select_features(
    dataset: Dataset, trainer: Trainer, options: SelectionOptions | None = None
) -> Selection:
    """Which features the rows speak for; call it on training rows only.

    Notes
    -----
    In each purged fold: features of rank correlation `max_correlation` or more (average linkage) are
    one cluster, for which the member stands that goes most with the label on the fold's training
    rows; a model of those is trained, and each is kept by the fold whose permutation makes the
    unseen rows' log loss worse on average. In the end each cluster of all rows of which enough folds
    kept some member keeps the member most folds kept (then the most important, then the first).
    Where there is none, the single best is kept: a model must read something.

    Raises
    ------
    ConfigError    if `always_keep` names a feature that is not there
    DataError      if a fold has too few rows, or rows of one class
    """
    options = SelectionOptions() if options is None else options
    names = dataset.feature_names
    unknown = [name for name in options.always_keep if name not in names]
    if unknown:
        raise ConfigError(
            f"always_keep must name features of the rows, was {', '.join(unknown)}"
            + nearest(unknown[0], names)
        )
    random = np.random.default_rng(options.seed)
    found = np.array(
        [
            _importance_in_fold(dataset, split, trainer, options, random)
            for split in split_dataset(dataset, options.k_fold())
        ]
    )
    clusters = correlation_clusters(rank_correlation(dataset.features), options.max_correlation)
    return _chosen(names, clusters, found, options)


def _importance_in_fold(
    dataset: Dataset,
    split: Split,
    trainer: Trainer,
    options: SelectionOptions,
    random: np.random.Generator,
) -> PerRow:
    """float64 (features,): rise of the log loss by permuting; NaN where a cluster's other stands."""
    learned, judged = dataset.take(split.train), dataset.take(split.test)
    clusters = correlation_clusters(rank_correlation(learned.features), options.max_correlation)
    standing = _standing(learned, clusters)
    chosen = [dataset.feature_names[k] for k in standing]
    predictor = trainer.fit(learned.columns(chosen)).predictor
    found = np.full(len(dataset.feature_names), np.nan)
    found[standing] = 0.0
    rises = permutation_importance(predictor, judged, options.repeats, random)
    for name, rise in rises.items():
        found[dataset.feature_names.index(name)] = rise
    return found


def _standing(dataset: Dataset, clusters: Index) -> list[int]:
    """Per cluster the feature that goes most with the label; ascending."""
    from scipy.stats import rankdata

    with_label = rank_correlation(np.column_stack((dataset.features, rankdata(dataset.labels))))[
        :-1, -1
    ]
    strength = np.abs(with_label)
    members = [np.flatnonzero(clusters == each) for each in np.unique(clusters)]
    return sorted(int(group[strength[group].argmax()]) for group in members)


def permutation_importance(
    predictor: Predictor, dataset: Dataset, repeats: int, random: np.random.Generator
) -> dict[str, float]:
    """Feature read -> mean rise of the weighted log loss when its values change rows at random."""
    rows = rows_for(predictor, dataset)
    positions = np.searchsorted(dataset.classes, dataset.labels)
    before = _log_loss(predictor, rows, positions, dataset.weights)
    found = {}
    for k, name in enumerate(predictor.feature_names):
        losses = []
        for _ in range(repeats):
            changed = rows.copy()
            changed[:, k] = changed[random.permutation(len(rows)), k]
            losses.append(_log_loss(predictor, changed, positions, dataset.weights))
        found[name] = float(np.mean(losses)) - before
    return found


def _log_loss(
    predictor: Predictor, rows: PerBarFeature, positions: Index, weights: PerRow
) -> float:
    given = predictor.predict_proba(rows)[np.arange(len(rows)), positions]
    logs = np.log(np.clip(given, np.finfo(np.float64).eps, 1.0))
    return float(-np.average(logs, weights=weights if weights.sum() > 0 else None))


def _chosen(
    names: Sequence[str],
    clusters: Index,
    found: PerBarFeature,
    options: SelectionOptions,
) -> Selection:
    stability = (found > 0).mean(axis=0)
    together = np.array([(found[:, clusters == each] > 0).any(axis=1).mean() for each in clusters])
    is_measured = np.isfinite(found)
    counts = is_measured.sum(axis=0)
    sums = np.where(is_measured, found, 0.0).sum(axis=0)
    mean = np.where(counts > 0, sums / np.maximum(counts, 1), -np.inf)
    off = np.where(is_measured, (found - mean) ** 2, 0.0).sum(axis=0)
    deviation = np.sqrt(off / np.maximum(counts, 1))
    order = sorted(range(len(names)), key=lambda k: (-stability[k], -mean[k], k))
    best = {int(clusters[k]): k for k in reversed(order)}
    wanted = [k for k in order if best[int(clusters[k])] == k]
    kept = [k for k in wanted if together[k] >= options.minimum_stability and mean[k] > 0]
    kept = (kept or order[:1])[: options.most_features]
    kept_names = {names[k] for k in kept} | set(options.always_keep)
    evidence = {
        name: FeatureEvidence(
            importance=float(mean[k]) if counts[k] else None,
            deviation=float(deviation[k]) if counts[k] else None,
            stability=float(stability[k]),
            cluster=int(clusters[k]),
            cluster_stability=float(together[k]),
            is_kept=name in kept_names,
        )
        for k, name in enumerate(names)
    }
    return Selection(tuple(name for name in names if name in kept_names), evidence)
