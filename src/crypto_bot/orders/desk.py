"""The arrays of one account, how orders enter them, and when the compiled step is called."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from crypto_bot.core.arrays import PerBar, PerBarTime
from crypto_bot.core.orders import ExitReason
from crypto_bot.engine.finer import FinerPrices
from crypto_bot.engine.rules import MatchingRules
from crypto_bot.orders.endings import end_order
from crypto_bot.orders.records import (
    ACCOUNT,
    NEVER_BAR,
    NEVER_NS,
    ORDER,
    ORDER_FILL,
    WORDS,
    OrderKind,
    OrderStatus,
    SizeBy,
    Why,
    new_account,
)
from crypto_bot.orders.step import carry

_FIRST_ROOM = 256
_SHORT_SIGHT, _FAR_SIGHT = 256, 65_536
NAN = float("nan")
_CANCELLED = int(OrderStatus.CANCELLED)
_PRICES = ("limit_price", "stop_price", "trail_frac", "trail_distance", "best_price", "price")
_ORDER_IDS = ("entry_id", "pair_id", "ended_bar")


class MarketTables(NamedTuple):
    """What the step reads of the market; row 0 is bar number `first`."""

    market: npt.NDArray[np.float64]  # (bars, len(MARKET_COLUMNS))
    close_time: PerBarTime
    finer: FinerPrices
    first: int


def tables_of(
    market: npt.NDArray[np.float64], close_time: PerBarTime, finer: FinerPrices, first: int
) -> MarketTables:
    """Tables with read-only arrays, as those of `Bars` are: the step is compiled for one kind."""
    frozen = FinerPrices(*(read_only(column) for column in finer))
    return MarketTables(market, read_only(close_time), frozen, first)


def read_only(values: Any) -> Any:
    """A view that cannot be written to."""
    view = values.view()
    view.flags.writeable = False
    return view


class OrderView(NamedTuple):
    """One order as a strategy sees it; prices that it does not have are None.

    `quantity` and `price` are those of its fill; `size` and `size_by` what was asked for.
    """

    order_id: int
    kind: OrderKind
    side: int
    status: OrderStatus
    size: float
    size_by: SizeBy
    limit_price: float | None
    stop_price: float | None
    trail_frac: float | None
    trail_distance: float | None
    best_price: float | None
    reduce_only: bool
    entry_id: int | None
    pair_id: int | None
    created_bar: int
    ended_bar: int | None
    quantity: float
    price: float | None
    reason: str
    tag: str


class OrderFill(NamedTuple):
    """One fill as a strategy sees it; `quantity` is signed, `reason` OPEN for an entry."""

    order_id: int
    bar: int
    is_at_open: bool
    quantity: float
    price: float
    fee: float
    reason: ExitReason
    tag: str


class OrderDesk:
    """One account: its orders, fills and curve, moved by `carry`.

    Parameters
    ----------
    rules : MatchingRules
    cash : float
    tables : MarketTables
    curve : float64 (4, bars)    filled as bars are matched
    """

    def __init__(
        self,
        rules: MatchingRules,
        cash: float,
        tables: MarketTables,
        curve: npt.NDArray[np.float64],
    ) -> None:
        self.rules = rules
        self.values: PerBar = np.array(rules, np.float64)
        self.tables, self.curve = tables, curve
        self.account = new_account(cash)
        self.orders = np.zeros(_FIRST_ROOM, ORDER)
        self.working = np.zeros(_FIRST_ROOM, np.int64)
        self.fills = np.zeros(_FIRST_ROOM, ORDER_FILL)
        self.tags: dict[int, str] = {}
        self.matched = -1
        self.quiet = 0
        self.sight = _SHORT_SIGHT
        self._take_columns()

    def _take_columns(self) -> None:
        self._rows: npt.NDArray[np.int64] = self.account["orders"]
        self._open: npt.NDArray[np.int64] = self.account["open_orders"]
        self._fill_count: npt.NDArray[np.int64] = self.account["fills"]

    def match(self, last: int) -> int:
        """Match every bar up to `last`; the next bar in which anything can happen."""
        market, close_time, finer, first = self.tables
        wake: int = carry(
            self.account,
            self.orders,
            self.working,
            self.fills,
            self.curve,
            market,
            close_time,
            finer,
            self.values,
            first,
            last,
            self.quiet,
            self.sight,
        )
        self.matched, self.quiet = last, wake
        return wake

    def look_further(self, was_quiet: bool) -> None:
        """See further ahead the longer nothing is asked for: what is looked at twice stays small."""
        if was_quiet:
            self.sight = min(2 * self.sight, _FAR_SIGHT)
        else:
            self.sight = max(self.sight // 2, _SHORT_SIGHT)

    def __len__(self) -> int:
        """Orders so far."""
        return int(self._rows[0])

    @property
    def open_orders(self) -> int:
        return int(self._open[0])

    @property
    def fill_count(self) -> int:
        return int(self._fill_count[0])

    def place(
        self,
        kind: int,
        side: int,
        size_by: int,
        size: float,
        bar: int,
        exit_reason: int,
        *,
        limit: float = NAN,
        stop: float = NAN,
        trail_frac: float = NAN,
        trail_distance: float = NAN,
        best: float = NAN,
        hang_by: int = 0,
        hang: float = NAN,
        reduce_only: bool = False,
        entry: int = -1,
        pair: int = -1,
        good_till_bar: int = NEVER_BAR,
        good_till_ns: int = NEVER_NS,
        tag: str = "",
    ) -> int:
        """Write one order, decided at the close of `bar`; its id."""
        row, place = int(self._rows[0]), int(self._open[0])
        self.quiet = min(self.quiet, bar + 1)
        self._make_room(row, place)
        status = 1 if entry < 0 else 0
        self.orders[row] = (
            row,
            kind,
            side,
            status,
            0,
            exit_reason,
            size_by,
            hang_by,
            reduce_only,
            False,
            size,
            limit,
            stop,
            trail_frac,
            trail_distance,
            best,
            hang,
            entry,
            pair,
            bar,
            good_till_bar,
            good_till_ns,
            bar + 1 if entry < 0 else -1,
            -1,
            NAN,
            -1,
            0.0,
            NAN,
            0.0,
        )
        self.working[place] = row
        self._rows[0], self._open[0] = row + 1, place + 1
        if tag:
            self.tags[row] = tag
        return row

    def _make_room(self, rows: int, open_orders: int) -> None:
        """Room for this order and for what the step may add: a liquidation, two fills an order."""
        if rows + open_orders + 8 > len(self.orders):
            self.orders = np.concatenate((self.orders, np.zeros(len(self.orders), ORDER)))
        if open_orders + 8 > len(self.working):
            self.working = np.concatenate((self.working, np.zeros_like(self.working)))
        if self._fill_count[0] + 4 * (open_orders + 8) > len(self.fills):
            self.fills = np.concatenate((self.fills, np.zeros(len(self.fills), ORDER_FILL)))

    def change(self, row: int, **fields: Any) -> None:
        """Write fields of one order."""
        self.quiet = min(self.quiet, self.matched + 1)
        for name, value in fields.items():
            self.orders[name][row] = value

    def cancel(self, row: int) -> None:
        """Cancel an open order, and what waits for it."""
        self.quiet = min(self.quiet, self.matched + 1)
        end_order(self.account, self.orders, self.working, row, _CANCELLED, int(Why.BY_STRATEGY))

    def is_open(self, row: int) -> bool:
        """Whether an order is waiting or working."""
        return bool(0 <= row < self._rows[0]) and self.orders["status"][row] <= 1

    def open_rows(self) -> list[int]:
        """Ids of waiting and working orders, oldest first."""
        rows: list[int] = self.working[: self.open_orders].tolist()
        return [row for row in rows if self.orders["status"][row] <= 1]

    def view(self, row: int) -> OrderView:
        """One order for people."""
        return view_of(self.orders[row], self.tags.get(row, ""))

    def new_fills(self, since: int) -> list[OrderFill]:
        """Fills from number `since` on."""
        return [
            OrderFill(
                int(fill["order_id"]),
                int(fill["bar"]),
                bool(fill["is_at_open"]),
                float(fill["quantity"]),
                float(fill["price"]),
                float(fill["fee"]),
                ExitReason(int(fill["reason"])),
                self.tags.get(int(fill["order_id"]), ""),
            )
            for fill in self.fills[since : self.fill_count]
        ]

    def order_log(self) -> npt.NDArray[Any]:
        """ORDER (orders,): every order so far, a copy."""
        return self.orders[: self._rows[0]].copy()

    def fill_log(self) -> npt.NDArray[Any]:
        """ORDER_FILL (fills,): every fill so far, a copy."""
        return self.fills[: self.fill_count].copy()

    def restore(
        self, account: npt.NDArray[Any], orders: npt.NDArray[Any], fills: npt.NDArray[Any]
    ) -> None:
        """Go on with these rows; orders and fills of a run so far."""
        self.account = account.astype(ACCOUNT)
        self._take_columns()
        room = 2 * len(orders) + len(fills) + _FIRST_ROOM
        self.orders, self.fills = np.zeros(room, ORDER), np.zeros(4 * room, ORDER_FILL)
        self.orders[: len(orders)], self.fills[: len(fills)] = orders, fills
        is_open = np.flatnonzero(orders["status"] <= int(OrderStatus.WORKING))
        self.working = np.zeros(room, np.int64)
        self.working[: len(is_open)] = is_open
        self._open[0] = len(is_open)
        self.matched = int(self.account["bar"][0])
        self.quiet = 0


def view_of(order: Any, tag: str) -> OrderView:
    """A row of ORDER for people."""
    prices = {name: _known(float(order[name])) for name in _PRICES}
    rows = {name: _at_least_0(int(order[name])) for name in _ORDER_IDS}
    return OrderView(
        order_id=int(order["order_id"]),
        kind=OrderKind(int(order["kind"])),
        side=int(order["side"]),
        status=OrderStatus(int(order["status"])),
        size=float(order["size"]),
        size_by=SizeBy(int(order["size_by"])),
        limit_price=prices["limit_price"],
        stop_price=prices["stop_price"],
        trail_frac=prices["trail_frac"],
        trail_distance=prices["trail_distance"],
        best_price=prices["best_price"],
        reduce_only=bool(order["reduce_only"]),
        entry_id=rows["entry_id"],
        pair_id=rows["pair_id"],
        created_bar=int(order["created_bar"]),
        ended_bar=rows["ended_bar"],
        quantity=float(order["quantity"]),
        price=prices["price"],
        reason=WORDS[Why(int(order["why"]))],
        tag=tag,
    )


def _known(value: float) -> float | None:
    return None if value != value else value


def _at_least_0(value: int) -> int | None:
    return None if value < 0 else value
