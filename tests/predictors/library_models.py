"""Small models of both libraries on random rows, with and without missing values."""

from __future__ import annotations

from functools import cache

import lightgbm
import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.preprocessing import StandardScaler

from crypto_bot.core import ModelCard
from crypto_bot.predictors import TreePredictor, read_lightgbm, seal_text, write_forest
from crypto_bot.training.forest import FittedForest, export_forest

FEATURES = 6
NAMES = tuple(f"feature_{i}" for i in range(FEATURES))


def random_rows(seed, rows=700, *, holes=False):
    """Rows of very different sizes; `holes` adds NaN, exact zeros, and values LightGBM reads as zero."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(rows, FEATURES)) * 10.0 ** rng.integers(-3, 4, FEATURES)
    if holes:
        values[rng.random(values.shape) < 0.1] = np.nan
        values[rng.random(values.shape) < 0.1] = 0.0
        values[rng.random(values.shape) < 0.05] = 1e-36
        values[rng.random(values.shape) < 0.05] = -1e-36
    return values


def random_labels(seed, values, classes):
    rng = np.random.default_rng(seed + 1000)
    known = np.nan_to_num(values[:, 0])
    score = known / np.std(known) + rng.normal(size=len(values))
    return np.digitize(score, np.quantile(score, np.arange(1, classes) / classes))


@cache
def booster(classes=2, rounds=20, holes=False, **settings):
    values = random_rows(1, holes=holes)
    options = {
        "objective": "binary" if classes == 2 else "multiclass",
        "num_leaves": 15,
        "min_data_in_leaf": 5,
        "verbosity": -1,
        "seed": 3,
        "num_threads": 1,
        **({"num_class": classes} if classes > 2 else {}),
        **settings,
    }
    rows = lightgbm.Dataset(
        values, label=random_labels(1, values, classes), feature_name=list(NAMES)
    )
    return lightgbm.train(options, rows, num_boost_round=rounds)


@cache
def booster_text(classes=2, **settings):
    return seal_text(booster(classes, **settings).model_to_string())


def booster_predictor(classes=2, **settings):
    ensemble, names = read_lightgbm(booster_text(classes, **settings))
    return TreePredictor(ensemble, names, range(classes))


def booster_answer(model, values):
    found = model.predict(values)
    return np.column_stack((1.0 - found, found)) if found.ndim == 1 else found


@cache
def forest(classes=2, holes=False, trees=20):
    values = random_rows(2, holes=holes)
    scaler = StandardScaler().fit(values)
    model = RandomForestClassifier(trees, random_state=5)
    model.fit(scaler.transform(values), random_labels(2, values, classes))
    return FittedForest(scaler, model)


@cache
def forest_bytes(classes=2, **settings):
    labels = tuple(range(classes))
    return write_forest(export_forest(forest(classes, **settings), labels), NAMES, labels)


def forest_answer(fitted, values):
    return fitted.model.predict_proba(fitted.scaler.transform(values))


def card(model_type, classes=2, names=NAMES):
    return ModelCard(
        symbol="BTC/USDT",
        timeframe="5m",
        model_type=model_type,
        feature_names=names,
        feature_settled_bars=0,
        classes=tuple(range(classes)),
        label={},
        data_fingerprint="",
        data_start="",
        data_end="",
        rows=1,
    )


def damaged(content, seed):
    """The content with one random damage: a bit flipped, some bytes dropped, doubled, or the end cut.

    The lowest bit turns digits into digits: the damage that only a checksum notices.
    """
    rng = np.random.default_rng(seed)
    place = int(rng.integers(len(content)))
    kind = seed % 4
    if kind == 0:
        return (
            content[:place]
            + bytes([content[place] ^ (1 if seed % 8 else 64)])
            + content[place + 1 :]
        )
    if kind == 1:
        return content[:place] + content[place + int(rng.integers(1, 40)) :]
    if kind == 2:
        return content[:place] + content[place - 30 : place] + content[place:]
    return content[:place]
