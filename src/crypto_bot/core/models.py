"""A trained model as everyone sees it: the `Predictor` port and the `ModelCard` that travels with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from pydantic import Field

from crypto_bot.core.arrays import PerBarFeature, PerRow, PerRowClass
from crypto_bot.core.errors import ModelError
from crypto_bot.core.options import Options


class Predictor(Protocol):
    """Probabilities from features; the same object serves a backtest and a live bar."""

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Ordered feature schema the model was trained on."""
        ...

    @property
    def classes(self) -> tuple[int, ...]:
        """Label of each probability column, ascending: (0, 1) or (-1, 0, 1)."""
        ...

    def predict_proba(self, features: PerBarFeature) -> PerRowClass:
        """float64 (rows, classes); a row with a NaN feature gives a row of NaN."""
        ...


class ModelCard(Options):
    """Everything needed to trust and use a version; stored as card.json beside the model files."""

    symbol: str
    timeframe: str
    model_type: str = Field(description="how the files are read, such as 'lightgbm'")
    feature_names: tuple[str, ...] = Field(min_length=1)
    feature_definitions: dict[str, str] = {}
    feature_settled_bars: int = Field(
        ge=0, le=10_000_000, description="bars after which every feature has forgotten its start"
    )
    classes: tuple[int, ...] = Field(min_length=2)
    label: dict[str, Any] = Field(description="definition of the label: name and options")
    thresholds: dict[str, float] = {}
    trading: dict[str, str] = Field(
        default={}, description="how its predictions are traded, such as signal_exit"
    )
    data_fingerprint: str
    data_start: str
    data_end: str
    is_simulated: bool = False
    rows: int = Field(ge=0)
    seed: int = 42
    library_versions: dict[str, str] = {}
    options: dict[str, Any] = Field(default={}, description="training options as used")
    metrics: dict[str, float | None] = {}
    gate: dict[str, Any] = Field(default={}, description="verdict and every number behind it")
    run_id: str = ""
    created_at: str = ""


def require_schema(feature_names: Sequence[str], predictor: Predictor) -> None:
    """Refuse to predict unless names and order match the model's schema exactly."""
    given, wanted = tuple(feature_names), predictor.feature_names
    if given == wanted:
        return
    known, asked = set(wanted), set(given)
    lacking = [name for name in wanted if name not in asked]
    extra = [name for name in given if name not in known]
    raise ModelError(
        f"features must be the model's {len(wanted)} in order, lacked {lacking}, had extra {extra}"
        + ("" if lacking or extra else ", order differs")
    )


def class_column(
    predictor: Predictor, label: int, probabilities: PerRowClass
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The probability column of one label, by name and never by position; zeros if it has none."""
    if label not in predictor.classes:
        return np.zeros(len(probabilities))
    return np.ascontiguousarray(probabilities[:, predictor.classes.index(label)])


def side_columns(
    classes: Sequence[int], probabilities: PerRowClass, thresholds: Mapping[str, float]
) -> dict[str, PerRow]:
    """`p_up` and `p_down` of each row, as the strategy `model` reads them; NaN where a model abstains.

    Parameters
    ----------
    classes : label of each probability column; up is 1, down is -1, or 0 of 0 and 1
    probabilities : float64 (rows, classes)
    thresholds : a card's; with `band_up` and `band_down` (and `band_hold`) in it a row has a side
                 only where that side's probability alone reaches its threshold

    A side that is none of the classes has probability 0.
    """
    down = -1 if -1 in classes else 0
    columns: dict[str, PerRow] = {
        name: np.ascontiguousarray(probabilities[:, classes.index(label)])
        if label in classes
        else np.zeros(len(probabilities))
        for name, label in (("p_up", 1), ("p_down", down))
    }
    if "band_up" not in thresholds:
        return columns
    is_up = columns["p_up"] >= thresholds["band_up"]
    is_down = columns["p_down"] >= thresholds["band_down"]
    has_side = is_up ^ is_down
    if down == -1 and 0 in classes:
        has_side &= ~(probabilities[:, classes.index(0)] >= thresholds["band_hold"])
    return {name: np.where(has_side, column, np.nan) for name, column in columns.items()}
