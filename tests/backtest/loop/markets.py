"""A loop on a fast clock: a small market whose first days are stored and whose rest comes in."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from backtest.tiny import TINY, settings_in
from crypto_bot.backtest.logs import close_logging
from crypto_bot.backtest.workbench import open_workbench
from crypto_bot.core.timeframes import DAY_NS, FastClock
from crypto_bot.market import BarStore, SimulationOptions, simulate_market
from crypto_bot.trading import KeptFeed, ReplayFeed

LIVE: dict[str, Any] = {
    **TINY,
    "lookback_days": 6,
    "timeframes": ["5m"],
    "strategies_to_test": ["sma_cross"],
    "data": {"exchange": "", "base_timeframe": "5m"},
    "models": {"trainers": ["lightgbm"], "lightgbm": {"n_estimators": 5}},
    "loop": {"jitter_frac": 0.0, "training_niceness": 0},
    "operations": {"port": 0},
}
"""Settings of a turn that takes seconds."""
STORED_DAYS, DAYS = 8, 12


def market(symbols: int = 3, days: int = DAYS):
    options = SimulationOptions(symbols=symbols, timeframe="5m", bars=288 * days, seed=7)
    return simulate_market(options)


class Loop:
    """Everything of one start of a loop below a folder; `lines` is what a person saw."""

    def __init__(self, bench, feed) -> None:
        self.bench, self.feed = bench, feed
        self.stop = threading.Event()
        self.lines: list[str] = []

    def announce(self, line: str) -> None:
        self.lines.append(line)

    def stop_when(self, is_time: Callable[[], bool]) -> Callable[[str], None]:
        """An `announce` that stops the loop once the condition holds."""

        def announce(line: str) -> None:
            self.announce(line)
            if is_time():
                self.stop.set()

        return announce


@contextmanager
def loop_in(folder: Path, *, speed: float = 300.0, clock=None, start_ns=None, values=LIVE, **more):
    """A workbench on a fast clock that begins where the stored days end."""
    bars = market(values["top_pairs_count"])
    begin_ns = int(bars[0].open_time[0]) + STORED_DAYS * DAY_NS
    settings = settings_in(folder, values, **more)
    store = BarStore(settings.data.store_folder)
    if not store.catalog():
        for each in bars:
            store.append(each.closed_by(begin_ns))
    clock = clock or FastClock(start_ns or begin_ns, speed)
    try:
        with open_workbench(settings, log="integrated_backtest", clock=clock) as bench:
            yield Loop(bench, KeptFeed(ReplayFeed(bars, clock), store))
    finally:
        close_logging()
