"""Stage 6, features + labels -> model. In: `Dataset`. Out: `TrainedModel`, whose files a predictor reads.

Training libraries are imported inside functions: importing this stage costs nothing of theirs.
"""

from crypto_bot.training.boosting import LightGBMOptions, LightGBMTrainer
from crypto_bot.training.calibration import CalibratedTrainer, CalibrationOptions
from crypto_bot.training.cards import make_card
from crypto_bot.training.conformal import conformal_sets, conformal_thresholds
from crypto_bot.training.downsampling import DOWNSAMPLED, DownsamplingTrainer
from crypto_bot.training.ensembles import SoftVoteTrainer, StackedTrainer
from crypto_bot.training.forest import ForestOptions, ForestTrainer
from crypto_bot.training.logistic import LogisticOptions, LogisticTrainer
from crypto_bot.training.out_of_fold import InnerFolds, out_of_fold, rows_for
from crypto_bot.training.recurrent import LSTMOptions, LSTMTrainer
from crypto_bot.training.scoring import Scores, score_probabilities
from crypto_bot.training.selection import (
    SelectingTrainer,
    Selection,
    SelectionOptions,
    permutation_importance,
    select_features,
)
from crypto_bot.training.trainers import TrainedModel, Trainer

__all__ = [
    "DOWNSAMPLED",
    "CalibratedTrainer",
    "CalibrationOptions",
    "DownsamplingTrainer",
    "ForestOptions",
    "ForestTrainer",
    "InnerFolds",
    "LSTMOptions",
    "LSTMTrainer",
    "LightGBMOptions",
    "LightGBMTrainer",
    "LogisticOptions",
    "LogisticTrainer",
    "Scores",
    "SelectingTrainer",
    "Selection",
    "SelectionOptions",
    "SoftVoteTrainer",
    "StackedTrainer",
    "TrainedModel",
    "Trainer",
    "conformal_sets",
    "conformal_thresholds",
    "make_card",
    "out_of_fold",
    "permutation_importance",
    "rows_for",
    "score_probabilities",
    "select_features",
]
