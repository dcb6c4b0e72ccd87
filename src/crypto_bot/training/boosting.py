"""LightGBM with the trainer guide's defaults, through its native API, exported as its text."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from crypto_bot.core import Options
from crypto_bot.core.arrays import Index, PerBarFeature
from crypto_bot.core.errors import ModelError
from crypto_bot.dataset import Dataset
from crypto_bot.predictors import LIGHTGBM, LIGHTGBM_FILE, seal_text
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
    lambda_l2: float = Field(default=0.0, ge=0, description="L2 penalty of leaf values")
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
        cannot be used is replaced by the CPU with one warning, and `device` says so. Raises
        DataError if the rows are of one class.
        """
        require_two_classes(dataset)
        positions = np.searchsorted(dataset.classes, dataset.labels).astype(np.int64)
        start = time.perf_counter()
        booster, device = _train_somewhere(dataset, positions, self.options)
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
        )


def booster_probabilities(booster: Booster, features: PerBarFeature) -> npt.NDArray[np.float64]:
    """LightGBM's probabilities as (rows, classes), also for its one-column binary answer."""
    found = np.asarray(booster.predict(features), dtype=np.float64)
    return np.column_stack((1.0 - found, found)) if found.ndim == 1 else found


def _train_somewhere(
    dataset: Dataset, positions: Index, options: LightGBMOptions
) -> tuple[Booster, str]:
    """The booster and where it was trained: on the CPU if the device asked for gives up."""
    import lightgbm

    device, note = usable_device(
        options.device_type, options.gpu_platform_id, options.gpu_device_id
    )
    try:
        return _train(dataset, positions, options, device), note
    except lightgbm.basic.LightGBMError as error:
        if device == CPU:
            raise ModelError(
                f"LightGBM must accept the rows and options, did not: {error}"
            ) from error
        return _train(dataset, positions, options, CPU), cpu_instead(device, error)


def _train(dataset: Dataset, positions: Index, options: LightGBMOptions, device: Device) -> Booster:
    import lightgbm

    settings = _settings(options, len(dataset.classes), device)
    rows = lightgbm.Dataset(
        dataset.features,
        label=positions,
        weight=row_weights(dataset, is_balanced=options.class_weight == "balanced"),
        feature_name=list(dataset.feature_names),
        params=settings,
        free_raw_data=True,
    )
    return lightgbm.train(settings, rows, num_boost_round=options.n_estimators)


def _settings(options: LightGBMOptions, classes: int, device: Device) -> dict[str, Any]:
    settings = options.model_dump(
        exclude={"n_estimators", "n_jobs", "class_weight", "subsample", "device_type"}
        | ({"gpu_platform_id", "gpu_device_id", "gpu_use_dp"} if device == CPU else set())
    )
    settings |= {
        "objective": "binary" if classes == 2 else "multiclass",
        "num_threads": options.n_jobs,
        "bagging_fraction": options.subsample,
        "bagging_freq": 1 if options.subsample < 1 else 0,
        "device_type": device,
        "verbosity": -1,
    }
    if classes > 2:
        settings["num_class"] = classes
    if device == CPU:
        settings |= {"deterministic": True, "force_row_wise": True}
    return settings
