"""The whole loop on a market so small that it turns in a second or two; everything below one folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from crypto_bot.backtest.integrated_cli import main
from crypto_bot.backtest.logs import close_logging
from crypto_bot.backtest.turn import run_turn
from crypto_bot.backtest.workbench import open_workbench
from crypto_bot.config import load_settings
from crypto_bot.core.bars import symbol_slug
from crypto_bot.market import SimulationOptions, simulate_market

TINY: dict[str, Any] = {
    "top_pairs_count": 3,
    "lookback_days": 14,
    "timeframes": ["1h"],
    "strategies_to_test": ["sma_cross", "rsi"],
    "parameter_ranges": {"stop_loss": [0.02], "take_profit": [0.04]},
    "max_workers": 1,
    "reporting": {"charts": False},
    "data": {"exchange": "", "base_timeframe": "1h"},
    "sweep": {"parameter_sets": 2},
    "models": {"lightgbm": {"n_estimators": 10}, "random_forest": {"n_estimators": 5}},
    "validation": {"folds": 2},
}
EDGE: dict[str, Any] = {
    **TINY,
    "top_pairs_count": 4,
    "lookback_days": 20,
    "strategies_to_test": ["sma_cross"],
    "data": {"exchange": "", "base_timeframe": "5m"},
    "simulation": {"edge_strength": 1.0},
    "models": {"trainers": ["lightgbm"], "lightgbm": {"n_estimators": 40, "num_leaves": 15}},
    "validation": {"folds": 3},
}
"""A market with a planted edge, large enough for the default gate to believe it."""
PROGRAM = Path(__file__).parent / "killed_turn.py"
posix = pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
DAYS = TINY["lookback_days"] + 30


def settings_in(folder: Path, values: dict[str, Any], **overrides: Any):
    """Settings whose every path lies below `folder`."""
    places = {
        "data.store_folder": str(folder / "data/market"),
        "registry.folder": str(folder / "registry"),
        "reports.folder": str(folder / "out/runs"),
        "logging.folder": str(folder),
        "results_cache_dir": str(folder / "results"),
        "journal.url": f"sqlite:///{folder / 'journal.sqlite'}",
        "risk.kill_switch_file": str(folder / "KILL_SWITCH"),
    }
    return load_settings(values, overrides={**places, **overrides}, environ={})


@contextmanager
def bench_in(folder: Path, values: dict[str, Any] = TINY, **overrides: Any):
    """A workbench below `folder`."""
    settings = settings_in(folder, values, **overrides)
    try:
        with open_workbench(settings, log="integrated_backtest") as bench:
            yield bench
    finally:
        close_logging()


def turn_in(
    folder: Path, values: dict[str, Any] = TINY, *, data=None, train=True, **overrides: Any
):
    """One turn; the summary and the lines a person saw."""
    lines: list[str] = []
    with bench_in(folder, values, **overrides) as bench:
        summary = run_turn(bench, data=data, announce=lines.append, train=train)
    close_logging()
    return summary, lines


def command(folder: Path, *words: str, values: dict[str, Any] = TINY) -> int:
    """Run a command of integrated_cli with these values as its configuration file."""
    config = folder / "config.yaml"
    config.write_text(yaml.safe_dump(values))
    try:
        return main([*words, "--config", str(config)])
    finally:
        close_logging()


def write_market(folder, *, seed=42, symbols=3):
    """A folder of CSV files, one a pair, as an exchange would give them."""
    folder.mkdir()
    options = SimulationOptions(symbols=symbols, timeframe="1h", bars=24 * DAYS, seed=seed)
    for bars in simulate_market(options):
        bars.to_pandas().to_csv(folder / f"{symbol_slug(bars.symbol)}-1h.csv")
    return folder


def killed(*words):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(PROGRAM), *map(str, words)],
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
