"""What an `on_bar` strategy sees at a close, and how it asks for orders."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Unpack

from crypto_bot.core.arrays import PerBar
from crypto_bot.core.errors import ConfigError
from crypto_bot.core.orders import ExitReason
from crypto_bot.engine.rules import RISK
from crypto_bot.orders.desk import NAN, OrderDesk, OrderView
from crypto_bot.orders.records import (
    ATR,
    DISTANCE_AWAY,
    FRACTION_AWAY,
    VOLATILITY,
    VOLUME,
    OrderKind,
    OrderStatus,
    SizeBy,
)
from crypto_bot.orders.terms import (
    CHANGES,
    PROTECTS,
    STOPS,
    TARGETS,
    TERMS,
    TRAILS,
    WHOLE,
    Changes,
    OrderTerms,
    check_sides,
    check_terms,
)

_MARKET, _LIMIT, _STOP = int(OrderKind.MARKET), int(OrderKind.LIMIT), int(OrderKind.STOP)
_STOP_LIMIT, _TRAILING = int(OrderKind.STOP_LIMIT), int(OrderKind.TRAILING)
_QUANTITY, _QUOTE, _FRACTION = int(SizeBy.QUANTITY), int(SizeBy.QUOTE), int(SizeBy.FRACTION)
_RULE, _HELD = int(SizeBy.RULE), int(SizeBy.HELD)
_SIGNAL, _REVERSE = int(ExitReason.SIGNAL), int(ExitReason.REVERSE)
_TARGET, _TRAILED = int(ExitReason.TARGET), int(ExitReason.TRAILING)
_STOPPED = int(ExitReason.STOP)
_ASKED = -1


class Context:
    """One closed bar, the account at its close, and the orders that may be asked for.

    Attributes
    ----------
    symbol, timeframe : str
    index : int              number of the bar, from 0
    time_ns : int            its close, UTC ns: the moment of the decision
    open, high, low, close, volume : float
    features : tuple of float    values at this close of the strategy's `features()`, in order; NaN
                                 where a feature is undefined
    position : float         signed quantity held, base
    entry_price : float      average price of what is held; 0 when flat
    cash : float             quote; includes the proceeds of a short
    is_settled : bool        whether no feature depends on where the data began any more
    is_ruined : bool         whether equity was 0 or less at a close: nothing is entered again
    """

    __slots__ = (
        "_atr_of",
        "_desk",
        "_entry_bar",
        "_lookback",
        "_wake",
        "_window",
        "cash",
        "close",
        "entry_price",
        "features",
        "high",
        "index",
        "is_ruined",
        "is_settled",
        "low",
        "open",
        "position",
        "symbol",
        "time_ns",
        "timeframe",
        "volume",
    )

    def __init__(
        self,
        symbol: str,
        timeframe: str,
        desk: OrderDesk,
        *,
        window: Callable[[str, int], PerBar],
        atr_of: Callable[[int], float],
        lookback: int,
    ) -> None:
        self.symbol, self.timeframe = symbol, timeframe
        self.index, self.time_ns = -1, 0
        self.open = self.high = self.low = self.close = self.volume = NAN
        self.cash = self.position = self.entry_price = 0.0
        self.features: tuple[float, ...] = ()
        self.is_settled = True
        self._desk, self._window, self._atr_of = desk, window, atr_of
        self._lookback = lookback
        self._wake = _ASKED
        self._refresh()

    @property
    def equity(self) -> float:
        """Cash and what is held at this close, quote."""
        return self.cash + self.position * self.close

    @property
    def bars_held(self) -> int:
        """Closes since the position was opened, the entry bar's included; 0 when flat."""
        return self.index - self._entry_bar + 1 if self.position else 0

    @property
    def orders(self) -> tuple[OrderView, ...]:
        """Orders waiting or working, oldest first."""
        self._catch_up()
        return tuple(map(self._desk.view, self._desk.open_rows()))

    def order(self, order_id: int) -> OrderView:
        """Any order of this run, also an ended one; raises ConfigError for an unknown id."""
        self._catch_up()
        return self._desk.view(self._known(order_id))

    def window(self, name: str, bars: int) -> PerBar:
        """Last values of a feature or raw price up to this close, oldest first.

        float64, as many as there are, at most `bars`. Raises ConfigError for more than the
        strategy's `lookback_bars`, or a name that is neither raw nor in its `features()`.
        """
        if not 1 <= bars <= self._lookback:
            raise ConfigError(
                f"bars must be 1..{self._lookback}, was {bars}; set the strategy's lookback_bars"
            )
        return self._window(name, bars)

    @property
    def allows_short(self) -> bool:
        """Whether a sale may open a position."""
        return bool(self._desk.rules.allow_short)

    @property
    def knows_averages(self) -> bool:
        """Whether ATR, volatility and volume are known where the account's rules ask for them."""
        rules, tables = self._desk.rules, self._desk.tables
        row = tables.market[self.index - tables.first]
        asked = (
            (rules.uses_atr, ATR),
            (rules.uses_volatility, VOLATILITY),
            (rules.uses_volume, VOLUME),
        )
        return all(row[column] > 0.0 for is_used, column in asked if is_used)

    def buy(self, quantity: float | None = None, **terms: Unpack[OrderTerms]) -> int:
        """Ask for a purchase from the next bar on.

        Parameters
        ----------
        quantity : float         base currency
        quote : float            or: notional
        fraction : float         or: share of what leverage x equity affords, in (0, 1]. None of
                                 the three: the account's `SizingOptions`, or all that is held
                                 when reduce_only
        limit, stop : float      prices. Neither: a market order. limit: that price or better.
                                 stop: a market order once touched. Both: a limit order once touched
        stop_loss, stop_loss_frac, stop_loss_atr : float
                                 a stop that protects the entry: its price, or its distance from
                                 the real fill price as a fraction or in ATRs of this close
        take_profit, take_profit_frac, take_profit_atr : float    a target, likewise
        trailing_frac, trailing_atr, trailing_distance : float
                                 a stop that follows the best price, as a fraction, in ATRs or in
                                 quote currency: protects the entry, or, when reduce_only, is the
                                 order itself
        good_till_bars : int     bars in which it may be filled
        good_till_ns : int       UTC ns: bars that close later do not fill it
        reduce_only : bool       it never opens anything
        tag : str                the strategy's own word, kept with the order and its fills

        Returns
        -------
        int    the order's id; the orders that protect it have the ids after it

        Raises
        ------
        ConfigError    for an unknown name, a number that is not finite and > 0, or terms that
                       exclude each other

        Notes
        -----
        The protecting orders of one entry cancel each other and end with the position; they have
        no other end. Whether the account may do it is decided at the fill: then the order is
        rejected with a reason.
        """
        return self._ask(1, quantity, terms)

    def sell(self, quantity: float | None = None, **terms: Unpack[OrderTerms]) -> int:
        """Ask for a sale from the next bar on; terms as for `buy`."""
        return self._ask(-1, quantity, terms)

    def close_position(
        self, fraction: float = 1.0, *, reason: ExitReason = ExitReason.SIGNAL, tag: str = ""
    ) -> int:
        """Close this share of what is held at the next open; the order's id.

        Rejected then with 'nothing to reduce' when nothing is held.
        """
        if not 0.0 < fraction <= 1.0:
            raise ConfigError(f"fraction must be > 0 and <= 1, was {fraction}")
        side = 0 if self.position == 0.0 else -1 if self.position > 0.0 else 1
        self._wake = _ASKED
        return self._desk.place(
            _MARKET, side, _HELD, fraction, self.index, int(reason), reduce_only=True, tag=tag
        )

    def reverse(self, quantity: float | None = None, **terms: Unpack[OrderTerms]) -> int:
        """Close what is held and enter the other side at the same open; the entry's id.

        Raises ConfigError when flat, or for terms that `buy` refuses or that would let the entry
        wait (limit, stop, reduce_only).
        """
        if self.position == 0.0:
            raise ConfigError("reverse must have a position to reverse, was flat; buy or sell")
        waits = {"limit", "stop", "reduce_only"} & terms.keys()
        if waits:
            raise ConfigError(f"reverse must enter at once, was given {min(waits)}; leave it out")
        side = -1 if self.position > 0.0 else 1
        check_terms(quantity, terms, TERMS)
        self.close_position(reason=ExitReason.REVERSE, tag=terms.get("tag", ""))
        return self._ask(side, quantity, terms)

    def cancel(self, order_id: int) -> bool:
        """Cancel an order; False where it has already ended. ConfigError for an unknown id."""
        self._catch_up()
        if not self._desk.is_open(self._known(order_id)):
            return False
        self._desk.cancel(order_id)
        self._wake = _ASKED
        return True

    def replace(self, order_id: int, **changes: Unpack[Changes]) -> bool:
        """Change an open order in place, from the next bar on; it keeps its id.

        Parameters
        ----------
        quantity, limit, stop, trailing_frac, trailing_atr, trailing_distance, good_till_bars,
        good_till_ns    as for `buy`; only what the order has may be changed. A trailing stop keeps
                        the best price it has seen

        Returns
        -------
        bool    False where the order has already ended

        Raises
        ------
        ConfigError    for an unknown id, a wrong value, or something this order does not have
        """
        check_terms(None, changes, CHANGES)
        self._catch_up()
        if not self._desk.is_open(self._known(order_id)):
            return False
        self._desk.change(order_id, **self._changed_fields(self._desk.view(order_id), changes))
        self._wake = _ASKED
        return True

    def oco(self, *order_ids: int) -> None:
        """Let the first of these orders that is filled cancel the others.

        Raises ConfigError for fewer than two, an unknown id, or one that has ended or is already
        paired.
        """
        if len(set(order_ids)) < 2:
            raise ConfigError(f"oco must be given two or more orders, was {order_ids}")
        self._catch_up()
        for order_id in order_ids:
            view = self._desk.view(self._known(order_id))
            if view.pair_id is not None or not self._desk.is_open(order_id):
                raise ConfigError(
                    f"order {order_id} must be open and in no other pair, was "
                    f"{view.status.name.lower()}{'' if view.pair_id is None else ', paired'}"
                )
        for order_id in order_ids:
            self._desk.change(order_id, pair_id=min(order_ids))

    def _refresh(self) -> None:
        now = self._desk.account.item(0)
        self.cash, self.position, self.entry_price, self._entry_bar, self.is_ruined = now[:5]
        if self.position == 0.0:
            self.entry_price = 0.0

    def _arrive(self) -> None:
        """Let the step match this bar, and learn how long nothing can happen after it."""
        desk = self._desk
        desk.look_further(self._wake != _ASKED)
        self._wake = desk.match(self.index)
        self._refresh()

    def _catch_up(self) -> None:
        """Bring orders to this close; nothing can have been filled since the step last looked."""
        if self._desk.matched < self.index:
            wake = self._desk.match(self.index)
            self._wake = self._wake if self._wake == _ASKED else wake

    def _known(self, order_id: int) -> int:
        if not (isinstance(order_id, int) and 0 <= order_id < len(self._desk)):
            raise ConfigError(
                f"order id must be one that was given, was {order_id!r} of {len(self._desk)}"
            )
        return order_id

    def _ask(self, side: int, quantity: float | None, terms: Mapping[str, Any]) -> int:
        check_terms(quantity, terms, TERMS)
        check_sides(side, self.close, terms)
        size_by, size = self._size(quantity, terms)
        limit, stop = terms.get("limit", NAN), terms.get("stop", NAN)
        reduce_only = terms.get("reduce_only", False)
        kind, reason = _MARKET, _SIGNAL
        if limit == limit:
            kind, reason = (_STOP_LIMIT, _STOPPED) if stop == stop else (_LIMIT, _TARGET)
        elif stop == stop:
            kind, reason = _STOP, _STOPPED
        protects = not PROTECTS.isdisjoint(terms)
        trail: dict[str, Any] = {}
        if reduce_only and protects:
            trail = self._own_trail(kind, terms)
            kind, reason, protects = _TRAILING, _TRAILED, False
        entry = self._desk.place(
            kind,
            side,
            size_by,
            size,
            self.index,
            reason,
            limit=limit,
            stop=stop,
            reduce_only=reduce_only,
            tag=terms.get("tag", ""),
            **trail,
            **self._ends(terms),
        )
        if protects:
            self._protect(entry, -side, terms)
        self._wake = _ASKED
        return entry

    def _size(self, quantity: float | None, terms: Mapping[str, Any]) -> tuple[int, float]:
        if quantity is not None:
            return _QUANTITY, float(quantity)
        if "quote" in terms:
            return _QUOTE, float(terms["quote"])
        if "fraction" in terms:
            return _FRACTION, float(terms["fraction"])
        if terms.get("reduce_only", False):
            return _HELD, 1.0
        if self._desk.rules.method == RISK and terms.keys().isdisjoint((*STOPS, *TRAILS)):
            raise ConfigError(
                "stop_loss_frac must be given where sizing.method is risk_to_stop, was not; "
                "give a stop or a quantity"
            )
        return _RULE, 1.0

    def _ends(self, terms: Mapping[str, Any]) -> dict[str, int]:
        """Until when an order may be filled."""
        ends: dict[str, int] = {}
        if "good_till_bars" in terms:
            ends["good_till_bar"] = self.index + terms["good_till_bars"]
        if "good_till_ns" in terms:
            if terms["good_till_ns"] <= self.time_ns:
                raise ConfigError(
                    f"good_till_ns must be after this close ({self.time_ns}), "
                    f"was {terms['good_till_ns']}"
                )
            ends["good_till_ns"] = terms["good_till_ns"]
        return ends

    def _own_trail(self, kind: int, terms: Mapping[str, Any]) -> dict[str, float]:
        names = PROTECTS.intersection(terms)
        if kind != _MARKET or len(names) != 1 or names.isdisjoint(TRAILS):
            raise ConfigError(
                "a reduce_only order must be a market, limit, stop or trailing stop order, was given "
                f"{', '.join(sorted(names))}; only entries are protected"
            )
        (name,) = names
        return {**self._trail(name, terms[name]), "best": self.close}

    def _trail(self, name: str, value: float) -> dict[str, float]:
        if name == "trailing_frac":
            return {"trail_frac": value}
        distance = value if name == "trailing_distance" else value * self._atr(name)
        return {"trail_distance": distance}

    def _protect(self, entry: int, side: int, terms: Mapping[str, Any]) -> None:
        """Stops, then the trailing stop, then targets, waiting for the entry's fill."""
        for name in STOPS:
            if name in terms:
                price, hang_by, hang = self._hang(name, terms[name])
                self._wait(entry, _STOP, side, _STOPPED, stop=price, hang_by=hang_by, hang=hang)
        for name in TRAILS:
            if name in terms:
                trail = self._trail(name, terms[name])
                self._wait(entry, _TRAILING, side, _TRAILED, **trail)
        for name in TARGETS:
            if name in terms:
                price, hang_by, hang = self._hang(name, terms[name])
                self._wait(entry, _LIMIT, side, _TARGET, limit=price, hang_by=hang_by, hang=hang)

    def _wait(self, entry: int, kind: int, side: int, reason: int, **levels: Any) -> None:
        self._desk.place(
            kind,
            side,
            _QUANTITY,
            NAN,
            self.index,
            reason,
            reduce_only=True,
            entry=entry,
            pair=entry,
            **levels,
        )

    def _hang(self, name: str, value: float) -> tuple[float, int, float]:
        """Price, or how and how far it hangs from the fill."""
        if name.endswith("_frac"):
            return NAN, FRACTION_AWAY, value
        if name.endswith("_atr"):
            return NAN, DISTANCE_AWAY, value * self._atr(name)
        return value, 0, NAN

    def _atr(self, name: str) -> float:
        atr = self._atr_of(self.index)
        if not atr > 0.0:
            raise ConfigError(
                f"{name} must be used where ATR is known, it is not yet at bar {self.index}; "
                "name 'atr_14' in features(), and on_bar waits for it"
            )
        return atr

    def _changed_fields(self, view: OrderView, changes: Mapping[str, Any]) -> dict[str, Any]:
        fields: dict[str, Any] = dict(self._ends(changes))
        is_trailing = view.kind is OrderKind.TRAILING
        has = {
            "limit": view.kind in (OrderKind.LIMIT, OrderKind.STOP_LIMIT),
            "stop": view.kind in (OrderKind.STOP, OrderKind.STOP_LIMIT),
            "quantity": view.status is OrderStatus.WORKING,
        }
        for name in changes:
            if not has.get(name, is_trailing or name in WHOLE):
                raise ConfigError(
                    f"{name} must be something order {view.order_id} has, it is a "
                    f"{view.kind.name.lower()} order{'' if view.entry_id is None else ' that protects'}"
                )
        if "limit" in changes:
            fields["limit_price"] = changes["limit"]
        if "stop" in changes:
            fields["stop_price"] = changes["stop"]
        if "limit" in changes or "stop" in changes:
            fields["hang_by"] = 0
        if "quantity" in changes:
            fields |= {"size": changes["quantity"], "size_by": _QUANTITY}
        for name in TRAILS:
            if name in changes:
                trail = self._trail(name, changes[name])
                fields |= {"trail_frac": NAN, "trail_distance": NAN, **trail}
        if view.status is OrderStatus.WORKING:
            fields |= {"active_bar": self.index + 1, "active_price": NAN}
        return fields
