"""Trained models as plain data: in come model files, out come probabilities. No training library.

LightGBM texts and forests become one array format, walked by one compiled kernel; the backtest,
paper trading and live bars call the same object. A recurrent network is ONNX, run by onnxruntime.
"""

from crypto_bot.predictors.calibration import (
    CALIBRATION_FILE,
    CalibratedPredictor,
    Calibration,
    calibrate,
    write_calibration,
)
from crypto_bot.predictors.composite import Member, prefixed
from crypto_bot.predictors.ensemble import (
    EnsemblePredictor,
    StackedPredictor,
    stack_names,
    stacked,
)
from crypto_bot.predictors.ensemble_file import ENSEMBLE_FILE, write_ensemble
from crypto_bot.predictors.forest_file import FOREST_FILE, read_forest, write_forest
from crypto_bot.predictors.lightgbm_text import LIGHTGBM_FILE, read_lightgbm, seal_text
from crypto_bot.predictors.linear import LinearModel, LinearPredictor
from crypto_bot.predictors.linear_file import LINEAR_FILE, read_linear, write_linear
from crypto_bot.predictors.loading import (
    CALIBRATED,
    FINAL,
    LIGHTGBM,
    LOGISTIC,
    LSTM,
    RANDOM_FOREST,
    SOFT_VOTE,
    STACKED,
    load_predictor,
)
from crypto_bot.predictors.lstm_file import (
    LSTM_FILE,
    NETWORK_FILE,
    LstmNetwork,
    NetworkSchema,
    read_lstm,
    write_lstm,
)
from crypto_bot.predictors.members import scalers_of
from crypto_bot.predictors.onnx_session import OnnxPredictor
from crypto_bot.predictors.predictor import TreePredictor
from crypto_bot.predictors.schema import Scaler
from crypto_bot.predictors.trees import TreeEnsemble, check_ensemble

__all__ = [
    "CALIBRATED",
    "CALIBRATION_FILE",
    "ENSEMBLE_FILE",
    "FINAL",
    "FOREST_FILE",
    "LIGHTGBM",
    "LIGHTGBM_FILE",
    "LINEAR_FILE",
    "LOGISTIC",
    "LSTM",
    "LSTM_FILE",
    "NETWORK_FILE",
    "RANDOM_FOREST",
    "SOFT_VOTE",
    "STACKED",
    "CalibratedPredictor",
    "Calibration",
    "EnsemblePredictor",
    "LinearModel",
    "LinearPredictor",
    "LstmNetwork",
    "Member",
    "NetworkSchema",
    "OnnxPredictor",
    "Scaler",
    "StackedPredictor",
    "TreeEnsemble",
    "TreePredictor",
    "calibrate",
    "check_ensemble",
    "load_predictor",
    "prefixed",
    "read_forest",
    "read_lightgbm",
    "read_linear",
    "read_lstm",
    "scalers_of",
    "seal_text",
    "stack_names",
    "stacked",
    "write_calibration",
    "write_ensemble",
    "write_forest",
    "write_linear",
    "write_lstm",
]
