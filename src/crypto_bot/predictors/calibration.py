"""`CalibratedPredictor`: a model's probabilities corrected to what came true; `calibration.npz`."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from crypto_bot.core import Predictor
from crypto_bot.core.arrays import PerBarFeature, PerRow, PerRowClass
from crypto_bot.core.errors import ModelError
from crypto_bot.predictors.array_file import not_intact, read_arrays, read_labels, write_arrays
from crypto_bot.predictors.composite import Member, described, read_members
from crypto_bot.predictors.schema import as_matrix, as_values

CALIBRATION_FILE = "calibration.npz"
METHODS = ("sigmoid", "isotonic", "temperature")
TINY = 1e-12
"""Probabilities are kept this far from 0 and 1 before their logarithm is taken."""
_SIGMOID, _ISOTONIC, _TEMPERATURE = range(3)
_FORMAT = "crypto-bot calibration 1"
_LAYOUT: dict[str, tuple[str, int]] = {
    "slopes": ("<f8", 1),
    "intercepts": ("<f8", 1),
    "knots": ("<f8", 1),
    "levels": ("<f8", 1),
    "starts": ("<i8", 1),
}


class Calibration(NamedTuple):
    """How each class's probability is corrected, before all are shared out to sum to 1.

    Attributes
    ----------
    method : int                      position in `METHODS`
    slopes, intercepts : float64 (classes,)     sigmoid: logistic(slope x logit + intercept), slope 0
                                      and intercept -inf written as a huge negative number for a class
                                      that never came; temperature: log probabilities times slopes[0]
    knots, levels : float64 (points,)           isotonic: straight lines between these points
    starts : int64 (classes + 1,)     where each class's points begin

    Notes
    -----
    Of two classes the upper is corrected and the lower is the rest; of more each is, and they are
    divided by their sum.
    """

    method: int
    slopes: npt.NDArray[np.float64]
    intercepts: npt.NDArray[np.float64]
    knots: npt.NDArray[np.float64]
    levels: npt.NDArray[np.float64]
    starts: npt.NDArray[np.int64]


class CalibratedPredictor:
    """A predictor whose probabilities go through a `Calibration`.

    Raises
    ------
    ModelError    if the arrays are not a sound calibration for the predictor's classes
    """

    def __init__(self, inner: Predictor, calibration: Calibration) -> None:
        _check(calibration, len(inner.classes))
        self._inner, self._calibration = inner, calibration

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Ordered feature schema, the inner model's."""
        return self._inner.feature_names

    @property
    def classes(self) -> tuple[int, ...]:
        """Label of each probability column."""
        return self._inner.classes

    @property
    def members(self) -> tuple[Predictor, ...]:
        """The inner model."""
        return (self._inner,)

    def predict_proba(self, features: PerBarFeature) -> PerRowClass:
        """float64 (rows, classes); a row the inner model gives NaN stays NaN."""
        matrix = as_matrix(features, len(self.feature_names))
        return calibrate(self._calibration, self._inner.predict_proba(matrix))

    def predict_one(self, values: PerRow) -> PerRow:
        """float64 (classes,) of one row of float64 (features,)."""
        return self.predict_proba(as_values(values, len(self.feature_names))[None])[0]  # type: ignore[no-any-return]


def calibrate(calibration: Calibration, probabilities: PerRowClass) -> PerRowClass:
    """float64 (rows, classes) corrected; rows never depend on each other."""
    given = np.ascontiguousarray(probabilities, dtype=np.float64)
    out = np.empty_like(given)
    _calibrate_rows(calibration, given, out)
    return out


def write_calibration(calibration: Calibration, member: Member, classes: tuple[int, ...]) -> bytes:
    """The bytes of calibration.npz."""
    schema = {
        "format": _FORMAT,
        "method": METHODS[calibration.method],
        "classes": list(classes),
        "members": described([member]),
    }
    return write_arrays(calibration._asdict(), _LAYOUT, schema)


def read_calibration(content: bytes) -> tuple[Calibration, Member, tuple[int, ...]]:
    """The calibration, what it corrects, and the classes. ModelError when the bytes are damaged."""
    arrays, schema = read_arrays(content, file=CALIBRATION_FILE, kind=_FORMAT, layout=_LAYOUT)
    members = read_members(schema, "members", CALIBRATION_FILE, _FORMAT)
    if schema.get("method") not in METHODS or len(members) != 1:
        raise not_intact(CALIBRATION_FILE, _FORMAT, "method or members are not ours")
    calibration = Calibration(method=METHODS.index(schema["method"]), **arrays)
    return calibration, members[0], read_labels(schema, "classes", CALIBRATION_FILE, _FORMAT)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _calibrate_rows(calibration: Calibration, given: PerRowClass, out: PerRowClass) -> None:
    rows, classes = given.shape
    for i in range(rows):
        if math.isnan(given[i, 0]):
            out[i] = np.nan
        elif calibration.method == 2:
            _soften(calibration.slopes[0], given[i], out[i])
        elif classes == 2:
            out[i, 1] = _corrected(calibration, 1, given[i, 1])
            out[i, 0] = 1.0 - out[i, 1]
        else:
            total = 0.0
            for k in range(classes):
                out[i, k] = _corrected(calibration, k, given[i, k])
                total += out[i, k]
            for k in range(classes):
                out[i, k] = out[i, k] / total if total > 0.0 else given[i, k]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _corrected(calibration: Calibration, k: int, chance: float) -> float:
    """One class's corrected probability."""
    if calibration.method == 0:
        kept = min(max(chance, 1e-12), 1.0 - 1e-12)
        score = calibration.slopes[k] * math.log(kept / (1.0 - kept)) + calibration.intercepts[k]
        return 1.0 / (1.0 + math.exp(-score))
    first, last = calibration.starts[k], calibration.starts[k + 1] - 1
    knots, levels = calibration.knots, calibration.levels
    if chance <= knots[first]:
        return levels[first]  # type: ignore[no-any-return]
    if chance >= knots[last]:
        return levels[last]  # type: ignore[no-any-return]
    while last - first > 1:
        middle = (first + last) // 2
        if knots[middle] <= chance:
            first = middle
        else:
            last = middle
    share = (chance - knots[first]) / (knots[last] - knots[first])
    return levels[first] + share * (levels[last] - levels[first])  # type: ignore[no-any-return]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _soften(slope: float, given: PerRow, out: PerRow) -> None:
    """Probabilities to the power of `slope`, shared out; an impossible class stays impossible."""
    peak = 0.0
    for k in range(len(given)):
        peak = max(peak, given[k])
    total = 0.0
    for k in range(len(given)):
        out[k] = (given[k] / peak) ** slope if given[k] > 0.0 else 0.0
        total += out[k]
    for k in range(len(given)):
        out[k] /= total


def _check(calibration: Calibration, classes: int) -> None:
    _require(0 <= calibration.method < len(METHODS), "method must be a known one")
    for name in _LAYOUT:
        array: npt.NDArray[Any] = getattr(calibration, name)
        _require(array.ndim == 1 and bool(np.isfinite(array).all()), f"{name} must be finite")
    wanted = 1 if calibration.method == _TEMPERATURE else classes
    if calibration.method != _ISOTONIC:
        _require(len(calibration.slopes) == wanted, f"slopes must be {wanted}")
        _require(bool((calibration.slopes >= 0).all()), "slopes must be >= 0")
    if calibration.method == _SIGMOID:
        _require(len(calibration.intercepts) == classes, f"intercepts must be {classes}")
    if calibration.method == _ISOTONIC:
        _check_points(calibration, classes)


def _check_points(calibration: Calibration, classes: int) -> None:
    starts, knots, levels = calibration.starts, calibration.knots, calibration.levels
    _require(
        len(starts) == classes + 1
        and starts[0] == 0
        and starts[-1] == len(knots) == len(levels)
        and bool((np.diff(starts) > 0).all()),
        "starts must begin every class's points",
    )
    for first, end in pairwise(starts.tolist()):
        _require(bool((np.diff(knots[first:end]) > 0).all()), "knots must rise")
        _require(bool((np.diff(levels[first:end]) >= 0).all()), "levels must not fall")
    _require(bool(((levels >= 0) & (levels <= 1)).all()), "levels must lie in 0..1")


def _require(holds: bool, rule: str) -> None:
    if not holds:
        raise ModelError(f"{rule}, were not: {CALIBRATION_FILE} is corrupted or not ours")
