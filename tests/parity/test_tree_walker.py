"""The compiled walker equals its plain twin on random ensembles, rows with holes included."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_bot.predictors import TreeEnsemble, TreePredictor
from crypto_bot.predictors.trees import AVERAGE, SIGMOID, SOFTMAX
from reference.tree_twin import twin_probabilities

POINTS = np.array([-2.0, -1.0, -1e-36, 0.0, 1e-36, 0.5, 1.0, 3.0, 16777217.0])


def random_ensemble(rng, link, features):
    """Trees of 1 to 9 leaves over few distinct thresholds, so that rows often sit on one."""
    classes = 2 if link == SIGMOID else int(rng.integers(2, 5))
    sums = 1 if link == SIGMOID else classes
    trees = int(rng.integers(1, 9)) * sums
    roots, children, leaves = [], [], 0
    for _ in range(trees):
        size = int(rng.choice([1, 2, 5, 9, 40]))
        start = len(children)
        roots.append(start if size > 1 else ~leaves)
        open_slots = []
        for node in range(start, start + size - 1):
            if node > start:
                parent, side = open_slots.pop(int(rng.integers(len(open_slots))))
                children[parent][side] = node
            children.append([0, 0])
            open_slots += [(node, 0), (node, 1)]
        for parent, side in open_slots:
            children[parent][side] = ~leaves
            leaves += 1
        leaves += size == 1
    nodes = len(children)
    has_scaler = link == AVERAGE and rng.random() < 0.5
    return TreeEnsemble(
        roots=np.array(roots, dtype=np.int32),
        feature=rng.integers(0, features, nodes).astype(np.int32),
        threshold=rng.choice(POINTS, nodes),
        children=np.array(children, dtype=np.int32).reshape(nodes, 2),
        missing=rng.integers(0, 6, nodes).astype(np.uint8),
        leaf_values=rng.normal(size=(leaves, classes if link == AVERAGE else 1)),
        mean=rng.normal(size=features if has_scaler else 0),
        scale=rng.random(features if has_scaler else 0) + 0.1,
        link=link,
        classes=classes,
        steepness=float(rng.random() + 0.5),
        is_float32=link == AVERAGE,
    )


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10**6),
    link=st.sampled_from([AVERAGE, SIGMOID, SOFTMAX]),
    rows=st.sampled_from([1, 2, 5, 64, 67]),
)
def test_the_walker_equals_its_twin(seed, link, rows):
    rng = np.random.default_rng(seed)
    features = int(rng.integers(1, 5))
    ensemble = random_ensemble(rng, link, features)
    values = rng.choice(np.append(POINTS, np.nan), (rows, features))
    names = [f"x{i}" for i in range(features)]
    predictor = TreePredictor(ensemble, names, range(ensemble.classes))
    wanted = twin_probabilities(ensemble, values)
    assert np.array_equal(predictor.probabilities_as_library(values), wanted)
    is_known = np.isfinite(values).all(axis=1)
    wanted[~is_known] = np.nan
    assert np.array_equal(predictor.predict_proba(values), wanted, equal_nan=True)
