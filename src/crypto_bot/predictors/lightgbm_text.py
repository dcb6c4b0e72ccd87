"""LightGBM's text model, read without LightGBM: strict, bounded, never executed.

Numerical splits of binary and multiclass boosters are read; categorical splits and linear trees are
refused. `seal_text` adds a checksum line (LightGBM ignores it) so that a damaged file is noticed.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from crypto_bot.core.errors import ModelError
from crypto_bot.predictors.schema import MOST_FEATURES
from crypto_bot.predictors.trees import (
    DEFAULT_LEFT,
    MISSING_NAN,
    MISSING_ZERO,
    MOST_TREES,
    SIGMOID,
    SOFTMAX,
    ZERO,
    TreeEnsemble,
)

LIGHTGBM_FILE = "model.txt"
SIZE_LIMIT_BYTES = 1 << 28
"""Of the text; reading takes a few times as much."""
_MOST_LINES, _MOST_LEAVES = 100, 1 << 17
"""Of a block, and of a tree (LightGBM's own limit): nothing is split into more parts."""
_SEAL = b"sealed_sha256:"
_LAST_LINE = b"pandas_categorical:"
_CATEGORICAL = 1
_MISSING = {0: 0, 4: MISSING_ZERO, 8: MISSING_NAN}
"""LightGBM's missing type, two bits of decision_type, in our bits."""


_DTYPES: dict[Callable[[str], Any], Any] = {int: np.int64, float: np.float64}


class _Tree(NamedTuple):
    feature: npt.NDArray[np.int64]
    threshold: npt.NDArray[np.float64]
    children: npt.NDArray[np.int64]
    missing: npt.NDArray[np.uint8]
    leaf_values: npt.NDArray[np.float64]


def seal_text(text: str) -> bytes:
    """The model text with its own sha256 in one extra line, still readable by LightGBM."""
    content = text.encode()
    cut = content.rfind(_LAST_LINE)
    cut = len(content) if cut < 0 else cut
    digest = hashlib.sha256(content).hexdigest().encode()
    return content[:cut] + _SEAL + digest + b"\n" + content[cut:]


def read_lightgbm(content: bytes) -> tuple[TreeEnsemble, tuple[str, ...]]:
    """The ensemble and feature names of a LightGBM text model.

    Raises ModelError when the text is truncated, damaged, too large, or holds what the walker
    does not do (categorical splits, linear trees, other objectives, averaged output).
    """
    if len(content) > SIZE_LIMIT_BYTES:
        raise ModelError(
            f"{LIGHTGBM_FILE} must be at most {SIZE_LIMIT_BYTES} bytes, was {len(content)}"
        )
    check_seal(content)
    try:
        return _read(content)
    except (ValueError, OverflowError, KeyError, IndexError, MemoryError) as error:
        raise _damaged(str(error)) from error


def check_seal(content: bytes) -> None:
    """ModelError if the text has a checksum and it is not that of the rest."""
    start = content.rfind(_SEAL)
    if start < 0:
        return
    end = content.find(b"\n", start)
    stated = content[start + len(_SEAL) : end]
    found = hashlib.sha256(content[:start] + content[end + 1 :]).hexdigest().encode()
    if end < 0 or stated != found:
        raise _damaged("its checksum differs")


def _read(content: bytes) -> tuple[TreeEnsemble, tuple[str, ...]]:
    end = content.index(b"\n\n")
    first, _, rest = content[:end].decode().partition("\n")
    if first != "tree":
        raise _damaged("it does not start with 'tree'")
    header = _pairs(rest)
    if "average_output" in header:
        raise ModelError(f"{LIGHTGBM_FILE} must not average its trees (boosting=rf), does")
    features = header["feature_names"].count(" ") + 1
    if header["version"] != "v4" or features != int(header["max_feature_idx"]) + 1:
        raise _damaged("version or feature count differ")
    if features > MOST_FEATURES or header["tree_sizes"].count(" ") >= MOST_TREES:
        raise _damaged(f"it has more than {MOST_FEATURES} features or {MOST_TREES} trees")
    names = tuple(header["feature_names"].split(" "))
    classes, link, steepness = _objective(header)
    sizes = [int(size) for size in header["tree_sizes"].split(" ")]
    trees = [_tree(text) for text in _blocks(content, end + 2, sizes)]
    return _joined(trees, link=link, classes=classes, steepness=steepness), names


def _pairs(text: str) -> dict[str, str]:
    if text.count("\n") > _MOST_LINES:
        raise _damaged(f"a part of it has more than {_MOST_LINES} lines")
    pairs: dict[str, str] = {}
    for line in text.rstrip("\n").split("\n"):
        key, _, value = line.partition("=")
        if key in pairs:
            raise _damaged(f"{key} stands twice")
        pairs[key] = value
    return pairs


def _objective(header: dict[str, str]) -> tuple[int, int, float]:
    """Classes, link and steepness from the header."""
    name, *parts = header["objective"].split(" ")
    options = dict(part.split(":") for part in parts)
    sums = int(header["num_tree_per_iteration"])
    if name == "binary" and sums == 1:
        return 2, SIGMOID, float(options["sigmoid"])
    if name == "multiclass" and sums == int(options["num_class"]) == int(header["num_class"]):
        return sums, SOFTMAX, 1.0
    raise ModelError(
        f"{LIGHTGBM_FILE} objective must be binary or multiclass, was {header['objective']!r}"
    )


def _blocks(content: bytes, start: int, sizes: list[int]) -> Iterator[str]:
    for number, size in enumerate(sizes):
        block = content[start : start + size]
        title = b"Tree=%d\n" % number
        if size <= 0 or len(block) != size or not block.startswith(title):
            raise _damaged(f"tree {number} is not where it should be")
        yield block[len(title) :].decode()
        start += size
    if not content.startswith(b"end of trees\n", start):
        raise _damaged("the trees have no end")


def _tree(text: str) -> _Tree:
    pairs = _pairs(text)
    if int(pairs["num_cat"]) or int(pairs.get("is_linear", "0")):
        raise ModelError(
            f"{LIGHTGBM_FILE} must hold numerical splits and constant leaves only, "
            "had categorical splits or linear trees"
        )
    leaves = int(pairs["num_leaves"])
    if not 1 <= leaves <= min(len(text), _MOST_LEAVES):
        raise _damaged(f"num_leaves is {leaves}")
    decision = _numbers(pairs, "decision_type", leaves - 1, int)
    left = _numbers(pairs, "left_child", leaves - 1, int)
    right = _numbers(pairs, "right_child", leaves - 1, int)
    return _Tree(
        feature=_numbers(pairs, "split_feature", leaves - 1, int),
        threshold=_without_tiny(_numbers(pairs, "threshold", leaves - 1, float)),
        children=_inside(np.stack((left, right), axis=1), leaves),
        missing=_missing_bits(decision),
        leaf_values=_numbers(pairs, "leaf_value", leaves, float),
    )


def _numbers(
    pairs: dict[str, str], key: str, count: int, convert: Callable[[str], Any]
) -> npt.NDArray[Any]:
    text = pairs[key]
    found = text.count(" ") + 1 if count else 0
    if found != count or "_" in text:
        raise _damaged(f"{key} holds {found} numbers, not {count}")
    parts = text.split(" ") if count else []
    return np.array([convert(part) for part in parts], dtype=_DTYPES[convert])


def _inside(children: npt.NDArray[np.int64], leaves: int) -> npt.NDArray[np.int64]:
    """Each child is a later node of this tree or a leaf of it, and each leaf has one way in."""
    if leaves > 1:
        hit = np.bincount(~children[children < 0], minlength=leaves)
        if children.max() >= leaves - 1 or len(hit) != leaves or not (hit == 1).all():
            raise _damaged("children leave their tree")
    return children


def _missing_bits(decision: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    if (decision & _CATEGORICAL).any():
        raise ModelError(f"{LIGHTGBM_FILE} must hold numerical splits only, had categorical ones")
    kinds = decision & ~np.int64(_CATEGORICAL | 2)
    bits = np.where(decision & 2, DEFAULT_LEFT, 0)
    return np.array(
        [_MISSING[kind] | bit for kind, bit in zip(kinds.tolist(), bits.tolist(), strict=True)],
        dtype=np.uint8,
    )


def _without_tiny(threshold: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Thresholds that treat every value within ZERO of zero alike, as LightGBM reads its input."""
    below = math.nextafter(-ZERO, -math.inf)
    tiny = np.where(threshold < 0, below, ZERO)
    return np.where((threshold >= -ZERO) & (threshold < ZERO), tiny, threshold)


def _joined(trees: list[_Tree], *, link: int, classes: int, steepness: float) -> TreeEnsemble:
    nodes = np.cumsum([0] + [len(tree.feature) for tree in trees])
    leaves = np.cumsum([0] + [len(tree.leaf_values) for tree in trees])
    children = [
        np.where(tree.children < 0, tree.children - leaf, tree.children + node)
        for tree, node, leaf in zip(trees, nodes[:-1], leaves[:-1], strict=True)
    ]
    roots = [
        node if len(tree.feature) else ~leaf
        for tree, node, leaf in zip(trees, nodes[:-1], leaves[:-1], strict=True)
    ]
    return TreeEnsemble(
        roots=np.array(roots, dtype=np.int32),
        feature=_narrow([tree.feature for tree in trees]),
        threshold=np.concatenate([tree.threshold for tree in trees]),
        children=_narrow(children).reshape(-1, 2),
        missing=np.concatenate([tree.missing for tree in trees]),
        leaf_values=np.concatenate([tree.leaf_values for tree in trees])[:, None],
        mean=np.empty(0),
        scale=np.empty(0),
        link=link,
        classes=classes,
        steepness=steepness,
        is_float32=False,
    )


def _narrow(parts: list[npt.NDArray[np.int64]]) -> npt.NDArray[np.int32]:
    joined = np.concatenate(parts)
    if joined.size and max(-int(joined.min()), int(joined.max())) >= 1 << 31:
        raise _damaged("an index does not fit")
    return np.ascontiguousarray(joined, dtype=np.int32)


def _damaged(what: str) -> ModelError:
    return ModelError(f"{LIGHTGBM_FILE} must be an intact LightGBM model text, was not: {what}")
