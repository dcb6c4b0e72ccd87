"""backtrader: a Strategy whose `next` reads two averages and sends market orders for the next open."""

from __future__ import annotations

import backtrader as bt
import pandas as pd
from rival_job import read, tell, timed


class Cross(bt.Strategy):
    """Hold `quantity` while the fast average is above the slow one."""

    params = (("fast", 0), ("slow", 0), ("quantity", 0.0))

    def __init__(self) -> None:
        self.fast = bt.indicators.SMA(self.data.close, period=self.p.fast)
        self.slow = bt.indicators.SMA(self.data.close, period=self.p.slow)
        self.closed = 0

    def next(self) -> None:
        is_above = self.fast[0] > self.slow[0]
        if is_above and not self.position:
            self.buy(size=self.p.quantity)
        elif not is_above and self.position:
            self.close()

    def notify_trade(self, trade) -> None:
        self.closed += trade.isclosed


def main() -> None:
    """Run Cerebro on the job; loading the frame is not timed, filling its lines is."""
    market, job = read()
    columns = {name: getattr(market, name) for name in ("open", "high", "low", "close", "volume")}
    frame = pd.DataFrame(columns, index=pd.to_datetime(market.open_time))

    def work():
        cerebro = bt.Cerebro(stdstats=False)
        cerebro.adddata(bt.feeds.PandasData(dataname=frame))
        cerebro.broker.setcash(job["cash"])
        cerebro.broker.setcommission(commission=job["fee"])
        values = {name: job[name] for name in ("fast", "slow", "quantity")}
        cerebro.addstrategy(Cross, **values)
        (strategy,) = cerebro.run()
        return cerebro.broker.getvalue(), strategy.closed

    first, warm, (equity, trades) = timed(work, job["runs"])
    tell(first=first, warm=warm, equity=equity, trades=trades)


if __name__ == "__main__":
    main()
