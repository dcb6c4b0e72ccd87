"""From what a turn made to what is shown: the report's contents, summary.json and the page."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from crypto_bot.backtest.candles import Universe, describe
from crypto_bot.backtest.examined import Learned
from crypto_bot.backtest.explaining import explain_learned, further_tables
from crypto_bot.backtest.rehearsal import Rehearsal
from crypto_bot.backtest.showing_sweep import heat_maps, strategy_rows
from crypto_bot.backtest.sweeping import best_setting
from crypto_bot.backtest.trial_record import pooled_figures
from crypto_bot.backtest.workbench import Workbench
from crypto_bot.core.arrays import PerBar, PerBarTime
from crypto_bot.core.timeframes import iso_time
from crypto_bot.engine.metrics import day_ends
from crypto_bot.feedback import shift_word
from crypto_bot.gate import annual_sharpe, pool_results
from crypto_bot.report import (
    EquityView,
    FactTable,
    GateCheck,
    GateView,
    ModelView,
    PredictionsView,
    QualityRow,
    ReportContents,
    TradeRecord,
    TradesView,
    write_report,
)
from crypto_bot.significance import buy_and_hold

if TYPE_CHECKING:
    from crypto_bot.backtest.turn import TurnOutcome

_LIBRARIES = ("crypto-bot", "numpy", "numba", "polars", "lightgbm", "scikit-learn", "ccxt")


def write_outcome(bench: Workbench, outcome: TurnOutcome) -> dict[str, Any]:
    """Write the report folder of a turn and give its summary."""
    summary = summary_of(bench, outcome)
    contents = contents_of(bench, outcome, summary)
    explanations = {
        view.name: view.explanation.to_dict() for view in contents.models if view.explanation
    }
    whole = {**summary, "explanations": explanations} if explanations else summary
    page = write_report(replace(contents, summary=whole), outcome.folder)
    return {**summary, "report": str(page)}


def summary_of(bench: Workbench, outcome: TurnOutcome) -> dict[str, Any]:
    """The numbers of a turn, plain and JSON-ready."""
    best = best_setting(outcome.swept.ranking)
    return {
        "run_id": outcome.run_id,
        "is_simulated": outcome.universe.is_simulated,
        "candles": describe(outcome.universe),
        "symbols": list(outcome.universe.symbols),
        "hold_out_start": iso_time(outcome.hold_out_ns),
        "hold_out_seen_before": _seen_before(bench, outcome),
        "promoted": outcome.promoted,
        "sweep": {
            "backtests": len(outcome.swept.table),
            "bar_combinations": outcome.swept.bar_combinations,
            "best": f"{best['strategy']} at {best['timeframe']}",
            "best_sharpe": best["mean_sharpe"],
            "best_return": best["mean_return"],
            "skipped": len(outcome.swept.skipped),
        },
        "models": [_model_summary(learned) for learned in outcome.learned],
        "not_trained": dict(outcome.not_trained),
        "paper": _paper_summary(bench, outcome.rehearsal),
        "seconds": {**outcome.seconds, "total": sum(outcome.seconds.values())},
        "peak_memory_mb": outcome.peak_memory_mb,
        "reused": list(outcome.reused),
        "notes": list(outcome.notes),
        "report": str(outcome.folder / "report.html"),
    }


def _model_summary(learned: Learned) -> dict[str, Any]:
    return {
        "name": learned.recipe.name,
        "symbol": learned.recipe.symbol,
        "version": learned.version,
        "promoted": learned.promoted,
        "verdict": learned.verdict.brief,
        "reason": learned.verdict.reason,
        "device": learned.model.device,
        **learned.scores.summary(),
        **pooled_figures(learned.pooled),
        "trades": learned.pooled.trades,
    }


def _paper_summary(bench: Workbench, rehearsal: Rehearsal) -> dict[str, Any]:
    paper = rehearsal.paper
    daily = paper.equity[day_ends(paper.times_ns)]
    returns = daily / np.concatenate(([paper.initial_cash], daily[:-1])) - 1.0
    peak = np.maximum.accumulate(np.maximum(paper.equity, paper.initial_cash))
    held = _held(bench, rehearsal)
    return {
        "trader": rehearsal.trader.name,
        "is_model": rehearsal.trader.is_model,
        "why": rehearsal.trader.why,
        "total_return": float(paper.equity[-1] / paper.initial_cash - 1.0),
        "sharpe": annual_sharpe(returns),
        "max_drawdown": float((1.0 - paper.equity / peak).max()),
        "trades": sum(int((t["exit_bar"] >= 0).sum()) for t in paper.trades.values()),
        "fees_quote": float(sum(t["fees_quote"].sum() for t in paper.trades.values())),
        "buy_and_hold_return": held.total_return,
        "decisions": paper.decisions,
        "orders": len(paper.orders),
        "fills": len(paper.fills),
        "blocked": len(paper.blocked),
        "agreement": rehearsal.agreement.describe(),
        "equals_backtest": rehearsal.agreement.equal,
        "unexplained_differences": rehearsal.agreement.unexplained,
        "advice": str(rehearsal.recommendation.action),
        "exit_order": rehearsal.exit_order.describe(),
    }


def _held(bench: Workbench, rehearsal: Rehearsal) -> Any:
    cash = bench.sizing.initial_cash
    return pool_results(
        [buy_and_hold(t.bars, costs=bench.costs, initial_cash=cash) for t in rehearsal.stretches]
    )


def contents_of(
    bench: Workbench, outcome: TurnOutcome, summary: Mapping[str, Any]
) -> ReportContents:
    """Everything the report shows of a turn."""
    universe, rehearsal = outcome.universe, outcome.rehearsal
    reporting = bench.settings.reporting
    lead = outcome.learned[0] if outcome.learned else None
    return ReportContents(
        title="One turn of the loop",
        run_id=outcome.run_id,
        started_at=iso_time(bench.journal.run(outcome.run_id).started_at_ns),
        command=_command(bench, outcome.run_id),
        seconds=summary["seconds"]["total"],
        what=f"{summary['candles']}. {_hold_out_words(summary)}",
        promoted=outcome.promoted if outcome.learned else None,
        why=lead.verdict.reason if lead else "no model was trained",
        is_simulated=universe.is_simulated,
        span=(iso_time(universe.start_ns), iso_time(universe.end_ns)),
        facts=_facts(summary),
        equity=list(_equity_views(bench, outcome)) if reporting.equity_curves else (),
        trades=_trades_view(rehearsal) if reporting.charts else None,
        strategies=list(strategy_rows(outcome.swept, bench.settings.performance_metrics)),
        heat_maps=list(heat_maps(outcome.swept)) if reporting.charts else (),
        models=[_model_view(learned, outcome, reporting.charts) for learned in outcome.learned],
        predictions=_predictions_view(outcome.learned),
        gates=[_gate_view(learned) for learned in outcome.learned],
        quality=list(_quality_rows(universe)),
        records=_records(rehearsal),
        writes_plots=reporting.charts,
        writes_csv=reporting.csv,
        tables=list(_tables(outcome)),
        config=bench.settings.model_dump(mode="json"),
        versions={name: version(name) for name in _LIBRARIES},
        data_hash=bench.journal.run(outcome.run_id).data_fingerprint,
        summary=summary,
        notes=[*outcome.notes, *(f"{n}: not trained: {w}" for n, w in outcome.not_trained.items())],
    )


def _command(bench: Workbench, run_id: str) -> str:
    """The line that makes this run again, up to its configuration file."""
    asked = bench.journal.run(run_id).config
    words = ["python", "-m", "crypto_bot.backtest.integrated_cli", "integrated", "--once"]
    words += ["--data", asked["data"]] if asked["data"] else []
    words += ["--symbols", *asked["symbols"]] if asked["symbols"] else []
    return shlex.join(words)


def _seen_before(bench: Workbench, outcome: TurnOutcome) -> int:
    """Finished runs that replayed this very hold-out of these very candles already."""
    ours = bench.journal.run(outcome.run_id)
    start = iso_time(outcome.hold_out_ns)
    return sum(
        run.data_fingerprint == ours.data_fingerprint and run.summary.get("hold_out_start") == start
        for run in bench.journal.runs(ours.kind, status="done")
    )


def _hold_out_words(summary: Mapping[str, Any]) -> str:
    start, seen = summary["hold_out_start"][:10], summary["hold_out_seen_before"]
    words = f"Nothing of this run saw the hold-out from {start} before paper trading."
    if seen:
        words += f" Earlier runs replayed it {seen} times: it is no longer untouched."
    return words


def _facts(summary: Mapping[str, Any]) -> dict[str, Any]:
    paper = summary["paper"]
    return {
        "pairs": len(summary["symbols"]),
        "backtests": summary["sweep"]["backtests"],
        "models promoted": sum(model["promoted"] for model in summary["models"]),
        "paper return": f"{paper['total_return']:+.2%}",
        "buy and hold": f"{paper['buy_and_hold_return']:+.2%}",
        "paper equals backtest": "yes" if paper["equals_backtest"] else "no",
    }


def _equity_views(bench: Workbench, outcome: TurnOutcome) -> Iterator[EquityView]:
    rehearsal = outcome.rehearsal
    held = _held(bench, rehearsal)
    paper = rehearsal.paper
    yield EquityView(
        "Paper session on the hold-out",
        paper.times_ns,
        {
            rehearsal.trader.name: paper.equity,
            "buy and hold": _on(held.time_ns, held.equity, paper.times_ns),
        },
        f"{rehearsal.trader.why}. Every pair has an account of its own; costs included.",
    )
    for learned in outcome.learned:
        holding = pool_results(
            [
                buy_and_hold(r.bars, costs=r.costs, initial_cash=r.sizing.initial_cash)
                for r in learned.results
            ]
        )
        pooled = learned.pooled
        yield EquityView(
            f"Walk-forward, out of sample: {learned.recipe.name}",
            pooled.time_ns,
            {
                learned.recipe.name: pooled.equity,
                "buy and hold": _on(holding.time_ns, holding.equity, pooled.time_ns),
            },
            "Each stretch is predicted by a model that never saw it; costs included.",
        )


def _on(times: PerBarTime, values: PerBar, wanted: PerBarTime) -> PerBar:
    return values[np.maximum(np.searchsorted(times, wanted, side="right") - 1, 0)]


def _trades_view(rehearsal: Rehearsal) -> TradesView | None:
    """The pair that traded most, its last bars."""
    if not rehearsal.stretches:
        return None
    busiest = max(rehearsal.stretches, key=lambda t: len(rehearsal.paper.trades[t.bars.symbol]))
    trades = rehearsal.paper.trades[busiest.bars.symbol]
    note = "The pair with the most trades of the paper session."
    return TradesView(busiest.bars, trades, rehearsal.trader.name, note)


def _model_view(learned: Learned, outcome: TurnOutcome, is_explained: bool) -> ModelView:
    found, unexplained = None, ""
    if is_explained:
        found, unexplained = explain_learned(learned, outcome.universe, outcome.hold_out_ns)
    return ModelView(
        learned.recipe.name,
        learned.model.model_type,
        learned.dataset.classes,
        learned.dataset.labels,
        learned.predictions.probabilities,
        learned.model.importance,
        learned.recipe.threshold,
        dict(learned.dataset.label_definition),
        f"{len(learned.predictions.splits)} purged walk-forward folds; trained on {learned.model.device}.",
        found,
        unexplained,
    )


def _predictions_view(learned: Sequence[Learned]) -> PredictionsView | None:
    """S0's predictions.csv: the last model's out-of-sample rows of one pair, each at its own date."""
    if not learned:
        return None
    last = learned[-1]
    dataset, symbol = last.dataset, last.results[0].bars.symbol
    bars = next(each for each in last.bars if each.symbol == symbol)
    rows = np.flatnonzero(
        (dataset.symbol_index == dataset.symbols.index(bars.symbol)) & last.predictions.is_tested
    )
    times = dataset.decided_at_ns[rows]
    at = np.searchsorted(bars.close_time, times)
    up = dataset.classes.index(1)
    return PredictionsView(
        bars.symbol,
        times,
        bars.close[at],
        last.predictions.probabilities[rows, up],
        last.recipe.threshold,
    )


def _gate_view(learned: Learned) -> GateView:
    checks = [
        GateCheck(check.name, check.value, check.threshold, check.rule, check.holds)
        for check in learned.verdict.checks
    ]
    return GateView(
        learned.recipe.name,
        learned.promoted,
        checks,
        learned.verdict.reason,
        tuple(further_tables(learned)),
    )


def _quality_rows(universe: Universe) -> Iterator[QualityRow]:
    for outcome in universe.outcomes:
        if outcome.report is None:
            yield QualityRow(
                outcome.file.name, outcome.symbol, outcome.timeframe, 0, refused=outcome.error
            )
            continue
        report = outcome.report
        findings = {name: getattr(report, name) for name in _FINDINGS if getattr(report, name)}
        yield QualityRow(
            outcome.file.name,
            outcome.symbol,
            outcome.timeframe,
            report.rows_kept,
            findings=findings,
            repairs=report.repairs,
            refused=outcome.error,
        )
    if not universe.outcomes:
        for bars in universe.bars:
            missing = int(np.sum(np.diff(bars.open_time) // bars.interval_ns - 1))
            yield QualityRow(
                universe.origin,
                bars.symbol,
                bars.timeframe,
                len(bars),
                int(bars.open_time[0]),
                int(bars.open_time[-1]),
                {"missing_bars": missing} if missing else {},
            )


_FINDINGS = (
    "gaps",
    "missing_bars",
    "identical_duplicates",
    "conflicting_duplicates",
    "off_grid_times",
    "high_low_violations",
    "non_positive_prices",
    "missing_prices",
    "missing_volumes",
    "spikes",
    "zero_volume_bars",
)


def _records(rehearsal: Rehearsal) -> list[TradeRecord]:
    """Bot v3.1's CSV files, of every pair that traded."""
    name = rehearsal.trader.name.split(" ")[0]
    trades = rehearsal.paper.trades
    return [
        TradeRecord(name, traded.bars, trades[traded.bars.symbol])
        for traded in rehearsal.stretches
        if len(trades[traded.bars.symbol])
    ]


def _tables(outcome: TurnOutcome) -> Iterator[FactTable]:
    rehearsal = outcome.rehearsal
    yield FactTable(
        "Feedback: paper against what was expected",
        ("figure", "paper", "expected", "low", "high", "verdict"),
        [
            (c.name, c.live, c.expected, c.low, c.high, c.verdict)
            for c in rehearsal.expectation.comparisons
        ],
        f"{rehearsal.agreement.describe()}. Advice: {rehearsal.recommendation.action}: "
        + "; ".join(rehearsal.recommendation.reasons)
        + f". Stop or target first: {rehearsal.exit_order.describe()}.",
    )
    if rehearsal.look.features:
        yield FactTable(
            "Drift of the features between development and hold-out",
            ("feature", "PSI", "KS", "chance", "level"),
            [
                (d.name, d.psi, d.ks, d.p_value, shift_word(d, rehearsal.watched))
                for d in rehearsal.look.features
            ],
            "Drifted: far (PSI) and not by chance (Kolmogorov-Smirnov, for rows that resemble each "
            "other and Holm-adjusted over the features).",
        )
    yield FactTable(
        "Model versions of this run",
        ("model", "symbol", "version", "promoted"),
        [
            (
                m.recipe.name,
                m.recipe.symbol,
                m.version or "not published",
                "yes" if m.promoted else "no",
            )
            for m in outcome.learned
        ],
    )
    yield FactTable(
        "What the risk limits did",
        ("symbol", "bar", "what"),
        [(b.symbol, b.bar, b.reason) for b in rehearsal.paper.blocked[:50]],
        "Entries that a limit blocked; exits are never blocked."
        if rehearsal.paper.blocked
        else "No limit stepped in.",
    )
    yield FactTable(
        "Time by step",
        ("step", "seconds"),
        list(outcome.seconds.items()),
    )
