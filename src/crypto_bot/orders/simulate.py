"""`simulate_on_bar`: a strategy in Python over history, entering the step only where it must."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from crypto_bot.core.arrays import PerBar, PerBarTime, PerTrade
from crypto_bot.core.bars import OHLCV, Bars
from crypto_bot.core.errors import ConfigError, CryptoBotError, DataError
from crypto_bot.core.funding import FundingRates
from crypto_bot.core.orders import TRADE, ExitReason
from crypto_bot.core.timeframes import iso_time
from crypto_bot.engine.finer import finer_prices
from crypto_bot.engine.metrics import Metrics, metrics_of, tally
from crypto_bot.engine.options import CostOptions, ExitOptions, SizingMethod, SizingOptions
from crypto_bot.engine.rules import MatchingRules, conditions_of, matching_rules
from crypto_bot.engine.settling import settled_bars
from crypto_bot.engine.simulate import check_bars
from crypto_bot.orders.context import Context
from crypto_bot.orders.desk import OrderDesk, OrderView, tables_of, view_of
from crypto_bot.orders.records import CASH, EQUITY, FINANCING, MARKET_COLUMNS, POSITION
from crypto_bot.orders.strategy import OnBarStrategy

_STRETCH = 16_384
_OPEN = int(ExitReason.OPEN)


@dataclass(frozen=True, eq=False)
class OrdersResult:
    """One backtest of an `on_bar` strategy.

    Attributes
    ----------
    bars, costs, sizing, funding    what was simulated
    strategy : OnBarStrategy        as it was after the last bar
    trades : TRADE (trades,)        from flat to flat or to the other side, an open one last:
                                    quantity the largest held, prices averages, pnl the sum of its parts
    fills : ORDER_FILL (fills,)     every fill in order
    orders : ORDER (orders,)        every order ever asked for, and those of the venue
    tags : dict                     order id -> the strategy's own word
    equity, position, cash : float64 (bars,)    at each close; equity = cash + position * close
    financing : float64 (bars,)     funding and interest paid so far
    metrics : Metrics
    refused_orders : int            orders rejected; `order_log` says why
    ambiguous_exits, resolved_exits : int    exits that hung on "the worse came first", and those
                                    that finer bars decided
    """

    bars: Bars
    costs: CostOptions
    sizing: SizingOptions
    funding: FundingRates | None
    strategy: OnBarStrategy
    trades: PerTrade
    fills: npt.NDArray[Any]
    orders: npt.NDArray[Any]
    tags: dict[int, str]
    equity: PerBar
    position: PerBar
    cash: PerBar
    financing: PerBar
    metrics: Metrics
    refused_orders: int
    ambiguous_exits: int
    resolved_exits: int

    def order_log(self) -> list[OrderView]:
        """Every order in words."""
        return [view_of(order, self.tags.get(row, "")) for row, order in enumerate(self.orders)]


def simulate_on_bar(
    bars: Bars,
    strategy: OnBarStrategy,
    *,
    costs: CostOptions | None = None,
    sizing: SizingOptions | None = None,
    funding: FundingRates | None = None,
    finer: Bars | None = None,
    history: Bars | None = None,
) -> OrdersResult:
    """Run a strategy over the bars and match what it asks for.

    Parameters
    ----------
    bars : Bars                at least one
    strategy : OnBarStrategy   a fresh one: it may remember what it saw
    costs, sizing              None: their defaults; sizing also says what the account may do
    funding : FundingRates     of a perpetual; None: nobody pays
    finer : Bars               a finer timeframe of the same symbol: decides what came first inside a bar
    history : Bars             bars just before, on which features settle; not traded

    Returns
    -------
    OrdersResult

    Raises
    ------
    DataError      if there is no bar, or funding, finer bars or history do not fit
    ConfigError    if a feature is unknown or never settles, the strategy asks for something wrong,
                   or fails: then with its name and the bar

    Notes
    -----
    What `on_bar` asks for at the close of bar t acts from bar t + 1 on. The strategy is called at
    every close from the first settled one; the compiled step is called only for bars in which an
    order, a financing payment or ruin can act. The numbers are those of calling it every bar.
    """
    costs, sizing = costs or CostOptions(), sizing or SizingOptions()
    check_bars(bars)
    rules = rules_of(strategy, costs, sizing, has_funding=funding is not None)
    whole = joined(history, bars)
    first = len(whole) - len(bars)
    series = Series(whole, first, strategy)
    exits = exits_of(strategy, sizing)
    conditions = conditions_of(bars, costs, exits, sizing, funding=funding, history=history)
    columns = (bars.open, bars.high, bars.low, bars.close, *conditions)
    market = np.empty((len(bars), len(MARKET_COLUMNS)))
    for place, column in enumerate(columns):
        market[:, place] = column
    tables = tables_of(market, bars.close_time, finer_prices(bars, finer), 0)
    curve = np.empty((4, len(bars)))
    desk = OrderDesk(rules, sizing.initial_cash, tables, curve)
    context = Context(
        bars.symbol,
        bars.timeframe,
        desk,
        window=lambda name, count: series.window(context.index, name, count),
        atr_of=series.atr,
        lookback=strategy.lookback_bars,
    )
    drive(strategy, context, desk, series)
    desk.match(len(bars) - 1)
    return _result(bars, costs, sizing, funding, strategy, desk)


def rules_of(
    strategy: OnBarStrategy, costs: CostOptions, sizing: SizingOptions, *, has_funding: bool
) -> MatchingRules:
    """The account's rules as scalars."""
    if isinstance(strategy, type):
        raise ConfigError(
            f"strategy must be an instance, was the class {strategy.__name__}; "
            f"write {strategy.__name__}()"
        )
    names = strategy.features()
    if isinstance(names, str):
        raise ConfigError(
            f"{strategy.name}.features() must give a tuple of names, gave {names!r}; "
            f"write ({names!r},)"
        )
    return matching_rules(costs, exits_of(strategy, sizing), sizing, has_funding=has_funding)


def exits_of(strategy: OnBarStrategy, sizing: SizingOptions) -> ExitOptions:
    """The strategy's exits; the stop that risk_to_stop must have comes with each order."""
    exits = strategy.exits or ExitOptions()
    has_stop = exits.stop_loss_frac is not None or exits.stop_loss_atr is not None
    if sizing.method is SizingMethod.RISK_TO_STOP and not has_stop:
        return exits.replace(stop_loss_frac=0.5)
    return exits


def joined(history: Bars | None, bars: Bars) -> Bars:
    """History and bars as one; raises DataError where they do not follow each other."""
    if history is None or len(history) == 0:
        return bars
    if (history.symbol, history.timeframe) != (bars.symbol, bars.timeframe):
        raise DataError(
            f"history must be of {bars.symbol} {bars.timeframe}, was of {history.symbol} "
            f"{history.timeframe}"
        )
    if history.open_time[-1] >= bars.open_time[0]:
        raise DataError(
            f"{bars.symbol} history must end before the bars begin, its last open_time was "
            f"{history.open_time[-1]}, theirs {bars.open_time[0]}"
        )
    arrays = {
        name: np.concatenate((getattr(history, name), getattr(bars, name)))
        for name in ("open_time", *OHLCV)
    }
    return Bars(bars.symbol, bars.timeframe, **arrays, is_simulated=bars.is_simulated)


class Series:
    """What a strategy may read of each bar: candles and its features, history before them."""

    def __init__(self, whole: Bars, first: int, strategy: OnBarStrategy) -> None:
        from crypto_bot.features import compute_features

        names = strategy.features()
        computed = tuple(name for name in dict.fromkeys(names) if name not in OHLCV)
        self.columns: dict[str, PerBar] = {name: getattr(whole, name) for name in OHLCV}
        settled = settled_bars(names, whole.timeframe)
        if computed:
            table = compute_features(whole, computed)
            self.columns.update((name, table.column(name)) for name in computed)
        for column in self.columns.values():
            column.flags.writeable = False
        self.features = tuple(self.columns[name] for name in names)
        self.first, self.settled = first, max(0, settled - first)
        self.bars = len(whole) - first
        self.close_time = whole.close_time
        self._whole = whole
        self._atr_name = f"atr_{(strategy.exits or ExitOptions()).atr_bars}"

    def window(self, index: int, name: str, count: int) -> PerBar:
        """Last `count` values up to bar `index`, read-only."""
        if name not in self.columns:
            raise ConfigError(
                f"window must be of a raw price or one of features(), was {name!r}; declare it"
            )
        end = self.first + index + 1
        return np.ascontiguousarray(self.columns[name][max(0, end - count) : end])

    def atr(self, index: int) -> float:
        """ATR at the close of bar `index`, computed when first asked for."""
        if self._atr_name not in self.columns:
            from crypto_bot.features import compute_features

            table = compute_features(self._whole, (self._atr_name,))
            self.columns[self._atr_name] = table.column(self._atr_name)
        return float(self.columns[self._atr_name][self.first + index])


def drive(strategy: OnBarStrategy, context: Context, desk: OrderDesk, series: Series) -> None:
    """Call the strategy at every close, the step where something can happen."""
    arrive = arrival(strategy, context, desk)
    try:
        strategy.start(context)
        if not strategy.waits_until_settled:
            context.is_settled = False
            _drive(strategy, context, arrive, series, 0, min(series.settled, series.bars))
            context.is_settled = True
        _drive(strategy, context, arrive, series, series.settled, series.bars)
    except Exception as error:
        raise named(error, strategy, context) from error


def _drive(
    strategy: OnBarStrategy,
    context: Context,
    arrive: Callable[[], None],
    series: Series,
    begin: int,
    end: int,
) -> None:
    on_bar = strategy.on_bar
    columns = [series.columns[name] for name in OHLCV]
    for start in range(begin, end, _STRETCH):
        stop = min(start + _STRETCH, end)
        rows = slice(series.first + start, series.first + stop)
        features = [column[rows].tolist() for column in series.features]
        for (
            context.index,
            context.time_ns,
            context.open,
            context.high,
            context.low,
            context.close,
            context.volume,
            context.features,
        ) in zip(
            range(start, stop),
            series.close_time[rows].tolist(),
            *(column[rows].tolist() for column in columns),
            zip(*features, strict=True) if features else repeat(()),
            strict=False,
        ):
            if context._wake <= context.index:
                arrive()
            on_bar(context)


def arrival(strategy: OnBarStrategy, context: Context, desk: OrderDesk) -> Callable[[], None]:
    """What to do at a bar in which something may have happened."""
    if type(strategy).on_fill is OnBarStrategy.on_fill:
        return context._arrive

    def arrive() -> None:
        before = desk.fill_count
        context._arrive()
        for fill in desk.new_fills(before):
            strategy.on_fill(context, fill)

    return arrive


def named(error: Exception, strategy: OnBarStrategy, context: Context) -> CryptoBotError:
    """The error with the strategy's name and the bar it was raised at."""
    when = f"at bar {context.index}"
    if context.index >= 0:
        when += f", closed {iso_time(context.time_ns)}"
    if isinstance(error, ConfigError | DataError):
        return type(error)(f"{strategy.name} {when}: {error}")
    return ConfigError(
        f"{strategy.name} must not fail, raised {type(error).__name__}: {error} {when}; "
        "mend the strategy"
    )


def _result(
    bars: Bars,
    costs: CostOptions,
    sizing: SizingOptions,
    funding: FundingRates | None,
    strategy: OnBarStrategy,
    desk: OrderDesk,
) -> OrdersResult:
    fills = desk.fill_log()
    equity, position = desk.curve[EQUITY], desk.curve[POSITION]
    owed = float(desk.account["owed"][0])
    trades = order_trips(fills, bars.open_time, bars.close_time, float(bars.close[-1]), owed)
    sums = tally(trades, fills, equity, position, bars, sizing.initial_cash)
    return OrdersResult(
        bars=bars,
        costs=costs,
        sizing=sizing,
        funding=funding,
        strategy=strategy,
        trades=trades,
        fills=fills,
        orders=desk.order_log(),
        tags=dict(desk.tags),
        equity=equity,
        position=position,
        cash=desk.curve[CASH],
        financing=desk.curve[FINANCING],
        metrics=metrics_of(sums, bars, sizing.initial_cash),
        refused_orders=int(desk.account["refused"][0]),
        ambiguous_exits=int(desk.account["ambiguous_exits"][0]),
        resolved_exits=int(desk.account["resolved_exits"][0]),
    )


@njit(cache=True, nogil=True)
def order_trips(
    fills: npt.NDArray[Any],
    open_time: PerBarTime,
    close_time: PerBarTime,
    last_close: float,
    owed: float,
) -> PerTrade:
    """Round trips from flat to flat, or to the other side.

    Parameters
    ----------
    fills : ORDER_FILL (fills,)    in order
    open_time, close_time : int64 (bars,)
    last_close : float             marks what is still held
    owed : float                   financing it has paid since its last exit

    Returns
    -------
    TRADE (trades,)    quantity the largest held; entry and exit price the averages of the fills
                       that opened and closed; pnl the sum over the parts, after fees and
                       financing. An open one is last: reason OPEN, exit_bar -1, exit at `last_close`
    """
    trades, count = np.zeros(len(fills), TRADE), 0
    held = cost = entered = left = gained = 0.0
    for fill in fills:
        trade = trades[count]
        size = abs(fill.quantity)
        trade.fees_quote += fill.fee
        if fill.reason == _OPEN:
            if held == 0.0:
                trade.entry_bar, trade.entry_time = fill.bar, open_time[fill.bar]
                trade.direction = 1 if fill.quantity > 0.0 else -1
                cost, trade.entry_price = fill.price, fill.price
                entered, left, gained = size, 0.0, 0.0
            else:
                cost = (cost * held + fill.price * fill.quantity) / (held + fill.quantity)
                spent = trade.entry_price * entered + fill.price * size
                entered += size
                trade.entry_price = spent / entered
            held += fill.quantity
            trade.quantity = max(trade.quantity, abs(held))
            continue
        gained += (fill.price - cost) * -fill.quantity
        trade.financing_quote += fill.financing
        if left == 0.0:
            trade.exit_price = fill.price
        else:
            trade.exit_price = (trade.exit_price * left + fill.price * size) / (left + size)
        left += size
        held = 0.0 if size == abs(held) else held + fill.quantity
        if held == 0.0:
            trade.exit_bar, trade.exit_reason = fill.bar, fill.reason
            trade.exit_time = open_time[fill.bar] if fill.is_at_open else close_time[fill.bar]
            trade.pnl_quote = gained - (trade.fees_quote + trade.financing_quote)
            trade.return_frac = trade.pnl_quote / (trade.quantity * trade.entry_price)
            count += 1
    if held != 0.0:
        trade = trades[count]
        trade.exit_bar, trade.exit_time, trade.exit_price = -1, close_time[-1], last_close
        trade.exit_reason = _OPEN
        trade.financing_quote += owed
        gained += (last_close - cost) * held
        trade.pnl_quote = gained - (trade.fees_quote + trade.financing_quote)
        trade.return_frac = trade.pnl_quote / (trade.quantity * trade.entry_price)
        count += 1
    return trades[:count].copy()
