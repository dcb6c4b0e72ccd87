"""`make truth`: what the gate says of markets whose truth is known; writes results/truth.json.

With `--runs 8` a shorter look, which writes nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.__main__ import hardware, table, versions
from benchmarks.rows import row
from benchmarks.truth.picture import PICTURE, power_png

RESULTS = Path(__file__).resolve().parents[1] / "results" / "truth.json"
NULL_RUNS, EDGE_RUNS = 200, 50
SHARPES = (1, 2, 3, 4)
CONFIDENCE = 0.95


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, write; exit 0 also when a figure is missed: it is shown as missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.truth", description=__doc__)
    parser.add_argument("--runs", type=int, default=0, help="markets a point; 0: all of them")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes")
    options = parser.parse_args(arguments)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    started = time.perf_counter()
    outcomes = run_markets(
        options.runs or NULL_RUNS, options.runs or EDGE_RUNS, options.workers, report=_say
    )
    rows = market_rows(outcomes) + leak_rows() + oracle_rows() + reproduction_rows()
    minutes = (time.perf_counter() - started) / 60
    rows.append(row("truth: whole run", minutes, "minutes", at_most=60.0))
    print(table(rows))
    if not options.runs:
        content = {
            "measured_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "hardware": hardware(),
            "python": platform.python_version(),
            "versions": versions(),
            "rows": rows,
            "markets": outcomes,
        }
        RESULTS.write_text(json.dumps(content, indent=1) + "\n")
        print(f"written: {RESULTS}", file=sys.stderr)
        PICTURE.write_bytes(power_png(outcomes))
        figures = RESULTS.parents[2] / "scripts" / "figures.py"
        subprocess.run([sys.executable, str(figures)], check=True)
    return 0


def run_markets(
    null_runs: int, edge_runs: int, workers: int, *, report: Callable[[str], None] = lambda _: None
) -> list[dict[str, Any]]:
    """The pipeline's word on every market, in the order of (Sharpe ratio, seed)."""
    jobs = [(0, seed) for seed in range(null_runs)]
    jobs += [(sharpe, 1_000 * sharpe + seed) for sharpe in SHARPES for seed in range(edge_runs)]
    found: list[dict[str, Any]] = []
    with ProcessPoolExecutor(workers) as pool:
        waiting = [pool.submit(judge_one, sharpe, seed) for sharpe, seed in jobs]
        for done, each in enumerate(as_completed(waiting), 1):
            found.append(each.result())
            if done % 20 == 0 or done == len(jobs):
                report(f"{done} of {len(jobs)} markets judged")
    return sorted(found, key=lambda one: (one["ideal"], one["seed"]))


def judge_one(sharpe: int, seed: int) -> dict[str, Any]:
    """One market: what the ideal predictor earned, and what the pipeline did."""
    from benchmarks.truth.markets import ideal_sharpe, market_of
    from benchmarks.truth.pipeline import judge_market

    bars = market_of(seed, sharpe)
    judged = judge_market(bars)
    return {
        "ideal": sharpe,
        "seed": seed,
        "ideal_earned": round(ideal_sharpe(seed, bars), 3) if sharpe else None,
        "earned": None if judged.sharpe is None else round(judged.sharpe, 3),
        "promoted": judged.promoted,
        "failed": list(judged.failed),
        "trials": judged.trials,
    }


def market_rows(outcomes: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Shares of runs promoted, each with its Clopper-Pearson interval."""
    null = [one for one in outcomes if one["ideal"] == 0]
    rows = _share_rows(f"null markets: promoted of {len(null)}", null, at_most=0.05)
    for sharpe in SHARPES:
        some = [one for one in outcomes if one["ideal"] == sharpe]
        if not some:
            continue
        name = f"planted edge, ideal Sharpe {sharpe}"
        least = 0.8 if sharpe == 3 else None
        rows += _share_rows(f"{name}: promoted of {len(some)}", some, at_least=least)
        rows.append(
            row(f"{name}: the ideal predictor earned", _mean(some, "ideal_earned"), "Sharpe")
        )
        rows.append(row(f"{name}: the pipeline earned", _mean(some, "earned"), "Sharpe"))
    return rows


def _share_rows(name: str, some: Sequence[dict[str, Any]], **target: Any) -> list[dict[str, Any]]:
    from scipy.stats import beta

    yes, all_ = sum(one["promoted"] for one in some), len(some)
    tail = (1 - CONFIDENCE) / 2
    low = float(beta.ppf(tail, yes, all_ - yes + 1)) if yes else 0.0
    high = float(beta.ppf(1 - tail, yes + 1, all_ - yes)) if yes < all_ else 1.0
    return [
        row(name, yes / all_, "share", **target),
        row(f"{name}, 95 % interval from", low, "share"),
        row(f"{name}, 95 % interval to", high, "share"),
    ]


def _mean(some: Sequence[dict[str, Any]], name: str) -> float:
    known = [one[name] for one in some if one[name] is not None]
    return sum(known) / len(known) if known else 0.0


def leak_rows() -> list[dict[str, Any]]:
    """Planted leaks caught by a named check, clean pipelines reported."""
    from benchmarks.truth.leaks import run_canaries

    found = run_canaries()
    planted = [one for one in found if one.caught_by]
    clean = [one for one in found if not one.caught_by]
    caught, reported = sum(one.holds for one in planted), sum(not one.holds for one in clean)
    return [
        row("leaks: planted", len(planted), "leaks", at_least=20),
        row("leaks: caught by the check named for each", caught, "leaks", at_least=len(planted)),
        row("leaks: clean pipelines", len(clean), "pipelines", at_least=20),
        row("leaks: clean pipelines reported", reported, "pipelines", at_most=0),
    ]


def oracle_rows() -> list[dict[str, Any]]:
    """Published examples and other people's libraries."""
    from benchmarks.truth.oracles import run

    return run()


def reproduction_rows() -> list[dict[str, Any]]:
    """The same data, settings and seed twice."""
    from benchmarks.truth.reproduction import run

    return run()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
