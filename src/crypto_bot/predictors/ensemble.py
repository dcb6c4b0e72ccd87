"""Several models asked together: an average of their answers, or a last model that reads them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crypto_bot.core import Predictor
from crypto_bot.core.arrays import PerBarFeature, PerRow, PerRowClass
from crypto_bot.core.errors import ModelError
from crypto_bot.predictors.composite import ask, check_same_classes, places
from crypto_bot.predictors.schema import as_matrix, as_values, check_schema


class EnsemblePredictor:
    """The weighted mean of its members' probabilities.

    Parameters
    ----------
    members : Sequence[Predictor]      each reads some of the features, all answer for the classes
    weights : float64 (members,)       how much each counts; divided by their sum
    feature_names : ordered schema of the columns, which holds every member's
    classes : label of each probability column, ascending

    Raises
    ------
    ModelError    if a member wants another feature or class, or the weights are not weights
    """

    def __init__(
        self,
        members: Sequence[Predictor],
        weights: PerRow,
        feature_names: Sequence[str],
        classes: Sequence[int],
    ) -> None:
        self._feature_names, self._classes = check_schema(feature_names, classes)
        self._members = tuple(members)
        check_same_classes(self._members, self._classes)
        is_sound = weights.shape == (len(members),) and bool(np.isfinite(weights).all())
        if not is_sound or (weights < 0).any() or not weights.sum() > 0:
            raise ModelError(f"weights must be one >= 0 a member, some > 0, were {weights}")
        self._weights = (weights / weights.sum()).tolist()
        self._places = [places(self._feature_names, each.feature_names) for each in members]

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Ordered feature schema."""
        return self._feature_names

    @property
    def classes(self) -> tuple[int, ...]:
        """Label of each probability column."""
        return self._classes

    @property
    def members(self) -> tuple[Predictor, ...]:
        """The models asked, in their order."""
        return self._members

    def predict_proba(self, features: PerBarFeature) -> PerRowClass:
        """float64 (rows, classes), added up member by member; NaN where any member gives NaN."""
        matrix = as_matrix(features, len(self._feature_names))
        out = np.zeros((len(matrix), len(self._classes)))
        for member, weight, columns in zip(self._members, self._weights, self._places, strict=True):
            out += weight * ask(member, matrix, columns)
        return out

    def predict_one(self, values: PerRow) -> PerRow:
        """float64 (classes,) of one row of float64 (features,)."""
        return self.predict_proba(as_values(values, len(self._feature_names))[None])[0]  # type: ignore[no-any-return]


class StackedPredictor:
    """A last model that reads its members' probabilities of every class but the first.

    Parameters are those of `EnsemblePredictor`; `final` reads `stack_names(members, classes)`.
    """

    def __init__(
        self,
        members: Sequence[Predictor],
        final: Predictor,
        feature_names: Sequence[str],
        classes: Sequence[int],
    ) -> None:
        self._feature_names, self._classes = check_schema(feature_names, classes)
        self._members, self._final = tuple(members), final
        check_same_classes((*self._members, final), self._classes)
        wanted = stack_names(len(self._members), self._classes)
        if final.feature_names != wanted:
            raise ModelError(f"the final model must read {wanted}, read {final.feature_names}")
        self._places = [places(self._feature_names, each.feature_names) for each in members]

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Ordered feature schema."""
        return self._feature_names

    @property
    def classes(self) -> tuple[int, ...]:
        """Label of each probability column."""
        return self._classes

    @property
    def members(self) -> tuple[Predictor, ...]:
        """The models whose answers the final one reads."""
        return self._members

    def predict_proba(self, features: PerBarFeature) -> PerRowClass:
        """float64 (rows, classes); NaN where any member gives NaN."""
        matrix = as_matrix(features, len(self._feature_names))
        answers = [
            ask(member, matrix, columns)
            for member, columns in zip(self._members, self._places, strict=True)
        ]
        return self._final.predict_proba(stacked(answers))

    def predict_one(self, values: PerRow) -> PerRow:
        """float64 (classes,) of one row of float64 (features,)."""
        return self.predict_proba(as_values(values, len(self._feature_names))[None])[0]  # type: ignore[no-any-return]


def stack_names(members: int, classes: Sequence[int]) -> tuple[str, ...]:
    """Names of a final model's features, such as 'member 0 of class 1'."""
    return tuple(f"member {k} of class {label}" for k in range(members) for label in classes[1:])


def stacked(answers: Sequence[PerRowClass]) -> PerBarFeature:
    """float64 (rows, members x (classes - 1)): what a final model reads; the first class is the rest."""
    return np.ascontiguousarray(np.hstack([each[:, 1:] for each in answers]))
