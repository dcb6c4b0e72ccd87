"""Markets and options so small that a search takes a second."""

from __future__ import annotations

from functools import cache

from benchmarks.truth.markets import planted_market

from crypto_bot.engine import ExitOptions, SizingOptions
from crypto_bot.engine.options import Reentry
from crypto_bot.tuning import (
    ModelSearchOptions,
    ModelSpace,
    NestedOptions,
    RowBoard,
    TradingTerms,
)

NAMES = ("close_to_sma_10", "close_to_sma_30", "rsi_14", "return_5", "return_24")
TERMS = TradingTerms(
    exits=ExitOptions(reentry=Reentry.WHILE_SIGNAL), sizing=SizingOptions(fraction=0.1)
)
SPACE = ModelSpace(models=("logistic",), horizon_bars=(6, 12), open_shares=(0.3, 0.6))
SEARCH = ModelSearchOptions(trials=3, folds=2, startup_trials=2, space=SPACE)
NESTED = NestedOptions(folds=2, search=SEARCH)


@cache
def board(bars: int = 2_500, edge: float = 0.15) -> RowBoard:
    """Three hourly pairs that drift with their distance from the average."""
    return RowBoard(planted_market(4, edge, bars=bars, real=False, trend=True), NAMES)


def end_ns(rows: RowBoard) -> int:
    """After everything."""
    return int(rows.bars[0].close_time[-1]) + 1
