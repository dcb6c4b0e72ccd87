"""One flattened array format for every tree ensemble, and the compiled walker that predicts it.

The sums run in the order of the library that trained the model, so results agree to the last bit.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from numba import njit

from crypto_bot.core.arrays import PerBarFeature, PerRow, PerRowClass
from crypto_bot.core.errors import ModelError

DEFAULT_LEFT = 1
"""Bit of `TreeEnsemble.missing`: a missing value goes left."""
MISSING_ZERO = 2
"""Bit: zero counts as missing here (NaN too, as zero)."""
MISSING_NAN = 4
"""Bit: NaN counts as missing here; without any missing bit NaN is read as zero."""
ZERO = float(np.float32(1e-35))
"""LightGBM reads anything this close to zero as zero."""

MOST_TREES = 1 << 16
"""A walk keeps a place for every tree and row of a block: more would be taken for memory's sake only."""
AVERAGE, SIGMOID, SOFTMAX = 0, 1, 2
"""Links: mean of the leaves' probabilities; logistic of one sum; softmax of a sum per class."""

_ROWS_A_BLOCK = 64
PerRowTree: TypeAlias = npt.NDArray[np.int32]


class TreeEnsemble(NamedTuple):
    """Trees as plain arrays; `check_ensemble` makes them safe to walk.

    Attributes
    ----------
    roots : int32 (trees,)          first node of each tree; a negative number c means leaf ~c
    feature : int32 (nodes,)        column read by the node
    threshold : float64 (nodes,)    left when value <= threshold
    children : int32 (nodes, 2)     left and right; a negative number c means leaf ~c
    missing : uint8 (nodes,)        DEFAULT_LEFT, MISSING_ZERO, MISSING_NAN bits
    leaf_values : float64 (leaves, width)   width 1: tree i adds to sum i % sums; else one per class
    mean, scale : float64 (features,)   the scaler, `(x - mean) / scale`; both empty for none
    link : int                      AVERAGE, SIGMOID or SOFTMAX
    classes : int                   probability columns
    steepness : float               factor inside the logistic function
    is_float32 : bool               inputs are rounded to float32 first, as scikit-learn does
    """

    roots: npt.NDArray[np.int32]
    feature: npt.NDArray[np.int32]
    threshold: npt.NDArray[np.float64]
    children: npt.NDArray[np.int32]
    missing: npt.NDArray[np.uint8]
    leaf_values: npt.NDArray[np.float64]
    mean: npt.NDArray[np.float64]
    scale: npt.NDArray[np.float64]
    link: int
    classes: int
    steepness: float
    is_float32: bool


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _find_leaves_carefully(
    ensemble: TreeEnsemble, values: PerBarFeature, leaves: PerRowTree
) -> None:
    """Fill `leaves` (rows, trees) by the training library's rules for missing values."""
    for t in range(len(ensemble.roots)):
        for i in range(len(values)):
            node = ensemble.roots[t]
            while node >= 0:
                value, rule = values[i, ensemble.feature[node]], ensemble.missing[node]
                if math.isnan(value) and not rule & 4:
                    value = 0.0
                if (rule & 4 and math.isnan(value)) or (rule & 2 and abs(value) <= ZERO):
                    step = 1 - (rule & 1)
                else:
                    step = int(not value <= ensemble.threshold[node])
                node = ensemble.children[node, step]
            leaves[i, t] = ~node


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def add_leaves(leaf_values: PerRowClass, trees: int, leaves: PerRowTree, sums: PerRowClass) -> None:
    """Sum the leaves of every row, tree after tree, into `sums` (rows, columns)."""
    columns = sums.shape[1]
    for i in range(len(leaves)):
        row, out = leaves[i], sums[i]
        if leaf_values.shape[1] > 1:
            out[:] = 0.0
            for t in range(trees):
                for k in range(columns):
                    out[k] += leaf_values[np.uint32(row[t]), k]
        else:
            for k in range(columns):
                total = 0.0
                for t in range(k, trees, columns):
                    total += leaf_values[np.uint32(row[t]), 0]
                out[k] = total


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _prepare(ensemble: TreeEnsemble, row: PerRow, values: PerRow) -> bool:
    """Scale and round one row into `values`; True if every value is finite."""
    is_finite = True
    has_scaler = len(ensemble.mean) > 0
    for i in range(len(values)):
        value = row[i]
        if has_scaler:
            value = (value - ensemble.mean[i]) / ensemble.scale[i]
        if ensemble.is_float32:
            value = np.float64(np.float32(value))
        values[i] = value
        is_finite = is_finite and math.isfinite(value)
    return is_finite


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def finish(link: int, steepness: float, trees: int, sums: PerRow, out: PerRow) -> None:
    """Turn the sums of one row into probabilities, in the library's order of operations."""
    if link == 1:
        out[1] = 1.0 / (1.0 + math.exp(-steepness * sums[0]))
        out[0] = 1.0 - out[1]
    elif link == 0:
        for k in range(len(sums)):
            out[k] = sums[k] / trees
    else:
        peak = sums[0]
        for k in range(1, len(sums)):
            peak = max(peak, sums[k])
        total = 0.0
        for k in range(len(sums)):
            out[k] = math.exp(sums[k] - peak)
            total += out[k]
        for k in range(len(sums)):
            out[k] /= total


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def walk_carefully(
    ensemble: TreeEnsemble, features: PerBarFeature, out: PerRowClass, refuses_missing: bool
) -> None:
    """Fill `out` (rows, classes) by the library's rules for missing values and zeros.

    A row that is not finite gives NaN when `refuses_missing`.
    """
    rows, columns = features.shape
    block = min(rows, _ROWS_A_BLOCK)
    values = np.empty((block, columns))
    leaves = np.empty((block, len(ensemble.roots)), np.int32)
    sums = np.empty((block, 1 if ensemble.link == 1 else ensemble.classes))
    is_finite = np.empty(block, np.bool_)
    for first in range(0, rows, _ROWS_A_BLOCK):
        count = min(block, rows - first)
        for i in range(count):
            is_finite[i] = _prepare(ensemble, features[first + i], values[i])
        _find_leaves_carefully(ensemble, values[:count], leaves[:count])
        add_leaves(ensemble.leaf_values, len(ensemble.roots), leaves[:count], sums)
        for i in range(count):
            if is_finite[i] or not refuses_missing:
                finish(
                    ensemble.link, ensemble.steepness, len(ensemble.roots), sums[i], out[first + i]
                )
            else:
                out[first + i] = np.nan


def check_ensemble(ensemble: TreeEnsemble, features: int) -> None:
    """Refuse arrays that a walk could leave or never finish.

    Every child lies behind its parent and every node has exactly one way in, so each walk ends.
    Raises ModelError naming the array.
    """
    nodes, leaves = len(ensemble.feature), len(ensemble.leaf_values)
    _require(features > 0 and len(ensemble.roots) > 0, "model must hold features and trees")
    _require(len(ensemble.roots) <= MOST_TREES, f"trees must be at most {MOST_TREES}")
    _require(
        ensemble.threshold.shape == (nodes,)
        and ensemble.missing.shape == (nodes,)
        and ensemble.children.shape == (nodes, 2),
        f"node arrays must all have {nodes} rows",
    )
    _require(_within(ensemble.feature, 0, features), f"feature must lie in 0..{features - 1}")
    _require(
        _within(ensemble.children, -leaves, nodes) and _within(ensemble.roots, -leaves, nodes),
        f"children must be one of {nodes} nodes or {leaves} leaves",
    )
    is_ahead = (ensemble.children < 0) | (ensemble.children > np.arange(nodes)[:, None])
    _require(bool(is_ahead.all()), "children must lie behind their parent")
    ways_in = np.concatenate((ensemble.roots, ensemble.children.ravel()))
    counts = np.bincount(ways_in[ways_in >= 0], minlength=nodes)
    _require(bool((counts == 1).all()), "every node must have exactly one parent")
    _check_values(ensemble, features)


def _check_values(ensemble: TreeEnsemble, features: int) -> None:
    sums = 1 if ensemble.link == SIGMOID else ensemble.classes
    _require(ensemble.classes >= 2, "classes must be at least 2")
    _require(ensemble.link in (AVERAGE, SIGMOID, SOFTMAX), "link must be a known one")
    _require(ensemble.link != SIGMOID or ensemble.classes == 2, "a logistic model has 2 classes")
    width = ensemble.classes if ensemble.link == AVERAGE else 1
    _require(
        ensemble.leaf_values.ndim == 2 and ensemble.leaf_values.shape[1] == width,
        f"leaf_values must have {width} columns",
    )
    _require(width > 1 or len(ensemble.roots) % sums == 0, f"trees must come in rounds of {sums}")
    _require(
        ensemble.mean.shape == ensemble.scale.shape and len(ensemble.mean) in (0, features),
        f"scaler must hold {features} means and scales",
    )
    for name in ("leaf_values", "mean", "scale"):
        _require(bool(np.isfinite(getattr(ensemble, name)).all()), f"{name} must be finite")
    _require(bool((ensemble.scale > 0).all()), "scale must be > 0")
    _require(not bool(np.isnan(ensemble.threshold).any()), "threshold must not be NaN")
    _require(math.isfinite(ensemble.steepness), "steepness must be finite")


def _within(values: npt.NDArray[Any], low: int, end: int) -> bool:
    return bool(((values >= low) & (values < end)).all())


def _require(holds: bool, rule: str) -> None:
    if not holds:
        raise ModelError(f"{rule}, were not: the model file is corrupted or not ours")
