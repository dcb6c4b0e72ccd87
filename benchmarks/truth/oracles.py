"""Published examples and other people's libraries, where they can be asked."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np

from benchmarks.rows import claim, row


def run() -> list[dict[str, Any]]:
    """Rows of every oracle; a library that is not installed is named as missing, not passed over."""
    return [*_paper(), *_folds(), *_bootstrap(), *_libraries()]


def _paper() -> list[dict[str, Any]]:
    """Bailey and Lopez de Prado (2014), the worked example: 100 trials, five years of days."""
    from crypto_bot.significance import ReturnMoments, deflated_sharpe, expected_maximum_sharpe

    best = expected_maximum_sharpe(100, 0.5 / 250)
    moments = ReturnMoments(sharpe=2.5 / 250**0.5, skew=-3.0, kurtosis=10.0, observations=1250)
    probability = deflated_sharpe(moments, trials=100, trial_variance=0.5 / 250)
    return [
        row(
            "oracle: expected maximum of the paper, 0.1132",
            abs(best - 0.1132),
            "apart",
            at_most=5e-5,
        ),
        row(
            "oracle: deflated Sharpe ratio of the paper, 0.9004",
            abs(probability - 0.9004),
            "apart",
            at_most=5e-5,
        ),
    ]


def _folds() -> list[dict[str, Any]]:
    name = "oracle: combinatorial folds and paths equal skfolio's"
    if find_spec("skfolio") is None:
        return [_missing(name, "skfolio")]
    from skfolio.model_selection import CombinatorialPurgedCV

    from crypto_bot.splits import combinatorial_paths

    ours = combinatorial_paths(8, 2)
    theirs = CombinatorialPurgedCV(n_folds=8, n_test_folds=2)
    is_equal = len(ours) == theirs.n_test_paths and len(np.unique(ours)) == theirs.n_splits
    same = np.array_equal(np.sort(ours, axis=0), np.sort(_paths_of(theirs), axis=0))
    return [claim(name, is_equal and same)]


def _paths_of(theirs: Any) -> np.ndarray:
    """(paths, groups): which split serves which group, from skfolio's own ids."""
    ids = theirs.get_path_ids()
    paths = np.full((theirs.n_test_paths, theirs.n_folds), -1)
    tested = theirs.test_set_index
    for split in range(theirs.n_splits):
        for place, group in enumerate(np.sort(tested[split])):
            paths[ids[split, place], group] = split
    return paths


def _bootstrap() -> list[dict[str, Any]]:
    name = "oracle: stationary bootstrap, deviation of the mean against arch"
    if find_spec("arch") is None:
        return [_missing(name, "arch")]
    from arch.bootstrap import StationaryBootstrap

    from crypto_bot.significance import BootstrapOptions, stationary_rows

    random = np.random.default_rng(3)
    noise = random.normal(size=600)
    series = np.empty(600)
    last = 0.0
    for t in range(600):
        last = 0.5 * last + noise[t]
        series[t] = last
    ours = series[stationary_rows(600, BootstrapOptions(resamples=4000, mean_block=8.0))].mean(
        axis=1
    )
    theirs = StationaryBootstrap(8, series, seed=np.random.default_rng(4))
    drawn = theirs.apply(np.mean, 4000)[:, 0]
    apart = abs(ours.std() / drawn.std() - 1.0)
    return [row(name, apart, "relative", at_most=0.05)]


def _libraries() -> list[dict[str, Any]]:
    """Our readers beside the libraries that trained the models, bit for bit."""
    import lightgbm
    from sklearn.ensemble import RandomForestClassifier  # noqa: F401

    from benchmarks.truth.leak_material import ROWS
    from crypto_bot.training import ForestOptions, ForestTrainer, LightGBMOptions, LightGBMTrainer
    from crypto_bot.training.forest import fit_forest, forest_probabilities

    trees = LightGBMTrainer(LightGBMOptions(n_estimators=60, n_jobs=1)).fit(ROWS)
    text = trees.files["model.txt"].decode()
    booster = lightgbm.Booster(model_str=text)
    up = booster.predict(ROWS.features)
    theirs = np.column_stack((1.0 - up, up)) if up.ndim == 1 else up
    options = ForestOptions(n_estimators=20, n_jobs=1)
    forest = ForestTrainer(options).fit(ROWS)
    fitted = fit_forest(ROWS.features, ROWS.labels, options)
    return [
        claim(
            "oracle: LightGBM's probabilities, bit for bit",
            np.array_equal(trees.predictor.predict_proba(ROWS.features), theirs),
        ),
        claim(
            "oracle: scikit-learn's forest, bit for bit",
            np.array_equal(
                forest.predictor.predict_proba(ROWS.features),
                forest_probabilities(fitted, ROWS.features, ROWS.classes),
            ),
        ),
    ]


def _missing(name: str, library: str) -> dict[str, Any]:
    return {
        "name": f"{name} ({library} not installed)",
        "value": 0.0,
        "unit": "0/1",
        "target": "1",
        "holds": False,
    }
