"""A surrogate that is only asked where to look: a random forest ranks candidates, backtests decide."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from crypto_bot.core.arrays import PerRow

if TYPE_CHECKING:
    from crypto_bot.search.samplers import Suggestion
    from crypto_bot.search.space import Setting

TREES = 100
CANDIDATES = 1_000
EXPLORED = 4
"""One setting in so many is drawn by chance, whatever the forest says."""


class ForestSampler:
    """Batches of the settings from which a random forest expects the most improvement.

    Notes
    -----
    The first batch is drawn by chance. Then a forest of 100 trees learns rank from setting, over all
    results so far (ranks: one lucky Sharpe must not bend the scale), and of 1,000 fresh random
    candidates, never tried before, those with the largest expected improvement on the best rank are
    tried; the trees' disagreement is the uncertainty, as in SMAC (Hutter, Hoos and Leyton-Brown 2011).
    Candidates come from the space itself, so types, lists of values and order constraints are kept.
    """

    def __init__(self, draw: Callable[[Sequence[int]], Setting], seed: int, batch: int) -> None:
        self._draw, self._seed, self._batch = draw, seed, batch
        self._settings: list[Setting] = []
        self._values: list[float] = []

    def size(self) -> None:
        """Without end."""

    def ask(self, batch: int, count: int) -> list[Suggestion]:
        """The first `count` settings of a batch."""
        from crypto_bot.search.samplers import Suggestion

        fresh = [self._draw([self._seed, batch, index]) for index in range(self._batch)]
        if self._values:
            fresh = self._chosen(batch, fresh)
        return [Suggestion(setting) for setting in fresh[:count]]

    def tell(self, suggestions: Sequence[Suggestion], values: Sequence[Sequence[float]]) -> None:
        """Learn what became of a batch."""
        self._settings += [suggestion.setting for suggestion in suggestions]
        self._values += [float(value[0]) for value in values]

    def _chosen(self, batch: int, by_chance: Sequence[Setting]) -> list[Setting]:
        tried = {setting.key for setting in self._settings}
        drawn = (self._draw([self._seed, batch, self._batch + k]) for k in range(CANDIDATES))
        candidates = {each.key: each for each in drawn if each.key not in tried}
        if not candidates:
            return list(by_chance)
        keys = list(candidates)
        columns = encoded([*self._settings, *candidates.values()])
        known = len(self._settings)
        seed = int(np.random.SeedSequence([self._seed, batch]).generate_state(1)[0])
        hoped = _improvement(columns[:known], _ranks(self._values), columns[known:], seed)
        best = [candidates[keys[k]] for k in np.argsort(-hoped, kind="stable")]
        chance = iter(by_chance)
        # A place for chance first in every group, so that a cut-off batch keeps its share.
        ordered = [next(chance) if k % EXPLORED == 0 else None for k in range(self._batch)]
        leaders = iter([*best, *by_chance[-self._batch :], *by_chance])
        return [next(leaders) if each is None else each for each in ordered]


def encoded(settings: Sequence[Setting]) -> npt.NDArray[np.float64]:
    """Settings as numbers (settings, columns): a flag a value without order, -1 for what is unused."""
    rows = [_flat(setting) for setting in settings]
    columns = []
    for name in rows[0]:
        values = [row[name] for row in rows]
        if any(isinstance(value, str) for value in values):
            for choice in sorted({str(value) for value in values}):
                columns.append([float(str(value) == choice) for value in values])
        else:
            columns.append([-1.0 if value is None else float(value) for value in values])
    return np.ascontiguousarray(np.array(columns, dtype=np.float64).T)


def _flat(setting: Setting) -> dict[str, Any]:
    exits: Mapping[str, Any] = setting.exits.model_dump(mode="json")
    return {**setting.parameters, **{f"exits.{name}": value for name, value in exits.items()}}


def _ranks(values: Sequence[float]) -> PerRow:
    """Mean ranks in 0..1, equal for equal values."""
    _, place, counts = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - (counts + 1) / 2.0
    ranks: PerRow = middle[place] / max(len(values) - 1, 1)
    return ranks


def _improvement(
    known: npt.NDArray[np.float64], ranks: PerRow, candidates: npt.NDArray[np.float64], seed: int
) -> PerRow:
    """Expected improvement of each candidate on the best rank, trees as draws of a normal."""
    from scipy.stats import norm
    from sklearn.ensemble import RandomForestRegressor

    forest = RandomForestRegressor(TREES, random_state=seed, max_features=1.0, n_jobs=1)
    forest.fit(known, ranks)
    each = np.array([tree.predict(candidates) for tree in forest.estimators_])
    mean, spread = each.mean(axis=0), each.std(axis=0) + 1e-12
    ahead = (mean - ranks.max()) / spread
    hoped: PerRow = spread * (ahead * norm.cdf(ahead) + norm.pdf(ahead))
    return hoped
