"""The search of `cointrainer optimize`: every trial is trained and traded, and can be taken up again."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from itertools import pairwise, product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from crypto_bot.backtest.recipes import Recipe
from crypto_bot.cli.simulation_policies import (
    SIMULATED,
    Account,
    Position,
    PositionRule,
    trade_positions,
)
from crypto_bot.cli.simulation_rows import tested_stretch, walk_forward
from crypto_bot.core import Bars
from crypto_bot.core.arrays import PerRow
from crypto_bot.core.errors import ConfigError, DataError, StorageError
from crypto_bot.core.progress import track
from crypto_bot.core.timeframes import DAY_NS
from crypto_bot.dataset import Dataset, build_dataset
from crypto_bot.engine import CostOptions, SizingOptions
from crypto_bot.engine.metrics import day_ends
from crypto_bot.labels import ThreeClassOptions
from crypto_bot.search.samplers import quiet_optuna
from crypto_bot.validation import OutOfSample

if TYPE_CHECKING:
    from optuna import Study
    from optuna import Trial as Asked

HORIZONS = (5, 10, 15, 30, 60, 120, 240)
"""Minutes a search draws from."""
HOLD_LIMITS = (0.0005, 0.005, 0.0005)
"""Least, largest and step of the hold threshold a search draws from."""
OPEN_LIMITS = (0.36, 0.8)
"""Least and largest opening threshold a search draws from."""
_WORTHLESS = -10.0
"""Told to the sampler for a setting without a Sharpe ratio: it never traded, or could not be trained."""
_KEPT = 8
"""Predictions of so many labels are kept; the newest serve again."""


@dataclass(frozen=True)
class TrialSetting:
    """One point of the search: horizon in minutes, hold as a fraction, threshold, position."""

    horizon: float
    hold: float
    open_thr: float
    position: str

    @property
    def rule(self) -> PositionRule:
        """How its predictions are traded."""
        return PositionRule(Position(self.position), self.open_thr)

    def labels(self) -> ThreeClassOptions:
        """What its model learns."""
        return ThreeClassOptions(horizon_minutes=self.horizon, hold_threshold=self.hold)


def grid() -> list[TrialSetting]:
    """The original trainer's 72 settings."""
    return [
        TrialSetting(*point)
        for point in product(
            (15.0, 30.0, 60.0),
            (0.001, 0.0015, 0.002, 0.003),
            (0.52, 0.55, 0.58),
            ("gated", "sized"),
        )
    ]


@dataclass(frozen=True)
class Tried:
    """What a setting showed on the purged folds; `error` says why it could not be tried."""

    setting: TrialSetting
    figures: dict[str, Any]
    first_day: int = 0
    daily_returns: tuple[float, ...] = ()
    error: str | None = None

    @property
    def sharpe(self) -> float | None:
        """Annual, of the account over all folds."""
        value = self.figures.get("sharpe")
        return None if value is None else float(value)


@dataclass(frozen=True)
class Cut:
    """Which bars teach, which choose, and which only judge.

    Attributes
    ----------
    spans : of decisions [start, end) ns, the folds in time order
    judged : the last stretch, which no trial sees
    val_len : bars of a stretch
    """

    spans: tuple[tuple[int, int], ...]
    judged: tuple[int, int]
    val_len: int


def cut_bars(bars: Bars, folds: int, val_len: int, gap: int) -> Cut:
    """Folds of `val_len` bars and behind them one more that judges; shorter where bars are few.

    A fold and the judged stretch leave as many bars again for the first model to learn from.
    """
    for name, value, least in (
        ("--folds", folds, 1),
        ("--val-len", val_len, 20),
        ("--gap", gap, 0),
    ):
        if value < least:
            raise ConfigError(f"{name} must be at least {least}, was {value}")
    length = min(val_len, len(bars) // (folds + 3))
    if length <= gap or length < 20:
        raise DataError(
            f"{bars.symbol} must have more than {(folds + 3) * max(gap + 1, 20)} bars for {folds} "
            f"folds behind a gap of {gap}, had {len(bars)}; give a longer file, fewer --folds or a "
            "shorter --gap"
        )
    first = len(bars) - (folds + 1) * length
    edges = [int(bars.close_time[first + place * length]) for place in range(folds + 1)]
    edges.append(int(bars.close_time[-1]) + 1)
    spans = tuple(pairwise(edges))
    return Cut(spans[:-1], spans[-1], length)


class Judge:
    """Trains and trades settings on the folds of one file of candles.

    Parameters
    ----------
    recipe : names, features and trainer of each model; the label is the setting's
    """

    def __init__(
        self,
        bars: Bars,
        cut: Cut,
        recipe: Recipe,
        *,
        gap: int,
        costs: CostOptions,
        sizing: SizingOptions,
    ) -> None:
        self.bars, self.cut, self.recipe = bars, cut, recipe
        self.embargo_ns = gap * bars.interval_ns
        self.costs, self.sizing = costs, sizing
        self._predicted: OrderedDict[tuple[int, float], tuple[Dataset, OutOfSample]] = OrderedDict()

    def recipe_of(self, setting: TrialSetting) -> Recipe:
        """The setting as a kind of model."""
        return replace(self.recipe, labels=setting.labels(), threshold=setting.open_thr)

    def dataset_of(self, setting: TrialSetting) -> Dataset:
        """Every labelled row of the file."""
        names = self.recipe.feature_names
        return build_dataset([self.bars], feature_names=names, labels=setting.labels())

    def tried(self, setting: TrialSetting) -> Tried:
        """Train it before each fold and trade the folds with it; nothing of the last stretch is seen."""
        try:
            dataset, predictions = self._on_folds(setting)
        except DataError as error:
            return Tried(setting, dict.fromkeys(SIMULATED), error=str(error))
        account = self.account(setting, dataset, predictions)
        first_day, returns = daily_returns(account)
        return Tried(setting, account.figures, first_day, tuple(returns.tolist()))

    def account(self, setting: TrialSetting, dataset: Dataset, predictions: OutOfSample) -> Account:
        """The predicted stretch traded by the setting's rule."""
        bars, probabilities = tested_stretch(dataset, predictions, self.bars)
        wanted = setting.rule.wanted(
            dataset.classes, probabilities, allow_short=self.sizing.allow_short
        )
        return trade_positions(bars, wanted, setting.rule, self.costs, self.sizing)

    def on_judged(self, setting: TrialSetting) -> tuple[Dataset, OutOfSample]:
        """The winner trained on everything before the last stretch, and its word on that."""
        dataset = self.dataset_of(setting)
        return dataset, walk_forward(
            dataset, self.recipe_of(setting), [self.cut.judged], embargo_ns=self.embargo_ns
        )

    def _on_folds(self, setting: TrialSetting) -> tuple[Dataset, OutOfSample]:
        dataset = self.dataset_of(setting)
        key = (int(dataset.label_definition["horizon_bars"]), setting.hold)
        if key not in self._predicted:
            known = walk_forward(
                dataset, self.recipe_of(setting), self.cut.spans, embargo_ns=self.embargo_ns
            )
            self._predicted[key] = dataset, known
            while len(self._predicted) > _KEPT:
                self._predicted.popitem(last=False)
        self._predicted.move_to_end(key)
        return self._predicted[key]


def daily_returns(account: Account) -> tuple[int, PerRow]:
    """Days since the epoch of the first, and the return of each UTC day."""
    closes = account.bars.close_time
    equity = account.equity[day_ends(closes)]
    before = np.concatenate(
        [[account.metrics.final_equity / (1 + account.metrics.total_return)], equity[:-1]]
    )
    return (int(closes[0]) - 1) // DAY_NS, equity / before - 1.0


def search(
    judge: Judge,
    *,
    trials: int,
    seed: int,
    storage: str | Path,
    name: str | None,
    on_tried: Callable[[Tried], None],
) -> tuple[str, list[Tried]]:
    """Try settings, or with no trials the whole grid; what the storage holds is not tried again.

    Returns the study's name and every setting in the order it was tried. A killed search goes on and
    gives what an unbroken one gives.

    Raises ConfigError where the storage holds a study of that name on other candles or options.
    """
    points = grid() if trials == 0 else None
    total = len(points) if points is not None else trials
    found: list[Tried] = []
    with quiet_optuna():
        study = _study(judge, points is not None, seed, storage, name)
        for number in track(range(total), "optimize"):
            one = _kept(study, number)
            if one is None and points is not None:
                one = judge.tried(points[number])
                _add(study, one)
            elif one is None:
                one = _ask(study, judge, seed, number)
            found.append(one)
            on_tried(one)
    return str(study.study_name), found


def _study(judge: Judge, is_grid: bool, seed: int, storage: str | Path, name: str | None) -> Study:
    import optuna

    identity = _identity(judge, is_grid, seed)
    try:
        study = optuna.create_study(
            study_name=name or f"optimize-{identity[:16]}",
            storage=_storage(storage),
            direction="maximize",
            load_if_exists=True,
        )
        kept = study.user_attrs.get("identity")
        if kept is None:
            study.set_user_attr("identity", identity)
    except OSError as error:
        raise StorageError(f"--storage {storage} must be writable, was not: {error}") from error
    if kept not in (None, identity):
        raise ConfigError(
            f"study {study.study_name} must be of these candles and options, was of others; "
            "give another --study-name"
        )
    return study


def _storage(where: str | Path) -> Any:
    """A database by its address, else a file of JSON lines."""
    import optuna
    from optuna.storages.journal import JournalFileBackend

    text = str(where)
    if "://" in text:
        try:
            return optuna.storages.RDBStorage(text)
        except Exception as error:
            raise StorageError(
                f"--storage must be a database that opens, was not: {type(error).__name__}"
            ) from error
    path = Path(where)
    path.parent.mkdir(parents=True, exist_ok=True)
    return optuna.storages.JournalStorage(JournalFileBackend(text))


def _identity(judge: Judge, is_grid: bool, seed: int) -> str:
    """A study on other candles, cuts, costs or trainer is another one; more trials of it are not."""
    trainer = getattr(judge.recipe.trainer, "options", None)
    options = {} if trainer is None else trainer.model_dump(mode="json", exclude={"n_jobs"})
    story = {
        "bars": judge.bars.fingerprint,
        "cut": asdict(judge.cut),
        "embargo_ns": judge.embargo_ns,
        "features": judge.recipe.feature_names,
        "trainer": options,
        "costs": judge.costs.model_dump(mode="json"),
        "allow_short": judge.sizing.allow_short,
        "grid": is_grid,
        "seed": None if is_grid else seed,
    }
    return hashlib.sha256(json.dumps(story, sort_keys=True).encode()).hexdigest()


def _kept(study: Study, number: int) -> Tried | None:
    """The trial of this place, if it was finished; one that a killed process left is given up."""
    from optuna.trial import TrialState

    done = [each for each in study.get_trials(deepcopy=False) if each.state != TrialState.FAIL]
    if number >= len(done):
        return None
    if not done[number].state.is_finished():
        with suppress(ValueError):  # another process has just told it
            study.tell(done[number].number, state=TrialState.FAIL)
        return None
    return _from_json(done[number].user_attrs["outcome"])


def _ask(study: Study, judge: Judge, seed: int, number: int) -> Tried:
    import optuna

    own = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    # One of its own for each trial, so that a resumed search suggests what it would have.
    study.sampler = optuna.samplers.TPESampler(seed=own)
    trial = study.ask()
    tried = judge.tried(_drawn(trial))
    trial.set_user_attr("outcome", _as_json(tried))
    study.tell(trial, _value(tried))
    return tried


def _drawn(trial: Asked) -> TrialSetting:
    least, largest, step = HOLD_LIMITS
    return TrialSetting(
        horizon=float(trial.suggest_categorical("horizon", list(HORIZONS))),
        hold=round(trial.suggest_float("hold", least, largest, step=step), 6),
        open_thr=round(trial.suggest_float("open_thr", *OPEN_LIMITS), 4),
        position=str(trial.suggest_categorical("position", [str(each) for each in Position])),
    )


def _add(study: Study, tried: Tried) -> None:
    """A grid's point is written when it is done: there is no half of it."""
    import optuna

    values = asdict(tried.setting)
    ways = {name: optuna.distributions.CategoricalDistribution([values[name]]) for name in values}
    study.add_trial(
        optuna.trial.create_trial(
            params=values,
            distributions=dict(ways),
            value=_value(tried),
            user_attrs={
                "outcome": _as_json(tried),
                "number": len(study.get_trials(deepcopy=False)),
            },
        )
    )


def _value(tried: Tried) -> float:
    return _WORTHLESS if tried.sharpe is None else tried.sharpe


def _as_json(tried: Tried) -> dict[str, Any]:
    return asdict(tried)


def _from_json(kept: Mapping[str, Any]) -> Tried:
    fields = dict(kept)
    fields["setting"] = TrialSetting(**fields["setting"])
    fields["daily_returns"] = tuple(fields["daily_returns"])
    return Tried(**fields)


def ranked(found: Sequence[Tried]) -> list[Tried]:
    """Best Sharpe ratio first; those that never traded last, in the order tried."""
    return sorted(found, key=_value, reverse=True)
