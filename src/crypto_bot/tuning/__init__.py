"""Stage 7c, which model to believe. In: candles, features, a space of settings. Out: a search, judged.

A search tries settings on purged folds; the walk forward round it shows what the search as a whole
would have earned on stretches it never saw.
"""

from crypto_bot.tuning.nested import (
    JudgedStretch,
    NestedOptions,
    judge_stretch,
    nested_walk_forward,
    stretch_edges,
)
from crypto_bot.tuning.rows import RowBoard
from crypto_bot.tuning.settings import ModelSetting, ModelSpace
from crypto_bot.tuning.study import ModelSearch, ModelSearchOptions, search_models
from crypto_bot.tuning.trading import TradingTerms, threshold_for
from crypto_bot.tuning.trials import TriedSetting, try_settings

__all__ = [
    "JudgedStretch",
    "ModelSearch",
    "ModelSearchOptions",
    "ModelSetting",
    "ModelSpace",
    "NestedOptions",
    "RowBoard",
    "TradingTerms",
    "TriedSetting",
    "judge_stretch",
    "nested_walk_forward",
    "search_models",
    "stretch_edges",
    "threshold_for",
    "try_settings",
]
