"""Paper trading on the untouched last stretch, and what it says about the promise made before it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from crypto_bot.backtest.candles import Universe
from crypto_bot.backtest.exit_order import ExitOrder, exit_order
from crypto_bot.backtest.schedule import Stopped
from crypto_bot.backtest.workbench import Workbench
from crypto_bot.core import TRADE, Bars, FundingRates
from crypto_bot.core.arrays import PerRow, PerTrade
from crypto_bot.engine import ExitOptions, settled_bars
from crypto_bot.features import FeatureDrift, compute_features, feature_drift, level_features
from crypto_bot.feedback import (
    Agreement,
    ExpectationReport,
    Recommendation,
    compare_with_backtest,
    compare_with_expectation,
    entry_slippage,
    recommend,
    record_feedback,
)
from crypto_bot.trading import (
    DecisionMaker,
    PaperOptions,
    PaperResult,
    PaperSession,
    TradedSymbol,
    expected_trades,
)
from crypto_bot.trading.twin import joined

_LOG = logging.getLogger(__name__)
POOLED = "ALL"
"""The symbol under which what concerns every pair is written down."""
_TRIED_BARS = 500
"""Settled bars on which a feature shows whether it carries a price level."""


@dataclass(frozen=True)
class Trader:
    """Who trades the hold-out: a promoted model, or the best strategy when the gate said no.

    `symbols` are the pairs it may trade: those a model learned from; None is every pair. `version`
    is the model's in the registry, None for a strategy.
    """

    name: str
    timeframe: str
    maker: DecisionMaker
    exits: ExitOptions
    is_model: bool
    why: str
    symbols: tuple[str, ...] | None = None
    version: str | None = None


@dataclass(frozen=True, eq=False)
class Rehearsal:
    """One paper session and its judgement."""

    trader: Trader
    stretches: tuple[TradedSymbol, ...]
    paper: PaperResult
    agreement: Agreement
    expectation: ExpectationReport
    drift: tuple[FeatureDrift, ...]
    recommendation: Recommendation
    exit_order: ExitOrder


def rehearse(
    bench: Workbench,
    universe: Universe,
    trader: Trader,
    *,
    run_id: str,
    start_ns: int,
    expected: PerTrade,
    should_stop: Callable[[], bool] = lambda: False,
) -> Rehearsal:
    """Trade the hold-out on paper bar by bar and compare it with backtest and expectation.

    Parameters
    ----------
    start_ns : int                first moment of the hold-out
    expected : TRADE (trades,)    what the same trader did before the hold-out, costs included

    Raises
    ------
    Stopped    `should_stop` said so; what was traded so far is in the journal and is not judged
    """
    stretches = hold_out_stretches(
        _traded(universe, trader), trader.maker, start_ns, universe.funding
    )
    options = bench.paper_options(trader.exits)
    session = PaperSession(
        stretches,
        options=options,
        journal=bench.journal,
        run_id=run_id,
        should_stop=should_stop,
    )
    paper = session.run()
    if not paper.is_complete:
        raise Stopped(f"run {run_id} stopped in paper trading; the same command goes on with it")
    agreement = _agreement(stretches, options, paper)
    expectation = compare_with_expectation(
        _all_trades(paper.trades.values()),
        expected,
        live_slippage=_slippage(stretches, paper),
        assumed_slippage_frac=options.costs.slippage_frac,
    )
    drift, left_out = _drift(stretches, trader.maker.feature_names)
    recommendation = recommend(agreement, expectation, drift)
    if not bench.journal.feedback(run_id=run_id):  # a run taken up may have said it already
        record_feedback(
            bench.journal,
            run_id,
            POOLED,
            agreement=agreement,
            expectation=expectation,
            drift=drift,
            left_out_of_drift=left_out,
            recommendation=recommendation,
        )
    _LOG.info("%s", agreement.describe())
    order = exit_order(bench.settings, universe, stretches, options)
    _LOG.info("%s", order.describe())
    return Rehearsal(trader, stretches, paper, agreement, expectation, drift, recommendation, order)


def _traded(universe: Universe, trader: Trader) -> list[Bars]:
    bars = universe.at(trader.timeframe)
    return [each for each in bars if trader.symbols is None or each.symbol in trader.symbols]


def hold_out_stretches(
    universe: Sequence[Bars],
    maker: DecisionMaker,
    start_ns: int,
    funding: Mapping[str, FundingRates] = MappingProxyType({}),
) -> tuple[TradedSymbol, ...]:
    """Per symbol the bars that open at or after `start_ns`, and all bars before as history."""
    stretches = []
    for bars in universe:
        stretch = bars.between(start_ns, None)
        if len(stretch):
            history, rates = bars.between(None, start_ns), funding.get(bars.symbol)
            stretches.append(TradedSymbol(stretch, maker, history, rates))
    return tuple(stretches)


def _agreement(
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


def _all_trades(trades: Iterable[PerTrade]) -> PerTrade:
    return np.concatenate([np.empty(0, TRADE), *trades])


def _slippage(stretches: Sequence[TradedSymbol], paper: PaperResult) -> PerRow:
    pieces = [
        entry_slippage(paper.trades[traded.bars.symbol], traded.bars)
        for traded in stretches
        if len(paper.trades.get(traded.bars.symbol, ()))
    ]
    return np.concatenate(pieces) if pieces else np.empty(0)


def _drift(
    stretches: Sequence[TradedSymbol], names: tuple[str, ...]
) -> tuple[tuple[FeatureDrift, ...], tuple[str, ...]]:
    """Drift of the relative features between history and hold-out, and the level features left out.

    Features are computed over history and hold-out at once, and unsettled rows are left out.
    """
    if not names:
        return (), ()
    whole, _ = joined(stretches[0])
    settled = settled_bars(names, whole.timeframe)
    left_out = level_features(whole[: settled + _TRIED_BARS], names)
    kept = tuple(name for name in names if name not in left_out)
    if not kept:
        return (), left_out
    before, during = [np.empty((0, len(kept)))], [np.empty((0, len(kept)))]
    for traded in stretches:
        whole, first = joined(traded)
        values = compute_features(whole, kept).values
        before.append(values[settled:first])
        during.append(values[max(first, settled) :])
    return feature_drift(kept, np.concatenate(before), np.concatenate(during)), left_out
