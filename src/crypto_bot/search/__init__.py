"""Which setting is worth believing: searches over parameters and exits, resumable and counted.

In: `Bars`, the name of a strategy, what may vary. Out: every trial that was made, the best settings
with enough trades, how the ground lies round the winner, and what the search itself would have
earned on candles it never saw. See docs/search.md.
"""

from crypto_bot.search.exits import ExitSpace, exit_space
from crypto_bot.search.incremental import IncrementalSweep, sweep_incremental
from crypto_bot.search.landscape import ParameterMap, Plateau, parameter_map, plateau
from crypto_bot.search.samplers import METHODS
from crypto_bot.search.space import SearchSpace, Setting, search_space
from crypto_bot.search.study import OBJECTIVES, SearchPlan, SearchResult, search, setting_of
from crypto_bot.search.walk_forward import Stretch, WalkForward, Window, walk_forward

__all__ = [
    "METHODS",
    "OBJECTIVES",
    "ExitSpace",
    "IncrementalSweep",
    "ParameterMap",
    "Plateau",
    "SearchPlan",
    "SearchResult",
    "SearchSpace",
    "Setting",
    "Stretch",
    "WalkForward",
    "Window",
    "exit_space",
    "parameter_map",
    "plateau",
    "search",
    "search_space",
    "setting_of",
    "sweep_incremental",
    "walk_forward",
]
