"""Stage 8b, which strategy's entry to take. In: backtest trades. Out: chances, choices, what they earned.

`collect_candidates` lets every strategy trade alone; `select_out_of_sample` learns from its ended
trades and judges the next entries; `compare_selection` trades the chosen ones beside all of them.
"""

from crypto_bot.selector.calibration import (
    Calibration,
    ReturnLine,
    fit_calibration,
    fit_return_line,
)
from crypto_bot.selector.candidates import Candidates, collect_candidates, feature_columns
from crypto_bot.selector.comparison import (
    HOLD,
    MIX,
    SELECTOR,
    Account,
    Comparison,
    compare_selection,
    rotation_p_value,
)
from crypto_bot.selector.entries import entry_slots
from crypto_bot.selector.model import (
    SELECTOR_FILE,
    SELECTOR_TREES,
    Selector,
    fit_selector,
    load_selector,
)
from crypto_bot.selector.options import SELECTOR_FEATURES, SelectorOptions
from crypto_bot.selector.rows import TradeRows, trade_rows
from crypto_bot.selector.walk import Selection, select_out_of_sample

__all__ = [
    "HOLD",
    "MIX",
    "SELECTOR",
    "SELECTOR_FEATURES",
    "SELECTOR_FILE",
    "SELECTOR_TREES",
    "Account",
    "Calibration",
    "Candidates",
    "Comparison",
    "ReturnLine",
    "Selection",
    "Selector",
    "SelectorOptions",
    "TradeRows",
    "collect_candidates",
    "compare_selection",
    "entry_slots",
    "feature_columns",
    "fit_calibration",
    "fit_return_line",
    "fit_selector",
    "load_selector",
    "rotation_p_value",
    "select_out_of_sample",
    "trade_rows",
]
