"""Trained models as plain data: in come model files, out come probabilities. No training library.

LightGBM texts and forests become one array format, walked by one compiled kernel; the backtest,
paper trading and live bars call the same object.
"""

from crypto_bot.predictors.forest_file import FOREST_FILE, read_forest, write_forest
from crypto_bot.predictors.lightgbm_text import LIGHTGBM_FILE, read_lightgbm, seal_text
from crypto_bot.predictors.predictor import (
    LIGHTGBM,
    RANDOM_FOREST,
    Scaler,
    TreePredictor,
    load_predictor,
)
from crypto_bot.predictors.trees import TreeEnsemble, check_ensemble

__all__ = [
    "FOREST_FILE",
    "LIGHTGBM",
    "LIGHTGBM_FILE",
    "RANDOM_FOREST",
    "Scaler",
    "TreeEnsemble",
    "TreePredictor",
    "check_ensemble",
    "load_predictor",
    "read_forest",
    "read_lightgbm",
    "seal_text",
    "write_forest",
]
