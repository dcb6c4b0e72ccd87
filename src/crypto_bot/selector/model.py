"""The two heads: the chance that an entry earns something, and what it may be expected to earn."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from crypto_bot.core import ModelCard, Predictor
from crypto_bot.core.arrays import Index, PerBarFeature, PerRow
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
    line : ReturnLine                what the gain model says -> expected return, in sizes, likewise
    sizes : float64 (strategies,)    mean size of a return of each strategy, either way
    strategies : tuple of str
    options : SelectorOptions
    files : file name -> content     `load_selector` rebuilds it from them, bit for bit
    """

    chance_model: Predictor
    gain_model: Predictor
    calibration: Calibration
    line: ReturnLine
    sizes: PerRow
    strategies: tuple[str, ...]
    options: SelectorOptions
    files: Mapping[str, bytes]

    def chance(self, features: PerBarFeature) -> PerRow:
        """float64 (rows,): the chance of a profit after costs; NaN where a feature is not finite."""
        return self.calibration.apply(_won(self.chance_model, features))

    def expected_return(self, features: PerBarFeature, strategy: Index) -> PerRow:
        """float64 (rows,): expected after costs, of entries of these strategies (their places).

        NaN where a feature is not finite.
        """
        found: PerRow = self.sizes[strategy] * self.line.apply(_lean(self.gain_model, features))
        return found

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
    size of its return over its strategy's usual size, tails pulled in: its probability p is the share
    of wins in what is won and lost, so that 2 p - 1 is the mean return in sizes. The same unseen
    stretches say how far that is to be believed (`ReturnLine`): where it told nothing, every entry is
    expected to earn the mean of all, in sizes of its strategy.
    """
    options = options or SelectorOptions()
    trainer = trainer or LightGBMTrainer(SELECTOR_TREES)
    _check_enough(rows, options)
    calibration, line = _calibrated(rows, options, trainer)
    sizes = usual_sizes(rows, options)
    weighted = _weighted(rows, sizes, options)
    chance, gain = trainer.fit(rows.dataset), trainer.fit(weighted)
    told = {
        "cards": {_CHANCE: _card(rows, chance), _GAIN: _card(rows, gain)},
        "calibration": calibration._asdict(),
        "line": line._asdict(),
        "sizes": dict(zip(rows.strategies, sizes.tolist(), strict=True)),
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
        sizes,
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
            np.array([told["sizes"][name] for name in told["strategies"]], np.float64),
            tuple(told["strategies"]),
            SelectorOptions.from_mapping(told["options"]),
            dict(files),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{SELECTOR_FILE} must be intact, was not: {error!r}") from error


def _member(files: Mapping[str, bytes], prefix: str) -> dict[str, bytes]:
    return {
        name.removeprefix(prefix): content
        for name, content in files.items()
        if name.startswith(prefix)
    }


def _won(model: Predictor, features: PerBarFeature) -> PerRow:
    return class_column(model, 1, model.predict_proba(features))


def _lean(gain_model: Predictor, features: PerBarFeature) -> PerRow:
    """2 p - 1 of the gain model: the mean return in sizes, as it sees it."""
    found: PerRow = 2.0 * _won(gain_model, features) - 1.0
    return found


def usual_sizes(rows: TradeRows, options: SelectorOptions) -> PerRow:
    """float64 (strategies,): mean size of a return, drawn to that of all by `shrink_trades`.

    Raises DataError where no trade won or lost anything.
    """
    sizes = np.abs(_pulled_in(rows.returns, options.tail_frac))
    together = float(sizes.mean())
    if together == 0.0:
        raise DataError(f"trades must win or lose something, {len(rows)} did neither")
    count = np.bincount(rows.strategy, minlength=len(rows.strategies))
    total = np.bincount(rows.strategy, sizes, minlength=len(rows.strategies))
    found: PerRow = (total + options.shrink_trades * together) / (count + options.shrink_trades)
    return found


def _in_sizes(rows: TradeRows, sizes: PerRow, options: SelectorOptions) -> PerRow:
    return _pulled_in(rows.returns / sizes[rows.strategy], options.tail_frac)


def _weighted(rows: TradeRows, sizes: PerRow, options: SelectorOptions) -> Dataset:
    """The rows, each weighing the size of its return over its strategy's usual one."""
    weights = rows.dataset.weights * np.abs(_in_sizes(rows, sizes, options))
    return replace(rows.dataset, weights=weights)


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
    said, came = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
    for split in splits:
        taught, judged = rows.take(split.train), rows.take(split.test)
        sizes = usual_sizes(taught, options)
        gain = trainer.fit(_weighted(taught, sizes, options)).predictor
        said[split.test] = _lean(gain, judged.dataset.columns(gain.feature_names).features)
        came[split.test] = _in_sizes(judged, sizes, options)
    day = rows.dataset.decided_at_ns[tested] // DAY_NS
    return calibration, fit_return_line(said[tested], came[tested], day)


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
