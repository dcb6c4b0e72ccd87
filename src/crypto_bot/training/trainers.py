"""What every trainer takes and gives: `Trainer`, `TrainedModel`, and the checks they share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from crypto_bot.core import ModelCard, Predictor
from crypto_bot.core.arrays import PerBarFeature, PerRowClass
from crypto_bot.core.errors import DataError, ModelError
from crypto_bot.dataset import Dataset
from crypto_bot.predictors import TreePredictor, load_predictor

_COMPARED_ROWS = 512


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A fitted model, as it will be shipped.

    Attributes
    ----------
    predictor : Predictor           rebuilt from `files`: what is tested is what is published
    files : file name -> content    byte-identical for the same data, options and libraries
    importance : name -> share      of the total gain (LightGBM) or impurity decrease (forest); sums to 1
    model_type : str                such as 'lightgbm', 'random_forest' or 'lstm'
    options : dict                  training options as used
    device : str                    where it was trained; says so when another device was asked for
    seconds : float                 wall time of the fit
    seed : int
    """

    predictor: Predictor
    files: dict[str, bytes]
    importance: dict[str, float]
    model_type: str
    options: dict[str, Any]
    device: str
    seconds: float
    seed: int


class Trainer(Protocol):
    """Something that turns a dataset into a model; it sees only the rows given to `fit`."""

    @property
    def name(self) -> str:
        """Model type and the options that differ from the defaults, short enough for a table."""
        ...

    def fit(self, dataset: Dataset) -> TrainedModel:
        """Train on every row. DataError if the rows are of one class."""
        ...


def require_two_classes(dataset: Dataset) -> None:
    """DataError if the rows are of one class only: nothing could be told apart."""
    if len(np.unique(dataset.labels)) < 2:
        raise DataError(
            f"labels must be of at least two classes to train on, were {dataset.class_counts()}"
        )


def shares(names: Iterable[str], gains: npt.NDArray[np.float64]) -> dict[str, float]:
    """Name -> share of the total gain; zeros if nothing was gained."""
    total = float(gains.sum())
    return {
        name: float(gain) / total if total > 0 else 0.0
        for name, gain in zip(names, gains, strict=True)
    }


def rebuilt_predictor(
    model_type: str, dataset: Dataset, files: Mapping[str, bytes]
) -> TreePredictor:
    """The predictor of the exported files, by the same door the registry uses."""
    card = ModelCard(
        symbol="-",
        timeframe=dataset.timeframe,
        model_type=model_type,
        feature_names=dataset.feature_names,
        feature_settled_bars=0,
        classes=dataset.classes,
        label={},
        data_fingerprint=dataset.fingerprint,
        data_start="",
        data_end="",
        rows=len(dataset),
    )
    predictor = load_predictor(card, files)
    if not isinstance(predictor, TreePredictor):
        raise ModelError(f"{model_type} must load as trees, was {type(predictor).__name__}")
    return predictor


def sample_rows(dataset: Dataset) -> PerBarFeature:
    """Up to 512 rows spread over the dataset, on which the export is compared with the library."""
    rows = np.linspace(0, len(dataset) - 1, min(_COMPARED_ROWS, len(dataset)), dtype=np.int64)
    return np.ascontiguousarray(dataset.features[rows])


def check_export(predictor: TreePredictor, features: PerBarFeature, library: PerRowClass) -> None:
    """ModelError unless the exported files predict the library's probabilities bit for bit."""
    exported = predictor.predict_proba(features)
    if not np.array_equal(exported, library):
        worst = float(np.abs(exported - library).max())
        raise ModelError(
            f"exported model must predict what the library does, differed by {worst} on "
            f"{np.count_nonzero((exported != library).any(axis=1))} of {len(features)} rows"
        )
