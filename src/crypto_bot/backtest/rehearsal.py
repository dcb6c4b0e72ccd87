"""Paper trading on the untouched last stretch, and what it says about the promise made before it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from crypto_bot.backtest.candles import Universe
from crypto_bot.backtest.exit_order import ExitOrder, exit_order
from crypto_bot.backtest.live_evidence import (
    agreement,
    all_trades,
    feature_evidence,
    rows_of,
    slippage_of,
)
from crypto_bot.backtest.schedule import Stopped
from crypto_bot.backtest.workbench import Workbench
from crypto_bot.core import Bars, FundingRates
from crypto_bot.core.arrays import PerTrade
from crypto_bot.engine import ExitOptions
from crypto_bot.feedback import (
    Agreement,
    ExpectationReport,
    LiveEvidence,
    Look,
    Recommendation,
    WatchOptions,
    recommend,
    record_feedback,
    take_a_look,
)
from crypto_bot.trading import (
    DecisionMaker,
    PaperResult,
    PaperSession,
    TradedSymbol,
)
from crypto_bot.trading.live import TRADED

_LOG = logging.getLogger(__name__)
POOLED = "ALL"
"""The symbol under which what concerns every pair is written down."""


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
    look: Look
    recommendation: Recommendation
    exit_order: ExitOrder
    watched: WatchOptions

    @property
    def expectation(self) -> ExpectationReport:
        """Results against what was promised."""
        return self.look.expectation


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
    _say_version(bench, run_id, trader, stretches)
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
    watched = bench.settings.feedback.of(WatchOptions)
    found = agreement(stretches, options, paper)
    features, left_out = feature_evidence(stretches, rows_of(stretches))
    look = take_a_look(
        LiveEvidence(
            POOLED,
            trades=all_trades(paper.trades.values()),
            expected=expected,
            slippage=slippage_of(stretches, paper),
            assumed_slippage_frac=options.costs.slippage_frac,
            agreement=found,
            features=features,
        ),
        watched,
    )
    if not bench.journal.feedback(run_id=run_id):  # a run taken up may have said it already
        record_feedback(
            bench.journal,
            run_id,
            POOLED,
            look,
            agreement=found,
            options=watched,
            left_out_of_drift=left_out,
        )
    _LOG.info("%s", found.describe())
    order = exit_order(bench.settings, universe, stretches, options)
    _LOG.info("%s", order.describe())
    return Rehearsal(trader, stretches, paper, found, look, recommend(look), order, watched)


def _say_version(
    bench: Workbench, run_id: str, trader: Trader, stretches: Sequence[TradedSymbol]
) -> None:
    """Which model version decides, before its first order: the orders of this run are its own."""
    if trader.version is None:
        return
    said = bench.journal.model_events(run_id=run_id, event=TRADED)
    known = {(event.symbol, event.version) for event in said}
    for traded in stretches:
        symbol = traded.bars.symbol
        if (symbol, trader.version) not in known:
            detail = {"timeframe": traded.bars.timeframe}
            bench.journal.model_event(run_id, symbol, trader.version, TRADED, detail)


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
