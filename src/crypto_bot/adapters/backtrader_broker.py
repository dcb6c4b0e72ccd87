"""Backtrader's broker with this project's costs, and its order of events inside a bar."""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

from crypto_bot.adapters.backtrader_package import bt
from crypto_bot.core.errors import ConfigError
from crypto_bot.core.orders import ExitReason
from crypto_bot.engine import CostOptions

_ORDER = bt.Order
_LIMITS = (_ORDER.Limit, _ORDER.StopLimit, _ORDER.StopTrailLimit)
_STOPS = (_ORDER.Stop, _ORDER.StopLimit, _ORDER.StopTrail, _ORDER.StopTrailLimit)
_REASONS = {
    _ORDER.Limit: ExitReason.TARGET,
    _ORDER.Stop: ExitReason.STOP,
    _ORDER.StopLimit: ExitReason.STOP,
    _ORDER.StopTrail: ExitReason.TRAILING,
    _ORDER.StopTrailLimit: ExitReason.TRAILING,
}


class BrokerFill(NamedTuple):
    """One execution: what it closed and what it opened, signed (bought > 0), and their fees."""

    data: Any
    bar: int
    is_at_open: bool
    price: float
    closed: float
    closed_fee: float
    opened: float
    opened_fee: float
    reason: int  # ExitReason of the closed part


class CostScheme(bt.CommInfoBase):  # type: ignore[misc]
    """Fees as a fraction of the notional: maker for limit orders, taker for all others.

    Sizes are fractional: Backtrader's own would round an order for a share of the account down to
    whole coins, and so to none.
    """

    params = (("taker", 0.0), ("maker", 0.0))
    is_maker = False

    def getsize(self, price: float, cash: float) -> float:
        """What this much cash is worth at a price, base."""
        return cash / price

    def _getcommission(self, size: float, price: float, pseudoexec: bool) -> float:
        del pseudoexec
        rate: float = self.p.maker if self.is_maker else self.p.taker
        return abs(size) * price * rate


class EngineBroker(bt.brokers.BackBroker):  # type: ignore[misc]
    """Backtrader's simulated broker, with what our engine does differently put on top.

    - Market and stop orders are filled worse by `slippage_frac`, also beyond the bar's high or low;
      limit orders at their price or, past it at the open, at the open, without slippage.
    - Limit orders pay the maker's fee, all others the taker's.
    - Within a bar: what the open fills comes first (market, then stops, then limits), then stops
      touched inside the bar, then limits.
    - An order waits for a bar after the one it was given at, also where another feed's bar comes
      between.
    - Cash is looked at when an order fills, at the real price; an order that says `reduces=True`
      and finds nothing to reduce is cancelled.
    """

    def __init__(self) -> None:
        super().__init__()
        self.costs = CostOptions()
        self.fills: list[BrokerFill] = []

    def set_costs(self, costs: CostOptions) -> None:
        """Charge these costs from now on.

        Raises ConfigError for costs that Backtrader's fills cannot show.
        """
        _check_costs(costs)
        self.costs = costs
        self.set_slippage_perc(costs.slippage_frac, slip_match=True, slip_out=True)
        scheme = CostScheme(taker=costs.taker_fee_frac, maker=costs.maker_fee_frac)
        self.addcommissioninfo(scheme)
        self.set_checksubmit(False)

    def start(self) -> None:
        """Begin a run with an empty ledger."""
        super().start()
        self.fills = []

    def next(self) -> None:
        """Match what is pending against the bars that are now shown."""
        self.pending: deque[Any] = deque(sorted(self.pending, key=_rank))
        super().next()

    def _try_exec(self, order: Any) -> None:
        if not self.p.coo and order.data.datetime[0] <= order.created.dt:
            return
        if order.info.get("reduces") and self.positions[order.data].size * order.size >= 0:
            order.cancel()
            self.notify(order)
            self._ococheck(order)
            return
        super()._try_exec(order)

    def _try_exec_limit(
        self, order: Any, popen: float, phigh: float, plow: float, plimit: float
    ) -> None:
        is_touched = plow <= plimit if order.isbuy() else phigh >= plimit
        if _is_passed(order, popen, plimit, is_limit=True):
            self._execute(order, ago=0, price=popen)
        elif is_touched:
            self._execute(order, ago=0, price=plimit)

    def _execute(self, order: Any, ago: int | None = None, **details: Any) -> Any:
        self.getcommissioninfo(order.data).is_maker = order.exectype in _LIMITS
        before = len(order.executed.exbits)
        result = super()._execute(order, ago=ago, **details)
        if len(order.executed.exbits) > before:
            self.fills.append(_fill(order))
        return result


def _fill(order: Any) -> BrokerFill:
    bit = order.executed.exbits[-1]
    return BrokerFill(
        order.data,
        len(order.data) - 1,
        _rank(order) < _INSIDE,
        bit.price,
        float(bit.closed),
        bit.closedcomm,
        float(bit.opened),
        bit.openedcomm,
        int(order.info.get("reason", _REASONS.get(order.exectype, ExitReason.SIGNAL))),
    )


_INSIDE = 3


def _rank(order: Any) -> int:
    """Place within a bar: 0 market, 1 stop and 2 limit at the open, 3 stop and 4 limit inside."""
    kind, open_ = order.exectype, order.data.open[0]
    if kind == _ORDER.Market:
        return 0
    if kind in _STOPS and not order.triggered:
        return 1 if _is_passed(order, open_, order.created.price, is_limit=False) else _INSIDE
    if kind in _LIMITS:
        limit = order.created.price if kind == _ORDER.Limit else order.created.pricelimit
        return 2 if _is_passed(order, open_, limit, is_limit=True) else _INSIDE + 1
    return _INSIDE + 2


def _is_passed(order: Any, open_: float, level: float, *, is_limit: bool) -> bool:
    """Whether the open already lies at or beyond the order's level."""
    is_below = order.isbuy() == is_limit
    return bool(open_ <= level if is_below else open_ >= level)


_CHARGED = ("taker_fee_frac", "maker_fee_frac", "slippage_frac")
_FOR_SIZES = ("quantity_step", "minimum_quantity", "minimum_notional_quote")
"""Limits of the venue: a declared strategy sizes by them, any other sizes its own orders."""


def _check_costs(costs: CostOptions) -> None:
    defaults = CostOptions()
    for name in CostOptions.model_fields:
        value = getattr(costs, name)
        if name not in (*_CHARGED, *_FOR_SIZES) and value != getattr(defaults, name):
            raise ConfigError(
                f"costs.{name} must be {getattr(defaults, name)} in Backtrader, was {value}; "
                "its broker charges fees and fixed slippage only: use crypto_bot.engine.simulate"
            )


def check_free_sizes(costs: CostOptions) -> None:
    """Raise ConfigError for venue limits that a strategy of its own sizes would not heed."""
    for name in _FOR_SIZES:
        if getattr(costs, name) > 0:
            raise ConfigError(
                f"costs.{name} must be 0 for a strategy that sizes its own orders, was "
                f"{getattr(costs, name)}; round in the strategy or its sizer"
            )
