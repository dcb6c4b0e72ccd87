"""A trader trades the pairs it knows, and no other."""

from __future__ import annotations

import numpy as np

from crypto_bot.backtest.candles import gather_candles
from crypto_bot.backtest.rehearsal import Trader, rehearse
from crypto_bot.backtest.turn import hold_out_start
from crypto_bot.core import TRADE
from crypto_bot.engine import ExitOptions
from crypto_bot.strategies import get_strategy
from crypto_bot.trading import StrategyDecisions
from small_runs import small_bench


def test_a_model_of_one_pair_trades_that_pair_only(tmp_path):
    with small_bench(tmp_path) as bench:
        universe = gather_candles(bench.settings)
        run_id = bench.journal.start_run("integrated", bench.settings)
        maker = StrategyDecisions(get_strategy("sma_cross"))
        known = universe.symbols[:1]
        trader = Trader(
            "one", universe.timeframe, maker, ExitOptions(), True, "known", known, version="v1"
        )
        done = rehearse(
            bench,
            universe,
            trader,
            run_id=run_id,
            start_ns=hold_out_start(universe, 0.3),
            expected=np.empty(0, TRADE),
        )
        told = bench.journal.model_events(run_id=run_id, event="traded")
    assert [(event.symbol, event.version) for event in told] == [(known[0], "v1")]
    assert len(universe.symbols) > 1
    assert tuple(done.paper.trades) == known
    assert len(done.paper.trades[known[0]]) > 0
