"""Which settings are tried next: a grid, chance, or what is learnt from those before.

Every method is a function of the seed, the batch's number and the results so far. So a search that
was killed goes on as if it had not been: results are told again, in order, and the next batch comes
out the same.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from crypto_bot.core.errors import ConfigError, nearest
from crypto_bot.search.forest_sampler import ForestSampler
from crypto_bot.search.space import SearchSpace, Setting
from crypto_bot.strategies import parameter_grid

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.distributions import BaseDistribution

METHODS = ("grid", "random", "tpe", "nsga2", "forest")
MOST_TRIALS = 1_000_000
_MOST_LEVELS = 1_000
_WASTE = 4
"""Sets crossed for one that is kept, at most: the others are out of order."""
_SEED_BITS = 2**32
BATCH = {"grid": 1024, "random": 256, "tpe": 16, "nsga2": 32, "forest": 16}
"""Settings evaluated together; for nsga2 a generation."""


@dataclass(frozen=True)
class Suggestion:
    """A setting to try; `raw` and `notes` are what the sampler must be told with its result."""

    setting: Setting
    raw: Mapping[str, Any] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)


class Sampler(Protocol):
    """A method of search."""

    def size(self) -> int | None:
        """How many settings there are, None without end."""
        ...

    def ask(self, batch: int, count: int) -> list[Suggestion]:
        """The first `count` settings of a batch."""
        ...

    def tell(self, suggestions: Sequence[Suggestion], values: Sequence[Sequence[float]]) -> None:
        """What became of a batch that was asked for: the value or values of each, all to maximise."""
        ...


def make_sampler(method: str, space: SearchSpace, trials: int, seed: int) -> Sampler:
    """The sampler of a method; raises ConfigError for an unknown one or an impossible grid."""
    if method not in METHODS:
        raise ConfigError(
            f"method must be one of {', '.join(METHODS)}, was {method!r}{nearest(method, METHODS)}"
        )
    if not 1 <= trials <= MOST_TRIALS:
        raise ConfigError(f"trials must be 1..{MOST_TRIALS:,}, was {trials:,}")
    if seed < 0:
        raise ConfigError(f"seed must be at least 0, was {seed}")
    if method == "grid":
        return GridSampler(grid_settings(space, trials))
    if method == "random":
        return RandomSampler(space, seed)
    if method == "forest":
        return ForestSampler(lambda place: space.draw(_RandomDraw(place)), seed, BATCH["forest"])
    return OptunaSampler(space, seed, is_front=method == "nsga2")


class _Given:
    """Samplers that do not learn."""

    def tell(self, suggestions: Sequence[Suggestion], values: Sequence[Sequence[float]]) -> None:
        """Nothing is learnt."""


class GridSampler(_Given):
    """Every setting of a grid, in order."""

    def __init__(self, settings: Sequence[Setting]) -> None:
        self._settings = settings

    def size(self) -> int:
        """Settings of the grid."""
        return len(self._settings)

    def ask(self, batch: int, count: int) -> list[Suggestion]:
        """The next settings in order."""
        start = batch * BATCH["grid"]
        return [Suggestion(setting) for setting in self._settings[start : start + count]]


class RandomSampler(_Given):
    """Independent draws; number n is the same whatever else is asked."""

    def __init__(self, space: SearchSpace, seed: int) -> None:
        self._space, self._seed = space, seed

    def size(self) -> None:
        """Without end."""

    def ask(self, batch: int, count: int) -> list[Suggestion]:
        """Fresh draws."""
        first = batch * BATCH["random"]
        return [
            Suggestion(self._space.draw(_RandomDraw([self._seed, first + index])))
            for index in range(count)
        ]


class _RandomDraw:
    def __init__(self, seed: Sequence[int]) -> None:
        self._random = np.random.default_rng(seed)

    def integer(self, name: str, low: int, high: int, is_log: bool) -> int:
        del name
        if not is_log:
            return int(self._random.integers(low, high, endpoint=True))
        share = self._random.uniform(math.log(low - 0.5), math.log(high + 0.5))
        return min(max(round(math.exp(share)), low), high)

    def number(self, name: str, low: float, high: float, is_log: bool) -> float:
        del name
        if not is_log:
            return float(self._random.uniform(low, high))
        return math.exp(self._random.uniform(math.log(low), math.log(high)))

    def choice(self, name: str, values: Sequence[Any]) -> Any:
        del name
        return values[int(self._random.integers(len(values)))]


class OptunaSampler:
    """TPE for one value, NSGA-II for return against drawdown; seeded anew for every batch."""

    def __init__(self, space: SearchSpace, seed: int, *, is_front: bool) -> None:
        self._space, self._seed, self._is_front = space, seed, is_front
        with quiet_optuna():
            import optuna

            best = optuna.study.StudyDirection.MAXIMIZE
            self._study: Study = optuna.create_study(directions=[best] * (2 if is_front else 1))
        self._asked: list[Trial] = []

    def size(self) -> None:
        """Without end."""

    def ask(self, batch: int, count: int) -> list[Suggestion]:
        """What the sampler suggests, given every batch told so far."""
        drawn: list[tuple[Setting, Trial]] = []
        with quiet_optuna():
            self._study.sampler = self._fresh(batch)
            for _ in range(count):
                trial = self._study.ask()
                drawn.append((self._space.draw(_OptunaDraw(trial)), trial))
            trials = self._study.get_trials(deepcopy=False)
        self._asked = [trial for _, trial in drawn]
        return [
            Suggestion(setting, dict(trial.params), dict(trials[trial.number].system_attrs))
            for setting, trial in drawn
        ]

    def tell(self, suggestions: Sequence[Suggestion], values: Sequence[Sequence[float]]) -> None:
        """Close what was asked, or add what an earlier process asked."""
        with quiet_optuna():
            if self._asked:
                for trial, value in zip(self._asked, values, strict=True):
                    self._study.tell(trial, list(value))
                self._asked = []
                return
            import optuna

            for suggestion, value in zip(suggestions, values, strict=True):
                record = _Recorded(suggestion.raw)
                self._space.draw(record)
                self._study.add_trial(
                    optuna.create_trial(
                        values=list(value),
                        params=dict(suggestion.raw),
                        distributions=record.distributions,
                        system_attrs=dict(suggestion.notes),
                    )
                )

    def _fresh(self, batch: int) -> Any:
        import optuna

        seed = int(np.random.SeedSequence([self._seed, batch]).generate_state(1)[0]) % _SEED_BITS
        if self._is_front:
            return optuna.samplers.NSGAIISampler(population_size=BATCH["nsga2"], seed=seed)
        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=BATCH["tpe"])


class _OptunaDraw:
    def __init__(self, trial: Trial) -> None:
        self._trial = trial

    def integer(self, name: str, low: int, high: int, is_log: bool) -> int:
        return self._trial.suggest_int(name, low, high, log=is_log)

    def number(self, name: str, low: float, high: float, is_log: bool) -> float:
        return self._trial.suggest_float(name, low, high, log=is_log)

    def choice(self, name: str, values: Sequence[Any]) -> Any:
        return self._trial.suggest_categorical(name, list(values))


class _Recorded:
    """Draws what was drawn before and notes from which distributions."""

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self._raw = raw
        self.distributions: dict[str, BaseDistribution] = {}

    def integer(self, name: str, low: int, high: int, is_log: bool) -> int:
        from optuna.distributions import IntDistribution

        self.distributions[name] = IntDistribution(low, high, log=is_log)
        return int(self._raw[name])

    def number(self, name: str, low: float, high: float, is_log: bool) -> float:
        from optuna.distributions import FloatDistribution

        self.distributions[name] = FloatDistribution(low, high, log=is_log)
        return float(self._raw[name])

    def choice(self, name: str, values: Sequence[Any]) -> Any:
        from optuna.distributions import CategoricalDistribution

        self.distributions[name] = CategoricalDistribution(list(values))
        return self._raw[name]


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Optuna without its lines about every study; the user's own level is put back."""
    from optuna import logging

    level = logging.get_verbosity()
    logging.set_verbosity(logging.WARNING)
    try:
        yield
    finally:
        logging.set_verbosity(level)


def grid_settings(space: SearchSpace, most: int) -> list[Setting]:
    """The settings of a grid, the exits of each set of parameters side by side.

    Parameters
    ----------
    space : SearchSpace    values given are all crossed; ranges take as many levels as `most` allows
    most : int             settings

    Raises
    ------
    ConfigError    where even the smallest grid is larger, naming its size, before it is built

    Notes
    -----
    Sets of parameters out of order (`below`) are left out. A space in which every parameter has its
    whole declared range takes `strategies.parameter_grid`, whose sets share features.
    """
    exits = space.exits.grid_size()
    sets = _parameter_sets(space, most, exits)
    bound = [space.setting(values, space.exits.base).parameters for values in sets]
    return [Setting(parameters, chosen) for chosen in space.exits.grid() for parameters in bound]


def _parameter_sets(space: SearchSpace, most: int, exits: int) -> Sequence[Mapping[str, Any]]:
    room, found = most // exits, None
    if space.is_whole and room:
        # Refused where the strategy has fewer sets than there is room for: then all are crossed.
        with suppress(ConfigError):
            return parameter_grid(space.strategy, room)
    has_ranges = any(not axis.values for axis in space.searched)
    count = 2 if has_ranges else 1
    while count <= _MOST_LEVELS and _size(space, count) <= _WASTE * room:
        sets = _crossed(space, count)
        if len(sets) > room:
            break
        found = sets
        if not has_ranges:
            break
        count += max(1, count // 8)
    if not found:
        raise ConfigError(_too_large(space, 2 if has_ranges else 1, exits, most))
    return found


def _crossed(space: SearchSpace, count: int) -> list[dict[str, Any]]:
    names = [axis.name for axis in space.axes]
    levels = [axis.levels(count) for axis in space.axes]
    sets = (dict(zip(names, values, strict=True)) for values in itertools.product(*levels))
    return [values for values in sets if space.is_valid(values)]


def _size(space: SearchSpace, count: int) -> int:
    return math.prod(len(axis.levels(count)) for axis in space.axes)


def _too_large(space: SearchSpace, count: int, exits: int, most: int) -> str:
    sides = [f"{axis.name} {len(axis.levels(count))}" for axis in space.searched]
    sides += [f"exits {exits}"] if exits > 1 else []
    size = _size(space, count) * exits
    return (
        f"grid must have at most {most:,} settings (trials), was {size:,} ({' x '.join(sides)}); "
        "name fewer values, or search by random or tpe"
    )
