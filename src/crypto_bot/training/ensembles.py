"""Several trainers as one: an average of their models, or a last model that learned to read them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from crypto_bot.core.errors import ConfigError
from crypto_bot.dataset import Dataset
from crypto_bot.predictors import (
    ENSEMBLE_FILE,
    FINAL,
    SOFT_VOTE,
    STACKED,
    Member,
    prefixed,
    stack_names,
    stacked,
    write_ensemble,
)
from crypto_bot.training.logistic import LogisticOptions, LogisticTrainer
from crypto_bot.training.out_of_fold import InnerFolds, out_of_fold
from crypto_bot.training.trainers import (
    TrainedModel,
    Trainer,
    rebuilt_predictor,
    require_two_classes,
)


class SoftVoteTrainer:
    """The weighted mean of several trainers' probabilities, each trained on the same rows."""

    def __init__(self, trainers: Sequence[Trainer], weights: Sequence[float] | None = None) -> None:
        self.trainers = _some(trainers)
        self.weights = tuple(1.0 for _ in trainers) if weights is None else tuple(weights)
        is_sound = len(self.weights) == len(trainers) and min(self.weights) >= 0.0
        if not is_sound or not np.isfinite(self.weights).all() or not sum(self.weights) > 0:
            raise ConfigError(
                f"weights must be one >= 0 for each of {len(trainers)} trainers, some > 0, "
                f"were {self.weights}"
            )

    @property
    def name(self) -> str:
        """Such as 'mean of logistic (...) and lightgbm (...)'."""
        return "mean of " + " and ".join(each.name for each in self.trainers)

    def fit(self, dataset: Dataset) -> TrainedModel:
        """Train every member on all rows."""
        require_two_classes(dataset)
        start = time.perf_counter()
        members = [each.fit(dataset) for each in self.trainers]
        weights = np.array(self.weights)
        return _together(
            dataset, SOFT_VOTE, members, weights, {"weights": list(self.weights)}, {}, start
        )


class StackedTrainer:
    """A last model learns from the members' predictions of rows they did not learn from.

    Its rows are purged out-of-fold predictions of the training rows; the members that ship are then
    trained on all of them.
    """

    def __init__(
        self,
        trainers: Sequence[Trainer],
        final: Trainer | None = None,
        options: InnerFolds | None = None,
    ) -> None:
        self.trainers = _some(trainers)
        self.final = LogisticTrainer(LogisticOptions(l1_ratio=0)) if final is None else final
        self.options = InnerFolds() if options is None else options

    @property
    def name(self) -> str:
        """Such as 'logistic (...) on logistic (...) and lightgbm (...)'."""
        return f"{self.final.name} on " + " and ".join(each.name for each in self.trainers)

    def fit(self, dataset: Dataset) -> TrainedModel:
        """Predict out of fold by each member, train the last model on that, then the members on all."""
        require_two_classes(dataset)
        start = time.perf_counter()
        answers = [out_of_fold(dataset, each, self.options) for each in self.trainers]
        names = stack_names(len(self.trainers), dataset.classes)
        final = self.final.fit(replace(dataset, features=stacked(answers), feature_names=names))
        members = [each.fit(dataset) for each in self.trainers]
        shares = np.array([_share(final, names, k) for k in range(len(members))])
        evidence = {"reads": dict(final.importance), "final": final.evidence}
        return _together(
            dataset,
            STACKED,
            [*members, final],
            shares,
            {**self.options.model_dump(), "final": [final.model_type, final.options]},
            evidence,
            start,
        )


def _some(trainers: Sequence[Trainer]) -> tuple[Trainer, ...]:
    if len(trainers) < 1:
        raise ConfigError("trainers must be at least one, was none")
    return tuple(trainers)


def _share(final: TrainedModel, names: Sequence[str], member: int) -> float:
    """How much the last model makes of one member."""
    return sum(
        final.importance.get(name, 0.0) for name in names if name.startswith(f"member {member} ")
    )


def _together(
    dataset: Dataset,
    model_type: str,
    parts: Sequence[TrainedModel],
    weights: np.ndarray[Any, np.dtype[np.float64]],
    options: dict[str, Any],
    evidence: dict[str, Any],
    start: float,
) -> TrainedModel:
    """One model of its parts; a stack's last part is its final model."""
    members = list(parts[:-1]) if model_type == STACKED else list(parts)
    read = {name for each in members for name in each.predictor.feature_names}
    names = tuple(name for name in dataset.feature_names if name in read)
    described = [Member(each.model_type, each.predictor.feature_names) for each in parts]
    files = {ENSEMBLE_FILE: write_ensemble(described, weights, names, dataset.classes)}
    for k, part in enumerate(parts):
        files |= prefixed(k if k < len(members) else FINAL, part.files)
    return TrainedModel(
        predictor=rebuilt_predictor(model_type, dataset.columns(names), files),
        files=files,
        importance=_importance(names, members, weights),
        model_type=model_type,
        options={**options, "models": [[each.model_type, each.options] for each in members]},
        device=", ".join(dict.fromkeys(each.device for each in parts)),
        seconds=time.perf_counter() - start,
        seed=parts[0].seed,
        evidence={**evidence, "models": [each.evidence for each in members]},
        members=tuple(parts),
    )


def _importance(
    names: Sequence[str],
    members: Sequence[TrainedModel],
    weights: np.ndarray[Any, np.dtype[np.float64]],
) -> dict[str, float]:
    """Members' shares by the weight of each; even weights where the last model reads none."""
    total = float(weights.sum())
    shares = weights / total if total > 0 else np.full(len(members), 1.0 / len(members))
    found = {
        name: sum(
            float(share) * each.importance.get(name, 0.0)
            for share, each in zip(shares, members, strict=True)
        )
        for name in names
    }
    whole = sum(found.values())
    return {name: value / whole if whole > 0 else 0.0 for name, value in found.items()}
