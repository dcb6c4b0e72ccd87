"""The pipeline under test: the loop's own search, gate and registry, in a folder of its own a market."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crypto_bot.backtest.examined import Learned
from crypto_bot.backtest.learning import conclude, examine
from crypto_bot.backtest.recipes import SearchRecipe, nested_options
from crypto_bot.backtest.workbench import open_workbench
from crypto_bot.core import Bars
from crypto_bot.core.errors import DataError
from crypto_bot.training.cards import POOLED

FEATURES = (
    *("close_to_sma_10", "close_to_sma_30", "close_to_sma_100", "close_to_ema_100", "rsi_14"),
    *(
        "rsi_50",
        "stoch_k",
        "stoch_d",
        "bb_percent",
        "bb_width",
        "return_1",
        "return_5",
        "return_10",
    ),
    *("return_24", "return_72", "return_std_24", "return_std_100", "volume_ratio_10"),
    *("volume_ratio_50", "ema_ratio_10_30", "sma_ratio_20_100"),
)
"""Scale-free ones, as a user would take before knowing what moves the market."""

SETTINGS: dict[str, Any] = {
    "sizing": {"allow_short": True, "fraction": 0.1},
    "validation": {"folds": 3},
    "models": {"trainers": ["search"], "search": {"trials": 6, "folds": 3}},
    "paper": {"model_stop_loss_frac": 0.2, "model_take_profit_frac": 1.0},
    "monitoring": {"log_performance_metrics": False},
}
"""A tenth of the account a position, so that the gate's 15 % drawdown is a rule for edge, not size."""


@dataclass(frozen=True)
class Judged:
    """What the pipeline said of one market."""

    promoted: bool
    sharpe: float | None
    failed: tuple[str, ...]
    trials: int


def judge_market(bars: Sequence[Bars]) -> Judged:
    """Search, walk forward, judge; and if the gate says yes, publish and promote."""
    with tempfile.TemporaryDirectory() as folder:
        learned = learned_on(bars, Path(folder))
        checks = learned.verdict.checks
        search = learned.notes["search"]
        return Judged(
            learned.promoted,
            learned.pooled.sharpe,
            tuple(check.name for check in checks if not check.holds),
            len(search["stretches"]) * search["tried"],
        )


def learned_on(bars: Sequence[Bars], folder: Path) -> Learned:
    """What the pipeline makes of candles with an empty journal and registry below `folder`."""
    with _bench(folder) as bench:
        run_id = bench.journal.start_run("truth", bench.settings)
        recipe = SearchRecipe(POOLED, nested_options(bench), FEATURES)
        end_ns = int(bars[0].close_time[-1])
        examined = examine(bench, bars, recipe, run_id=run_id, start_ns=0, end_ns=end_ns)
        learned = conclude(bench, examined, run_id)
        in_service = bench.registry_of(True).champion(POOLED) is not None
        if in_service != learned.promoted:
            raise DataError(f"a promoted model must be in service, was {in_service}")
        return learned


def _bench(folder: Path) -> Any:
    return open_workbench(
        {
            **SETTINGS,
            "registry": {"folder": str(folder / "registry")},
            "journal": {"url": f"sqlite:///{folder / 'journal.db'}"},
            "logging": {"folder": str(folder)},
            "models": {
                **SETTINGS["models"],
                "search": {**SETTINGS["models"]["search"], "storage_folder": str(folder / "s")},
            },
        },
        log="backtest",
    )
