"""Probabilities corrected to what came true, learned on purged folds of the training rows."""

from __future__ import annotations

import time
from typing import Any, Literal

import numpy as np
from pydantic import Field

from crypto_bot.core.arrays import Index, PerRow, PerRowClass
from crypto_bot.dataset import Dataset
from crypto_bot.predictors import (
    CALIBRATED,
    CALIBRATION_FILE,
    Calibration,
    Member,
    calibrate,
    prefixed,
    write_calibration,
)
from crypto_bot.splits import split_dataset
from crypto_bot.training.calibration_fits import fit_calibration
from crypto_bot.training.conformal import band_thresholds, conformal_thresholds
from crypto_bot.training.out_of_fold import InnerFolds, out_of_fold
from crypto_bot.training.trainers import (
    TrainedModel,
    Trainer,
    rebuilt_predictor,
    require_two_classes,
)


class CalibrationOptions(InnerFolds):
    """How probabilities are corrected, and whether a band to abstain in is learned."""

    method: Literal["sigmoid", "isotonic", "temperature"] = Field(
        default="sigmoid",
        description="sigmoid: two numbers a class; isotonic: any rising curve, wants thousands of "
        "rows; temperature: one number, keeps the order of classes",
    )
    coverage: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="share of rows of each class whose conformal set shall hold it; rows whose set is "
        "not one side are not traded; None: no band",
    )


class CalibratedTrainer:
    """Another trainer's model with corrected probabilities.

    The correction is fitted on predictions of the training rows by models that did not learn from
    them (purged folds); the model that ships is then trained on all rows.
    """

    def __init__(self, inner: Trainer, options: CalibrationOptions | None = None) -> None:
        self.inner = inner
        self.options = CalibrationOptions() if options is None else options

    @property
    def name(self) -> str:
        """Such as 'lightgbm (400 rounds), sigmoid'."""
        return f"{self.inner.name}, {self.options.method}"

    def fit(self, dataset: Dataset) -> TrainedModel:
        """Predict out of fold, fit the correction, train on all rows.

        `evidence` tells the log loss before and after on rows the correction did not see. Raises
        DataError if the rows are of one class or too few for the folds.
        """
        require_two_classes(dataset)
        start = time.perf_counter()
        unseen = out_of_fold(dataset, self.inner, self.options)
        positions = np.searchsorted(dataset.classes, dataset.labels).astype(np.int64)
        calibration = fit_calibration(self.options.method, unseen, positions, dataset.weights)
        corrected = self._cross_corrected(dataset, unseen, positions)
        inner = self.inner.fit(dataset)
        member = Member(inner.model_type, inner.predictor.feature_names)
        files = {
            CALIBRATION_FILE: write_calibration(calibration, member, dataset.classes),
            **prefixed(0, inner.files),
        }
        return TrainedModel(
            predictor=rebuilt_predictor(CALIBRATED, dataset.columns(member.feature_names), files),
            files=files,
            importance=inner.importance,
            model_type=CALIBRATED,
            options={**self.options.model_dump(), "model": [inner.model_type, inner.options]},
            device=inner.device,
            seconds=time.perf_counter() - start,
            seed=inner.seed,
            evidence=_evidence(calibration, unseen, corrected, positions, inner),
            thresholds={**inner.thresholds, **self._band(dataset, corrected)},
            members=(inner,),
        )

    def _cross_corrected(
        self, dataset: Dataset, unseen: PerRowClass, positions: Index
    ) -> PerRowClass:
        """Each fold corrected by what the others' purged rows teach: unseen in both steps."""
        found = np.full_like(unseen, np.nan)
        for split in split_dataset(dataset, self.options.k_fold()):
            rows = split.train
            calibration = fit_calibration(
                self.options.method, unseen[rows], positions[rows], dataset.weights[rows]
            )
            found[split.test] = calibrate(calibration, unseen[split.test])
        return found

    def _band(self, dataset: Dataset, corrected: PerRowClass) -> dict[str, float]:
        if self.options.coverage is None:
            return {}
        return band_thresholds(
            conformal_thresholds(dataset.labels, corrected, dataset.classes, self.options.coverage)
        )


def _evidence(
    calibration: Calibration,
    unseen: PerRowClass,
    corrected: PerRowClass,
    positions: Index,
    inner: TrainedModel,
) -> dict[str, Any]:
    return {
        "rows": len(positions),
        "log_loss_before": _log_loss(unseen, positions),
        "log_loss_after": _log_loss(corrected, positions),
        "slopes": calibration.slopes.tolist(),
        "model": inner.evidence,
    }


def _log_loss(probabilities: PerRowClass, positions: Index) -> float:
    given: PerRow = probabilities[np.arange(len(positions)), positions]
    return float(-np.log(np.clip(given, np.finfo(np.float64).eps, 1.0)).mean())
