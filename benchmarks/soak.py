"""A day of the loop on a fast clock: 20 pairs, 5m candles, training beside trading.

`make soak` runs 24 simulated hours at 300 times the speed of time (five minutes), prints what was
seen and writes benchmarks/results/soak.json. Every candle is simulated.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from crypto_bot.backtest.logs import close_logging
from crypto_bot.backtest.loop.live import KIND as LIVE_KIND
from crypto_bot.backtest.loop.running import run_loop
from crypto_bot.backtest.turn import KIND
from crypto_bot.backtest.workbench import Workbench, open_workbench
from crypto_bot.config import Settings, load_settings
from crypto_bot.core.timeframes import DAY_NS, HOUR_NS, MINUTE_NS, FastClock, time_of
from crypto_bot.market import BarStore, SimulationOptions, simulate_market
from crypto_bot.trading import CloseReport, KeptFeed, ReplayFeed

RESULTS = Path(__file__).parent / "results" / "soak.json"
DEADLINE_S = 1.0
STORED_DAYS = 12
RETRAIN_HOURS = 6.0
SETTINGS: dict[str, Any] = {
    "lookback_days": 8,
    "timeframes": ["5m"],
    "refresh_interval_hours": 3.0,
    "strategies_to_test": ["sma_cross", "rsi"],
    "parameter_ranges": {"stop_loss": [0.02], "take_profit": [0.04]},
    "max_workers": 1,
    "reporting": {"charts": False},
    "data": {"exchange": "", "base_timeframe": "5m"},
    "sweep": {"parameter_sets": 2},
    "models": {"trainers": ["lightgbm"], "lightgbm": {"n_estimators": 30}},
    "ml_integration": {"retrain_interval_hours": RETRAIN_HOURS, "training": {"n_jobs": 1}},
    "validation": {"folds": 3},
    "max_drawdown_threshold": 1.0,
    "min_sharpe_threshold": -1e9,
    "min_win_rate": 0.0,
    "paper": {"prediction_threshold": 0.34},
    # Whatever trades is promoted: the loop is tried here, not the gate.
    "gate": {
        "min_trades": 1,
        "min_deflated_sharpe": 0.0,
        "max_random_entry_p": 1.0,
        "must_beat_buy_and_hold": False,
        "must_beat_majority_class": False,
    },
    "loop": {"jitter_frac": 0.0},
    "operations": {"port": 0},
}


@dataclass
class Seen:
    """What was observed from outside while the loop ran."""

    lateness_s: list[float] = field(default_factory=list)
    in_training_s: list[float] = field(default_factory=list)
    resident_mb: list[float] = field(default_factory=list)
    decided: int = 0
    missing: int = 0
    missed: int = 0


def soak(
    folder: Path,
    *,
    hours: float = 24.0,
    pairs: int = 20,
    speed: float = 300.0,
    announce: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Run the loop for so many simulated hours after its first turn and give what was seen."""
    days = STORED_DAYS + int(np.ceil(hours / 24)) + 3
    options = SimulationOptions(
        symbols=pairs, timeframe="5m", bars=288 * days, seed=11, outages_per_year=0.0
    )
    bars = simulate_market(options)
    begin_ns = int(bars[0].open_time[0]) + STORED_DAYS * DAY_NS
    settings = _settings(folder, pairs)
    store = BarStore(settings.data.store_folder)
    for each in bars:
        store.append(each.closed_by(begin_ns))
    clock = FastClock(begin_ns, speed)
    stop, seen = threading.Event(), Seen()
    first: list[int] = []

    def on_close(report: CloseReport, lateness_s: float) -> None:
        _note(seen, report, lateness_s, is_training=_is_training(bench))
        first.append(report.time_ns)
        if report.time_ns - first[0] >= hours * HOUR_NS:
            stop.set()

    try:
        with open_workbench(settings, log="integrated_backtest", clock=clock) as bench:
            began = time.monotonic()
            feed = KeptFeed(ReplayFeed(bars, clock), store)
            run_loop(bench, stop, feed=feed, announce=announce, on_close=on_close)
            return _figures(bench, seen, hours, pairs, time.monotonic() - began)
    finally:
        close_logging()


def _settings(folder: Path, pairs: int) -> Settings:
    places = {
        "top_pairs_count": pairs,
        "data.store_folder": str(folder / "market"),
        "registry.folder": str(folder / "registry"),
        "reports.folder": str(folder / "runs"),
        "logging.folder": str(folder),
        "results_cache_dir": str(folder / "results"),
        "journal.url": f"sqlite:///{folder / 'journal.sqlite'}",
        "risk.kill_switch_file": str(folder / "KILL_SWITCH"),
        "operations.token_file": str(folder / "operations.token"),
    }
    return load_settings(SETTINGS, overrides=places, environ={})


def _is_training(bench: Workbench) -> bool:
    return bool(bench.journal.runs(KIND, status="running", limit=1))


def _note(seen: Seen, report: CloseReport, lateness_s: float, *, is_training: bool) -> None:
    import psutil

    seen.lateness_s.append(lateness_s)
    if is_training:
        seen.in_training_s.append(lateness_s)
    seen.resident_mb.append(psutil.Process().memory_info().rss / 2**20)
    seen.decided += report.decided
    seen.missing += len(report.missing)
    seen.missed += len(report.missed)


def _figures(
    bench: Workbench, seen: Seen, hours: float, pairs: int, seconds: float
) -> dict[str, Any]:
    runs = bench.journal.runs(KIND)
    trained = [run for run in runs if _has_trained(bench, run.id)]
    closes = [
        time_of(step.name.removeprefix("close "))
        for run in bench.journal.runs(LIVE_KIND)
        for step in bench.journal.steps(run.id)
        if step.name.startswith("close ")
    ]
    closes.sort()
    gaps = np.diff(closes) if len(closes) > 1 else np.array([0])
    quarter = max(1, len(seen.resident_mb) // 4)
    return {
        "simulated_hours": hours,
        "pairs": pairs,
        "real_seconds": round(seconds, 1),
        "closes": len(closes),
        "largest_gap_minutes": float(gaps.max() / MINUTE_NS),
        "symbol_bars_decided": seen.decided,
        "candles_missing": seen.missing,
        "candles_decided_late": seen.missed,
        "lateness_p50_s": _percentile(seen.lateness_s, 50),
        "lateness_p99_s": _percentile(seen.lateness_s, 99),
        "lateness_max_s": _percentile(seen.lateness_s, 100),
        "closes_while_training": len(seen.in_training_s),
        "lateness_while_training_p99_s": _percentile(seen.in_training_s, 99),
        "turns": len(runs),
        "turns_done": sum(run.status == "done" for run in runs),
        "trainings": len(trained),
        "hours_between_trainings": [
            round((b.started_at_ns - (a.finished_at_ns or 0)) / HOUR_NS, 2)
            for b, a in pairwise(trained)
        ],
        "resident_mb_first_quarter": round(float(np.median(seen.resident_mb[:quarter])), 1),
        "resident_mb_last_quarter": round(float(np.median(seen.resident_mb[-quarter:])), 1),
    }


def _has_trained(bench: Workbench, run_id: str) -> bool:
    return any(step.name.startswith("train ") for step in bench.journal.steps(run_id))


def _percentile(values: list[float], share: float) -> float | None:
    return round(float(np.percentile(values, share)), 4) if values else None


def main() -> int:
    """Run the day, print and keep the figures; exit code 1 where a demand does not hold."""
    hours = float(sys.argv[1]) if len(sys.argv) > 1 else 24.0
    with tempfile.TemporaryDirectory() as folder:
        figures = soak(Path(folder), hours=hours)
    print(json.dumps(figures, indent=2))
    RESULTS.write_text(json.dumps(figures, indent=2) + "\n")
    return 0 if holds(figures) else 1


def holds(figures: dict[str, Any]) -> bool:
    """Whether no candle was missed, memory stayed flat and the deadline held at p99."""
    grown = figures["resident_mb_last_quarter"] / figures["resident_mb_first_quarter"]
    return bool(
        figures["largest_gap_minutes"] == 5.0
        and figures["candles_missing"] == figures["candles_decided_late"] == 0
        and figures["lateness_p99_s"] <= DEADLINE_S
        and (figures["lateness_while_training_p99_s"] or 0.0) <= DEADLINE_S
        and grown < 1.1
    )


if __name__ == "__main__":
    sys.exit(main())
