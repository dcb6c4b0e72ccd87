"""Who trades live: the champion in service, else the best strategy of the newest turn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crypto_bot.backtest.candles import Universe
from crypto_bot.backtest.rehearsal import Trader
from crypto_bot.backtest.sweeping import best_setting, rank_settings
from crypto_bot.backtest.traders import best_strategy_trader, champion_trader
from crypto_bot.backtest.turn import KIND, SWEEP_FILE, read_sweep
from crypto_bot.backtest.workbench import Workbench
from crypto_bot.journal import RunStatus


@dataclass(frozen=True)
class Chosen:
    """A trader and what tells it from another: the same identity goes on trading, another begins.

    Attributes
    ----------
    trader : Trader
    identity : JSON-ready; name, timeframe, version and settings
    turn : id of the turn that chose it
    """

    trader: Trader
    identity: Mapping[str, Any]
    turn: str


def choose(bench: Workbench, universe: Universe) -> Chosen | None:
    """The trader of now; None before the first completed turn.

    Notes
    -----
    A champion must have been trained on candles that end before now; so it always has.
    """
    newest = bench.journal.last_run(KIND, status=RunStatus.DONE)
    if newest is None:
        return None
    trader = champion_trader(bench, universe, bench.clock.now_ns())
    if trader is None:
        stored = Path(bench.settings.reports.folder) / newest.id / SWEEP_FILE
        if not stored.exists():
            return None
        trader = best_strategy_trader(bench, best_setting(rank_settings(read_sweep(stored))), ())
    identity = {
        "trader": trader.name,
        "timeframe": trader.timeframe,
        "exits": trader.exits.model_dump(mode="json"),
        "costs": bench.costs.model_dump(mode="json"),
        "sizing": bench.sizing.model_dump(mode="json"),
    }
    return Chosen(trader, identity, newest.id)
