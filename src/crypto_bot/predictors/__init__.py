"""Trained models as plain data: in come model files, out come probabilities. No training library.

LightGBM texts and forests become one array format, walked by one compiled kernel; the backtest,
paper trading and live bars call the same object.
"""

from crypto_bot.predictors.forest_file import FOREST_FILE, read_forest, write_forest
from crypto_bot.predictors.lightgbm_text import LIGHTGBM_FILE, read_lightgbm, seal_text
from crypto_bot.predictors.linear import LinearModel, LinearPredictor
from crypto_bot.predictors.linear_file import LINEAR_FILE, read_linear, write_linear
from crypto_bot.predictors.loading import LIGHTGBM, LOGISTIC, RANDOM_FOREST, load_predictor
from crypto_bot.predictors.members import scalers_of
from crypto_bot.predictors.predictor import TreePredictor
from crypto_bot.predictors.schema import Scaler
from crypto_bot.predictors.trees import TreeEnsemble, check_ensemble

__all__ = [
    "FOREST_FILE",
    "LIGHTGBM",
    "LIGHTGBM_FILE",
    "LINEAR_FILE",
    "LOGISTIC",
    "RANDOM_FOREST",
    "LinearModel",
    "LinearPredictor",
    "Scaler",
    "TreeEnsemble",
    "TreePredictor",
    "check_ensemble",
    "load_predictor",
    "read_forest",
    "read_lightgbm",
    "read_linear",
    "scalers_of",
    "seal_text",
    "write_forest",
    "write_linear",
]
