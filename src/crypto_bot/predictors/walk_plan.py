"""The layout in which trees are walked: 16 bytes a node, both children side by side, leaves that loop.

A step is one load and one comparison without a branch; eight trees walk at once, so that their waits
for memory overlap, and every few steps it is looked whether all eight have arrived.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from crypto_bot.core.arrays import PerBarFeature, PerRow, PerRowClass
from crypto_bot.core.errors import ModelError
from crypto_bot.predictors.trees import PerRowTree, TreeEnsemble, add_leaves, finish

TREES_AT_ONCE = 8
MOST_DEPTH = 1 << 13
"""Steps of one walk; a chain of millions of nodes would keep every row for seconds."""
_ROWS_A_BLOCK = 64
_STEPS_A_LOOK = 4
"""Steps taken before it is looked whether all eight have arrived."""
NODE = np.dtype([("threshold", "<f8"), ("feature", "<i4"), ("child", "<i4")])
"""A node; `child` is the left one, the right one follows it. A leaf's child is itself."""


class WalkPlan(NamedTuple):
    """A `TreeEnsemble` laid out for walking; few arrays, since each costs every call some time.

    Attributes
    ----------
    nodes : NODE (nodes and leaves,)    a leaf's threshold is +inf, so that it leads to itself
    leaf : int32 (nodes and leaves,)    row of `leaf_values`, for leaves
    slots : int32 (2, slots)            root of the tree in each slot (filled up to eights), and number
                                        of the tree (fillers' lie beyond)
    leaf_values : float64 (leaves, width)
    scaler : float64 (2, features)      mean and scale; (2, 0) for none
    trees, link, classes, steepness, is_float32 : as in `TreeEnsemble`
    """

    nodes: npt.NDArray[np.void]
    leaf: npt.NDArray[np.int32]
    slots: npt.NDArray[np.int32]
    leaf_values: npt.NDArray[np.float64]
    scaler: npt.NDArray[np.float64]
    trees: int
    link: int
    classes: int
    steepness: float
    is_float32: bool


def plan_walk(ensemble: TreeEnsemble) -> WalkPlan:
    """Lay a checked ensemble out; trees of like depth share an eight."""
    # The roots, then both children of node n at roots + 2 n and roots + 2 n + 1.
    places = np.concatenate((ensemble.roots, ensemble.children.reshape(-1))).astype(np.int64)
    is_leaf = places < 0
    node = np.where(is_leaf, 0, places)
    laid = np.zeros(len(places), dtype=NODE)
    laid["threshold"] = np.inf
    laid["child"] = np.where(is_leaf, np.arange(len(places)), len(ensemble.roots) + 2 * node)
    laid["threshold"][~is_leaf] = ensemble.threshold[node[~is_leaf]]
    laid["feature"][~is_leaf] = ensemble.feature[node[~is_leaf]]
    return WalkPlan(
        nodes=laid,
        leaf=np.where(is_leaf, ~places, 0).astype(np.int32),
        slots=_slots(_depths(ensemble)),
        leaf_values=np.ascontiguousarray(ensemble.leaf_values),
        scaler=np.stack((ensemble.mean, ensemble.scale)),
        trees=len(ensemble.roots),
        link=ensemble.link,
        classes=ensemble.classes,
        steepness=ensemble.steepness,
        is_float32=ensemble.is_float32,
    )


def _slots(depth: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
    """Root and number of the tree in each slot; like depths together."""
    order = np.argsort(depth, kind="stable")
    padding = -len(order) % TREES_AT_ONCE
    roots = np.concatenate((order, np.repeat(order[-1:], padding)))
    numbers = np.concatenate((order, np.arange(len(order), len(order) + padding)))
    return np.stack((roots, numbers)).astype(np.int32)


def _depths(ensemble: TreeEnsemble) -> npt.NDArray[np.int64]:
    """Steps to the deepest leaf of each tree; children lie behind their parents."""
    level = np.zeros(len(ensemble.feature), dtype=np.int64)
    found = np.zeros(len(ensemble.roots), dtype=np.int64)
    inner_roots = np.flatnonzero(ensemble.roots >= 0)
    tree = np.zeros(len(level), dtype=np.int64)
    now = ensemble.roots[inner_roots].astype(np.int64)
    tree[now] = inner_roots
    depth = 0
    while now.size:
        depth += 1
        if depth > MOST_DEPTH:
            raise ModelError(f"trees must be at most {MOST_DEPTH} deep, were deeper")
        level[now] += 1
        np.maximum.at(found, tree[now], level[now])
        below = ensemble.children[now].astype(np.int64)
        for side in (0, 1):
            has_more = below[:, side] >= 0
            tree[below[has_more, side]] = tree[now[has_more]]
            level[below[has_more, side]] = level[now[has_more]]
        now = below[below >= 0]
    return found


@njit(cache=True, nogil=True, inline="always")  # type: ignore[untyped-decorator]
def _step(nodes, at, row):  # type: ignore[no-untyped-def]
    """The child a finite value leads to; unsigned indices spare numba's test for negative ones."""
    node = nodes[at]
    return np.uint32(node.child) + np.uint32(not row[np.uint32(node.feature)] <= node.threshold)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _find_leaves(plan: WalkPlan, values: PerBarFeature, leaves: PerRowTree) -> None:
    """Fill `leaves` (rows, slots), by number of the tree, for finite values (rows, features)."""
    nodes, leaf = plan.nodes, plan.leaf
    starts, numbers = plan.slots[0], plan.slots[1]
    for s in range(0, len(starts), 8):
        for i in range(len(values)):
            row, out = values[i], leaves[i]
            a, b = np.uint32(starts[s]), np.uint32(starts[s + 1])
            c, d = np.uint32(starts[s + 2]), np.uint32(starts[s + 3])
            e, f = np.uint32(starts[s + 4]), np.uint32(starts[s + 5])
            g, h = np.uint32(starts[s + 6]), np.uint32(starts[s + 7])
            moved = np.uint32(1)
            while moved:
                for _ in range(_STEPS_A_LOOK):
                    a, b = _step(nodes, a, row), _step(nodes, b, row)
                    c, d = _step(nodes, c, row), _step(nodes, d, row)
                    e, f = _step(nodes, e, row), _step(nodes, f, row)
                    g, h = _step(nodes, g, row), _step(nodes, h, row)
                moved = (nodes[a].child ^ a) | (nodes[b].child ^ b)
                moved |= (nodes[c].child ^ c) | (nodes[d].child ^ d)
                moved |= (nodes[e].child ^ e) | (nodes[f].child ^ f)
                moved |= (nodes[g].child ^ g) | (nodes[h].child ^ h)
            out[numbers[s]], out[numbers[s + 1]] = leaf[a], leaf[b]
            out[numbers[s + 2]], out[numbers[s + 3]] = leaf[c], leaf[d]
            out[numbers[s + 4]], out[numbers[s + 5]] = leaf[e], leaf[f]
            out[numbers[s + 6]], out[numbers[s + 7]] = leaf[g], leaf[h]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _prepare(plan: WalkPlan, row: PerRow, values: PerRow) -> bool:
    """Scale and round one row into `values`; zeros and False where a value is not finite."""
    is_finite = True
    has_scaler = plan.scaler.shape[1] > 0
    for i in range(len(values)):
        value = row[i]
        if has_scaler:
            value = (value - plan.scaler[0, i]) / plan.scaler[1, i]
        if plan.is_float32:
            value = np.float64(np.float32(value))
        values[i] = value
        is_finite = is_finite and math.isfinite(value)
    if not is_finite:
        values[:] = 0.0
    return is_finite


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def walk_plan(plan: WalkPlan, features: PerBarFeature, out: PerRowClass) -> None:
    """Fill `out` (rows, classes); a row with a value that is not finite gives NaN.

    Rows go through all trees in blocks, so that a tree too large for the processor's cache is
    fetched once a block. The order of every row's sum stays that of the trees.
    """
    rows, columns = features.shape
    block = min(rows, _ROWS_A_BLOCK)
    values = np.empty((block, columns))
    leaves = np.empty((block, plan.slots.shape[1]), np.int32)
    sums = np.empty((block, 1 if plan.link == 1 else plan.classes))
    is_finite = np.empty(block, np.bool_)
    for first in range(0, rows, _ROWS_A_BLOCK):
        count = min(block, rows - first)
        for i in range(count):
            is_finite[i] = _prepare(plan, features[first + i], values[i])
        _find_leaves(plan, values[:count], leaves)
        add_leaves(plan.leaf_values, plan.trees, leaves[:count], sums)
        for i in range(count):
            if is_finite[i]:
                finish(plan.link, plan.steepness, plan.trees, sums[i], out[first + i])
            else:
                out[first + i] = np.nan
