"""What a predictor is made of, for those who must look inside: its scalers."""

from __future__ import annotations

from collections.abc import Iterator

from crypto_bot.core import Predictor
from crypto_bot.predictors.linear import LinearPredictor
from crypto_bot.predictors.predictor import TreePredictor
from crypto_bot.predictors.schema import Scaler


def scalers_of(predictor: Predictor) -> Iterator[tuple[tuple[str, ...], Scaler]]:
    """Feature names and scaler of the model, where it has one."""
    if isinstance(predictor, (TreePredictor, LinearPredictor)) and predictor.scaler is not None:
        yield predictor.feature_names, predictor.scaler
