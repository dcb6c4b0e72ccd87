"""`cointrainer csv-train-batch`: one model a file, each in its own process and its own journaled run."""

from __future__ import annotations

import argparse
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from crypto_bot.backtest.command import Result, say
from crypto_bot.backtest.file_training import file_recipe, file_sha256, newest
from crypto_bot.backtest.learning import learn
from crypto_bot.backtest.logs import masked
from crypto_bot.backtest.per_symbol import start_or_resume
from crypto_bot.backtest.workbench import Workbench, open_workbench
from crypto_bot.cli.training_commands_files import (
    check_writable,
    names_of_symbol,
    training_settings,
    write_model_files,
)
from crypto_bot.cli.training_commands_processes import ended_by_parent, run_processes
from crypto_bot.core.bars import symbol_slug
from crypto_bot.core.errors import ConfigError, CryptoBotError, DataError
from crypto_bot.core.files import write_json
from crypto_bot.core.progress import progress
from crypto_bot.journal import Journal, Run, RunStatus
from crypto_bot.market import pair_symbol, read_candles
from crypto_bot.market.candle_files import is_candle_file
from crypto_bot.market.importing import file_name_parts

BATCH, FILE = "csv-train-batch", "csv-train-batch-file"
"""Kinds of run in the journal: of the whole folder, and of each file."""
SUMMARY = "batch_train_summary.json"
FIELDS = ("file", "symbol", "status", "model", "pointer", "error")
"""Of a line of the summary, the original trainer's."""
Announce = Callable[[str], None]
Job = dict[str, Any]
"""One file to train on, plain enough for another process: options, batch, file, symbol, folder."""


def csv_train_batch(options: argparse.Namespace) -> tuple[int, Result]:
    """Train every file of a folder; one bad file stops no other, and a killed batch goes on."""
    settings = training_settings(options)
    outdir = Path(options.outdir)
    check_writable(outdir)
    with open_workbench(settings, log="integrated_backtest", verbose=options.verbose) as bench:
        say(options, *bench.start_lines())
        jobs = _jobs(options)
        names = {"files": [job["file"] for job in jobs], "outdir": str(outdir)}
        asked = {name: getattr(options, name) for name in ("limit_rows", "timeframe", "symbol")}
        batch = start_or_resume(bench, BATCH, **names, **asked, symbol_from=options.symbol_from)
        workers = max(1, min(settings.workers, len(jobs)))
        threads = options.n_jobs or max(1, _cores() // workers)
        for job in jobs:
            job |= {"batch": batch, "options": {**vars(options), "n_jobs": threads}}
        results = _trained(
            bench.journal,
            jobs,
            outdir / SUMMARY,
            workers,
            lambda line: say(options, line),
        )
        failed = sum(each["status"] == "failed" for each in results)
        said = {"files": len(results), "failed": failed, "summary": str(outdir / SUMMARY)}
        bench.journal.finish_run(batch, "failed" if failed == len(results) else "done", said)
    say(options, f"{len(results) - failed} of {len(results)} files trained")
    say(options, f"written: {outdir / SUMMARY}")
    return int(failed > 0), {**said, "workers": workers, "threads": threads, "models": results}


def chosen_files(options: argparse.Namespace) -> list[Path]:
    """The candle files of --folder that --glob names, in order; DataError where there are none."""
    folder = Path(options.folder)
    if not folder.is_dir():
        raise DataError(f"{folder} must be a folder of candle files, was not there")
    every = folder.rglob(options.glob) if options.recursive else folder.glob(options.glob)
    found = sorted(path for path in every if path.is_file() and is_candle_file(path))
    if not found:
        raise DataError(
            f"{folder} must hold candle files named {options.glob}, had none; "
            "choose them by --glob, and --recursive for subfolders"
        )
    return found


def _jobs(options: argparse.Namespace) -> list[Job]:
    """A job a file; files of one symbol get folders of their own, so that none overwrites another."""
    folder, outdir = Path(options.folder), Path(options.outdir)
    named = [(path, _symbol_of(options, path)) for path in chosen_files(options)]
    counts = Counter(None if symbol is None else symbol_slug(symbol) for _, symbol in named)
    jobs = []
    for path, symbol in named:
        is_alone = symbol is not None and counts[symbol_slug(symbol)] == 1
        below = path.relative_to(folder)
        own = outdir / below.parent / below.name.split(".")[0]
        place = outdir if is_alone else own
        jobs.append({"file": str(path), "symbol": symbol, "folder": str(place)})
    return jobs


def _symbol_of(options: argparse.Namespace, path: Path) -> str | None:
    """The symbol by --symbol-from; None: as the file's columns say."""
    if options.symbol_from == "fixed":
        if options.symbol is None:
            raise ConfigError("--symbol must be given with --symbol-from fixed, was not")
        return str(options.symbol)
    if options.symbol is not None:
        raise ConfigError(
            f"--symbol must stand with --symbol-from fixed, was with {options.symbol_from}"
        )
    if options.symbol_from == "parent":
        return pair_symbol(path.resolve().parent.name)
    return file_name_parts(path).symbol or None


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _trained(
    journal: Journal, jobs: Sequence[Job], summary: Path, workers: int, announce: Announce
) -> list[dict[str, Any]]:
    """Every file's result, those of an earlier start of this batch included; kept on disk as it grows."""
    found = _trained_before(journal, jobs)
    waiting = [job for job in jobs if job["file"] not in found]
    if found:
        announce(f"{len(found)} of {len(jobs)} files were trained by an earlier start")

    def in_order() -> list[dict[str, Any]]:
        return [found[job["file"]] for job in jobs if job["file"] in found]

    with progress("training models", len(jobs)) as shown:
        shown.advance(len(found))
        for job, code in run_processes(_train_in_process, waiting, workers):
            found[job["file"]] = _result_of(journal, job, code)
            write_json(summary, in_order())
            shown.advance()
            announce(_line(found[job["file"]]))
    write_json(summary, in_order())
    return in_order()


def _trained_before(journal: Journal, jobs: Sequence[Job]) -> dict[str, dict[str, Any]]:
    """Results of files that this batch has trained already, and that are as they were."""
    found = {}
    done = {
        (run.config["file"], run.config["sha256"]): run
        for job in jobs[:1]
        for run in _runs(journal, job["batch"], RunStatus.DONE)
    }
    for job in jobs:
        run = done.get((job["file"], _sha256_of(job["file"]))) if done else None
        if run is not None:
            found[job["file"]] = _as_written(run.summary)
    return found


def _runs(journal: Journal, batch: str, status: RunStatus | None) -> list[Run]:
    """Runs of the files of a batch, newest first."""
    runs = journal.runs(FILE, status=status)
    return [run for run in runs if run.config.get("batch") == batch]


def _sha256_of(file: str) -> str | None:
    try:
        return file_sha256(Path(file))
    except DataError:
        return None  # its own run will say why


def _result_of(journal: Journal, job: Job, code: int) -> dict[str, Any]:
    """What the journal says of a file whose process has ended with `code`."""
    runs = _runs(journal, job["batch"], None)
    run = next((each for each in runs if each.config["file"] == job["file"]), None)
    if run is not None and run.status in (RunStatus.DONE, RunStatus.FAILED) and run.summary:
        return _as_written(run.summary)
    how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
    why = "; it may have run out of memory, give --limit-rows or fewer max_workers"
    return _entry(job, "failed", error=f"its process ended {how}{why if code == -9 else ''}")


def _entry(job: Job, status: str, **more: Any) -> dict[str, Any]:
    """A line of the summary: the original's fields, then ours."""
    known = {"file": job["file"], "symbol": job["symbol"], "status": status}
    return {**dict.fromkeys(FIELDS), **known, **more}


def _as_written(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The original's fields first; the journal keeps them by the alphabet."""
    return {name: summary[name] for name in FIELDS} | dict(summary)


def _train_in_process(job: Job) -> None:
    """In a process of its own: one run of the journal, whose summary is the file's line."""
    options = argparse.Namespace(**job["options"])
    with (
        ended_by_parent(),
        open_workbench(
            training_settings(options), log="integrated_backtest", verbose=options.verbose
        ) as bench,
    ):
        train_file(bench, options, job)


def train_file(bench: Workbench, options: argparse.Namespace, job: Job) -> None:
    """Train one file of a batch; what is wrong with it ends its run, not the batch."""
    path = Path(job["file"])
    identity = {"batch": job["batch"], "file": job["file"], "sha256": _sha256_of(job["file"])}
    run_id = start_or_resume(bench, FILE, **identity)
    try:
        entry = _learned(bench, options, job, path, run_id)
    except CryptoBotError as error:
        bench.journal.finish_run(run_id, "failed", _entry(job, "failed", error=masked(str(error))))
        return
    bench.journal.finish_run(run_id, "done", entry)


def _learned(
    bench: Workbench, options: argparse.Namespace, job: Job, path: Path, run_id: str
) -> dict[str, Any]:
    bars, quality = read_candles(path, symbol=job["symbol"], timeframe=options.timeframe)
    bars = newest(bars, options.limit_rows)
    bench.journal.describe_run(run_id, data_fingerprint=bars.fingerprint, is_simulated=False)
    learned = learn(
        bench,
        [bars],
        file_recipe(bench, bars.symbol),
        run_id=run_id,
        start_ns=int(bars.open_time[0]),
        end_ns=int(bars.close_time[-1]),
    )
    files = write_model_files(
        Path(job["folder"]),
        names_of_symbol(bars.symbol),
        learned,
        with_predictions=options.write_predictions,
    )
    return _entry(
        {**job, "symbol": bars.symbol},
        "trained",
        model=str(files[0]),
        pointer=None
        if learned.version is None
        else f"{symbol_slug(bars.symbol)}/versions/{learned.version}",
        promoted=learned.promoted and learned.version is not None,
        reason=learned.verdict.reason,
        rows=len(learned.dataset),
        device=learned.model.device,
        metrics=dict(learned.card.metrics),
        quality=quality.summary(),
    )


def _line(entry: Mapping[str, Any]) -> str:
    if entry["status"] == "failed":
        return f"{entry['file']}: failed: {entry['error']}"
    sharpe = entry["metrics"].get("sharpe")
    return (
        f"{entry['symbol']}: {entry['rows']:,} rows on {entry['device']}, out of sample accuracy "
        f"{entry['metrics']['accuracy']:.3f}, Sharpe {'-' if sharpe is None else f'{sharpe:.2f}'}; "
        f"{'promoted' if entry['promoted'] else entry['reason']}"
    )
