"""The `select` command: which entries to take, learned from trades, beside taking all of them."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from crypto_bot.backtest.candles import Universe, describe, gather_candles
from crypto_bot.backtest.command import Result, say
from crypto_bot.backtest.selecting_picture import picture
from crypto_bot.backtest.summary import SIMULATED, number, percent
from crypto_bot.backtest.sweeping import funding_note
from crypto_bot.backtest.workbench import SIMULATED_SUFFIX, Workbench, open_workbench
from crypto_bot.core.errors import CryptoBotError, DataError
from crypto_bot.core.files import write_file, write_json
from crypto_bot.core.timeframes import iso_time
from crypto_bot.engine.metrics import METRICS
from crypto_bot.journal import Trial, TrialKind
from crypto_bot.portfolio import PortfolioOptions
from crypto_bot.selector import (
    MIX,
    SELECTOR,
    Candidates,
    Comparison,
    Selection,
    SelectorOptions,
    collect_candidates,
    compare_selection,
    fit_selector,
    select_out_of_sample,
)
from crypto_bot.splits import WalkForwardOptions
from crypto_bot.strategies import get_strategy

FOLDER = "out/select"
_CONVINCING = 0.05


def select(options: argparse.Namespace) -> tuple[int, Result]:
    """Learn from the trades of the named strategies which entries to take, and trade them."""
    walk = WalkForwardOptions(folds=options.folds)
    wanted = SelectorOptions(margin_frac=options.margin, minimum_chance=options.chance)
    with open_workbench(options.config, log="backtest", verbose=options.verbose) as bench:
        say(options, *bench.start_lines())
        universe = gather_candles(
            bench.settings,
            data=options.data,
            symbols=options.pairs,
            timeframes=[options.timeframe],
        )
        say(options, describe(universe), *universe.notes, *funding_note(universe))
        run_id = bench.journal.start_run(
            "select", bench.settings, is_simulated=universe.is_simulated
        )

        def announce(line: str) -> None:
            say(options, line)

        try:
            candidates = trade_candidates(
                bench, universe, options.strategies, options.timeframe, announce
            )
            selection = select_out_of_sample(candidates, wanted, walk=walk, announce=announce)
            comparison = compare_selection(
                selection,
                costs=bench.costs,
                sizing=bench.sizing,
                limits=bench.settings.portfolio.of(PortfolioOptions),
                announce=announce,
            )
            _record(bench, run_id, universe, options, comparison)
            folder = write_selection(selection, comparison, _folder(options, universe))
        except CryptoBotError as error:
            bench.journal.finish_run(run_id, "failed", {"error": str(error)})
            raise
        bench.journal.finish_run(run_id, "done", {"luck": comparison.luck})
    say(options, *comparison_lines(selection, comparison), f"files in {folder}")
    return 0, selection_summary(selection, comparison, folder, run_id)


def trade_candidates(
    bench: Workbench,
    universe: Universe,
    strategies: Sequence[str],
    timeframe: str,
    announce: Callable[[str], None] = lambda _line: None,
) -> Candidates:
    """Every entry of these strategies on every pair within the look-back window.

    Raises DataError where no pair has a bar in the window.
    """
    bars = [b for b in universe.at(timeframe) if len(b.between(universe.start_ns, None))]
    if not bars:
        raise DataError(
            f"no pair has candles of {timeframe} in the look-back window; "
            "choose a finer timeframe or a longer lookback_days"
        )
    return collect_candidates(
        bars,
        [get_strategy(name) for name in dict.fromkeys(strategies)],
        exits=bench.exits,
        costs=bench.costs,
        sizing=bench.sizing,
        start_ns=universe.start_ns,
        funding=universe.funding,
        announce=announce,
    )


def _record(
    bench: Workbench,
    run_id: str,
    universe: Universe,
    options: argparse.Namespace,
    comparison: Comparison,
) -> None:
    """Every account is a trial; the selector's is a model's."""
    parameters = {
        "strategies": list(options.strategies),
        "pairs": list(universe.symbols),
        "folds": options.folds,
        "margin": options.margin,
        "chance": options.chance,
        "exits": bench.exits.model_dump(mode="json"),
        "costs": bench.costs.model_dump(),
    }
    trials = [
        Trial(
            symbol="*",
            timeframe=options.timeframe,
            strategy=each.name,
            parameters=parameters,
            metrics={name: getattr(each.result.metrics, name) for name in METRICS},
            kind=TrialKind.MODEL if each.name == SELECTOR else TrialKind.BACKTEST,
            is_simulated=universe.is_simulated,
        )
        for each in comparison.accounts
    ]
    bench.journal.record_trials(run_id, trials)


def _folder(options: argparse.Namespace, universe: Universe) -> Path:
    if options.output is not None:
        return Path(options.output)
    stamp = datetime.now(UTC).strftime("%Y%m%d_%H%M%S")
    return Path(FOLDER + (SIMULATED_SUFFIX if universe.is_simulated else "")) / stamp


def write_selection(selection: Selection, comparison: Comparison, folder: Path) -> Path:
    """Write accounts, curves, every entry with what was thought of it, the picture, the selector.

    The selector that is written learned from every ended trade: it is for entries to come.
    """
    curves = {each.name: each.result.equity for each in comparison.accounts}
    times = comparison.accounts[0].result.times_ns
    write_file(folder / "accounts.csv", comparison.table().write_csv())
    write_file(folder / "equity.csv", pl.DataFrame({"time_ns": times, **curves}).write_csv())
    write_file(folder / "entries.csv", entry_table(selection).write_csv())
    write_file(folder / "select.png", picture(selection, comparison))
    latest = fit_selector(selection.rows, selection.selectors[-1].options)
    for name, content in latest.files.items():
        write_file(folder / "selector" / name, content)
    write_json(folder / "summary.json", selection_summary(selection, comparison, folder, ""))
    return folder


def entry_table(selection: Selection) -> pl.DataFrame:
    """The candidates' table with fold, chance, expected return and whether the entry was taken."""
    judged = {
        "fold": selection.fold,
        "chance": selection.chance,
        "expected_return": selection.expected,
        "is_taken": selection.is_taken,
    }
    return selection.candidates.table().with_columns(**judged).fill_nan(None)


def selection_summary(
    selection: Selection, comparison: Comparison, folder: Path, run_id: str
) -> dict[str, Any]:
    """The comparison in plain values."""
    times = comparison.accounts[0].result.times_ns
    return {
        "run_id": run_id,
        "is_simulated": selection.candidates.is_simulated,
        "from": iso_time(selection.start_ns),
        "to": iso_time(int(times[-1])),
        "accounts": comparison.table().to_dicts(),
        "difference": None if comparison.difference is None else asdict(comparison.difference),
        "luck": comparison.luck,
        "entries": comparison.entries,
        "taken": comparison.taken,
        "base_rate": comparison.base_rate,
        "mean_chance": comparison.mean_chance,
        "folds": [
            {
                "trades": len(split.train),
                "purged": split.purged,
                "from": iso_time(split.test_start_ns),
            }
            for split in selection.splits
        ],
        "verdict": verdict(comparison),
        "folder": str(folder),
    }


def comparison_lines(selection: Selection, comparison: Comparison) -> list[str]:
    """The comparison on one screen."""
    mark = SIMULATED if selection.candidates.is_simulated else ""
    lines = [
        f"{mark}out of sample from {iso_time(selection.start_ns)}: {comparison.taken} of "
        f"{comparison.entries} entries taken; {comparison.base_rate:.1%} of all earned something, "
        f"{comparison.mean_chance:.1%} was foretold",
        f"{'account':<22}{'return':>10}{'Sharpe':>9}{'drawdown':>10}{'trades':>8}{'fees':>12}",
    ]
    for each in comparison.accounts:
        metrics = each.result.metrics
        lines.append(
            f"{each.name:<22}{percent(metrics.total_return):>10}{number(metrics.sharpe):>9}"
            f"{percent(-metrics.max_drawdown):>10}{metrics.trades:>8}{metrics.fees_quote:>12,.0f}"
        )
    found = comparison.difference
    if found is not None:
        lines.append(
            f"{SELECTOR} less {MIX}: {found.estimate:+.3%} a day, 95 % interval "
            f"{found.low:+.3%} to {found.high:+.3%}"
        )
    if comparison.luck is not None:
        lines.append(
            f"the same choices at other times earned as much a trade in {comparison.luck:.1%} of tries"
        )
    return [*lines, verdict(comparison)]


def verdict(comparison: Comparison) -> str:
    """What the two tests together say, in words."""
    found, luck = comparison.difference, comparison.luck
    is_better = found is not None and found.low > 0.0
    is_skilled = luck is not None and luck <= _CONVINCING
    if is_better and is_skilled:
        return "the selector is better than the equal mix, and not by luck"
    if is_better and comparison.taken < comparison.entries:
        return (
            "the selector is better than the equal mix because it trades less; "
            "which entries it took is no better than luck"
        )
    if is_skilled:
        return (
            "its entries are better than luck, its account is not surely better than the equal mix"
        )
    return "nothing shows that the selector is better than the equal mix"
