"""The two heads: the chance that an entry earns something, and what it may be expected to earn."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from crypto_bot.core import ModelCard, Predictor
from crypto_bot.core.arrays import PerBarFeature, PerRow
from crypto_bot.core.errors import DataError, ModelError
from crypto_bot.core.models import class_column
from crypto_bot.core.timeframes import DAY_NS, iso_time
from crypto_bot.dataset import Dataset
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
from crypto_bot.training import LightGBMOptions, LightGBMTrainer, TrainedModel, Trainer
from crypto_bot.training.cards import POOLED
from crypto_bot.validation import out_of_sample

SELECTOR_FILE = "selector.json"
_CHANCE, _GAIN = "chance.", "gain."
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


@dataclass(frozen=True, eq=False)
class Selector:
    """Judges entries; reads its files without any training library.

    Attributes
    ----------
    chance_model : Predictor         raw chance that an entry earns something after costs
    gain_model : Predictor           of what such entries win and lose, the share that is won
    calibration : Calibration        raw chance -> chance, learned on rows the models had not seen
    line : ReturnLine                what the gain model says -> expected return, learned likewise
    size : float                     mean size of a return, either way
    strategies : tuple of str
    options : SelectorOptions
    files : file name -> content     `load_selector` rebuilds it from them, bit for bit
    """

    chance_model: Predictor
    gain_model: Predictor
    calibration: Calibration
    line: ReturnLine
    size: float
    strategies: tuple[str, ...]
    options: SelectorOptions
    files: Mapping[str, bytes]

    def chance(self, features: PerBarFeature) -> PerRow:
        """float64 (rows,): the chance of a profit after costs; NaN where a feature is not finite."""
        return self.calibration.apply(_won(self.chance_model, features))

    def expected_return(self, features: PerBarFeature) -> PerRow:
        """float64 (rows,): expected after costs; NaN where a feature is not finite."""
        return self.line.apply(_said(_won(self.gain_model, features), self.size))

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
    The expected return comes from a second model of the same labels in which a trade counts by the
    size of its return, tails pulled in: its probability p is the share of wins in what is won and
    lost, so that (2 p - 1) times the mean size of a return is the mean return. The same unseen
    stretches say how far that is to be believed (`ReturnLine`): where it told nothing, every entry is
    expected to earn the mean of all.
    """
    options = options or SelectorOptions()
    trainer = trainer or LightGBMTrainer(SELECTOR_TREES)
    _check_enough(rows, options)
    calibration, line = _calibrated(rows, options, trainer)
    size, weighted = _weighted(rows, options)
    chance, gain = trainer.fit(rows.dataset), trainer.fit(weighted)
    told = {
        "cards": {_CHANCE: _card(rows, chance), _GAIN: _card(rows, gain)},
        "calibration": calibration._asdict(),
        "line": line._asdict(),
        "size": size,
        "strategies": list(rows.strategies),
        "options": options.model_dump(mode="json"),
    }
    text = json.dumps(told, indent=2, sort_keys=True, allow_nan=False)
    files = {
        member + name: content
        for member, trained in ((_CHANCE, chance), (_GAIN, gain))
        for name, content in trained.files.items()
    }
    return Selector(
        chance.predictor,
        gain.predictor,
        calibration,
        line,
        size,
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
        cards = {name: ModelCard.from_mapping(card) for name, card in told["cards"].items()}
        chance, gain = (load_predictor(cards[m], _member(files, m)) for m in (_CHANCE, _GAIN))
        return Selector(
            chance,
            gain,
            Calibration(**told["calibration"]),
            ReturnLine(**told["line"]),
            float(told["size"]),
            tuple(told["strategies"]),
            SelectorOptions.from_mapping(told["options"]),
            dict(files),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{SELECTOR_FILE} must be intact, was not: {error!r}") from error


def _member(files: Mapping[str, bytes], prefix: str) -> dict[str, bytes]:
    return {
        name.removeprefix(prefix): content
        for name, content in files.items()
        if name.startswith(prefix)
    }


def _won(model: Predictor, features: PerBarFeature) -> PerRow:
    return class_column(model, 1, model.predict_proba(features))


def _said(share: PerRow, size: float) -> PerRow:
    """The mean return of entries of this mean size of which this share is won."""
    found: PerRow = size * (2.0 * share - 1.0)
    return found


def _weighted(rows: TradeRows, options: SelectorOptions) -> tuple[float, Dataset]:
    """Mean size of a return, and the rows with each return's size over it as their weight."""
    sizes = np.abs(_pulled_in(rows.returns, options.tail_frac))
    size = float(sizes.mean())
    if size == 0.0:
        raise DataError(f"trades must win or lose something, {len(rows)} did neither")
    weights = rows.dataset.weights * sizes / size
    return size, replace(rows.dataset, weights=weights)


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
        size, weighted = _weighted(rows.take(split.train), options)
        gain = trainer.fit(weighted).predictor
        judged = rows.dataset.columns(gain.feature_names).features[split.test]
        said[split.test] = _said(_won(gain, judged), size)
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


def _card(rows: TradeRows, trained: TrainedModel) -> dict[str, Any]:
    dataset = rows.dataset
    card = ModelCard(
        symbol=dataset.symbols[0] if len(dataset.symbols) == 1 else POOLED,
        timeframe=dataset.timeframe,
        model_type=trained.model_type,
        feature_names=trained.predictor.feature_names,
        feature_settled_bars=0,
        classes=dataset.classes,
        label=dict(dataset.label_definition),
        data_fingerprint=dataset.fingerprint,
        data_start=iso_time(int(dataset.decided_at_ns[0])),
        data_end=iso_time(int(dataset.label_end_ns.max())),
        is_simulated=dataset.is_simulated,
        rows=len(dataset),
        seed=trained.seed,
        options=trained.options,
    )
    return card.model_dump(mode="json")
