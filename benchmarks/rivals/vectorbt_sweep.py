"""vectorbt: moving averages, signals and `Portfolio.from_signals` of many pairs at once, all in, long only.

Its honest set-up for orders at the next open: signals shifted by one row, `price=open`. Averages are
computed once a window; the metrics are those of its own accessors, vectorised over the columns.
"""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import vectorbt as vbt
from rival_job import read, tell, timed


def sweep(market, job, engine):
    """Final equity and closed trades of every pair."""
    index = pd.to_datetime(market.open_time)
    close = pd.Series(market.close, index=index)
    fast, slow = (np.array(side) for side in zip(*job["pairs"], strict=True))
    windows = sorted({*fast.tolist(), *slow.tolist()})
    averages = vbt.MA.run(close, windows).ma.to_numpy()
    place = {window: i for i, window in enumerate(windows)}
    above = averages[:, [place[w] for w in fast]] > averages[:, [place[w] for w in slow]]
    entries = np.zeros_like(above)
    entries[1:] = above[:-1]
    portfolio = vbt.Portfolio.from_signals(
        close,
        pd.DataFrame(entries, index=index),
        pd.DataFrame(~entries, index=index),
        price=pd.Series(market.open, index=index),
        fees=job["fee"],
        slippage=job["slippage"],
        init_cash=job["cash"],
        freq=pd.Timedelta(job["bar_ns"], unit="ns"),
        engine=engine,
    )
    final, trades = portfolio.final_value(), portfolio.trades
    for metric in (
        *(portfolio.total_return, portfolio.annualized_return, portfolio.sharpe_ratio),
        *(portfolio.sortino_ratio, portfolio.calmar_ratio, portfolio.max_drawdown),
        *(portfolio.drawdowns.max_duration, trades.win_rate, trades.profit_factor),
        *(trades.expectancy, portfolio.orders.fees.sum, portfolio.position_coverage),
        portfolio.total_benchmark_return,
    ):
        metric()
    return final.to_numpy().tolist(), trades.closed.count().to_numpy().tolist()


def main() -> None:
    """Both of its engines; the job says how often."""
    warnings.simplefilter("ignore")
    market, job = read()
    answers = {}
    for engine in ("numba", "rust"):
        first, warm, (equity, trades) = timed(lambda e=engine: sweep(market, job, e), job["runs"])
        answers[engine] = {"first": first, "warm": warm, "equity": equity, "trades": trades}
    tell(**answers)


if __name__ == "__main__":
    main()
