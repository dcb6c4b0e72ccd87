"""A plain twin of the compiled tree walker: one row, one tree, one node at a time."""

from __future__ import annotations

import math

import numpy as np

from crypto_bot.predictors.trees import (
    AVERAGE,
    DEFAULT_LEFT,
    MISSING_NAN,
    MISSING_ZERO,
    SIGMOID,
    ZERO,
)


def twin_probabilities(ensemble, features):
    return np.array([_row(ensemble, row) for row in features]).reshape(-1, ensemble.classes)


def _row(ensemble, row):
    values = [_prepared(ensemble, i, float(value)) for i, value in enumerate(row)]
    columns = 1 if ensemble.link == SIGMOID else ensemble.classes
    sums = [0.0] * columns
    for tree, root in enumerate(ensemble.roots.tolist()):
        leaf = ensemble.leaf_values[_leaf(ensemble, root, values)].tolist()
        for k, value in enumerate(leaf):
            sums[k if len(leaf) > 1 else tree % columns] += value
    if ensemble.link == AVERAGE:
        return [total / len(ensemble.roots) for total in sums]
    if ensemble.link == SIGMOID:
        upper = 1.0 / (1.0 + math.exp(-ensemble.steepness * sums[0]))
        return [1.0 - upper, upper]
    powers = [math.exp(total - max(sums)) for total in sums]
    whole = 0.0
    for power in powers:
        whole += power
    return [power / whole for power in powers]


def _prepared(ensemble, i, value):
    if len(ensemble.mean):
        value = (value - float(ensemble.mean[i])) / float(ensemble.scale[i])
    return float(np.float32(value)) if ensemble.is_float32 else value


def _leaf(ensemble, node, values):
    while node >= 0:
        value, rule = values[ensemble.feature[node]], int(ensemble.missing[node])
        if math.isnan(value) and not rule & MISSING_NAN:
            value = 0.0
        is_missing = math.isnan(value) or (rule & MISSING_ZERO and abs(value) <= ZERO)
        goes_left = rule & DEFAULT_LEFT if is_missing else value <= ensemble.threshold[node]
        node = int(ensemble.children[node, 0 if goes_left else 1])
    return ~node
