"""What every trainer takes and gives: `Trainer`, `TrainedModel`, and the checks they share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from crypto_bot.core import ModelCard, Predictor
from crypto_bot.core.arrays import Index, PerBarFeature, PerRow, PerRowClass
from crypto_bot.core.errors import DataError, ModelError
from crypto_bot.dataset import Dataset
from crypto_bot.predictors import load_predictor

_COMPARED_ROWS = 512


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A fitted model, as it will be shipped.

    Attributes
    ----------
    predictor : Predictor           rebuilt from `files`: what is tested is what is published; it may
                                    read fewer features than the dataset has
    files : file name -> content    byte-identical for the same data, options and libraries
    importance : name -> share      of the total gain (LightGBM), impurity decrease (forest) or size
                                    of the weights of scaled inputs (logistic, LSTM); sums to 1
    model_type : str                how `load_predictor` reads the files
    options : dict                  training options as used
    device : str                    where it was trained; says so when another device was asked for
    seconds : float                 wall time of the fit
    seed : int
    evidence : dict                 what the fit found out on its way, JSON-ready: rounds used, features
                                    chosen and why; empty where there is nothing to tell
    thresholds : dict               what the card must carry so that decisions can be made with the
                                    model, such as its abstain band
    members : tuple of TrainedModel     the models it is made of; empty for a plain one
    """

    predictor: Predictor
    files: dict[str, bytes]
    importance: dict[str, float]
    model_type: str
    options: dict[str, Any]
    device: str
    seconds: float
    seed: int
    evidence: dict[str, Any] = field(default_factory=dict)
    thresholds: dict[str, float] = field(default_factory=dict)
    members: tuple[TrainedModel, ...] = ()


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
    """DataError if the rows that weigh anything are of one class only, or a weight is no number."""
    weights = dataset.weights
    wrong = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
    if wrong.size:
        raise DataError(
            f"weights must be finite and >= 0, was {weights[wrong[0]]} at row {wrong[0]} "
            f"({wrong.size} rows)"
        )
    labels = dataset.labels[weights > 0]
    if (labels == labels[:1]).all():
        raise DataError(
            f"labels must be of at least two classes to train on, were {dataset.class_counts()}"
        )


def uneven_weights(dataset: Dataset) -> PerRow | None:
    """float64 (rows,), or None where every row weighs 1: libraries then take their plain path."""
    return None if bool((dataset.weights == 1.0).all()) else dataset.weights


def row_weights(dataset: Dataset, *, is_balanced: bool) -> PerRow | None:
    """The rows' weights, times those of their classes if balanced; None where all are 1.

    Balanced classes each weigh total / present classes in sum, so doubling a row's weight is
    giving it twice.
    """
    if not is_balanced:
        return uneven_weights(dataset)
    positions = np.searchsorted(dataset.classes, dataset.labels).astype(np.int64)
    return dataset.weights * balanced_weights(positions, len(dataset.classes), dataset.weights)


def balanced_weights(positions: Index, classes: int, weights: PerRow | None = None) -> PerRow:
    """float64 (rows,): total weight / (present classes x weight of the class)."""
    sums = np.bincount(positions, weights=weights, minlength=classes).astype(np.float64)
    present = sums > 0
    of_class = np.zeros(classes)
    of_class[present] = sums.sum() / (np.count_nonzero(present) * sums[present])
    return of_class[positions]


def shares(names: Iterable[str], gains: npt.NDArray[np.float64]) -> dict[str, float]:
    """Name -> share of the total gain; zeros if nothing was gained."""
    total = float(gains.sum())
    return {
        name: float(gain) / total if total > 0 else 0.0
        for name, gain in zip(names, gains, strict=True)
    }


def rebuilt_predictor(model_type: str, dataset: Dataset, files: Mapping[str, bytes]) -> Predictor:
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
    return load_predictor(card, files)


def sample_rows(dataset: Dataset) -> PerBarFeature:
    """Up to 512 rows spread over the dataset, on which the export is compared with the library."""
    rows = np.linspace(0, len(dataset) - 1, min(_COMPARED_ROWS, len(dataset)), dtype=np.int64)
    return np.ascontiguousarray(dataset.features[rows])


def check_export(
    predictor: Predictor,
    features: PerBarFeature,
    library: PerRowClass,
    *,
    tolerance: float | PerRowClass = 0.0,
) -> None:
    """ModelError unless the exported files predict the library's probabilities.

    Bit for bit, unless the library's own sums depend on the rows asked together: then within
    `tolerance`, a bound of their rounding.
    """
    exported = predictor.predict_proba(features)
    wrong = ~(np.abs(exported - library) <= tolerance)
    if wrong.any():
        worst = float(np.abs(exported - library).max())
        raise ModelError(
            f"exported model must predict what the library does, differed by {worst} on "
            f"{np.count_nonzero(wrong.any(axis=1))} of {len(features)} rows"
        )
