"""A stored model on candles it never saw: predictions, a backtest of them, and the gate's word."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from crypto_bot.backtest.recipes import card_exits, gate_options
from crypto_bot.backtest.retraining import label_of
from crypto_bot.backtest.trial_record import trial_record
from crypto_bot.backtest.workbench import Workbench
from crypto_bot.core import Bars, ModelCard, Predictor, Signals
from crypto_bot.core.arrays import PerBarDirection, PerBarFeature, PerRowClass
from crypto_bot.core.bars import OHLCV
from crypto_bot.core.errors import DataError, ModelError
from crypto_bot.core.funding import FundingRates
from crypto_bot.core.models import side_columns
from crypto_bot.core.timeframes import SECOND_NS, Clock, iso_time
from crypto_bot.dataset import Dataset, build_dataset
from crypto_bot.engine import BacktestResult, simulate
from crypto_bot.features import FeatureStream, compute_features
from crypto_bot.gate import gather_evidence, judge
from crypto_bot.journal import TrialFilter, TrialKind
from crypto_bot.registry import ModelRegistry, Stage
from crypto_bot.splits import Split
from crypto_bot.strategies import get_strategy
from crypto_bot.trading import ModelDecisions
from crypto_bot.training.cards import POOLED
from crypto_bot.validation import ClassBaseline, OutOfSample, class_baseline

if TYPE_CHECKING:
    import pandas as pd

LIVE_BARS = 100
"""Last bars that are decided once more, one by one, as a live process would."""
_LARGEST_ERROR = 1e-9


@dataclass(frozen=True)
class ChosenModel:
    """A stored model, and where it stands: symbol is that of the registry, 'GLOBAL' for a pooled one."""

    symbol: str
    version: str
    stage: Stage
    predictor: Predictor
    card: ModelCard

    @property
    def data_end_ns(self) -> int:
        """When its last training label was known."""
        end = datetime.fromisoformat(self.card.data_end)
        return int(end.timestamp()) * SECOND_NS

    def describe(self) -> str:
        """Such as `candidate 2024... of GLOBAL (not promoted)`."""
        note = "" if self.stage is Stage.CHAMPION else " (not promoted)"
        return f"{self.stage} {self.version} of {self.symbol}{note}"


def choose_model(registry: ModelRegistry, symbol: str) -> ChosenModel:
    """The champion of a symbol, else its newest candidate, else those of GLOBAL.

    Raises ModelError if there is neither; it names versions that are there but damaged.
    """
    damaged: list[str] = []
    for name in (symbol, POOLED):
        version, stage = registry.champion(name), Stage.CHAMPION
        if version is None:
            stage = Stage.CANDIDATE
            ranked = registry.rank(name)
            version = max((s.version for s in ranked if s.stage is stage), default=None)
            damaged += [s.problem for s in ranked if s.problem is not None]
        if version is not None:
            return ChosenModel(name, version, stage, *registry.load(name, version))
    faults = f" but damaged ones ({'; '.join(damaged)})" if damaged else ""
    raise ModelError(
        f"registry {registry.where} must hold a model of {symbol} or {POOLED}, held none{faults}; "
        f"run: python -m crypto_bot.backtest.integrated_cli ml-training --symbols {symbol}"
    )


@dataclass(frozen=True, eq=False)
class Stretch:
    """Bars, features of each, the first row that the model never saw, and funding to charge."""

    bars: Bars
    features: PerBarFeature
    first: int
    is_ours: bool
    funding: FundingRates | None = None


def stored_stretch(bars: Bars, model: ChosenModel, funding: FundingRates | None = None) -> Stretch:
    """What a model never saw of stored candles, with our features; DataError if there is nothing."""
    table = compute_features(bars, model.predictor.feature_names)
    unseen = int(np.searchsorted(bars.open_time, model.data_end_ns))
    first = max(unseen, table.settled_bars or 0)
    return _checked(Stretch(bars, table.values, first, is_ours=True, funding=funding), model)


def given_stretch(frame: pd.DataFrame, symbol: str, model: ChosenModel) -> Stretch:
    """The same of a DataFrame of candles and features; DataError if a column is missing."""
    names = list(model.predictor.feature_names)
    lacking = [n for n in (*OHLCV, *names) if n not in getattr(frame, "columns", ())]
    if lacking:
        raise DataError(
            f"features must be a DataFrame with {', '.join(OHLCV)} and the model's {len(names)} "
            f"features, lacked {', '.join(lacking[:5])}; give None to use the stored candles"
        )
    read = Bars.from_pandas(frame, symbol=symbol, timeframe=model.card.timeframe)
    bars = replace(read, is_simulated=bool(frame.attrs.get("is_simulated", False)))
    first = int(np.searchsorted(bars.open_time, model.data_end_ns))
    values = frame[names].to_numpy(np.float64)
    return _checked(Stretch(bars, values, first, is_ours=False), model)


def _checked(stretch: Stretch, model: ChosenModel) -> Stretch:
    bars = stretch.bars
    if stretch.first > len(bars) - 2:
        last = iso_time(int(bars.close_time[-1])) if len(bars) else "nothing"
        raise DataError(
            f"{bars.symbol} must have candles after {model.card.data_end}, the end of what "
            f"{model.version} learned from, had them up to {last}; import or download newer ones"
        )
    return stretch


def judge_model(
    bench: Workbench, symbol: str, model: ChosenModel, stretch: Stretch, clock: Clock
) -> dict[str, Any]:
    """Predict, trade, judge; what `validate_symbols` gives for a symbol."""
    bars = stretch.bars[stretch.first :]
    unseen = np.ascontiguousarray(stretch.features[stretch.first :])
    probabilities = model.predictor.predict_proba(unseen)
    is_predicted = np.isfinite(unseen).all(axis=1)
    if not is_predicted.any():
        raise DataError(
            f"{symbol} features must be finite on some bar, were on none of {len(bars)}"
        )
    signals = _signals(bench, model, probabilities)
    result = simulate(
        bars,
        signals,
        costs=bench.costs,
        exits=card_exits(bench, model.card),
        sizing=bench.sizing,
        funding=stretch.funding,
    )
    scores, notes = _class_scores(stretch, model, probabilities)
    verdict = _verdict(bench, result, scores)
    consistency = _consistency(bench, model, stretch, result, probabilities[is_predicted])
    broken = [name for name, holds in consistency.items() if holds is False]
    metrics = asdict(result.metrics)
    return {
        "valid": not broken,
        "symbol": symbol,
        "version": model.version,
        "model": model.describe(),
        "total_predictions": int(is_predicted.sum()),
        "signal_distribution": _sides(signals.direction[is_predicted]),
        "avg_confidence": _finite(probabilities[is_predicted].max(axis=1).mean()),
        "backtest_performance": {"pnl": metrics["total_return"], **metrics},
        "gate": {"promoted": verdict["promoted"], "reason": verdict["reason"]},
        "checks": verdict["checks"],
        "consistency": consistency,
        "start": iso_time(int(bars.open_time[0])),
        "end": iso_time(int(bars.close_time[-1])),
        "is_simulated": bars.is_simulated,
        "notes": notes,
        "validation_timestamp": iso_time(clock.now_ns()),
        "error": f"{', '.join(broken)} must hold, did not" if broken else None,
    }


def _verdict(
    bench: Workbench, result: BacktestResult, scores: ClassBaseline | None
) -> dict[str, Any]:
    """The gate's word, deflated by every model ever tried on candles of this kind."""
    known: TrialFilter = {"kind": TrialKind.MODEL, "is_simulated": result.bars.is_simulated}
    tried = trial_record(bench.journal.trials(**known))
    evidence = gather_evidence(
        [result],
        trials=tried.trials,
        effective_trials=tried.effective,
        trial_variance=tried.variance,
        class_scores=scores,
    )
    return judge(evidence, gate_options(bench)).to_dict()


def _consistency(
    bench: Workbench,
    model: ChosenModel,
    stretch: Stretch,
    result: BacktestResult,
    predicted: PerRowClass,
) -> dict[str, bool | None]:
    agrees = _live_agrees(bench, model, stretch, result.signals) if stretch.is_ours else None
    return {
        "probabilities": _are_probabilities(predicted),
        "never_seen": int(result.bars.open_time[0]) >= model.data_end_ns,
        "trades_follow": _trades_follow(result),
        "live_agrees": agrees,
    }


def _sides(direction: PerBarDirection) -> dict[str, int]:
    named = {"buy": 1, "sell": -1, "hold": 0}
    return {name: int(np.count_nonzero(direction == side)) for name, side in named.items()}


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _threshold(bench: Workbench, model: ChosenModel) -> float:
    return model.card.thresholds.get("open", bench.settings.paper.prediction_threshold)


def _signals(bench: Workbench, model: ChosenModel, probabilities: PerRowClass) -> Signals:
    strategy = get_strategy(
        "model", threshold=_threshold(bench, model), allow_short=bench.sizing.allow_short
    )
    return strategy.signals(
        side_columns(model.predictor.classes, probabilities, model.card.thresholds)
    )


def _are_probabilities(found: PerRowClass) -> bool:
    """NaN fails both comparisons."""
    is_one = np.abs(found.sum(axis=1) - 1.0) <= _LARGEST_ERROR
    return bool(((found >= 0.0) & (found <= 1.0)).all() and is_one.all())


def _trades_follow(result: BacktestResult) -> bool:
    trades = result.trades
    entry = trades["entry_bar"]
    predicted = result.signals.direction[entry - 1]
    return bool((entry > 0).all() and np.array_equal(trades["direction"], predicted))


def _live_agrees(bench: Workbench, model: ChosenModel, stretch: Stretch, signals: Signals) -> bool:
    bars = stretch.bars
    start = max(len(bars) - LIVE_BARS, stretch.first)
    names = model.predictor.feature_names
    stream = FeatureStream.from_history(bars[:start], names)
    maker = ModelDecisions(
        model.predictor,
        threshold=_threshold(bench, model),
        allow_short=bench.sizing.allow_short,
        thresholds=model.card.thresholds,
    ).started(names)
    live = [maker.decide(stream.update(bar), bar) for bar in bars[start:]]
    backtested = zip(
        signals.direction[start - stretch.first :].tolist(),
        signals.score[start - stretch.first :].tolist(),
        strict=True,
    )
    return live == list(backtested)


def _class_scores(
    stretch: Stretch, model: ChosenModel, probabilities: PerRowClass
) -> tuple[ClassBaseline | None, list[str]]:
    """The predictions beside the class shares of the candles before them, or why there are none."""
    names, label = model.predictor.feature_names, label_of(model.card)
    try:
        dataset = build_dataset([stretch.bars], feature_names=names, labels=label)
        return class_baseline(dataset, _tested(dataset, stretch, model, probabilities)), []
    except DataError as error:
        return None, [str(error)]


def _tested(
    dataset: Dataset, stretch: Stretch, model: ChosenModel, probabilities: PerRowClass
) -> OutOfSample:
    """The predictions as one fold: labels known by the end of training against the unseen rows."""
    test = np.flatnonzero(dataset.bar_index >= stretch.first)
    train = np.flatnonzero(dataset.label_end_ns <= model.data_end_ns)
    if not (test.size and train.size):
        raise DataError(f"labels must lie on both sides of {model.card.data_end}, did not")
    found = np.full((len(dataset), len(dataset.classes)), np.nan)
    found[test] = probabilities[dataset.bar_index[test] - stretch.first]
    fold = np.full(len(dataset), -1, dtype=np.int64)
    fold[test] = 0
    start, end = (int(dataset.decided_at_ns[test[k]]) for k in (0, -1))
    split = Split(train, test, 0, model.data_end_ns, start, end, embargo_ns=0, purged=0)
    return OutOfSample(found, fold, dataset.classes, (), (split,), start, end)
