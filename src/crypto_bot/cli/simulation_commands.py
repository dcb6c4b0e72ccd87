"""What the simulating commands of `cointrainer` do, by their names."""

from __future__ import annotations

from crypto_bot.backtest.command import Handler
from crypto_bot.cli.simulation_auto import autobacktest
from crypto_bot.cli.simulation_backtest import backtest
from crypto_bot.cli.simulation_optimize import optimize

SIMULATION_COMMANDS: dict[str, Handler] = {
    "autobacktest": autobacktest,
    "backtest": backtest,
    "optimize": optimize,
}
