"""Any Backtrader strategy over our candles, measured as everything else here is measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from crypto_bot.adapters.backtrader_broker import EngineBroker, check_free_sizes
from crypto_bot.adapters.backtrader_declared import DeclaredStrategy
from crypto_bot.adapters.backtrader_feed import bars_feed
from crypto_bot.adapters.backtrader_package import bt
from crypto_bot.adapters.backtrader_records import AccountRecorder, FeedTrades, feed_trades
from crypto_bot.core.arrays import PerBar, PerTrade
from crypto_bot.core.bars import Bars
from crypto_bot.core.errors import ConfigError, DataError
from crypto_bot.core.timeframes import DAY_NS, DAYS_PER_YEAR
from crypto_bot.engine import CostOptions, Metrics
from crypto_bot.engine.metrics import day_ends, metrics_of, tally
from crypto_bot.market import BarStore

Analyzers = Mapping[str, tuple[Any, Mapping[str, Any]]]
"""Name in the result -> Backtrader analyzer class and its parameters."""
_ACCOUNT = "crypto_bot_account"


@dataclass(frozen=True, eq=False)
class BacktraderResult:
    """One run of a Backtrader strategy.

    Attributes
    ----------
    strategy : bt.Strategy                 the instance that ran, with its own records
    bars : Bars                            the first feed
    costs : CostOptions
    cash : float                           at the start, quote
    trades : TRADE (trades,)               round trips on the first feed; an open one last
    fills : FILL (fills,)                  executions on the first feed
    equity : float64 (bars,)               marked at each close of the first feed, quote
    position : float64 (bars,)             base; where the first feed has none, another's
    metrics : Metrics                      of all feeds together, by the engine's definitions
    feeds : tuple of FeedTrades            one a feed, in the order given
    analyzers : dict                       name -> what Backtrader's analyzer found
    """

    strategy: Any
    bars: Bars
    costs: CostOptions
    cash: float
    equity: PerBar
    position: PerBar
    metrics: Metrics
    feeds: tuple[FeedTrades, ...]
    analyzers: dict[str, Any]

    @property
    def trades(self) -> PerTrade:
        """Round trips on the first feed."""
        return self.feeds[0].trades

    @property
    def fills(self) -> npt.NDArray[Any]:
        """Executions on the first feed."""
        return self.feeds[0].fills


def run_backtrader(
    strategy_class: Any,
    candles: Bars | Sequence[Bars] | BarStore,
    *,
    symbol: str | None = None,
    timeframes: Sequence[str] = (),
    cash: float | None = None,
    costs: CostOptions | None = None,
    parameters: Mapping[str, Any] | None = None,
    analyzers: Analyzers | None = None,
) -> BacktraderResult:
    """Run a Backtrader strategy over candles of ours.

    Parameters
    ----------
    strategy_class : subclass of bt.Strategy    such as `declared_strategy` makes
    candles : Bars | several | BarStore         feeds in order; the first is the clock of the result
    symbol, timeframes                          what to load from a BarStore, in order
    cash : float                                quote; None: the strategy's own, else 100,000
    costs : CostOptions                         None: the defaults
    parameters : mapping                        the strategy's params
    analyzers : mapping                         None: none; see `standard_analyzers`

    Returns
    -------
    BacktraderResult

    Raises
    ------
    DataError      if there are no bars, or the store lacks them
    ConfigError    for costs that Backtrader cannot charge, or a store without symbol and timeframes

    Notes
    -----
    Feeds are stamped with the close of their bars (`bars_feed`), orders are matched by
    `EngineBroker`. What the strategy or an analyzer raises is not caught. `next_open` is called if
    the strategy has one.
    """
    feeds = _feeds(candles, symbol, timeframes)
    costs = CostOptions() if costs is None else costs
    if not issubclass(strategy_class, DeclaredStrategy):
        check_free_sizes(costs)
    start = float(getattr(strategy_class, "initial_cash", 100_000.0) if cash is None else cash)
    if not 0.0 < start < np.inf:
        raise ConfigError(f"cash must be greater than 0, was {start}")
    cerebro, datas = _cerebro(strategy_class, feeds, start, costs)
    cerebro.addstrategy(strategy_class, **(parameters or {}))
    cerebro.addanalyzer(AccountRecorder, _name=_ACCOUNT)
    for name, (kind, options) in (analyzers or {}).items():
        cerebro.addanalyzer(kind, _name=name, **options)
    ran = cerebro.run()
    if not ran:
        raise DataError(f"{strategy_class.__name__} must run, was skipped by its own wish")
    return _result(ran[0], feeds, datas, start, costs, tuple(analyzers or ()))


def standard_analyzers(bars: Bars) -> Analyzers:
    """Backtrader's SharpeRatio, DrawDown, Returns and TradeAnalyzer, set up for these candles.

    Notes
    -----
    The Sharpe ratio is of daily returns, a year of 365 days, without a risk-free rate: that of our
    metrics. Backtrader's own default is yearly returns, which give None below two years. Where all
    bars lie in one day it is of the returns of each bar.
    """
    is_daily = len(day_ends(bars.close_time)) > 1
    feed = bars_feed(bars)
    sharpe = {
        "timeframe": bt.TimeFrame.Days if is_daily else feed.p.timeframe,
        "compression": 1 if is_daily else feed.p.compression,
        "factor": DAYS_PER_YEAR * (1.0 if is_daily else DAY_NS / bars.interval_ns),
        "riskfreerate": 0.0,
        "stddev_sample": True,
        "annualize": True,
    }
    return {
        "sharpe": (bt.analyzers.SharpeRatio, sharpe),
        "drawdown": (bt.analyzers.DrawDown, {}),
        "returns": (bt.analyzers.Returns, {"tann": DAYS_PER_YEAR}),
        "trades": (bt.analyzers.TradeAnalyzer, {}),
    }


def _feeds(
    candles: Bars | Sequence[Bars] | BarStore, symbol: str | None, timeframes: Sequence[str]
) -> list[Bars]:
    if isinstance(candles, BarStore):
        if symbol is None or not timeframes:
            raise ConfigError(
                "symbol and timeframes must be given to read a store, were "
                f"{symbol!r} and {list(timeframes)}; such as symbol='BTC/USDT', timeframes=['5m']"
            )
        return [candles.load(symbol, timeframe) for timeframe in timeframes]
    if symbol is not None or timeframes:
        raise ConfigError("symbol and timeframes must be left out unless candles are a BarStore")
    feeds = [candles] if isinstance(candles, Bars) else list(candles)
    if not feeds:
        raise DataError("candles must hold at least one Bars, was none")
    return feeds


def _cerebro(
    strategy_class: Any, feeds: Sequence[Bars], cash: float, costs: CostOptions
) -> tuple[Any, list[Any]]:
    opens = strategy_class.next_open is not bt.Strategy.next_open
    cerebro = bt.Cerebro(stdstats=False, cheat_on_open=opens)
    broker = EngineBroker()
    broker.set_costs(costs)
    broker.setcash(cash)
    broker.set_coo(opens)
    cerebro.broker = broker
    datas = []
    for place, bars in enumerate(feeds):
        is_taken = bars.symbol in (each.symbol for each in feeds[:place])
        name = f"{bars.symbol} {bars.timeframe}" if is_taken else bars.symbol
        datas.append(cerebro.adddata(bars_feed(bars, name)))
    return cerebro, datas


def _result(
    strategy: Any,
    feeds: Sequence[Bars],
    datas: Sequence[Any],
    cash: float,
    costs: CostOptions,
    names: Sequence[str],
) -> BacktraderResult:
    fills = strategy.broker.fills
    traded = tuple(
        feed_trades(bars, [fill for fill in fills if fill.data is data])
        for bars, data in zip(feeds, datas, strict=True)
    )
    account = strategy.analyzers.getbyname(_ACCOUNT).get_analysis()
    sums = tally(
        np.concatenate([each.trades for each in traded]),
        np.concatenate([each.fills for each in traded]),
        account["equity"],
        account["position"],
        feeds[0],
        cash,
    )
    return BacktraderResult(
        strategy=strategy,
        bars=feeds[0],
        costs=costs,
        cash=cash,
        equity=account["equity"],
        position=account["position"],
        metrics=metrics_of(sums, feeds[0], cash),
        feeds=traded,
        analyzers={name: strategy.analyzers.getbyname(name).get_analysis() for name in names},
    )
