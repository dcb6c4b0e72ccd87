"""Our declared strategies inside Cerebro: decided by our rules, matched by Backtrader's broker."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from crypto_bot.adapters.backtrader_broker import EngineBroker
from crypto_bot.adapters.backtrader_feed import bar_of
from crypto_bot.adapters.backtrader_indicator import stream_of
from crypto_bot.adapters.backtrader_package import bt
from crypto_bot.core.arrays import PerRow
from crypto_bot.core.errors import ConfigError, DataError
from crypto_bot.core.orders import ExitReason, Signals
from crypto_bot.engine import (
    UNASKED,
    AccountState,
    ExitOptions,
    SizingOptions,
    decide,
    exits_for,
    is_plain,
    matching_rules,
    open_account,
)
from crypto_bot.engine.matching import entry_quantity
from crypto_bot.strategies import Strategy
from crypto_bot.trading import StrategyDecisions
from crypto_bot.trading.decisions import DecisionMaker

_NO_VALUES: PerRow = np.empty(0)
_ROUNDING = 1e-14
"""Share of an affordable size left unspent: Backtrader refuses a purchase for the last digit."""


def declared_strategy(
    strategy: Strategy | DecisionMaker,
    *,
    exits: ExitOptions | None = None,
    sizing: SizingOptions | None = None,
    signals: Signals | None = None,
) -> Any:
    """A Backtrader strategy class that trades one of ours.

    Parameters
    ----------
    strategy : Strategy | DecisionMaker    a rule strategy, or such as `ModelDecisions(predictor)`
    exits, sizing : options                None: their defaults, as for `simulate`
    signals : Signals                      the strategy's own, one a bar of the first feed, where it
                                           needs data that candles lack; None: computed bar by bar

    Returns
    -------
    subclass of `DeclaredStrategy`    for `run_backtrader`, or for a Cerebro of your own that has an
                                      `EngineBroker` and `cheat_on_open=True`

    Raises
    ------
    DataError    if the strategy needs data beyond candles and no signals are given

    Notes
    -----
    Trades equal those of `simulate(bars, strategy.signals_on(bars))` to 1e-9. It decides at the
    close. The quantity follows from the real fill price, as in the engine: Backtrader would size at
    the close, so orders are given in `next_open`, which reads of the new bar its open alone, and
    fill at that open. Stop and target hang on the fill and already act in the entry bar.
    """
    maker = None if signals is not None else _maker(strategy)
    name = getattr(strategy, "name", type(strategy).__name__)
    members = {
        "maker": maker,
        "exits": exits_for(strategy, exits),
        "sizing": SizingOptions() if sizing is None else sizing,
        "signals": signals,
        "initial_cash": SizingOptions().initial_cash if sizing is None else sizing.initial_cash,
        "__module__": __name__,
        "__doc__": f"{name}, declared in crypto_bot.",
    }
    made: Any = type(DeclaredStrategy)
    return made(re.sub(r"\W", "_", name), (DeclaredStrategy,), members)


def _maker(strategy: Strategy | DecisionMaker) -> DecisionMaker:
    if not isinstance(strategy, Strategy):
        return strategy
    if strategy.needs:
        raise strategy.refusal()
    return StrategyDecisions(strategy)


class DeclaredStrategy(bt.Strategy):  # type: ignore[misc]
    """Base of what `declared_strategy` makes; trades the first feed."""

    maker: DecisionMaker | None = None
    exits = ExitOptions()
    sizing = SizingOptions()
    signals: Signals | None = None
    initial_cash = sizing.initial_cash

    def start(self) -> None:
        """Check what the run was set up with, and begin flat."""
        _check_set_up(self.cerebro, self.broker)
        self._rules = matching_rules(self.broker.costs, self.exits, self.sizing)
        if not is_plain(self._rules):
            raise ConfigError(
                "exits and sizing must need the candle alone in Backtrader, did not (ATR, "
                "volatility, leverage or half-Kelly); use crypto_bot.engine.simulate"
            )
        names = self.maker.feature_names if self.maker is not None else ()
        self._maker = self.maker.started(names) if self.maker is not None else None
        self._stream = stream_of(self.data, names) if names else None
        self._account = open_account(self.broker.getcash())
        self._entry_price = self._peak = 0.0
        self._entered = self._exited = self._seen = 0
        self._levels: tuple[float, float] = (0.0, 0.0)
        self._protection: list[Any] = []
        self.refused_entries = 0

    def notify_order(self, order: Any) -> None:
        """Keep in which bar a position began and ended."""
        if order.status != order.Completed:
            return
        if order.info.reduces:
            self._exited = len(self.data)
        else:
            self._entered = len(self.data)

    def next(self) -> None:
        """Decide at the close."""
        if len(self.data) == self._seen:
            return  # another feed's bar
        self._seen = len(self.data)
        self._mark()
        direction, score = self._intent()
        self._account = decide(self._account, direction, score, UNASKED, self._rules)

    def _mark(self) -> None:
        """The account as Backtrader's broker has it at this close."""
        before, held = self._account, self.position.size
        is_new = self._entered == self._seen
        if held:
            best = self.data.high[0] if held > 0 else self.data.low[0]
            self._peak = max(self._peak, best) if held > 0 else min(self._peak, best)
        equity = self.broker.getvalue()
        just_exited = self._exited == self._seen
        self._account = before._replace(
            cash=self.broker.getcash(),
            quantity=float(held),
            bars_held=1 if is_new else before.bars_held + 1,
            cooldown_left=self._rules.cooldown_bars if just_exited else before.cooldown_left,
            equity=equity,
            is_ruined=before.is_ruined or equity <= 0.0,
        )

    def _intent(self) -> tuple[int, float]:
        if self._maker is None:
            return _given(self.signals, self._seen - 1)
        bar = bar_of(self.data)
        values = _NO_VALUES if self._stream is None else self._stream.update(bar)
        return self._maker.decide(values, bar)

    def next_open(self) -> None:
        """Give at the new bar's open what was decided at the last close."""
        if len(self.data) == self._seen:
            return
        account, held = self._account, self.position.size
        if held and account.pending_exit:
            self._cancel_protection()
            self._order(-held, bt.Order.Market, reason=account.pending_exit)
        elif held and self._rules.trailing_stop_frac < np.inf:
            self._protect(held)
        if account.pending_entry and (not held or account.pending_exit):
            self._enter(account, held)

    def _enter(self, account: AccountState, held: float) -> None:
        costs, open_ = self.broker.costs, self.data.open[0]
        cash = self.broker.getcash()
        if held:
            price = open_ * (1.0 - np.copysign(costs.slippage_frac, held))
            cash += held * price - abs(held) * price * costs.taker_fee_frac
        side = account.pending_entry
        price = open_ * (1.0 + side * costs.slippage_frac)
        affordable = cash / (price * (1.0 + costs.taker_fee_frac))
        wanted = entry_quantity(cash, price, self._rules)
        size = min(wanted, affordable * (1.0 - _ROUNDING)) if wanted > 0.0 else 0.0
        if size <= 0.0:
            self.refused_entries += 1
            return
        self._order(side * size, bt.Order.Market)
        self._entry_price = self._peak = price
        self._levels = (0.0, 0.0)
        self._protect(side * size)

    def _protect(self, held: float) -> None:
        """Let the stop and target of this position rest with the broker, the stop first."""
        rules, side = self._rules, 1.0 if held > 0 else -1.0
        stop = self._entry_price * (1.0 - side * rules.stop_loss_frac)
        trailing = self._peak * (1.0 - side * rules.trailing_stop_frac)
        target = self._entry_price * (1.0 + side * rules.take_profit_frac)
        is_trailing = (trailing - stop) * side > 0.0
        stop, reason = (trailing, ExitReason.TRAILING) if is_trailing else (stop, ExitReason.STOP)
        if (stop, target) == self._levels:
            return
        self._cancel_protection()
        self._levels = (stop, target)
        if np.isfinite(stop):
            self._protection.append(self._order(-held, bt.Order.Stop, stop, reason=reason))
        if np.isfinite(target):
            order = self._order(-held, bt.Order.Limit, target, reason=ExitReason.TARGET)
            self._protection.append(order)

    def _cancel_protection(self) -> None:
        for order in self._protection:
            self.cancel(order)
        self._protection = []

    def _order(
        self, size: float, kind: int, price: float | None = None, *, reason: int | None = None
    ) -> Any:
        give = self.buy if size > 0 else self.sell
        details: Mapping[str, Any] = {} if reason is None else {"reason": int(reason)}
        return give(
            size=abs(size), exectype=kind, price=price, reduces=reason is not None, **details
        )


def _given(signals: Signals | None, row: int) -> tuple[int, float]:
    if signals is None or row >= len(signals.direction):
        given = 0 if signals is None else len(signals.direction)
        raise DataError(f"signals must hold one a bar of the first feed, were {given}")
    return int(signals.direction[row]), float(signals.score[row])


def _check_set_up(cerebro: Any, broker: Any) -> None:
    if not isinstance(broker, EngineBroker):
        raise ConfigError(
            f"broker must be an EngineBroker, was {type(broker).__name__}; "
            "use run_backtrader, or set cerebro.broker = EngineBroker()"
        )
    if not (cerebro.p.cheat_on_open and broker.p.coo):
        raise ConfigError(
            "cheat_on_open must be True for a declared strategy, was False; use run_backtrader, or "
            "Cerebro(cheat_on_open=True) and broker.set_coo(True)"
        )
