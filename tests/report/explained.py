"""A model of known truth with its explanation, for the report's tests."""

from __future__ import annotations

from functools import cache

import numpy as np

from crypto_bot.explain import ExplainOptions, explain_model
from crypto_bot.features import feature_drift
from crypto_bot.report import ModelView
from crypto_bot.splits import WalkForwardOptions, split_dataset
from crypto_bot.training import LightGBMOptions, LightGBMTrainer
from crypto_bot.validation import out_of_sample
from validation_rows import made_dataset

NAMES = ("rsi_14", "roc_5", "bb_width", "hour_of_day", "a_long_name_of_a_feature@4h", "noise_1", "noise_2", "noise_3")  # fmt: skip
OPTIONS = ExplainOptions(contribution_rows=200, permuted_rows=600, dependence_rows=100)


@cache
def explained_model(classes=(0, 1), rows=1500):
    from dataclasses import replace

    random = np.random.default_rng(4)
    features = random.normal(size=(rows, len(NAMES)))
    features[:, 3] = random.integers(0, 24, rows)
    score = features[:, 0] - 0.8 * np.abs(features[:, 1]) + 0.5 * (features[:, 3] > 12)
    score += 0.8 * random.normal(size=rows)
    cuts = [np.median(score)] if len(classes) == 2 else np.quantile(score, [0.3, 0.7])
    labels = np.array(classes)[np.digitize(score, cuts)]
    dataset = replace(made_dataset(features, labels, classes=classes), feature_names=NAMES)
    trainer = LightGBMTrainer(LightGBMOptions(n_estimators=25, num_leaves=7, n_jobs=1))
    predictions = out_of_sample(
        dataset, trainer, split_dataset(dataset, WalkForwardOptions(folds=3))
    )
    now = features[-500:] + np.array([0, 0.3, 1.5, 0, 2.0, 0, 0, 0])
    drift = feature_drift(NAMES, features, now)
    levels = (NAMES[4],)
    found = explain_model(dataset, predictions, OPTIONS, drift=drift, level_features=levels)
    model = predictions.models[-1]
    return ModelView("LightGBM (25 rounds) on GLOBAL", "lightgbm", classes, dataset.labels,
                     predictions.probabilities, model.importance, 0.6, {"name": "next_up"},
                     explanation=found)  # fmt: skip
