"""One small model of every file format, ready to be published and then damaged."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from crypto_bot.core import ModelCard
from crypto_bot.features import sequence_features
from crypto_bot.predictors.calibration import CALIBRATION_FILE, Calibration, write_calibration
from crypto_bot.predictors.composite import Member, prefixed
from crypto_bot.predictors.ensemble import stack_names
from crypto_bot.predictors.ensemble_file import ENSEMBLE_FILE, write_ensemble
from crypto_bot.predictors.forest_file import FOREST_FILE
from crypto_bot.predictors.lightgbm_text import LIGHTGBM_FILE
from crypto_bot.predictors.linear import LinearModel
from crypto_bot.predictors.linear_file import LINEAR_FILE, write_linear
from crypto_bot.predictors.lstm_file import LstmNetwork, NetworkSchema, write_lstm
from predictors.library_models import NAMES, booster_text, forest_bytes, random_rows
from toy_model import toy_card

TWO, THREE = (0, 1), (0, 1, 2)
WINDOWS = sequence_features(("a", "b"), 3)


class Artifact(NamedTuple):
    """A card, its model files, and rows to ask it about."""

    card: ModelCard
    files: Mapping[str, bytes]
    rows: Any


def artifacts() -> dict[str, Artifact]:
    """Every kind; the recurrent one where its packages are installed."""
    text, forest, line = booster_text(rounds=3), forest_bytes(), linear(NAMES)
    found = {
        "lightgbm": of("lightgbm", {LIGHTGBM_FILE: text}),
        "lightgbm of three": of("lightgbm", {LIGHTGBM_FILE: booster_text(3, rounds=2)}, THREE),
        "forest": of("random_forest", {FOREST_FILE: forest}),
        "logistic": of("logistic", {LINEAR_FILE: line}),
        "sigmoid": calibrated("sigmoid", "lightgbm", {LIGHTGBM_FILE: text}),
        "isotonic": calibrated("isotonic", "logistic", {LINEAR_FILE: line}),
        "temperature": calibrated("temperature", "random_forest", {FOREST_FILE: forest}),
        "soft vote": soft_vote(text, line),
        "stacked": stacked(text, line),
    }
    if importlib.util.find_spec("onnxruntime") and importlib.util.find_spec("onnx"):
        found["lstm"] = lstm()
    return found


def of(
    kind: str, files: Mapping[str, bytes], classes: tuple[int, ...] = TWO, rows: Any = None
) -> Artifact:
    names = NAMES if rows is None else WINDOWS
    card = toy_card(model_type=kind, feature_names=names, classes=classes)
    return Artifact(card, dict(files), random_rows(2, 20) if rows is None else rows)


def linear(names: tuple[str, ...], seed: int = 0) -> bytes:
    rng = np.random.default_rng(seed)
    model = LinearModel(
        mean=rng.normal(size=len(names)),
        scale=rng.uniform(0.5, 2.0, size=len(names)),
        coefficients=rng.normal(size=(1, len(names))),
        intercepts=np.zeros(1),
        columns=np.array([0, 1]),
    )
    return write_linear(model, names, TWO)


def calibrated(method: str, kind: str, files: Mapping[str, bytes]) -> Artifact:
    none, number = np.empty(0), ("sigmoid", "isotonic", "temperature").index(method)
    points = np.array([0.1, 0.5, 0.9, 0.1, 0.5, 0.9])
    arrays = {
        "sigmoid": (np.full(2, 1.2), np.full(2, -0.1), none, none, np.empty(0, np.int64)),
        "isotonic": (none, none, points, points**2, np.array([0, 3, 6])),
        "temperature": (np.array([0.7]), none, none, none, np.empty(0, np.int64)),
    }[method]
    content = write_calibration(Calibration(number, *arrays), Member(kind, NAMES), TWO)
    return of("calibrated", {CALIBRATION_FILE: content, **prefixed(0, files)})


def soft_vote(text: bytes, line: bytes) -> Artifact:
    members = [Member("lightgbm", NAMES), Member("logistic", NAMES)]
    content = write_ensemble(members, np.array([1.0, 3.0]), NAMES, TWO)
    files = {**prefixed(0, {LIGHTGBM_FILE: text}), **prefixed(1, {LINEAR_FILE: line})}
    return of("soft_vote", {ENSEMBLE_FILE: content, **files})


def stacked(text: bytes, line: bytes) -> Artifact:
    names = stack_names(2, TWO)
    members = [Member("lightgbm", NAMES), Member("logistic", NAMES), Member("logistic", names)]
    content = write_ensemble(members, np.empty(0), NAMES, TWO)
    files = {**prefixed(0, {LIGHTGBM_FILE: text}), **prefixed(1, {LINEAR_FILE: line})}
    final = prefixed("final", {LINEAR_FILE: linear(names, 1)})
    return of("stacked", {ENSEMBLE_FILE: content, **files, **final})


def lstm() -> Artifact:
    rng = np.random.default_rng(0)

    def weights(*shape: int) -> Any:
        return rng.normal(size=shape).astype(np.float32)

    network = LstmNetwork(
        rng.normal(size=2),
        rng.uniform(0.5, 2.0, size=2),
        weights(1, 12, 2),
        weights(1, 12, 3),
        weights(1, 24),
        weights(1, 8, 3),
        weights(1, 8, 2),
        weights(1, 16),
        weights(2, 1),
        weights(1),
    )
    files = write_lstm(network, NetworkSchema(WINDOWS, 3, TWO))
    return of("lstm", files, TWO, rng.normal(size=(20, len(WINDOWS))))
