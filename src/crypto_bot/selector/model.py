"""The two heads: the chance that an entry earns something, and what it may be expected to earn."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from crypto_bot.core import ModelCard, Predictor
from crypto_bot.core.arrays import Index, PerBarFeature, PerRow
from crypto_bot.core.errors import DataError, ModelError
from crypto_bot.core.models import class_column
from crypto_bot.core.timeframes import DAY_NS, iso_time
from crypto_bot.predictors import load_predictor
from crypto_bot.selector.calibration import (
    Calibration,
    ReturnLine,
    fit_calibration,
    fit_return_line,
)
from crypto_bot.selector.options import SelectorOptions
from crypto_bot.selector.rows import TradeRows
from crypto_bot.splits import Split, WalkForwardOptions, split_dataset
from crypto_bot.training import LightGBMOptions, LightGBMTrainer, Trainer
from crypto_bot.validation import out_of_sample

SELECTOR_FILE = "selector.json"
_MEMBER = "chance."
_FEWEST = 10
SELECTOR_TREES = LightGBMOptions(
    n_estimators=80,
    learning_rate=0.05,
    num_leaves=6,
    max_bin=31,
    min_data_in_leaf=40,
    colsample_bytree=0.6,
    lambda_l2=20.0,
    class_weight=None,
    n_jobs=1,
)
"""Few, small, slow trees: trades are few and overlap. Classes are not balanced: a chance is wanted."""


class Payoff(NamedTuple):
    """What a strategy's trades earn after costs, fractions: the mean of those that win, that lose."""

    win: float
    loss: float


@dataclass(frozen=True, eq=False)
class Selector:
    """Judges entries; reads its files without any training library.

    Attributes
    ----------
    predictor : Predictor            of the raw chance
    calibration : Calibration        raw chance -> chance, learned on rows the trees had not seen
    payoffs : tuple of Payoff        one a strategy
    line : ReturnLine                what chance and payoff say -> expected return, learned likewise
    strategies : tuple of str
    options : SelectorOptions
    files : file name -> content     `load_selector` rebuilds it from them, bit for bit
    """

    predictor: Predictor
    calibration: Calibration
    payoffs: tuple[Payoff, ...]
    line: ReturnLine
    strategies: tuple[str, ...]
    options: SelectorOptions
    files: Mapping[str, bytes]

    def chance(self, features: PerBarFeature) -> PerRow:
        """float64 (rows,): the chance of a profit after costs; NaN where a feature is not finite."""
        found = self.predictor.predict_proba(features)
        return self.calibration.apply(class_column(self.predictor, 1, found))

    def expected_return(self, chance: PerRow, strategy: Index) -> PerRow:
        """float64 (rows,): after costs, of rows with these chances and strategies."""
        return self.line.apply(payoff_return(chance, strategy, self.payoffs))

    def takes(self, chance: PerRow, expected: PerRow) -> npt.NDArray[np.bool_]:
        """bool (rows,): whether an entry is taken; never without a chance."""
        margin, least = self.options.margin_frac, self.options.minimum_chance
        taken: npt.NDArray[np.bool_] = (expected > margin) & (chance > least)
        return taken


def fit_selector(
    rows: TradeRows, options: SelectorOptions | None = None, trainer: Trainer | None = None
) -> Selector:
    """Learn from closed trades.

    Parameters
    ----------
    rows : TradeRows
    options : SelectorOptions
    trainer : Trainer    of the chance; None: LightGBM with `SELECTOR_TREES`

    Raises
    ------
    DataError    too few rows, or all of one class

    Notes
    -----
    The chance is calibrated on rows that the model had not seen: purged walk-forward stretches
    inside the rows. Where those show no skill, every chance becomes the share of trades that earned.
    The expected return begins with the chance and the strategy's mean win and mean loss, tails pulled
    in, drawn to all strategies' means by `shrink_trades`. A likely win may be a small one, so the
    same unseen stretches say how far this is to be believed (`ReturnLine`): where it told nothing,
    every entry is expected to earn the mean of all. No second model is fitted.
    """
    options = options or SelectorOptions()
    trainer = trainer or LightGBMTrainer(SELECTOR_TREES)
    _check_enough(rows, options)
    calibration, line = _calibrated(rows, options, trainer)
    trained = trainer.fit(rows.dataset)
    payoffs = strategy_payoffs(rows, options)
    card = _card(rows, trained.model_type, trained.predictor.feature_names, trained.options)
    told = {
        "card": card.model_dump(mode="json"),
        "calibration": calibration._asdict(),
        "line": line._asdict(),
        "payoffs": {
            name: each._asdict() for name, each in zip(rows.strategies, payoffs, strict=True)
        },
        "options": options.model_dump(mode="json"),
    }
    text = json.dumps(told, indent=2, sort_keys=True, allow_nan=False)
    files = {_MEMBER + name: content for name, content in trained.files.items()}
    return Selector(
        trained.predictor,
        calibration,
        payoffs,
        line,
        rows.strategies,
        options,
        files | {SELECTOR_FILE: text.encode()},
    )


def load_selector(files: Mapping[str, bytes]) -> Selector:
    """Rebuild a selector from its files; imports no training library. ModelError for damaged ones."""
    if SELECTOR_FILE not in files:
        raise ModelError(f"selector files must include {SELECTOR_FILE}, were {sorted(files)}")
    try:
        told: dict[str, Any] = json.loads(files[SELECTOR_FILE])
        card = ModelCard.from_mapping(told["card"])
        payoffs = {name: Payoff(**each) for name, each in told["payoffs"].items()}
        calibration = Calibration(**told["calibration"])
        line = ReturnLine(**told["line"])
        strategies = tuple(card.label["strategies"])
        ordered = tuple(payoffs[name] for name in strategies)
        options = SelectorOptions.from_mapping(told["options"])
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{SELECTOR_FILE} must be intact, was not: {error!r}") from error
    member = {
        name.removeprefix(_MEMBER): content
        for name, content in files.items()
        if name.startswith(_MEMBER)
    }
    predictor = load_predictor(card, member)
    return Selector(predictor, calibration, ordered, line, strategies, options, dict(files))


def payoff_return(chance: PerRow, strategy: Index, payoffs: Sequence[Payoff]) -> PerRow:
    """float64 (rows,): chance * mean win + (1 - chance) * mean loss of each row's strategy."""
    of_each = np.array(payoffs, np.float64)[strategy]
    found: PerRow = chance * of_each[:, 0] + (1.0 - chance) * of_each[:, 1]
    return found


def strategy_payoffs(rows: TradeRows, options: SelectorOptions) -> tuple[Payoff, ...]:
    """Mean win and mean loss of each strategy.

    Returns beyond the `tail_frac` quantile at each end are pulled in to it; a strategy's mean over n
    trades is (n * mean + k * mean of all) / (n + k) with k = `shrink_trades`. Raises DataError where
    no trade won, or none lost.
    """
    returns, pulled = rows.returns, _pulled_in(rows.returns, options.tail_frac)
    is_win = returns > 0.0
    if is_win.all() or not is_win.any():
        raise DataError(
            f"trades must win and lose to learn from, {int(is_win.sum())} of {len(rows)} won; "
            "give a longer history"
        )
    means = [
        [
            _shrunk(pulled[(rows.strategy == k) & each], pulled[each], options.shrink_trades)
            for each in (is_win, ~is_win)
        ]
        for k in range(len(rows.strategies))
    ]
    return tuple(Payoff(*each) for each in means)


def _check_enough(rows: TradeRows, options: SelectorOptions) -> None:
    if len(rows) < options.minimum_trades:
        until = f" by {iso_time(int(rows.dataset.label_end_ns.max()))}" if len(rows) else ""
        raise DataError(
            f"ended trades to learn from must be at least {options.minimum_trades}, were "
            f"{len(rows)}{until}; give more pairs, more strategies, a longer history or fewer folds"
        )


def _pulled_in(returns: PerRow, tail_frac: float) -> PerRow:
    low, high = np.quantile(returns, [tail_frac, 1.0 - tail_frac])
    return np.clip(returns, low, high)


def _shrunk(own: PerRow, together: PerRow, weight: float) -> float:
    total = len(own) + weight
    mean = float(together.mean())
    return mean if total == 0.0 else (float(own.sum()) + weight * mean) / total


def _calibrated(
    rows: TradeRows, options: SelectorOptions, trainer: Trainer
) -> tuple[Calibration, ReturnLine]:
    walk = WalkForwardOptions(
        folds=options.calibration_folds, minimum_train_rows=_FEWEST, minimum_test_rows=_FEWEST
    )
    try:
        splits = _with_both_outcomes(split_dataset(rows.dataset, walk), rows)
        found = out_of_sample(rows.dataset, trainer, splits)
    except DataError as error:
        raise DataError(
            f"{len(rows)} ended trades must show how far chances are right, did not: {error}"
        ) from error
    tested = np.flatnonzero(found.is_tested)
    raw = found.probabilities[tested, found.classes.index(1)]
    calibration = fit_calibration(raw, rows.dataset.labels[tested])
    said = np.full(len(rows), np.nan)
    for split in splits:
        payoffs = strategy_payoffs(rows.take(split.train), options)
        chance = calibration.apply(found.probabilities[split.test, found.classes.index(1)])
        said[split.test] = payoff_return(chance, rows.strategy[split.test], payoffs)
    came = _pulled_in(rows.returns[tested], options.tail_frac)
    day = rows.dataset.decided_at_ns[tested] // DAY_NS
    return calibration, fit_return_line(said[tested], came, day)


def _with_both_outcomes(splits: Sequence[Split], rows: TradeRows) -> list[Split]:
    """A first stretch may hold losses only: it tells nothing of chances, the later ones do."""
    labels = rows.dataset.labels
    found = [split for split in splits if len(np.unique(labels[split.train])) > 1]
    if not found:
        raise DataError(f"trades must both win and lose, were {rows.dataset.class_counts()}")
    return found


def _card(
    rows: TradeRows, model_type: str, names: Sequence[str], options: Mapping[str, Any]
) -> ModelCard:
    dataset = rows.dataset
    return ModelCard(
        symbol=dataset.symbols[0] if len(dataset.symbols) == 1 else "GLOBAL",
        timeframe=dataset.timeframe,
        model_type=model_type,
        feature_names=tuple(names),
        feature_settled_bars=0,
        classes=dataset.classes,
        label=dict(dataset.label_definition),
        data_fingerprint=dataset.fingerprint,
        data_start=iso_time(int(dataset.decided_at_ns[0])),
        data_end=iso_time(int(dataset.label_end_ns.max())),
        is_simulated=dataset.is_simulated,
        rows=len(dataset),
        options=dict(options),
    )
