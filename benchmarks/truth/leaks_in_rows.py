"""Rows, splits and pipelines of rows: leaks and their clean twins, one a function."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from benchmarks.truth.leak_material import (
    BARS,
    FOLDS,
    HORIZON,
    ROWS,
    SPLITS,
    chance,
    columns,
    fitted,
    line,
    with_features,
)
from crypto_bot.core import Bars
from crypto_bot.core.timeframes import HOUR_NS
from crypto_bot.dataset import Dataset
from crypto_bot.splits import Split, WalkForwardOptions, split_dataset

Array = np.ndarray


# Splits of `ROWS`


def unpurged() -> Split:
    return replace(SPLITS[1], train=np.arange(SPLITS[1].test[0]))


def shuffled() -> Split:
    rows = np.random.default_rng(3).permutation(len(ROWS))
    return replace(
        SPLITS[1], train=np.sort(rows[:250]), test=np.sort(rows[250:]), trains_on_later=True
    )


def purged_on_one_side() -> Split:
    split = FOLDS[1]
    after = np.arange(split.test[-1] + 1, len(ROWS))
    return replace(split, train=np.union1d(split.train, after))


# Rows: (Dataset, Split, Bars)


def target_in_features() -> tuple[Dataset, Split, Bars]:
    noise = np.random.default_rng(1).normal(0.0, 0.2, len(ROWS))
    table = np.column_stack((ROWS.features, ROWS.labels + noise))
    return with_features(ROWS, table), SPLITS[0], BARS


def strong_but_honest() -> tuple[Dataset, Split, Bars]:
    noise = np.random.default_rng(1).normal(0.0, 0.8, len(ROWS))
    table = np.column_stack((ROWS.features, ROWS.labels + noise))
    return with_features(ROWS, table), SPLITS[0], BARS


def doubled_rows() -> tuple[Dataset, Split, Bars]:
    """Ten test rows stand among the training rows too, under other dates."""
    features = ROWS.features.copy()
    features[SPLITS[0].train[:10]] = features[SPLITS[0].test[:10]]
    return with_features(ROWS, features), SPLITS[0], BARS


def calendar_alone() -> tuple[Dataset, Split, Bars]:
    hour = (ROWS.decided_at_ns // HOUR_NS % 24).astype(np.float64)
    return with_features(ROWS, np.column_stack((hour, hour > 12.0))), SPLITS[0], BARS


def decided_at_the_open() -> tuple[Dataset, Split, Bars]:
    early = replace(ROWS, decided_at_ns=ROWS.decided_at_ns - HOUR_NS)
    return early, split_dataset(early, WalkForwardOptions(folds=3))[0], BARS


def plain_rows() -> tuple[Dataset, Split, Bars]:
    return ROWS, SPLITS[2], BARS


# Pipelines: (Dataset, Split) -> probabilities of the test rows


def standard(table: Array, by: Array) -> Array:
    return (table - by.mean(axis=0)) / by.std(axis=0)


def scaler_on_everything(dataset: Dataset, split: Split) -> Array:
    return fitted(dataset, split, standard(dataset.features, dataset.features))


def scaler_in_the_fold(dataset: Dataset, split: Split) -> Array:
    return fitted(dataset, split, standard(dataset.features, dataset.features[split.train]))


def filled_with(dataset: Dataset, split: Split, by: Array) -> Array:
    table = dataset.features.copy()
    table[::9, 1] = np.nan
    return fitted(dataset, split, np.where(np.isnan(table), np.nanmean(table[by], axis=0), table))


def global_mean(dataset: Dataset, split: Split) -> Array:
    return filled_with(dataset, split, np.arange(len(dataset)))


def training_mean(dataset: Dataset, split: Split) -> Array:
    return filled_with(dataset, split, split.train)


def selected_on(dataset: Dataset, split: Split, rows: Array) -> Array:
    link = np.abs((dataset.labels[rows] - 0.5) @ dataset.features[rows])
    return fitted(dataset, split, dataset.features[:, np.sort(np.argsort(link)[-4:])])


def selected_before_the_split(dataset: Dataset, split: Split) -> Array:
    return selected_on(dataset, split, np.arange(len(dataset)))


def selected_in_the_fold(dataset: Dataset, split: Split) -> Array:
    return selected_on(dataset, split, split.train)


def encoded_on(dataset: Dataset, split: Split, rows: Array) -> Array:
    """An hour is replaced by the share of rises in it."""
    hour = dataset.decided_at_ns // HOUR_NS % 24
    share = [dataset.labels[rows][hour[rows] == k].mean() for k in range(24)]
    table = np.column_stack((dataset.features, np.array(share)[hour]))
    return fitted(dataset, split, table)


def target_encoded_on_all_rows(dataset: Dataset, split: Split) -> Array:
    return encoded_on(dataset, split, np.arange(len(dataset)))


def target_encoded_in_the_fold(dataset: Dataset, split: Split) -> Array:
    return encoded_on(dataset, split, split.train)


def stopped_on(dataset: Dataset, split: Split, learn: Array, watch: Array) -> Array:
    """Gradient descent, stopped where the watched rows' log loss is least."""
    weights, best, least = np.zeros(dataset.features.shape[1] + 1), np.zeros(1), np.inf
    table = np.column_stack((dataset.features, np.ones(len(dataset))))
    for _ in range(150):
        wrong = chance(dataset.features[learn], weights) - dataset.labels[learn]
        weights = weights - 0.05 * table[learn].T @ wrong / len(learn)
        p = chance(dataset.features[watch], weights)
        y = dataset.labels[watch]
        loss = -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))
        best, least = (weights, loss) if loss < least else (best, least)
    return columns(chance(dataset.features[split.test], best))


def stopped_on_the_test(dataset: Dataset, split: Split) -> Array:
    return stopped_on(dataset, split, split.train, split.test)


def stopped_on_a_training_slice(dataset: Dataset, split: Split) -> Array:
    cut = len(split.train) * 3 // 4
    return stopped_on(dataset, split, split.train[:cut], split.train[cut + HORIZON :])


def calibrated_on(dataset: Dataset, split: Split, learn: Array, rows: Array) -> Array:
    """Scores are stretched and moved until they fit the given rows."""
    weights = line(dataset.features[learn], dataset.labels[learn])
    score = chance(dataset.features, weights)
    fit = line(score[rows, None], dataset.labels[rows])
    return columns(chance(score[split.test, None], fit))


def calibrated_on_the_test(dataset: Dataset, split: Split) -> Array:
    return calibrated_on(dataset, split, split.train, split.test)


def calibrated_on_a_training_slice(dataset: Dataset, split: Split) -> Array:
    cut = len(split.train) * 3 // 4
    return calibrated_on(dataset, split, split.train[:cut], split.train[cut + HORIZON :])


def oversampled(dataset: Dataset, split: Split, among: Array) -> Array:
    """Each training row gets a mate halfway to its nearest neighbour of the same class."""
    made, labels = [dataset.features[split.train]], [dataset.labels[split.train]]
    for row in split.train[::3]:
        mates = among[(dataset.labels[among] == dataset.labels[row]) & (among != row)]
        far = ((dataset.features[mates] - dataset.features[row]) ** 2).sum(axis=1)
        nearest = dataset.features[mates[far.argmin()]]
        made.append((dataset.features[row] + nearest)[None, :] / 2.0)
        labels.append(dataset.labels[row : row + 1])
    weights = line(np.concatenate(made), np.concatenate(labels))
    return columns(chance(dataset.features[split.test], weights))


def oversampled_before_the_split(dataset: Dataset, split: Split) -> Array:
    return oversampled(dataset, split, np.arange(len(dataset)))


def oversampled_in_the_fold(dataset: Dataset, split: Split) -> Array:
    return oversampled(dataset, split, split.train)


def windows(dataset: Dataset, split: Split, reach: int) -> Array:
    """Each row carries the row `reach` places before it; the ends repeat themselves."""
    place = np.clip(np.arange(len(dataset)) - reach, 0, len(dataset) - 1)
    return fitted(dataset, split, np.hstack((dataset.features, dataset.features[place])))


def windows_across_the_split(dataset: Dataset, split: Split) -> Array:
    return windows(dataset, split, -8)


def windows_longer_than_the_embargo(dataset: Dataset, split: Split) -> Array:
    """In a k-fold, training rows after the test then carry what the test was predicted from."""
    return windows(dataset, split, 12)


def windows_of_the_past(dataset: Dataset, split: Split) -> Array:
    return windows(dataset, split, 6)


def cut_where_it_pays(dataset: Dataset, split: Split, rows: Array) -> Array:
    """Probabilities become yes or no at the threshold that is right most often on the given rows."""
    weights = line(dataset.features[split.train], dataset.labels[split.train])
    score = chance(dataset.features, weights)
    levels = np.linspace(0.3, 0.7, 81)
    right = [np.mean((score[rows] > level) == dataset.labels[rows]) for level in levels]
    return columns((score[split.test] > levels[int(np.argmax(right))]).astype(np.float64))


def threshold_chosen_on_the_test(dataset: Dataset, split: Split) -> Array:
    return cut_where_it_pays(dataset, split, split.test)


def threshold_chosen_in_the_fold(dataset: Dataset, split: Split) -> Array:
    return cut_where_it_pays(dataset, split, split.train)


def retrained_on_the_test(dataset: Dataset, split: Split) -> Array:
    """Each half of the test is predicted after learning the other."""
    half = len(split.test) // 2
    found = [
        fitted(dataset, replace(split, train=np.union1d(split.train, other), test=test))
        for test, other in (
            (split.test[:half], split.test[half:]),
            (split.test[half:], split.test[:half]),
        )
    ]
    return np.concatenate(found)


def trained_on_purged_rows_too(dataset: Dataset, split: Split) -> Array:
    """Everything decided before the test teaches, whenever its label ended."""
    before = np.arange(split.test[0]) if split.test[0] else split.train
    return fitted(dataset, replace(split, train=before))
