"""raptorbt: `run_single_backtest` on given entries and exits, filled at the next open, long only, all in."""

from __future__ import annotations

import numpy as np
import raptorbt
from rival_job import read, tell, timed


def main() -> None:
    """One backtest, all of its metrics."""
    market, job = read()
    wanted = np.array(job["direction"], np.int8) > 0
    before = np.concatenate(([False], wanted[:-1]))
    entries, exits = wanted & ~before, ~wanted & before
    prices = (market.open, market.high, market.low, market.close, market.volume)
    config = raptorbt.BacktestConfig(
        initial_capital=job["cash"],
        fees=job["fee"],
        slippage=job["slippage"],
        fill_timing="next_bar_open",
    )

    def work():
        return raptorbt.run_single_backtest(
            market.open_time, *prices, entries, exits, 1, 1.0, "BTC", config
        )

    first, warm, result = timed(work, job["runs"])
    closed = sum(trade.exit_reason != "EndOfData" for trade in result.trades())
    tell(first=first, warm=warm, equity=float(result.equity_curve()[-1]), trades=closed)


if __name__ == "__main__":
    main()
