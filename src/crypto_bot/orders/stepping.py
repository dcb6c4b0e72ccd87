"""`OrderAccount`: the same strategy and the same step, one closed bar at a time."""

from __future__ import annotations

import base64
import json
from collections import deque
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from crypto_bot.core.arrays import PerBar, PerTrade
from crypto_bot.core.bars import OHLCV, Bar, Bars
from crypto_bot.core.errors import ConfigError, DataError
from crypto_bot.core.timeframes import timeframe_ns
from crypto_bot.engine.financing import YEAR_NS
from crypto_bot.engine.finer import FinerPrices
from crypto_bot.engine.options import CostOptions, ExitOptions, SizingOptions
from crypto_bot.engine.rules import annual_scale, known_features
from crypto_bot.engine.settling import settled_bars
from crypto_bot.features import FeatureStream, compute_features
from crypto_bot.orders.context import Context
from crypto_bot.orders.desk import OrderDesk, OrderFill, read_only, tables_of
from crypto_bot.orders.records import (
    ACCOUNT,
    EQUITY,
    FINANCING,
    MARKET_COLUMNS,
    ORDER,
    ORDER_FILL,
    POSITION,
)
from crypto_bot.orders.simulate import arrival, exits_of, named, order_trips, rules_of
from crypto_bot.orders.strategy import OnBarStrategy

_FORMAT = 1


class OrderAccount:
    """An account that a strategy trades live: give it each closed bar.

    Parameters
    ----------
    symbol, timeframe : str
    strategy : OnBarStrategy    a fresh one
    costs, sizing               None: their defaults
    history : Bars or None      bars just before the first one given, on which features settle

    Raises
    ------
    ConfigError    if a feature is unknown or never settles
    DataError      if history is of another symbol or timeframe

    Notes
    -----
    Fills, orders and equity are those of `simulate_on_bar` over the same bars, to the last bit,
    also when saved and restored in between.
    """

    def __init__(
        self,
        symbol: str,
        timeframe: str,
        strategy: OnBarStrategy,
        *,
        costs: CostOptions | None = None,
        sizing: SizingOptions | None = None,
        history: Bars | None = None,
    ) -> None:
        self.symbol, self.timeframe, self.strategy = symbol, timeframe, strategy
        self._costs, self._sizing = costs or CostOptions(), sizing or SizingOptions()
        self._interval_ns = timeframe_ns(timeframe)
        self._exits = exits_of(strategy, self._sizing)
        rules = rules_of(strategy, self._costs, self._sizing, has_funding=True)
        market = np.zeros((2, len(MARKET_COLUMNS)))
        tables = tables_of(market, np.zeros(2, np.int64), _no_finer(), -1)
        self._desk = OrderDesk(rules, self._sizing.initial_cash, tables, np.empty((4, 2)))
        self._names = _streamed_features(strategy, self._costs, self._exits, self._sizing)
        self._stream = FeatureStream(self._names, timeframe)
        self._settled = settled_bars(strategy.features(), timeframe)
        self._values = dict.fromkeys(self._names, float("nan"))
        self._past: dict[str, deque[float]] = {
            name: deque(maxlen=strategy.lookback_bars)
            for name in dict.fromkeys((*OHLCV, *strategy.features()))
        }
        self._open_times: list[int] = []
        self._equity: list[float] = []
        self.context = Context(
            symbol,
            timeframe,
            self._desk,
            window=self._window,
            atr_of=self._atr,
            lookback=strategy.lookback_bars,
        )
        if history is not None and len(history):
            self._read_history(history)
        strategy.start(self.context)

    def on_bar(
        self, bar: Bar, *, funding_due: float = 0.0, finer: Bars | None = None
    ) -> tuple[OrderFill, ...]:
        """Take a closed bar: match the orders, then call the strategy.

        Parameters
        ----------
        bar : Bar
        funding_due : float    sum of the funding rates paid after the last bar's open and up to
                               this one's
        finer : Bars or None   finer bars, of which those inside this one decide what came first

        Returns
        -------
        tuple of OrderFill    what was filled during the bar, in order

        Raises
        ------
        DataError      if the bar is not after the last one or breaks a rule of `Bars`
        ConfigError    as `simulate_on_bar`
        """
        values = self._stream.update(bar)
        self._values.update(zip(self._names, values.tolist(), strict=True))
        self._remember(bar, self._values)
        self._lay_out(bar, funding_due, finer)
        context, before = self.context, self._desk.fill_count
        context.index += 1
        context.time_ns = bar.open_time + self._interval_ns
        context.open, context.high, context.low, context.close, context.volume = bar[1:]
        context.features = tuple(self._past[name][-1] for name in self.strategy.features())
        context.is_settled = self._stream.bars_seen > self._settled
        self._open_times.append(bar.open_time)
        try:
            arrival(self.strategy, context, self._desk)()
            self._equity.append(float(self._desk.curve[EQUITY, 1]))
            if context.is_settled or not self.strategy.waits_until_settled:
                self.strategy.on_bar(context)
        except Exception as error:
            raise named(error, self.strategy, context) from error
        return tuple(self._desk.new_fills(before))

    @property
    def equity(self) -> PerBar:
        """float64 (bars,): marked at every close so far."""
        return np.array(self._equity, np.float64)

    @property
    def position(self) -> float:
        """Signed quantity held at the last close, base."""
        return float(self._desk.curve[POSITION, 1]) if self._equity else 0.0

    @property
    def financing(self) -> float:
        """Funding and interest paid so far, quote."""
        return float(self._desk.curve[FINANCING, 1]) if self._equity else 0.0

    @property
    def fills(self) -> npt.NDArray[Any]:
        """ORDER_FILL (fills,): every fill so far."""
        return self._desk.fill_log()

    @property
    def orders(self) -> npt.NDArray[Any]:
        """ORDER (orders,): every order so far, as of the last close."""
        return self._desk.order_log()

    def trades(self) -> PerTrade:
        """TRADE (trades,): round trips so far; one still open ends the list, at the last close."""
        opened = read_only(np.array(self._open_times, np.int64))
        closed = read_only(opened + self._interval_ns)
        owed = float(self._desk.account["owed"][0])
        return order_trips(self._desk.fill_log(), opened, closed, self.context.close, owed)

    def to_state(self) -> dict[str, Any]:
        """Everything needed to go on later, as JSON values."""
        return {
            "format": _FORMAT,
            **self._identity(),
            "account": _rows_out(self._desk.account),
            "orders": _rows_out(self._desk.order_log()),
            "fills": _rows_out(self._desk.fill_log()),
            "tags": {str(row): tag for row, tag in self._desk.tags.items()},
            "market": _rows_out(self._desk.tables.market[1]),
            "curve": _rows_out(self._desk.curve[:, 1]),
            "open_times": list(self._open_times),
            "equity": list(self._equity),
            "past": {name: _rows_out(np.array(values)) for name, values in self._past.items()},
            "values": _rows_out(np.array([*self._values.values()])),
            "stream": base64.b64encode(self._stream.to_bytes()).decode("ascii"),
            "strategy_state": self.strategy.to_state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where `to_state` was taken; this account must be a fresh one of the same kind.

        Raises DataError when the state is of another format, symbol, strategy or set of rules.
        """
        if state.get("format") != _FORMAT:
            raise DataError(f"account state must be of format {_FORMAT}, was {state.get('format')}")
        for name, own in self._identity().items():
            if state[name] != own:
                raise DataError(
                    f"{self.symbol} account state must have {name} {own}, was {state[name]}; "
                    "start a new account to change it"
                )
        account, orders, fills = (
            _rows_in(state[name], dtype)
            for name, dtype in (("account", ACCOUNT), ("orders", ORDER), ("fills", ORDER_FILL))
        )
        self._desk.restore(account, orders, fills)
        self._desk.tags = {int(row): tag for row, tag in state["tags"].items()}
        self._desk.tables.market[1] = _numbers(state["market"])
        self._desk.curve[:, 1] = _numbers(state["curve"])
        self._open_times, self._equity = list(state["open_times"]), list(state["equity"])
        for name, values in state["past"].items():
            self._past[name].clear()
            self._past[name].extend(_numbers(values).tolist())
        self._values = dict(zip(self._names, _numbers(state["values"]).tolist(), strict=True))
        self._stream = FeatureStream.from_bytes(base64.b64decode(state["stream"]))
        self.strategy.restore(state["strategy_state"])
        self._show_last_bar()

    @classmethod
    def from_state(
        cls,
        state: Mapping[str, Any],
        strategy: OnBarStrategy,
        *,
        costs: CostOptions | None = None,
        sizing: SizingOptions | None = None,
    ) -> Self:
        """An account that goes on where `to_state` was taken; errors as `restore`."""
        account = cls(state["symbol"], state["timeframe"], strategy, costs=costs, sizing=sizing)
        account.restore(state)
        return account

    def _identity(self) -> dict[str, Any]:
        rules = [value if np.isfinite(value) else None for value in self._desk.values.tolist()]
        return {
            "symbol": self.symbol,
            "timeframe": self.timeframe,
            "strategy": self.strategy.name,
            "parameters": json.loads(json.dumps(self.strategy.parameters)),
            "features": list(self._names),
            "rules": rules,
        }

    def _show_last_bar(self) -> None:
        """Put the context back to the last close."""
        context = self.context
        context.index = len(self._open_times) - 1
        if self._open_times:
            context.time_ns = self._open_times[-1] + self._interval_ns
            context.open, context.high, context.low, context.close, context.volume = (
                self._past[name][-1] for name in OHLCV
            )
            context.features = tuple(self._past[name][-1] for name in self.strategy.features())
        self._desk.tables = self._desk.tables._replace(first=context.index - 1)
        context._refresh()

    def _read_history(self, history: Bars) -> None:
        if (history.symbol, history.timeframe) != (self.symbol, self.timeframe):
            raise DataError(
                f"history must be of {self.symbol} {self.timeframe}, was of {history.symbol} "
                f"{history.timeframe}"
            )
        self._stream = FeatureStream.from_history(history, self._names)
        rows = self.strategy.lookback_bars
        values = compute_features(history, self._names).values[-rows:]
        for bar, row in zip(history[-rows:], values.tolist(), strict=True):
            self._remember(bar, dict(zip(self._names, row, strict=True)))

    def _remember(self, bar: Bar, values: Mapping[str, float]) -> None:
        candle = dict(zip(OHLCV, bar[1:], strict=True))
        for name, past in self._past.items():
            past.append(candle[name] if name in candle else values[name])

    def _lay_out(self, bar: Bar, funding_due: float, finer: Bars | None) -> None:
        """Write the bar into row 1 of the step's tables, the one before stands in row 0."""
        if not np.isfinite(funding_due):
            raise ConfigError(f"funding_due must be finite, was {funding_due}")
        market = self._desk.tables.market
        market[0] = market[1]
        borrowed = 0.0
        if self._open_times:
            passed = (bar.open_time - self._open_times[-1]) / YEAR_NS
            borrowed = self._costs.borrow_rate_annual_frac * passed
        rules, known = self._desk.rules, dict.fromkeys(("atr", "deviation", "volume"), 0.0)
        asked = ((rules.uses_atr, "atr"), (rules.uses_volatility, "deviation"))
        names = known_features(self._costs, self._exits, self._sizing)
        used = [key for is_used, key in (*asked, (rules.uses_volume, "volume")) if is_used]
        known.update((key, self._values[name]) for key, name in zip(used, names, strict=True))
        market[1] = (
            *bar[1:5],
            funding_due,
            borrowed,
            known["atr"],
            known["deviation"] * annual_scale(self._interval_ns),
            known["volume"],
        )
        closes = np.array([0, bar.open_time + self._interval_ns], np.int64)
        self._desk.tables = tables_of(
            market,
            closes,
            _no_finer() if finer is None else _finer_inside(finer, bar, int(closes[1])),
            self.context.index,
        )

    def _window(self, name: str, count: int) -> PerBar:
        if name not in self._past:
            raise ConfigError(
                f"window must be of a raw price or one of features(), was {name!r}; declare it"
            )
        return np.array([*self._past[name]][-count:], np.float64)

    def _atr(self, index: int) -> float:
        del index
        return self._values[f"atr_{self._exits.atr_bars}"]


def _streamed_features(
    strategy: OnBarStrategy, costs: CostOptions, exits: ExitOptions, sizing: SizingOptions
) -> tuple[str, ...]:
    """What the strategy reads, what the rules read, and the ATR that distances may hang on."""
    own = (name for name in strategy.features() if name not in OHLCV)
    asked = known_features(costs, exits, sizing)
    return tuple(dict.fromkeys((*own, *asked, f"atr_{exits.atr_bars}")))


def _no_finer() -> FinerPrices:
    return FinerPrices(np.empty(0), np.empty(0), np.zeros(3, np.int64))


def _finer_inside(finer: Bars, bar: Bar, close_ns: int) -> FinerPrices:
    inside = finer.between(bar.open_time, close_ns)
    return FinerPrices(inside.high, inside.low, np.array([0, 0, len(inside)], np.int64))


def _rows_out(values: npt.NDArray[Any]) -> list[Any]:
    """JSON rows; NaN and infinity as text, which JSON lacks."""
    return [
        [_plain(value) for value in row] if isinstance(row, tuple) else _plain(row)
        for row in values.tolist()
    ]


def _plain(value: Any) -> Any:
    is_odd = isinstance(value, float) and not np.isfinite(value)
    return str(value) if is_odd else value


def _rows_in(rows: list[list[Any]], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    plain = [tuple(float(v) if isinstance(v, str) else v for v in row) for row in rows]
    return np.array(plain, dtype)


def _numbers(values: list[Any]) -> PerBar:
    return np.array([float(value) for value in values], np.float64)
