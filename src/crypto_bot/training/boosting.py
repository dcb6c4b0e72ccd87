"""LightGBM with the trainer guide's defaults, through its native API, exported as its text."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from crypto_bot.core import Options
from crypto_bot.core.arrays import PerBarFeature
from crypto_bot.core.errors import ConfigError, ModelError, nearest
from crypto_bot.dataset import Dataset
from crypto_bot.predictors import LIGHTGBM, LIGHTGBM_FILE, seal_text
from crypto_bot.splits import DEFAULT_EMBARGO_BARS, split_holdout
from crypto_bot.training.devices import CPU, Device, cpu_instead, usable_device
from crypto_bot.training.trainers import (
    TrainedModel,
    check_export,
    rebuilt_predictor,
    require_two_classes,
    row_weights,
    sample_rows,
    shares,
)

if TYPE_CHECKING:
    from lightgbm import Booster
    from lightgbm import Dataset as LibraryDataset

_NOT_THEIRS = {
    "n_estimators",
    "n_jobs",
    "class_weight",
    "subsample",
    "device_type",
    "monotone_constraints",
    "early_stopping_rounds",
    "early_stopping_frac",
    "early_stopping_embargo_bars",
}
"""Options that reach LightGBM under another name or not as a setting."""


class LightGBMOptions(Options):
    """Options of `LightGBMTrainer`; the defaults are the trainer guide's."""

    n_estimators: int = Field(default=400, ge=1, le=100_000, description="boosting rounds")
    learning_rate: float = Field(default=0.05, gt=0, le=1, description="shrinkage a round")
    num_leaves: int = Field(default=63, ge=2, le=131_072, description="leaves a tree has at most")
    max_bin: int = Field(default=63, ge=2, le=65_535, description="histogram bins a feature")
    max_depth: int = Field(default=-1, ge=-1, description="deepest split; -1 is no limit")
    min_data_in_leaf: int = Field(default=20, ge=1, description="rows a leaf keeps at least")
    subsample: float = Field(default=1.0, gt=0, le=1, description="fraction of rows a round")
    colsample_bytree: float = Field(default=1.0, gt=0, le=1, description="fraction of features")
    lambda_l1: float = Field(default=0.0, ge=0, description="L1 penalty of leaf values")
    lambda_l2: float = Field(default=0.0, ge=0, description="L2 penalty of leaf values")
    monotone_constraints: dict[str, Literal[-1, 0, 1]] = Field(
        default={},
        description="feature -> +1: more of it never lowers the chance of the upper of two classes, "
        "-1: never raises it; others are free",
    )
    early_stopping_rounds: int = Field(
        default=0,
        ge=0,
        description="rounds without a better log loss on the last training rows after which to "
        "stop; 0 is never",
    )
    early_stopping_frac: float = Field(
        default=0.15,
        gt=0,
        lt=1,
        description="share of the training rows, the last by time, to judge",
    )
    early_stopping_embargo_bars: int = Field(
        default=DEFAULT_EMBARGO_BARS,
        ge=0,
        description="bars left out before those rows, on top of the purge by label end",
    )
    class_weight: Literal["balanced"] | None = Field(
        default="balanced", description="'balanced' weighs classes inversely to their frequency"
    )
    seed: int = Field(default=42, ge=0, lt=2**31, description="seed of everything random")
    device_type: Device = Field(
        default=CPU, description="cpu, gpu (OpenCL) or cuda; falls back to cpu and says so"
    )
    gpu_platform_id: int = Field(
        default=-1, ge=-1, description="OpenCL platform; -1 is its default"
    )
    gpu_device_id: int = Field(default=-1, ge=-1, description="OpenCL device; -1 is its default")
    gpu_use_dp: bool = Field(default=False, description="double precision on the GPU")
    n_jobs: int = Field(default=0, ge=0, description="threads; 0 is all cores")


class LightGBMTrainer:
    """Gradient boosted trees: binary for two classes, multiclass for more."""

    def __init__(self, options: LightGBMOptions | None = None) -> None:
        self.options = LightGBMOptions() if options is None else options

    @property
    def name(self) -> str:
        """Such as 'lightgbm (400 rounds)'."""
        return f"{LIGHTGBM} ({self.options.n_estimators} rounds)"

    def fit(self, dataset: Dataset) -> TrainedModel:
        """Train, export and check that the export predicts what LightGBM does.

        The same rows, options and library give byte-identical files on the CPU. A device that
        cannot be used is replaced by the CPU with one warning, and `device` says so.

        With early stopping the last rows by time, purged by label end and embargoed from the rest,
        say how many rounds are enough; the model is then trained on all rows with that many, which
        `evidence` tells. The rows judged on teach the number of rounds and then the model, so their
        score is no evidence of skill.

        Raises
        ------
        DataError      if the rows are of one class, or too few to stop early on
        ConfigError    if a constraint names no feature of the rows, or there are over two classes
        """
        require_two_classes(dataset)
        check_constraints(dataset, self.options)
        start = time.perf_counter()
        evidence = rounds_found(dataset, self.options)
        booster, device = _train_somewhere(dataset, self.options, rounds=evidence["rounds"])
        seconds = time.perf_counter() - start
        files = {LIGHTGBM_FILE: seal_text(booster.model_to_string())}
        predictor = rebuilt_predictor(LIGHTGBM, dataset, files)
        sample = sample_rows(dataset)
        check_export(predictor, sample, booster_probabilities(booster, sample))
        gains = np.asarray(booster.feature_importance("gain"), dtype=np.float64)
        return TrainedModel(
            predictor=predictor,
            files=files,
            importance=shares(dataset.feature_names, gains),
            model_type=LIGHTGBM,
            options=self.options.model_dump(),
            device=device,
            seconds=seconds,
            seed=self.options.seed,
            evidence=evidence,
        )


def check_constraints(dataset: Dataset, options: LightGBMOptions) -> None:
    """ConfigError unless monotone_constraints name features of the rows, of two classes."""
    constrained = options.monotone_constraints
    unknown = [name for name in constrained if name not in dataset.feature_names]
    if unknown:
        raise ConfigError(
            f"monotone_constraints must name features of the rows, was {', '.join(unknown)}"
            + nearest(unknown[0], dataset.feature_names)
        )
    if any(constrained.values()) and len(dataset.classes) > 2:
        raise ConfigError(
            f"monotone_constraints must be for two classes, was for {len(dataset.classes)}: "
            "a constrained sum does not make a class's share of all sums monotone"
        )


def rounds_found(dataset: Dataset, options: LightGBMOptions) -> dict[str, Any]:
    """The rounds to train, and how they were found: `n_estimators` unless stopped early.

    The returned `learned_rows` and `judged_rows` are those of the search for the number alone.
    """
    if not options.early_stopping_rounds:
        return {"rounds": options.n_estimators, "stopped_early": False}
    learned, start_ns = split_holdout(
        dataset, options.early_stopping_frac, embargo_bars=options.early_stopping_embargo_bars
    )
    require_two_classes(learned)
    judged = dataset.take(dataset.decided_at_ns >= start_ns)
    booster, _ = _train_somewhere(learned, options, judged=judged)
    return {
        "rounds": booster.best_iteration,
        "stopped_early": booster.best_iteration < options.n_estimators,
        "learned_rows": len(learned),
        "judged_rows": len(judged),
    }


def booster_probabilities(booster: Booster, features: PerBarFeature) -> npt.NDArray[np.float64]:
    """LightGBM's probabilities as (rows, classes), also for its one-column binary answer."""
    found = np.asarray(booster.predict(features), dtype=np.float64)
    return np.column_stack((1.0 - found, found)) if found.ndim == 1 else found


def _train_somewhere(
    dataset: Dataset,
    options: LightGBMOptions,
    *,
    rounds: int | None = None,
    judged: Dataset | None = None,
) -> tuple[Booster, str]:
    """The booster and where it was trained: on the CPU if the device asked for gives up."""
    import lightgbm

    rounds = options.n_estimators if rounds is None else rounds
    device, note = usable_device(
        options.device_type, options.gpu_platform_id, options.gpu_device_id
    )
    try:
        return _train(dataset, options, device, rounds, judged), note
    except lightgbm.basic.LightGBMError as error:
        if device == CPU:
            raise ModelError(
                f"LightGBM must accept the rows and options, did not: {error}"
            ) from error
        return _train(dataset, options, CPU, rounds, judged), cpu_instead(device, error)


def _train(
    dataset: Dataset,
    options: LightGBMOptions,
    device: Device,
    rounds: int,
    judged: Dataset | None,
) -> Booster:
    import lightgbm

    settings = _settings(dataset, options, device)
    rows = _library_rows(dataset, options, settings)
    if judged is None:
        return lightgbm.train(settings, rows, num_boost_round=rounds)
    stop = lightgbm.early_stopping(options.early_stopping_rounds, verbose=False)
    watched = _library_rows(judged, options, settings, reference=rows)
    return lightgbm.train(
        settings, rows, num_boost_round=rounds, valid_sets=[watched], callbacks=[stop]
    )


def _library_rows(
    dataset: Dataset,
    options: LightGBMOptions,
    settings: dict[str, Any],
    reference: LibraryDataset | None = None,
) -> LibraryDataset:
    import lightgbm

    return lightgbm.Dataset(
        dataset.features,
        label=np.searchsorted(dataset.classes, dataset.labels),
        weight=row_weights(dataset, is_balanced=options.class_weight == "balanced"),
        feature_name=list(dataset.feature_names),
        params=settings,
        reference=reference,
        free_raw_data=True,
    )


def _settings(dataset: Dataset, options: LightGBMOptions, device: Device) -> dict[str, Any]:
    settings = options.model_dump(
        exclude=_NOT_THEIRS
        | ({"gpu_platform_id", "gpu_device_id", "gpu_use_dp"} if device == CPU else set())
    )
    classes = len(dataset.classes)
    settings |= {
        "objective": "binary" if classes == 2 else "multiclass",
        "num_threads": options.n_jobs,
        "bagging_fraction": options.subsample,
        "bagging_freq": 1 if options.subsample < 1 else 0,
        "device_type": device,
        "verbosity": -1,
    }
    if any(options.monotone_constraints.values()):
        given = options.monotone_constraints
        settings["monotone_constraints"] = [given.get(name, 0) for name in dataset.feature_names]
    if classes > 2:
        settings["num_class"] = classes
    if device == CPU:
        settings |= {"deterministic": True, "force_row_wise": True}
    return settings
