"""A trained model as a strategy: act where its probability is high enough."""

from __future__ import annotations

import numpy as np
from numba import njit
from pydantic import Field

from crypto_bot.core import Signals
from crypto_bot.core.arrays import PerBar
from crypto_bot.strategies.base import REGIMES, Columns, StrategyParameters, strategy


class ModelParameters(StrategyParameters):
    """Parameters of `model`."""

    threshold: float = Field(
        default=0.6, ge=0.3, le=0.99, description="a side needs a probability above this"
    )
    allow_short: bool = Field(default=True, description="false: high p_down gives no side")

    def features(self) -> tuple[str, ...]:
        """None: it reads the model's columns p_up and p_down."""
        return ()


@strategy(
    "model",
    parameters=ModelParameters,
    regime=REGIMES,
    signal_exit="opposite",
    predictions=("p_up", "p_down"),
)
def model(columns: Columns, parameters: ModelParameters) -> Signals:
    """Long where the model's p_up is above the threshold, short where its p_down is.

    Data: columns p_up and p_down, a predictor's probabilities at the close of each bar. If both are
    above the threshold the larger wins, and equal ones give no side. Score is the probability.

    Mended: the originals took probabilities by position, so a model with one class crashed or
    traded the wrong side; here the columns are named. Bars without a prediction have no side.
    """
    p_up, p_down = columns["p_up"], columns["p_down"]
    return Signals(*_confident(p_up, p_down, parameters.threshold, parameters.allow_short))


@njit(cache=True, nogil=True)
def _confident(p_up: PerBar, p_down: PerBar, threshold: float, allow_short: bool):  # type: ignore[no-untyped-def]
    direction = np.zeros(len(p_up), np.int8)
    score = np.zeros(len(p_up))
    for i in range(len(p_up)):
        if p_up[i] > threshold and p_up[i] > p_down[i]:
            direction[i] = 1
            score[i] = min(p_up[i], 1.0)
        elif allow_short and p_down[i] > threshold and p_down[i] > p_up[i]:
            direction[i] = -1
            score[i] = min(p_down[i], 1.0)
    return direction, score
