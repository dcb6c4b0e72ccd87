"""Settings that turn the whole loop in seconds on a small simulated market, for commands and tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import yaml

from crypto_bot.backtest.workbench import open_workbench
from crypto_bot.config import Settings, load_settings

SMALL = {
    "data.exchange": "",
    "data.base_timeframe": "15m",
    "top_pairs_count": 3,
    "lookback_days": 12,
    "timeframes": ["1h", "4h"],
    "sweep.parameter_sets": 2,
    "parameter_ranges.stop_loss": [0.01],
    "parameter_ranges.take_profit": [0.02],
    "models.lightgbm.n_estimators": 5,
    "models.lightgbm.num_leaves": 7,
    "models.lightgbm.learning_rate": 0.3,
    "models.random_forest.n_estimators": 5,
    "validation.folds": 2,
    "paper.prediction_threshold": 0.4,
    "reporting.charts": False,
    "max_workers": 1,
}
FOLDERS = {
    "data.store_folder": "data/market",
    "registry.folder": "registry",
    "reports.folder": "out/runs",
    "logging.folder": ".",
    "results_cache_dir": "crypto_bot/logs/backtest_results",
}


def small_settings(folder: Path, **changes: object) -> Settings:
    """Everything small, everything below `folder`."""
    places = {name: str(folder / below) for name, below in FOLDERS.items()}
    places["journal.url"] = f"sqlite:///{folder / 'journal.sqlite'}"
    return load_settings({}, overrides={**SMALL, **places, **changes}, environ={})


def small_bench(folder: Path, **changes: object):
    """A workbench of small settings, to be used in a `with` statement."""
    return open_workbench(small_settings(folder, **changes), log="integrated_backtest")


def small_environment(**changes: object) -> dict[str, str]:
    """The same settings as environment variables, for a fresh process."""
    variables = {
        "CRYPTO_BOT__" + name.upper().replace(".", "__"): as_text(value)
        for name, value in {**SMALL, **changes}.items()
    }
    hidden = ("CRYPTO_BOT__", "SUPABASE", "CT_SYMBOL")
    inherited = {name: text for name, text in os.environ.items() if not name.startswith(hidden)}
    scripts = str(Path(sys.executable).parent)
    path = scripts + os.pathsep + inherited.get("PATH", "")
    return {**inherited, **variables, "PATH": path, "OPENBLAS_NUM_THREADS": "1"}


def as_text(value: object) -> str:
    return (
        value
        if isinstance(value, str)
        else yaml.safe_dump(value, default_flow_style=True).splitlines()[0]
    )


def run_line(
    line: str | list[str], folder: Path, **changes: object
) -> subprocess.CompletedProcess[str]:
    """Run a documented command line in a fresh process with `folder` as working directory."""
    words = line.split() if isinstance(line, str) else line
    return subprocess.run(
        words,
        cwd=folder,
        env=small_environment(**changes),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
