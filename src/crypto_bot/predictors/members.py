"""What a predictor is made of, for those who must look inside: its scalers."""

from __future__ import annotations

from collections.abc import Iterator

from crypto_bot.core import Predictor
from crypto_bot.predictors.calibration import CalibratedPredictor
from crypto_bot.predictors.ensemble import EnsemblePredictor, StackedPredictor
from crypto_bot.predictors.linear import LinearPredictor
from crypto_bot.predictors.predictor import TreePredictor
from crypto_bot.predictors.schema import Scaler


def scalers_of(predictor: Predictor) -> Iterator[tuple[tuple[str, ...], Scaler]]:
    """Feature names and scaler of the model, or of each it is made of, where there is one."""
    if isinstance(predictor, (TreePredictor, LinearPredictor)) and predictor.scaler is not None:
        yield predictor.feature_names, predictor.scaler
    if isinstance(predictor, (CalibratedPredictor, EnsemblePredictor, StackedPredictor)):
        for member in predictor.members:
            yield from scalers_of(member)
