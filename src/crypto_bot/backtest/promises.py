"""What a published model promised: its out-of-sample trades, kept beside its run's report."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from crypto_bot.backtest.examined import Learned
from crypto_bot.backtest.live_evidence import all_trades
from crypto_bot.backtest.workbench import Workbench
from crypto_bot.core import TRADE, ModelCard
from crypto_bot.core.arrays import PerTrade
from crypto_bot.core.errors import StorageError
from crypto_bot.core.files import write_file
from crypto_bot.feedback.evidence import no_trades


@dataclass(frozen=True, eq=False)
class Promise:
    """What live results are held against.

    Attributes
    ----------
    trades : TRADE (trades,)          out of sample; empty where they were not kept
    drawdown_frac : float | None      deepest out of sample
    """

    trades: PerTrade = field(default_factory=no_trades)
    drawdown_frac: float | None = None


def keep_promises(folder: Path, learned: Sequence[Learned]) -> None:
    """Write the out-of-sample trades of every published model into its run's folder."""
    for model in learned:
        if model.version is not None:
            content = io.BytesIO()
            trades = all_trades(result.trades for result in model.results)
            np.save(content, trades, allow_pickle=False)
            write_file(folder / promise_file(model.version), content.getvalue())


def promise_of(bench: Workbench, card: ModelCard, version: str) -> Promise:
    """The promise of a version; without trades where its run's folder is gone.

    Raises
    ------
    StorageError    if the kept trades cannot be read
    """
    drawdown = card.metrics.get("max_drawdown")
    kept = Path(bench.settings.reports.folder) / card.run_id / promise_file(version)
    if not card.run_id or not kept.exists():
        return Promise(drawdown_frac=drawdown)
    try:
        trades = np.load(kept, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise StorageError(f"{kept} must be readable, was not ({error}); delete it") from error
    if trades.dtype != TRADE or trades.ndim != 1:
        raise StorageError(f"{kept} must hold TRADE records, was {trades.dtype}; delete it")
    return Promise(trades, drawdown)


def promise_file(version: str) -> str:
    """Its name in the run's folder."""
    return f"promise-{version}.npy"
