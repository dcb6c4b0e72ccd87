"""Evidence of a paper session for `feedback.watch`: rows before and during it, labels, rivals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from crypto_bot.backtest.retraining import label_of
from crypto_bot.core import TRADE, Bars, ModelCard, Predictor
from crypto_bot.core.arrays import (
    Mask,
    PerBarDirection,
    PerBarFeature,
    PerBarTime,
    PerRow,
    PerTrade,
)
from crypto_bot.core.timeframes import HOUR_NS, MINUTE_NS
from crypto_bot.engine import BacktestResult, ExitOptions, settled_bars
from crypto_bot.features import compute_features, level_features
from crypto_bot.feedback import (
    Agreement,
    CalibrationEvidence,
    FeatureEvidence,
    PredictionEvidence,
    RivalEvidence,
    Sample,
    compare_with_backtest,
    entry_slippage,
)
from crypto_bot.gate import pool_results
from crypto_bot.labels import make_labels
from crypto_bot.trading import (
    DecisionMaker,
    PaperOptions,
    PaperResult,
    TradedSymbol,
    expected_backtest,
    expected_trades,
)
from crypto_bot.trading.twin import joined

REFERENCE_BARS = 5_000
"""Settled bars of each symbol before the session that live rows are held against."""
RIVAL_PERIOD_NS = 4 * HOUR_NS
_TRIED_BARS = 500
"""Settled bars on which a feature shows whether it carries a price level."""


@dataclass(frozen=True, eq=False)
class Champion:
    """A model in service, as a session trades it.

    Attributes
    ----------
    symbol, version : str        its place in the registry
    predictor, card, maker
    exits : ExitOptions
    previous : Champion | None   the one in service before it
    """

    symbol: str
    version: str
    predictor: Predictor
    card: ModelCard
    maker: DecisionMaker
    exits: ExitOptions
    previous: Champion | None = None


class Rows(NamedTuple):
    """Settled rows of every symbol, history and session.

    time_ns : int64 (rows,)                close of the bar
    values : float64 (rows, features)
    is_live : bool (rows,)
    direction : int8 (rows,)               what the maker wanted
    label : int8 (rows,)                   0 where unknown
    is_labelled : bool (rows,)
    """

    time_ns: PerBarTime
    values: PerBarFeature
    is_live: Mask
    direction: PerBarDirection
    label: PerBarDirection
    is_labelled: Mask


def seen_so_far(stretches: Sequence[TradedSymbol], now_ns: int) -> tuple[TradedSymbol, ...]:
    """The stretches up to the bars closed by `now_ns`; symbols without such a bar are left out."""
    cut = [traded._replace(bars=traded.bars.closed_by(now_ns)) for traded in stretches]
    return tuple(traded for traded in cut if len(traded.bars))


def agreement(
    stretches: Sequence[TradedSymbol], options: PaperOptions, paper: PaperResult
) -> Agreement:
    """Against the plain backtest, and against the one under the session's own interventions."""
    plain, limited = (
        expected_trades(
            stretches,
            costs=options.costs,
            exits=options.exits,
            sizing=options.sizing,
            interventions=interventions,
        )
        for interventions in ((), paper.blocked)
    )
    return compare_with_backtest(paper.trades, plain, under_limits=limited)


def all_trades(trades: Iterable[PerTrade]) -> PerTrade:
    """TRADE (trades,): of every symbol."""
    return np.concatenate([np.empty(0, TRADE), *trades])


def slippage_of(stretches: Sequence[TradedSymbol], paper: PaperResult) -> PerRow:
    """float64 (entries,): of every symbol, see `entry_slippage`."""
    pieces = [
        entry_slippage(paper.trades[traded.bars.symbol], traded.bars)
        for traded in stretches
        if len(paper.trades.get(traded.bars.symbol, ()))
    ]
    return np.concatenate(pieces) if pieces else np.empty(0)


def drawdown_of(paper: PaperResult) -> float:
    """Deepest fall of the session's account below its peak, fraction of the peak."""
    if not len(paper.equity):
        return 0.0
    peak = np.maximum.accumulate(np.maximum(paper.equity, paper.initial_cash))
    return float((1.0 - paper.equity / peak).max())


def rows_of(
    stretches: Sequence[TradedSymbol],
    *,
    card: ModelCard | None = None,
    reference_bars: int = REFERENCE_BARS,
) -> Rows | None:
    """Features, wanted side and label of every settled bar; None for a maker without features.

    Notes
    -----
    Labels look ahead; they are made of the given bars only, so that a label exists once its horizon
    has passed and not before. Without a card there are no labels.
    """
    names = stretches[0].maker.feature_names
    if not names:
        return None
    settled = settled_bars(names, stretches[0].bars.timeframe)
    parts = [_rows(traded, names, settled, card, reference_bars) for traded in stretches]
    return Rows(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _rows(
    traded: TradedSymbol,
    names: tuple[str, ...],
    settled: int,
    card: ModelCard | None,
    reference_bars: int,
) -> Rows:
    whole, first = joined(traded)
    start = max(0, first - reference_bars - settled)
    whole, first = whole[start:], first - start
    values = compute_features(whole, names).values
    columns = {name: values[:, place] for place, name in enumerate(names)}
    columns |= {name: getattr(whole, name) for name in ("open", "high", "low", "close", "volume")}
    direction = traded.maker.signals(columns).direction
    label, is_labelled = _labels(whole, card)
    rows = slice(settled, None)
    return Rows(
        whole.close_time[rows],
        values[rows],
        (np.arange(len(whole)) >= first)[rows],
        direction[rows],
        label[rows],
        is_labelled[rows],
    )


def _labels(whole: Bars, card: ModelCard | None) -> tuple[PerBarDirection, Mask]:
    if card is None:
        return np.zeros(len(whole), np.int8), np.zeros(len(whole), np.bool_)
    found = make_labels(whole, label_of(card))
    return np.where(found.is_labelled, found.values, 0).astype(np.int8), found.is_labelled


def feature_evidence(
    stretches: Sequence[TradedSymbol], rows: Rows | None
) -> tuple[FeatureEvidence | None, tuple[str, ...]]:
    """The relative features before and during the session, and the level features left out."""
    if rows is None:
        return None, ()
    names = stretches[0].maker.feature_names
    whole, _ = joined(stretches[0])
    settled = settled_bars(names, whole.timeframe)
    left_out = level_features(whole[: settled + _TRIED_BARS], names)
    kept = [place for place, name in enumerate(names) if name not in left_out]
    if not kept:
        return None, left_out
    sides = [
        Sample(rows.time_ns[side], rows.values[side][:, kept])
        for side in (~rows.is_live, rows.is_live)
    ]
    return FeatureEvidence(tuple(names[place] for place in kept), sides[0], sides[1]), left_out


def prediction_evidence(champion: Champion, rows: Rows) -> PredictionEvidence:
    """Probabilities on rows that the model did not learn from, before and during the session."""
    probabilities = champion.predictor.predict_proba(rows.values)
    trained_until = champion.maker.trained_until_ns
    is_new = rows.time_ns > (-1 if trained_until is None else trained_until)
    before, live = ~rows.is_live & is_new, rows.is_live
    acted = rows.direction != 0
    return PredictionEvidence(
        champion.card.classes,
        Sample(rows.time_ns[before], probabilities[before]),
        Sample(rows.time_ns[live], probabilities[live]),
        acted[before],
        acted[live],
    )


def calibration_evidence(champion: Champion, rows: Rows) -> CalibrationEvidence | None:
    """Live probabilities with known labels; None where the card promises no Brier score."""
    promised = champion.card.metrics.get("brier")
    if promised is None:
        return None
    chosen = rows.is_live & rows.is_labelled
    minutes = champion.card.label.get("effective_horizon_minutes") or 0.0
    return CalibrationEvidence(
        champion.card.classes,
        rows.time_ns[chosen],
        champion.predictor.predict_proba(rows.values[chosen]),
        rows.label[chosen],
        max(int(minutes * MINUTE_NS), 1),
        promised,
        champion.card.metrics.get("log_loss"),
    )


def rival_evidence(
    stretches: Sequence[TradedSymbol], champion: Champion, options: PaperOptions
) -> RivalEvidence | None:
    """Both champions undisturbed on the same bars; None without a previous one of this timeframe."""
    previous = champion.previous
    if previous is None or previous.card.timeframe != champion.card.timeframe:
        return None
    own, rival = (
        period_returns([_traded_by(traded, each, options) for traded in stretches])
        for each in (champion, previous)
    )
    return RivalEvidence(previous.version, own, rival)


def period_returns(results: Sequence[BacktestResult]) -> PerRow:
    """Returns of the pooled account over whole periods of four hours, float64 (periods,)."""
    pooled = pool_results(results)
    cash = sum(result.sizing.initial_cash for result in results)
    period = (pooled.time_ns - 1) // RIVAL_PERIOD_NS
    last = np.flatnonzero(np.append(np.diff(period) > 0, True))
    ends = pooled.equity[last]
    return np.asarray(ends / np.concatenate(([cash], ends[:-1])) - 1.0)


def _traded_by(traded: TradedSymbol, champion: Champion, options: PaperOptions) -> BacktestResult:
    return expected_backtest(
        traded._replace(maker=champion.maker),
        costs=options.costs,
        exits=champion.exits,
        sizing=options.sizing,
    )
