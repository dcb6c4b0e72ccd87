"""Stage 6, features + labels -> model. In: `Dataset`. Out: `TrainedModel`, whose files a predictor reads.

Training libraries are imported inside functions: importing this stage costs nothing of theirs.
"""

from crypto_bot.training.boosting import LightGBMOptions, LightGBMTrainer
from crypto_bot.training.cards import make_card
from crypto_bot.training.forest import ForestOptions, ForestTrainer
from crypto_bot.training.logistic import LogisticOptions, LogisticTrainer
from crypto_bot.training.scoring import Scores, score_probabilities
from crypto_bot.training.trainers import TrainedModel, Trainer

__all__ = [
    "ForestOptions",
    "ForestTrainer",
    "LightGBMOptions",
    "LightGBMTrainer",
    "LogisticOptions",
    "LogisticTrainer",
    "Scores",
    "TrainedModel",
    "Trainer",
    "make_card",
    "score_probabilities",
]
