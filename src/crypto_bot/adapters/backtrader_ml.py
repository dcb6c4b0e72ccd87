"""The Bot v3.1 guide's `MLStrategy`: trades a trained model's probabilities inside Cerebro."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np

from crypto_bot.adapters.backtrader_feed import shown_time, timeframe_of
from crypto_bot.adapters.backtrader_indicator import feature_indicator, values_now
from crypto_bot.adapters.backtrader_models import load_model
from crypto_bot.adapters.backtrader_package import bt
from crypto_bot.core.arrays import PerRow
from crypto_bot.core.errors import ConfigError
from crypto_bot.core.models import Predictor, class_column, side_columns
from crypto_bot.core.orders import ExitReason
from crypto_bot.engine import settled_bars
from crypto_bot.strategies import get_strategy

_LOG = logging.getLogger("crypto_bot.backtrader")


class Prediction(NamedTuple):
    """The model's word on one bar; `date` is when it was known, UTC; NaN where it has none."""

    date: datetime
    close: float
    prediction: float


class TradeInfo(NamedTuple):
    """One closed trade; dates are the closes of the bars in which it was filled.

    `difference` is exit less entry price; `percent` the move in the position's favour; `pnl` is
    after fees.
    """

    strategy: str
    ref: int
    symbol: str
    side: str  # LONG or SHORT
    status: str  # CLOSED
    opened: datetime
    closed: datetime
    size: float
    open_price: float
    close_price: float
    difference: float
    percent: float
    pnl: float


class PositionInfo(NamedTuple):
    """A position at one close."""

    strategy: str
    date: datetime
    size: float
    open_price: float
    price: float
    percent: float
    initial_value: float
    value: float
    pnl: float


class MLStrategy(bt.Strategy):  # type: ignore[misc]
    """Buy where the model's probability of a rise is high, with a stop and a target.

    Parameters
    ----------
    model_path : str                 rf_model.npz, the folder of it and card.json, or a registry
    scaler_path : str                kept from the guide; the model carries its scaler, this one is
                                     compared with it; None: not looked at
    prediction_threshold : float     a side needs a probability above this, 0.3..0.99
    position_size : float            percent of the portfolio's value put into a position
    stop_loss_pct, take_profit_pct   distances from the real fill price, fractions
    minperiod : int                  bars, history included, before the first order
    predictor : Predictor            used in place of `model_path`
    symbol : str                     whose champion of a registry; None: the feed's name
    allow_short : bool               False: a high probability of a fall opens nothing
    history : Bars                   bars before the feed, on which the features settle

    Attributes
    ----------
    predictions : list of Prediction       one a bar, every bar
    orders : list                          completed orders
    trades : list                          closed Backtrader trades
    trades_info : list of TradeInfo        13 fields each
    positions_info : list of PositionInfo  one a close with a position

    Raises
    ------
    ModelError     if the model cannot be trusted; whatever it raises on a bar is not caught
    ConfigError    for a parameter out of range

    Notes
    -----
    Decides at the close, is filled at the next open; one position at a time. No order is given
    before the features have forgotten where the data began. The size is fixed at the close, stop
    and target when the fill is known: they act from the bar after it, as Backtrader's brackets do.
    """

    params = (
        ("model_path", "ml/rf_model.npz"),
        ("scaler_path", None),
        ("prediction_threshold", 0.6),
        ("position_size", 1.0),
        ("stop_loss_pct", 0.02),
        ("take_profit_pct", 0.04),
        ("minperiod", 30),
        ("predictor", None),
        ("symbol", None),
        ("allow_short", False),
        ("history", None),
    )

    def __init__(self) -> None:
        self._check_parameters()
        self.model = self._model()
        names = self.model.feature_names
        self.features = feature_indicator(names)(self.data, history=self.p.history)
        self._rule = get_strategy(
            "model", threshold=self.p.prediction_threshold, allow_short=self.p.allow_short
        )
        settled = settled_bars(names, timeframe_of(self.data))
        self._first = max(settled + 1, self.p.minperiod) - len(self.p.history or ())
        self.orders: list[Any] = []
        self.trades: list[Any] = []
        self.trades_info: list[TradeInfo] = []
        self.positions_info: list[PositionInfo] = []
        self.predictions: list[Prediction] = []
        self._entry: Any = None
        self._filled: tuple[float, float] = (0.0, 0.0)
        self._exit_price = float("nan")
        self._seen = 0

    def _check_parameters(self) -> None:
        limits = (("position_size", 100.0), ("stop_loss_pct", 1.0), ("take_profit_pct", np.inf))
        for name, most in limits:
            value = getattr(self.p, name)
            if not 0.0 < value <= most or value == np.inf:
                raise ConfigError(f"{name} must be above 0 and at most {most:g}, was {value}")
        if self.p.minperiod < 1:
            raise ConfigError(f"minperiod must be at least 1, was {self.p.minperiod}")

    def _model(self) -> Predictor:
        if self.p.predictor is not None:
            given: Predictor = self.p.predictor
            self._thresholds: dict[str, float] = {}
            return given
        symbol = self.p.symbol or self.data._name or None
        predictor, card = load_model(self.p.model_path, symbol, self.p.scaler_path)
        self._thresholds = card.thresholds
        return predictor

    def next(self) -> None:
        """Predict at this close, and act on it."""
        if len(self.data) == self._seen:
            return  # another feed's bar
        self._seen = len(self.data)
        date, close = shown_time(self.data), self.data.close[0]
        up, columns = self._probabilities(self.get_current_features())
        self.predictions.append(Prediction(date, close, up))
        if self.position:
            self.positions_info.append(self._position_info(date, close))
            return
        if self._entry is not None or self._seen < self._first:
            return
        direction = int(self._rule.signals(columns).direction[0])
        if direction > 0:
            self.buy_with_risk_management()
        elif direction < 0:
            self.sell_with_risk_management()

    def get_current_features(self) -> PerRow:
        """The features of the bar just closed, float64 (features,) in the model's order."""
        return values_now(self.features)

    def _probabilities(self, values: PerRow) -> tuple[float, dict[str, PerRow]]:
        """Of a rise, and of either side as the rule reads them: NaN where the model abstains."""
        found = self.model.predict_proba(values.reshape(1, -1))
        up = float(class_column(self.model, 1, found)[0])
        return up, side_columns(self.model.classes, found, self._thresholds)

    def buy_with_risk_management(self) -> None:
        """Buy at the next open; stop and target follow the fill."""
        self._enter(1)

    def sell_with_risk_management(self) -> None:
        """Sell short at the next open; stop and target follow the fill."""
        self._enter(-1)

    def _enter(self, side: int) -> None:
        close = self.data.close[0]
        size = self.broker.getvalue() * self.p.position_size / 100.0 / close
        if size <= 0.0:
            self.log(f"no order: the portfolio is worth {self.broker.getvalue():.2f}")
            return
        self._entry = (self.buy if side > 0 else self.sell)(size=size)
        self.log(f"{'BUY' if side > 0 else 'SELL'} ORDER: {size:.8g} @ {close:.2f}")

    def notify_order(self, order: Any) -> None:
        """Hang stop and target on the fill; keep what was completed."""
        if order.status in (order.Submitted, order.Accepted, order.Partial):
            return
        is_entry = self._entry is not None and order.ref == self._entry.ref
        if order.status == order.Completed:
            self.orders.append(order)
            self._completed(order, is_entry)
        elif order.status in (order.Canceled, order.Expired):
            _LOG.debug("order %s was cancelled: the other leg was filled", order.ref)
        else:
            self.log(f"ORDER REFUSED: {order.getstatusname()}, {abs(order.size):.8g}")
        if is_entry:
            self._entry = None

    def _completed(self, order: Any, is_entry: bool) -> None:
        side, price = ("BUY" if order.isbuy() else "SELL"), order.executed.price
        self.log(f"{side} EXECUTED: {price:.2f}")
        if is_entry:
            self._filled = (order.executed.size, price)
            self._protect(order.executed.size, price)
        else:
            self._exit_price = price

    def _protect(self, size: float, price: float) -> None:
        side = 1 if size > 0 else -1
        give = self.sell if size > 0 else self.buy
        stop_price = price * (1.0 - side * self.p.stop_loss_pct)
        take_price = price * (1.0 + side * self.p.take_profit_pct)
        stop = give(
            size=abs(size), exectype=bt.Order.Stop, price=stop_price, reason=int(ExitReason.STOP)
        )
        give(
            size=abs(size),
            exectype=bt.Order.Limit,
            price=take_price,
            oco=stop,
            reason=int(ExitReason.TARGET),
        )
        self.log(f"SL: {stop_price:.2f}, TP: {take_price:.2f}")

    def notify_trade(self, trade: Any) -> None:
        """Write down a closed trade."""
        if not trade.isclosed:
            return
        self.trades.append(trade)
        self.log(f"TRADE P&L: {trade.pnl:.2f}, Net: {trade.pnlcomm:.2f}")
        size, price = self._filled
        side = 1 if size > 0 else -1
        info = TradeInfo(
            type(self).__name__,
            trade.ref,
            self.data._name,
            "LONG" if size > 0 else "SHORT",
            "CLOSED",
            trade.open_datetime(),
            trade.close_datetime(),
            size,
            price,
            self._exit_price,
            self._exit_price - price,
            100.0 * side * (self._exit_price / price - 1.0),
            trade.pnlcomm,
        )
        self.trades_info.append(info)

    def _position_info(self, date: datetime, close: float) -> PositionInfo:
        size, price = self.position.size, self.position.price
        side = 1 if size > 0 else -1
        return PositionInfo(
            type(self).__name__,
            date,
            size,
            price,
            close,
            100.0 * side * (close / price - 1.0),
            size * price,
            size * close,
            size * (close - price),
        )

    def log(self, txt: str, dt: datetime | None = None) -> None:
        """One line of the log `crypto_bot.backtrader`, with the bar's time."""
        moment = shown_time(self.data) if dt is None else dt
        _LOG.info("%s %s", moment.isoformat(), txt)
