"""Rows of known truth: the label follows the first feature, a little the second, never the rest."""

from __future__ import annotations

import numpy as np

from crypto_bot.splits import WalkForwardOptions, split_dataset
from crypto_bot.training import LightGBMOptions, LightGBMTrainer
from crypto_bot.validation import out_of_sample
from validation_rows import made_dataset

BOOSTING = LightGBMOptions(n_estimators=30, num_leaves=7, n_jobs=1)


def known_truth(rows=3000, seed=0, classes=(0, 1)):
    random = np.random.default_rng(seed)
    features = random.normal(size=(rows, 4))
    score = 1.6 * features[:, 0] + 0.5 * features[:, 1] + 0.5 * random.normal(size=rows)
    if classes == (0, 1):
        labels = (score > 0).astype(np.int8)
    else:
        labels = (np.digitize(score, [-0.8, 0.8]) - 1).astype(np.int8)
    return made_dataset(features, labels, classes=classes)


def walked(dataset, trainer=None, folds=3):
    splits = split_dataset(dataset, WalkForwardOptions(folds=folds))
    return out_of_sample(dataset, trainer or LightGBMTrainer(BOOSTING), splits)
