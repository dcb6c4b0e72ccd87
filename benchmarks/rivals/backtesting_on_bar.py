"""backtesting.py: a Strategy whose `next` reads two averages and sends market orders for the next open."""

from __future__ import annotations

import warnings

import pandas as pd
from backtesting import Backtest, Strategy
from rival_job import read, tell, timed


def mean(values, window):
    """The library brings no indicators; this is the one of its examples."""
    return pd.Series(values).rolling(window).mean()


class Cross(Strategy):
    """Hold `quantity` while the fast average is above the slow one."""

    fast, slow, quantity = 0, 0, 0

    def init(self) -> None:
        self.quick = self.I(mean, self.data.Close, self.fast)
        self.calm = self.I(mean, self.data.Close, self.slow)

    def next(self) -> None:
        is_above = self.quick[-1] > self.calm[-1]
        if is_above and not self.position:
            self.buy(size=self.quantity)
        elif not is_above and self.position:
            self.position.close()


def main() -> None:
    """Run Backtest on the job, its statistics included."""
    warnings.simplefilter("ignore")
    market, job = read()
    columns = {name: getattr(market, name.lower()) for name in ("Open", "High", "Low", "Close")}
    frame = pd.DataFrame(columns, index=pd.to_datetime(market.open_time))
    values = {name: job[name] for name in ("fast", "slow", "quantity")}

    def work():
        statistics = Backtest(frame, Cross, cash=job["cash"], commission=job["fee"]).run(**values)
        return float(statistics["Equity Final [$]"]), int(statistics["# Trades"])

    first, warm, (equity, trades) = timed(work, job["runs"])
    tell(first=first, warm=warm, equity=equity, trades=trades)


if __name__ == "__main__":
    main()
