"""`cointrainer optimize`: search settings on purged folds, judge the winner on what no trial saw."""

from __future__ import annotations

import argparse
import io
from collections.abc import Mapping, Sequence
from csv import writer
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from crypto_bot.backtest.command import Result, say
from crypto_bot.backtest.examined import Learned
from crypto_bot.backtest.file_training import file_recipe
from crypto_bot.backtest.learning import conclude, examine_predictions
from crypto_bot.backtest.per_symbol import start_or_resume
from crypto_bot.backtest.trial_record import kept_returns
from crypto_bot.backtest.workbench import Workbench, open_workbench
from crypto_bot.cli.simulation_backtest import figures_line
from crypto_bot.cli.simulation_policies import SIMULATED, Account, costs_of
from crypto_bot.cli.simulation_search import (
    Cut,
    Judge,
    TrialSetting,
    Tried,
    cut_bars,
    ranked,
    search,
)
from crypto_bot.cli.training_commands_files import check_writable
from crypto_bot.config import Settings, load_settings
from crypto_bot.core import Bars
from crypto_bot.core.errors import CryptoBotError, DataError
from crypto_bot.core.files import write_file, write_json
from crypto_bot.core.timeframes import iso_time
from crypto_bot.journal import Trial, TrialKind
from crypto_bot.market import read_candles
from crypto_bot.significance import probability_of_backtest_overfitting

KIND = "trainer-optimize"
STUDY = "study.jsonl"
"""Where the trials are kept unless --storage says so."""
_PBO_GROUPS = 8


def optimize(options: argparse.Namespace) -> tuple[int, Result]:
    """Search, judge, write leaderboard.csv and best.json; publish the winner if asked."""
    settings = _settings(options)
    folder = Path(options.outdir)
    check_writable(folder)
    whole, quality = read_candles(options.file, symbol=options.symbol, timeframe=options.timeframe)
    bars = whole[-options.limit_rows :]
    cut = cut_bars(bars, options.folds, options.val_len, options.gap)
    say(options, f"{bars.symbol} {bars.timeframe}: {quality.summary()}", *_cut_lines(cut, options))
    with open_workbench(settings, log="integrated_backtest", verbose=options.verbose) as bench:
        say(options, *bench.start_lines())
        run_id = start_or_resume(
            bench, KIND, data_fingerprint=bars.fingerprint, options=_asked(options)
        )
        try:
            result = _run(bench, bars, cut, options, folder, run_id)
        except CryptoBotError as error:
            bench.journal.finish_run(run_id, "failed", {"error": str(error)})
            raise
        bench.journal.finish_run(run_id, "done", {"best": result["best"]})
    say(options, *_lines(result))
    return 0, result


def _settings(options: argparse.Namespace) -> Settings:
    fee, slip = options.fee_bps / 1e4, options.slip_bps / 1e4
    return load_settings(
        options.config,
        overrides={
            "ml_integration.training.publish_models": options.publish_best,
            "ml_integration.training.device_type": options.device_type,
            "ml_integration.training.max_bin": options.max_bin,
            "ml_integration.training.n_jobs": options.n_jobs,
            "costs.taker_fee_frac": fee,
            "costs.maker_fee_frac": fee,
            "costs.slippage_frac": slip,
        },
    )


def _asked(options: argparse.Namespace) -> dict[str, Any]:
    names = ("n_trials", "grid", "folds", "val_len", "gap", "limit_rows", "seed", "publish_best")
    return {name: getattr(options, name) for name in names}


def _run(
    bench: Workbench,
    bars: Bars,
    cut: Cut,
    options: argparse.Namespace,
    folder: Path,
    run_id: str,
) -> dict[str, Any]:
    judge = _judge(bench, bars, cut, options)
    folder.mkdir(parents=True, exist_ok=True)
    study, found = search(
        judge,
        trials=0 if options.grid else options.n_trials,
        seed=options.seed,
        storage=options.storage or folder / STUDY,
        name=options.study_name,
        on_tried=lambda tried: _count(bench, run_id, bars, cut, tried),
    )
    board = ranked(found)
    write_file(folder / "leaderboard.csv", leaderboard_csv(board))
    winner = board[0]
    if winner.sharpe is None:
        raise DataError(
            f"optimize must find a setting that trades, found none of {len(board)}: "
            f"{winner.error or 'no probability reached a threshold'}; give more candles or trials"
        )
    account, learned = _judged(bench, judge, winner.setting, run_id)
    best = _best(winner, cut, account, learned, found, study)
    write_json(folder / "best.json", best)
    return {
        "symbol": bars.symbol,
        "timeframe": bars.timeframe,
        "rows": len(bars),
        "trials": len(found),
        "best": best,
        "files": [str(folder / name) for name in ("leaderboard.csv", "best.json")],
    }


def _judge(bench: Workbench, bars: Bars, cut: Cut, options: argparse.Namespace) -> Judge:
    return Judge(
        bars,
        cut,
        file_recipe(bench, bars.symbol),
        gap=options.gap,
        costs=costs_of(bench.costs, fee_bps=options.fee_bps, slip_bps=options.slip_bps),
        sizing=bench.sizing,
    )


def _count(bench: Workbench, run_id: str, bars: Bars, cut: Cut, tried: Tried) -> None:
    """In the ledger at once: a search that is stopped has still looked."""
    trial = Trial(
        bars.symbol,
        bars.timeframe,
        "cointrainer optimize",
        {**asdict(tried.setting), "spans": [list(span) for span in cut.spans]},
        {
            **{name: tried.figures.get(name) for name in ("sharpe", "max_drawdown", "trades")},
            **kept_returns(tried.first_day, np.array(tried.daily_returns)),
        },
        kind=TrialKind.SEARCH,
        is_simulated=bars.is_simulated,
    )
    bench.journal.record_trials(run_id, [trial])


def _judged(
    bench: Workbench, judge: Judge, setting: TrialSetting, run_id: str
) -> tuple[Account, Learned]:
    """The winner on the last stretch: its account, and the gate's word on the model as the loop trades it."""
    dataset, predictions = judge.on_judged(setting)
    account = judge.account(setting, dataset, predictions)
    examined = examine_predictions(
        bench,
        judge.recipe_of(setting),
        dataset,
        predictions,
        [judge.bars],
        run_id=run_id,
        notes={"optimize": asdict(setting)},
    )
    return account, conclude(bench, examined, run_id)


def _best(
    winner: Tried,
    cut: Cut,
    account: Account,
    learned: Learned,
    found: Sequence[Tried],
    study: str,
) -> dict[str, Any]:
    return {
        **asdict(winner.setting),
        "study": study,
        "trials": len(found),
        "val_len": cut.val_len,
        "folds": {
            "start": iso_time(cut.spans[0][0]),
            "end": iso_time(cut.spans[-1][1]),
            **winner.figures,
        },
        "untouched": {
            "start": iso_time(cut.judged[0]),
            "end": iso_time(cut.judged[1]),
            **account.figures,
        },
        "overfitting_probability": _overfitting(found),
        "gate": {"promoted": learned.verdict.promoted, "reason": learned.verdict.reason},
        "version": learned.version,
        "promoted": learned.version is not None and learned.verdict.promoted,
    }


def _overfitting(found: Sequence[Tried]) -> float | None:
    """PBO of all settings on their common days; None where they are too few to compare."""
    whole = [tried for tried in found if tried.daily_returns]
    if len(whole) < 4:
        return None
    first = max(tried.first_day for tried in whole)
    last = min(tried.first_day + len(tried.daily_returns) for tried in whole)
    if last - first < 10 * _PBO_GROUPS:
        return None
    cut = [tried.daily_returns[first - tried.first_day : last - tried.first_day] for tried in whole]
    board = np.column_stack([np.array(each) for each in cut])
    return probability_of_backtest_overfitting(board, groups=_PBO_GROUPS).probability


def leaderboard_csv(board: Sequence[Tried]) -> str:
    """A row a setting, best first, figures of the folds."""
    text = io.StringIO()
    table = writer(text, lineterminator="\n")
    names = ("horizon", "hold", "open_thr", "position")
    table.writerow(("place", *names, *SIMULATED, "error"))
    for place, tried in enumerate(board, start=1):
        setting = asdict(tried.setting)
        figures = [tried.figures.get(name) for name in SIMULATED]
        shown = ["" if value is None else f"{value:.6g}" for value in figures]
        table.writerow((place, *(setting[name] for name in names), *shown, tried.error or ""))
    return text.getvalue()


def _cut_lines(cut: Cut, options: argparse.Namespace) -> list[str]:
    lines = [
        f"chosen on {len(cut.spans)} stretches of {cut.val_len:,} bars from "
        f"{iso_time(cut.spans[0][0])}, judged on the last one from {iso_time(cut.judged[0])}"
    ]
    if cut.val_len < options.val_len:
        lines.append(
            f"--val-len {options.val_len:,} is too long for this file: {cut.val_len:,} taken"
        )
    return lines


def _lines(result: Mapping[str, Any]) -> list[str]:
    best = result["best"]
    stored = f"stored as {best['version']}" if best["version"] else "not stored (--publish-best)"
    return [
        f"best of {best['trials']}: horizon {best['horizon']:g} minutes, hold {best['hold']:g}, "
        f"open above {best['open_thr']:g}, {best['position']}",
        f"where it was chosen: {figures_line(best['folds'])}",
        f"on the untouched stretch: {figures_line(best['untouched'])}",
        f"gate: {best['gate']['reason']}",
        f"registry: {'promoted, ' if best['promoted'] else ''}{stored}",
        *(f"written: {path}" for path in result["files"]),
    ]
