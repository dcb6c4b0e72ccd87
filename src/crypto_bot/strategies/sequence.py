"""A sequence model as a strategy: the sign of what it expects from the last bars."""

from __future__ import annotations

import numpy as np
from numba import njit
from pydantic import Field

from crypto_bot.core import Signals
from crypto_bot.core.arrays import PerBar
from crypto_bot.strategies.base import REGIMES, Columns, StrategyParameters, strategy


class LstmBotParameters(StrategyParameters):
    """Parameters of `lstm_bot`."""

    look_back: int = Field(
        default=50, ge=2, le=500, description="bars of the model's sequence, as it was trained"
    )
    threshold: float = Field(
        default=0.1, ge=0, le=0.95, description="a side needs p_up and p_down this far apart"
    )

    def features(self) -> tuple[str, ...]:
        """None: it reads the model's columns p_up and p_down."""
        return ()

    def lookback_bars(self) -> int:
        """The model's sequence."""
        return self.look_back


@strategy(
    "lstm_bot",
    parameters=LstmBotParameters,
    regime=REGIMES,
    signal_exit="opposite",
    predictions=("p_up", "p_down"),
)
def lstm_bot(columns: Columns, parameters: LstmBotParameters) -> Signals:
    """Take the sign of a sequence model's expectation, p_up less p_down, beyond a threshold.

    Long where p_up exceeds p_down by more than `threshold`, short where p_down exceeds p_up. The
    first `look_back` - 1 bars have no side: a model that speaks before its sequence is whole was
    fed with padding. A position is kept until the other sign. Score: distance of the two.

    Data: p_up and p_down of a model of the last `look_back` bars, such as the guide's LSTM, at the
    close of each bar; classes between the two (a hold) leave both small and give no side.

    Mended: the original had no model and answered none for ever; here it is refused without
    predictions. Unlike `model`, which asks how likely one side is, it asks how far the sides are
    apart.
    """
    p = parameters
    return Signals(*_sign(columns["p_up"], columns["p_down"], p.look_back, p.threshold))


@njit(cache=True, nogil=True)
def _sign(p_up: PerBar, p_down: PerBar, look_back: int, threshold: float):  # type: ignore[no-untyped-def]
    direction = np.zeros(len(p_up), np.int8)
    score = np.zeros(len(p_up))
    for i in range(look_back - 1, len(p_up)):
        edge = p_up[i] - p_down[i]
        if abs(edge) > threshold:
            direction[i] = 1 if edge > 0.0 else -1
            score[i] = min(abs(edge), 1.0)
    return direction, score
