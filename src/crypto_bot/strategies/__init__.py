"""Stage 3, numbers to intent. In: feature columns. Out: `Signals`, a direction and a score per bar.

A strategy is a declaration (name, regime, parameters with ranges, the features it reads) and one
pure function of those columns. It holds no position, fits nothing and never looks ahead: exits and
sizes are the engine's. Adding one is adding a file here; see docs/strategies.md.
"""

from crypto_bot.strategies.base import SignalExitName, Strategy, StrategyParameters, strategy
from crypto_bot.strategies.catalog import get_strategy, list_strategies
from crypto_bot.strategies.grid import parameter_grid
from crypto_bot.strategies.needs import EXTRA_COLUMNS, Need, known_at_close

__all__ = [
    "EXTRA_COLUMNS",
    "Need",
    "SignalExitName",
    "Strategy",
    "StrategyParameters",
    "get_strategy",
    "known_at_close",
    "list_strategies",
    "parameter_grid",
    "strategy",
]
