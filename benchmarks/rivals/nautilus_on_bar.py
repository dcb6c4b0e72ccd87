"""nautilus_trader: a Python Strategy on its BacktestEngine, bars in, market orders out.

Without a latency model an order sent at a bar's close fills at that close. The job's candles open
where the one before closed, so the price is that of the next open; the time differs by nothing.
"""

from __future__ import annotations

from decimal import Decimal

import pandas as pd
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import LoggingConfig, RiskEngineConfig, StrategyConfig
from nautilus_trader.indicators import SimpleMovingAverage
from nautilus_trader.model.currencies import BTC, USDT
from nautilus_trader.model.data import BarType
from nautilus_trader.model.enums import AccountType, OmsType, OrderSide
from nautilus_trader.model.identifiers import InstrumentId, Symbol, Venue
from nautilus_trader.model.instruments import CurrencyPair
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.persistence.wranglers import BarDataWrangler
from nautilus_trader.trading.strategy import Strategy
from rival_job import read, tell, timed

VENUE = Venue("SIM")


class CrossConfig(StrategyConfig, frozen=True):
    """What the strategy is told."""

    instrument_id: InstrumentId
    bar_type: BarType
    fast: int
    slow: int
    quantity: float


class Cross(Strategy):
    """Hold `quantity` while the fast average is above the slow one."""

    def on_start(self) -> None:
        self.instrument = self.cache.instrument(self.config.instrument_id)
        self.quick = SimpleMovingAverage(self.config.fast)
        self.calm = SimpleMovingAverage(self.config.slow)
        for indicator in (self.quick, self.calm):
            self.register_indicator_for_bars(self.config.bar_type, indicator)
        self.subscribe_bars(self.config.bar_type)
        self.holds = False

    def on_bar(self, _bar) -> None:
        if not self.indicators_initialized():
            return
        is_above = self.quick.value > self.calm.value
        if is_above != self.holds:
            side = OrderSide.BUY if is_above else OrderSide.SELL
            quantity = self.instrument.make_qty(self.config.quantity)
            order = self.order_factory.market(self.config.instrument_id, side, quantity)
            self.submit_order(order)
            self.holds = is_above


def instrument(fee: float) -> CurrencyPair:
    """A pair with six decimals of price and quantity."""
    symbol = Symbol("BTCUSDT")
    return CurrencyPair(
        instrument_id=InstrumentId(symbol, VENUE),
        raw_symbol=symbol,
        base_currency=BTC,
        quote_currency=USDT,
        price_precision=6,
        size_precision=6,
        price_increment=Price.from_str("0.000001"),
        size_increment=Quantity.from_str("0.000001"),
        margin_init=Decimal(0),
        margin_maint=Decimal(0),
        maker_fee=Decimal(str(fee)),
        taker_fee=Decimal(str(fee)),
        ts_event=0,
        ts_init=0,
    )


def main() -> None:
    """Run the engine on the job; reading the candles into it is not timed."""
    market, job = read()
    pair = instrument(job["fee"])
    bar_type = BarType.from_str("BTCUSDT.SIM-5-MINUTE-LAST-EXTERNAL")
    columns = {name: getattr(market, name) for name in ("open", "high", "low", "close", "volume")}
    closes = pd.to_datetime(market.open_time + job["bar_ns"], utc=True)
    bars = BarDataWrangler(bar_type, pair).process(pd.DataFrame(columns, index=closes))
    engines = [_engine(pair, bar_type, bars, job) for _ in range(job["runs"] + 1)]
    waiting = iter(engines)
    first, warm, _ = timed(lambda: next(waiting).run(), job["runs"])
    portfolio = engines[-1].portfolio.account(VENUE)
    held = float(portfolio.balance_total(BTC)) if portfolio.balance_total(BTC) else 0.0
    equity = float(portfolio.balance_total(USDT)) + held * float(market.close[-1])
    closed = len(engines[-1].cache.orders_closed()) // 2
    tell(first=first, warm=warm, equity=equity, trades=closed)


def _engine(pair, bar_type, bars, job) -> BacktestEngine:
    engine = BacktestEngine(
        BacktestEngineConfig(
            logging=LoggingConfig(bypass_logging=True), risk_engine=RiskEngineConfig(bypass=True)
        )
    )
    engine.add_venue(
        VENUE, OmsType.NETTING, AccountType.CASH, starting_balances=[Money(job["cash"], USDT)]
    )
    engine.add_instrument(pair)
    engine.add_data(bars)
    values = {name: job[name] for name in ("fast", "slow", "quantity")}
    engine.add_strategy(Cross(CrossConfig(instrument_id=pair.id, bar_type=bar_type, **values)))
    return engine


if __name__ == "__main__":
    main()
