"""`TreePredictor`: a checked ensemble behind the `Predictor` port, and `load_predictor`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from crypto_bot.core import ModelCard, Predictor
from crypto_bot.core.arrays import PerBarFeature, PerRow, PerRowClass
from crypto_bot.core.errors import ModelError, nearest
from crypto_bot.predictors.forest_file import FOREST_FILE, read_forest
from crypto_bot.predictors.lightgbm_text import LIGHTGBM_FILE, read_lightgbm
from crypto_bot.predictors.lstm_file import LSTM_FILE, NETWORK_FILE, read_lstm
from crypto_bot.predictors.onnx_session import OnnxPredictor
from crypto_bot.predictors.trees import (
    MISSING_ZERO,
    TreeEnsemble,
    check_ensemble,
    walk_rows,
)

_ROWS_A_THREAD = 4096
LIGHTGBM, LSTM, RANDOM_FOREST = "lightgbm", "lstm", "random_forest"
"""Values of `ModelCard.model_type`."""


class Scaler(NamedTuple):
    """`(x - mean) / scale` per feature, float64 (features,)."""

    mean: PerRow
    scale: PerRow


class TreePredictor:
    """Probabilities of a tree ensemble, bit for bit those of the library that trained it.

    Parameters
    ----------
    ensemble : TreeEnsemble
    feature_names : ordered schema of the columns
    classes : label of each probability column, ascending

    Raises
    ------
    ModelError    if the arrays are not a sound ensemble for this schema

    Notes
    -----
    A row with a NaN or infinite feature gives a row of NaN: a model never guesses from a value it
    could not have been trained on. `probabilities_as_library` follows the library there instead.
    """

    def __init__(
        self, ensemble: TreeEnsemble, feature_names: Sequence[str], classes: Sequence[int]
    ) -> None:
        self._feature_names = tuple(feature_names)
        self._classes = tuple(int(label) for label in classes)
        _check_schema(self._feature_names, self._classes, ensemble)
        check_ensemble(ensemble, len(self._feature_names))
        self._ensemble = ensemble
        self._has_zero_rule = bool((ensemble.missing & MISSING_ZERO).any())

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Ordered feature schema."""
        return self._feature_names

    @property
    def classes(self) -> tuple[int, ...]:
        """Label of each probability column."""
        return self._classes

    @property
    def ensemble(self) -> TreeEnsemble:
        """The arrays, for compiled callers and for saving."""
        return self._ensemble

    @property
    def scaler(self) -> Scaler | None:
        """The scaler applied before the trees, or None."""
        has_scaler = len(self._ensemble.mean) > 0
        return Scaler(self._ensemble.mean, self._ensemble.scale) if has_scaler else None

    def predict_proba(self, features: PerBarFeature) -> PerRowClass:
        """float64 (rows, classes) from float64 (rows, features); NaN where a feature is not finite.

        Long inputs are cut over the available cores; rows never depend on each other.
        """
        return self._walk(features, refuses_missing=True)

    def predict_one(self, values: PerRow) -> PerRow:
        """float64 (classes,) of one row of float64 (features,); the quick path of a live bar."""
        if values.shape != (len(self._feature_names),) or values.dtype != np.float64:
            raise _wrong_shape("values", values, f"({len(self._feature_names)},)")
        out = np.empty(len(self._classes))
        walk_rows(
            self._ensemble, values.reshape(1, -1), out.reshape(1, -1), self._has_zero_rule, True
        )
        return out

    def probabilities_as_library(self, features: PerBarFeature) -> PerRowClass:
        """As `predict_proba`, but missing values follow the training library's own rules."""
        return self._walk(features, refuses_missing=False)

    def _walk(self, features: PerBarFeature, *, refuses_missing: bool) -> PerRowClass:
        matrix = np.ascontiguousarray(features, dtype=np.float64)
        if matrix.ndim != 2 or matrix.shape[1] != len(self._feature_names):
            raise _wrong_shape("features", matrix, f"(rows, {len(self._feature_names)})")
        out = np.empty((len(matrix), len(self._classes)))
        threads = min(_available_cores(), -(-len(matrix) // _ROWS_A_THREAD))

        def walk(rows: slice) -> None:
            walk_rows(self._ensemble, matrix[rows], out[rows], self._has_zero_rule, refuses_missing)

        if threads <= 1:
            walk(slice(None))
            return out
        edges = np.linspace(0, len(matrix), threads + 1, dtype=np.int64).tolist()
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(walk, map(slice, edges[:-1], edges[1:])))
        return out


def load_predictor(card: ModelCard, files: Mapping[str, bytes]) -> Predictor:
    """Rebuild the predictor of a version from its card and files; imports no training library.

    Parameters
    ----------
    card : ModelCard    `model_type` 'lightgbm' (file model.txt), 'random_forest' (forest.npz) or
                        'lstm' (lstm.onnx and network.json)
    files : file name -> content; other files are ignored

    Raises
    ------
    ModelError    if the file is missing, damaged, of an unsupported kind, or disagrees with the card
    """
    if card.model_type == LIGHTGBM:
        text = _file(files, LIGHTGBM_FILE)
        ensemble, names = read_lightgbm(text)
        predictor: Predictor = TreePredictor(ensemble, names, card.classes)
    elif card.model_type == RANDOM_FOREST:
        predictor = TreePredictor(*read_forest(_file(files, FOREST_FILE)))
    elif card.model_type == LSTM:
        contents = read_lstm(_file(files, LSTM_FILE), _file(files, NETWORK_FILE))
        predictor = OnnxPredictor(*contents)
    else:
        known = (LIGHTGBM, LSTM, RANDOM_FOREST)
        raise ModelError(
            f"card.model_type must be one of {', '.join(known)}, was {card.model_type!r}"
            + nearest(card.model_type, known)
        )
    _check_card(card, predictor)
    return predictor


def _file(files: Mapping[str, bytes], name: str) -> bytes:
    if name not in files:
        raise ModelError(f"model files must include {name}, were {sorted(files)}")
    return files[name]


def _check_card(card: ModelCard, predictor: Predictor) -> None:
    for name in ("feature_names", "classes"):
        wanted, found = getattr(card, name), getattr(predictor, name)
        if wanted != found:
            raise ModelError(f"card.{name} must equal the model file's {found}, was {wanted}")


def _check_schema(
    feature_names: tuple[str, ...], classes: tuple[int, ...], ensemble: TreeEnsemble
) -> None:
    if len(set(feature_names)) != len(feature_names):
        raise ModelError(f"feature_names must differ from each other, were {feature_names}")
    if list(classes) != sorted(set(classes)) or len(classes) != ensemble.classes:
        raise ModelError(f"classes must be {ensemble.classes} ascending labels, were {classes}")


def _wrong_shape(name: str, values: Any, wanted: str) -> ModelError:
    return ModelError(f"{name} must be float64 {wanted}, was {values.dtype} {values.shape}")


def _available_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
