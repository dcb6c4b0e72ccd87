"""A walk-forward of LightGBM over twenty pairs: all of it beside the time inside LightGBM alone.

Ninety days of 5m candles, the feature set `stationary`, six folds. "Inside LightGBM" is every call of
`lightgbm.train`, its binning of the rows included; the rest is ours: features, labels, rows, splits,
leak checks, exports read back and compared, predictions of the tested rows. Answers first: fold 0 must
be, bit for bit, what LightGBM trained by hand on those rows predicts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np

from benchmarks.rows import claim, row
from crypto_bot.core import Bars
from crypto_bot.dataset import Dataset, build_dataset
from crypto_bot.features import load_feature_set
from crypto_bot.market import SimulationOptions, simulate_market
from crypto_bot.predictors.predictor import available_cores
from crypto_bot.splits import WalkForwardOptions, split_dataset
from crypto_bot.training import LightGBMOptions, LightGBMTrainer
from crypto_bot.validation import OutOfSample, out_of_sample

PAIRS, BARS_A_PAIR, TIMEFRAME, FEATURE_SET, FOLDS, ROUNDS = 20, 25_920, "5m", "stationary", 6, 100
BUILDS = 5
TARGET_RATIO, TARGET_BUILD_S = 1.15, 2.0
Answer = TypeVar("Answer")


def run(rounds: int = ROUNDS) -> list[dict[str, Any]]:
    """Rows of name, value, unit, target, holds."""
    options = SimulationOptions(symbols=PAIRS, bars=BARS_A_PAIR, timeframe=TIMEFRAME)
    bars = simulate_market(options)
    trainer = LightGBMTrainer(LightGBMOptions(n_estimators=rounds, n_jobs=available_cores()))
    first_build, dataset = _seconds(lambda: _built(bars))
    first_fold, _ = _seconds(lambda: _walked(dataset.take(np.arange(4000)), _small()))
    builds = [_seconds(lambda: _built(bars))[0] for _ in range(BUILDS)]
    with _inside_lightgbm() as inside:
        whole, (dataset, found) = _seconds(lambda: _built_and_walked(bars, trainer))
    library, is_equal = sum(inside), _equals_plain_lightgbm(dataset, trainer, found)
    what = f"{PAIRS} pairs, {len(dataset):,} rows x {len(dataset.feature_names)}"
    return [
        row(
            f"learning: walk-forward of {what}, {FOLDS} folds x {rounds} rounds, beside LightGBM's "
            "own fits",
            whole / library,
            "x",
            at_most=TARGET_RATIO,
            needs=is_equal,
        ),
        row("learning: that walk-forward, dataset included", whole, "s"),
        row("learning: of it, inside LightGBM", library, "s"),
        row("learning: of it, ours", whole - library, "s"),
        row(
            f"learning: dataset of {what}, median",
            float(np.median(builds)),
            "s",
            at_most=TARGET_BUILD_S,
        ),
        row("learning: first dataset of the process (compile or cached kernels)", first_build, "s"),
        row("learning: first small walk-forward of the process", first_fold, "s"),
        claim("learning: fold 0 predicts what plain LightGBM does, bit for bit", is_equal),
    ]


def _built(bars: list[Bars]) -> Dataset:
    return build_dataset(bars, feature_names=load_feature_set(FEATURE_SET).features)


def _walked(dataset: Dataset, trainer: LightGBMTrainer) -> OutOfSample:
    return out_of_sample(dataset, trainer, split_dataset(dataset, WalkForwardOptions(folds=FOLDS)))


def _built_and_walked(bars: list[Bars], trainer: LightGBMTrainer) -> tuple[Dataset, OutOfSample]:
    dataset = _built(bars)
    return dataset, _walked(dataset, trainer)


def _small() -> LightGBMTrainer:
    return LightGBMTrainer(LightGBMOptions(n_estimators=2, n_jobs=1))


def _seconds(work: Callable[[], Answer]) -> tuple[float, Answer]:
    start = time.perf_counter()
    answer = work()
    return time.perf_counter() - start, answer


@contextmanager
def _inside_lightgbm() -> Iterator[list[float]]:
    """Seconds of every `lightgbm.train` inside the block; the library bins its rows in there too."""
    import lightgbm

    train, seconds = lightgbm.train, []

    def timed(*given: Any, **named: Any) -> Any:
        took, booster = _seconds(lambda: train(*given, **named))
        seconds.append(took)
        return booster

    lightgbm.train = timed
    try:
        yield seconds
    finally:
        lightgbm.train = train


def _equals_plain_lightgbm(dataset: Dataset, trainer: LightGBMTrainer, found: OutOfSample) -> bool:
    """Whether the first fold's probabilities are those of LightGBM without anything of ours."""
    import lightgbm

    split, options = found.splits[0], trainer.options
    labels = dataset.labels[split.train]
    settings = {
        "objective": "binary",
        "learning_rate": options.learning_rate,
        "num_leaves": options.num_leaves,
        "max_bin": options.max_bin,
        "seed": options.seed,
        "num_threads": options.n_jobs,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }
    rows = lightgbm.Dataset(
        dataset.features[split.train],
        label=labels,
        weight=len(labels) / (2.0 * np.bincount(labels)[labels]),
        params=settings,
    )
    booster = lightgbm.train(settings, rows, num_boost_round=options.n_estimators)
    plain = booster.predict(dataset.features[split.test])
    return bool(np.array_equal(found.probabilities[split.test, 1], plain))
