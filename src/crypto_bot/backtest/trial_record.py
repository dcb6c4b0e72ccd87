"""What was tried, as the gate must count it: written down with its returns, read back as one number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from crypto_bot.backtest.workbench import Workbench
from crypto_bot.core.arrays import Index, PerBarFeature, PerRow
from crypto_bot.gate import Pooled
from crypto_bot.journal import Trial, TrialKind
from crypto_bot.significance import effective_trials, trial_variance

RETURNS = "daily_returns"
"""Metric of a trial: {'first_day': days since the epoch, 'values': fractions}."""
_DIGITS = 7
_FEWEST_DAYS = 10
_MOST_TRIALS = 3_000


@dataclass(frozen=True)
class TrialRecord:
    """How often one tried, for deflation.

    Attributes
    ----------
    trials : everything tried
    effective : how many independent trials that amounts to; never more than `trials`
    variance : of the trials' daily Sharpe ratios; None where unknown
    """

    trials: int
    effective: int
    variance: float | None


def pooled_figures(pooled: Pooled) -> dict[str, float | None]:
    """The out-of-sample account in numbers."""
    return {
        "sharpe": pooled.sharpe,
        "total_return": pooled.total_return,
        "max_drawdown": pooled.max_drawdown,
        "win_rate": pooled.win_rate,
        "trades": float(pooled.trades),
    }


def kept_returns(first_day: int, daily_returns: PerRow) -> dict[str, Any]:
    """Daily returns as the ledger keeps them, seven digits each."""
    values = [float(f"{value:.{_DIGITS}g}") for value in daily_returns]
    return {RETURNS: {"first_day": first_day, "values": values}}


def tried_until(bench: Workbench, run_id: str, *, is_simulated: bool) -> list[Trial]:
    """The models tried up to this run's last: a run that is taken up judges as the first time."""
    tried = bench.journal.trials(kind=TrialKind.MODEL, is_simulated=is_simulated)
    last = max(place for place, trial in enumerate(tried) if trial.run_id == run_id)
    return tried[: last + 1]


def trial_record(tried: Sequence[Trial]) -> TrialRecord:
    """Count trials; those whose returns are kept and resemble each other count as fewer.

    Notes
    -----
    Each trial without kept returns counts in full. Days on which a trial had no account count as
    days without a return, which makes it look more independent: the error is on the careful side.
    """
    variance = trial_variance([trial.metrics.get("sharpe") for trial in tried])
    kept = [trial.metrics[RETURNS] for trial in tried if RETURNS in trial.metrics]
    board = _on_common_days(kept[-_MOST_TRIALS:])
    if len(kept) < 2 or len(board) < _FEWEST_DAYS:
        return TrialRecord(len(tried), len(tried), variance)
    found = effective_trials(board)
    unseen = len(tried) - board.shape[1]
    # Trials that resemble each other scatter less than independent ones: take theirs where larger.
    known = [each for each in (variance, found.variance) if each is not None]
    return TrialRecord(len(tried), found.count + unseen, max(known, default=None))


def _on_common_days(kept: Sequence[dict[str, Any]]) -> PerBarFeature:
    """float64 (days, trials): every day of any of them."""
    spans = [(int(one["first_day"]), np.asarray(one["values"], np.float64)) for one in kept]
    spans = [(first, values) for first, values in spans if len(values)]
    if not spans:
        return np.empty((0, 0))
    start = min(first for first, _ in spans)
    days: Index = np.arange(start, max(first + len(values) for first, values in spans))
    board = np.zeros((len(days), len(spans)))
    for column, (first, values) in enumerate(spans):
        board[first - start : first - start + len(values), column] = values
    return board
