"""Which model, label and threshold: Optuna asks, purged folds answer; resumable, seeded, every trial kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from crypto_bot.core.arrays import PerBarFeature
from crypto_bot.core.errors import DataError
from crypto_bot.core.options import Options
from crypto_bot.core.progress import track
from crypto_bot.search.samplers import quiet_optuna
from crypto_bot.tuning.rows import RowBoard
from crypto_bot.tuning.settings import ModelSetting, ModelSpace
from crypto_bot.tuning.trading import TradingTerms
from crypto_bot.tuning.trials import TriedSetting, try_settings

if TYPE_CHECKING:
    from optuna import Study, Trial

_WORTHLESS = -10.0
"""Told to the sampler for a setting without any Sharpe ratio: it never traded, or could not be trained."""
OnTried = Callable[[TriedSetting], None]
_Outcome = tuple[list[TriedSetting], list[tuple[ModelSetting, str]]]


class ModelSearchOptions(Options):
    """How a search spends its budget."""

    trials: int = Field(
        default=8,
        ge=1,
        le=10_000,
        description="models trained, each traded in every way of the space",
    )
    folds: int = Field(default=3, ge=2, le=50, description="purged folds a setting is tried on")
    sampler: Literal["tpe", "random"] = Field(default="tpe", description="who suggests settings")
    startup_trials: int = Field(
        default=5, ge=1, description="settings drawn at random before TPE learns from them"
    )
    prune: bool = Field(
        default=True, description="give a setting up that stands below the median after a fold"
    )
    embargo_bars: int = Field(default=10, ge=0, description="bars left out between train and test")
    seed: int = Field(default=42, ge=0, description="same seed, same settings")
    space: ModelSpace = Field(default=ModelSpace(), description="what may be chosen")


@dataclass(frozen=True, eq=False)
class ModelSearch:
    """Everything a search tried.

    Attributes
    ----------
    tried : tuple of TriedSetting     in order; pruned ones carry the folds they had
    failed : tuple of (ModelSetting, str)    settings these rows do not allow, and why
    end_ns : int                      nothing at or after this was seen
    """

    tried: tuple[TriedSetting, ...]
    failed: tuple[tuple[ModelSetting, str], ...]
    end_ns: int

    @property
    def best(self) -> TriedSetting:
        """The largest out-of-fold Sharpe ratio of the settings tried to the end.

        Raises DataError if none had one.
        """
        whole = [one for one in self.tried if not one.is_pruned and one.sharpe is not None]
        if not whole:
            reasons = "; ".join(reason for _, reason in self.failed[:3])
            raise DataError(
                "a search must have a setting that trades, had none of "
                f"{len(self.tried) + len(self.failed)}{f': {reasons}' if reasons else ''}"
            )
        return max(whole, key=lambda one: one.sharpe or 0.0)

    def returns(self) -> PerBarFeature:
        """float64 (days, trials): daily returns of the settings tried to the end, on their common days."""
        whole = [one for one in self.tried if not one.is_pruned and len(one.day)]
        if not whole:
            return np.empty((0, 0))
        first = max(int(one.day[0]) for one in whole)
        last = min(int(one.day[-1]) for one in whole)
        cut = [one.daily_returns[(one.day >= first) & (one.day <= last)] for one in whole]
        return np.column_stack(cut)


def search_models(
    board: RowBoard,
    terms: TradingTerms,
    options: ModelSearchOptions | None = None,
    *,
    end_ns: int,
    storage: Path | None = None,
    on_tried: OnTried | None = None,
) -> ModelSearch:
    """Try settings on the rows whose labels ended before `end_ns`; maximise the Sharpe ratio after costs.

    Parameters
    ----------
    board : candles and features
    terms : the account that predictions are traded on
    storage : a folder that keeps the trials, a file of JSON lines a search; one that was killed goes
        on where it stood and gives what an unbroken one gives. None: memory
    on_tried : told each finished setting, also those found in the storage

    Raises
    ------
    DataError    the rows do not allow any setting (see `ModelSearch.best`)

    Notes
    -----
    The objective is out of fold and after costs, but it is the best of many: judge the winner on a
    stretch that the search did not see (`nested_walk_forward`).
    """
    options = ModelSearchOptions() if options is None else options
    tried: list[TriedSetting] = []
    failed: list[tuple[ModelSetting, str]] = []
    with quiet_optuna():
        study = _study(board, terms, options, end_ns, storage)
        for number in track(range(options.trials), "search models"):
            found, refused = _trial(study, number, board, terms, options, end_ns)
            tried += found
            failed += refused
            if on_tried is not None:
                for one in found:
                    on_tried(one)
    return ModelSearch(tuple(tried), tuple(failed), end_ns)


def _trial(
    study: Study,
    number: int,
    board: RowBoard,
    terms: TradingTerms,
    options: ModelSearchOptions,
    end_ns: int,
) -> _Outcome:
    from optuna.trial import TrialState

    given_up = (TrialState.FAIL,)
    done = [one for one in study.get_trials(deepcopy=False) if one.state not in given_up]
    if number < len(done) and done[number].state.is_finished():
        return _remembered(done[number])
    if number < len(done):  # a killed process left it half-way
        study.tell(done[number].number, state=TrialState.FAIL)
    study.sampler = _sampler(options, number)
    trial = study.ask()
    settings = options.space.draw(trial, options.seed)

    def is_hopeless(folds_done: int, sharpe: float) -> bool:
        trial.report(sharpe, folds_done)
        return options.prune and bool(trial.should_prune())

    try:
        tried = try_settings(
            board,
            settings,
            terms,
            end_ns=end_ns,
            folds=options.folds,
            embargo_ns=options.embargo_bars * board.interval_ns,
            progress=is_hopeless if options.prune else None,
        )
    except DataError as error:
        _remember(trial, [{"setting": settings[0].model_dump(mode="json"), "error": str(error)}])
        study.tell(trial, _WORTHLESS)
        return [], [(settings[0], str(error))]
    _remember(trial, [_as_json(one) for one in tried])
    if any(one.is_pruned for one in tried):
        study.tell(trial, state=TrialState.PRUNED)
    else:
        study.tell(trial, max(_WORTHLESS if one.sharpe is None else one.sharpe for one in tried))
    return tried, []


def _study(
    board: RowBoard,
    terms: TradingTerms,
    options: ModelSearchOptions,
    end_ns: int,
    storage: Path | None,
) -> Study:
    import optuna
    from optuna.storages.journal import JournalFileBackend

    name, kept = _identity(board, terms, options, end_ns), None
    if storage is not None:
        storage.mkdir(parents=True, exist_ok=True)
        kept = optuna.storages.JournalStorage(JournalFileBackend(str(storage / f"{name}.jsonl")))
    return optuna.create_study(
        study_name=name,
        storage=kept,
        direction="maximize",
        pruner=optuna.pruners.MedianPruner(n_startup_trials=options.startup_trials - 1),
        load_if_exists=True,
    )


def _sampler(options: ModelSearchOptions, number: int) -> Any:
    """A sampler of its own for each trial, so that a resumed search suggests what it would have."""
    import optuna

    seed = int(np.random.SeedSequence([options.seed, number]).generate_state(1)[0])
    if options.sampler == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=options.startup_trials)


def _identity(
    board: RowBoard, terms: TradingTerms, options: ModelSearchOptions, end_ns: int
) -> str:
    """A search on other candles, terms or options is another one; more trials of it are not."""
    story = {
        "bars": [bars.fingerprint for bars in board.bars],
        "features": board.feature_names,
        "terms": [
            each.model_dump(mode="json") for each in (terms.costs, terms.exits, terms.sizing)
        ],
        "options": options.model_dump(mode="json", exclude={"trials"}),
        "funding": {symbol: rates.fingerprint for symbol, rates in terms.funding.items()},
        "start_ns": board.start_ns,
        "end_ns": end_ns,
    }
    return hashlib.sha256(json.dumps(story, sort_keys=True).encode()).hexdigest()[:32]


def _remember(trial: Trial, content: list[dict[str, Any]]) -> None:
    trial.set_user_attr("outcome", content)


def _as_json(tried: TriedSetting) -> dict[str, Any]:
    return {
        "setting": tried.setting.model_dump(mode="json"),
        "sharpe": tried.sharpe,
        "threshold": tried.threshold,
        "trades": tried.trades,
        "first_day": int(tried.day[0]) if len(tried.day) else 0,
        "daily_returns": tried.daily_returns.tolist(),
        "is_pruned": tried.is_pruned,
    }


def _remembered(trial: Any) -> _Outcome:
    kept = trial.user_attrs["outcome"]
    return (
        [_as_tried(one) for one in kept if "error" not in one],
        [(_setting(one), str(one["error"])) for one in kept if "error" in one],
    )


def _setting(kept: Mapping[str, Any]) -> ModelSetting:
    return ModelSetting.from_mapping(kept["setting"], path="stored trial")


def _as_tried(kept: Mapping[str, Any]) -> TriedSetting:
    returns = np.array(kept["daily_returns"], dtype=np.float64)
    return TriedSetting(
        setting=_setting(kept),
        sharpe=kept["sharpe"],
        threshold=kept["threshold"],
        trades=kept["trades"],
        day=kept["first_day"] + np.arange(len(returns)),
        daily_returns=returns,
        is_pruned=kept["is_pruned"],
    )
