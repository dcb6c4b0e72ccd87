"""A plain twin of the engine: one Python loop over bars, written from the rules and nothing else.

Shares no code with `crypto_bot.engine` but the option classes it reads.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

REASONS = {"open": 0, "signal": 1, "reverse": 2, "stop": 3, "trailing": 4, "target": 5, "time": 6}


def reference_backtest(bars, direction, costs, exits, sizing):
    """Trades (dicts), equity, position and metrics of a backtest, bar by bar."""
    account = _Account(costs, exits, sizing)
    before = 0
    for t, bar in enumerate(bars):
        account.at_open(t, bar)
        account.inside(t, bar)
        account.at_close(bar, int(direction[t]), before)
        before = int(direction[t])
    if account.side:
        account.trades.append(
            account.trade(-1, bars.close_time[-1], float(bars.close[-1]), 0.0, "open")
        )
    for trade in account.trades:
        trade["entry_time"] = int(bars.open_time[trade["entry_bar"]])
        if trade["exit_bar"] >= 0:
            times = bars.open_time if trade.pop("at_open") else bars.close_time
            trade["exit_time"] = int(times[trade["exit_bar"]])
        else:
            trade.pop("at_open")
    return account, reference_metrics(bars, account, sizing.initial_cash)


class _Account:
    def __init__(self, costs, exits, sizing):
        self.costs, self.exits, self.sizing = costs, exits, sizing
        self.cash = sizing.initial_cash
        self.side, self.amount = 0, 0.0
        self.order_out, self.order_in = None, 0
        self.blocked_closes, self.ruined = 0, False
        self.trades, self.equity, self.position = [], [], []
        self.fees = self.traded = 0.0
        self.refused = 0

    def trade(self, bar, time, price, fee, reason, *, at_open=False):
        pnl = self.side * self.amount * (price - self.entry) - self.entry_fee - fee
        return {
            "entry_bar": self.entry_bar,
            "exit_bar": bar,
            "exit_time": int(time),
            "at_open": at_open,
            "direction": self.side,
            "quantity": self.amount,
            "entry_price": self.entry,
            "exit_price": price,
            "fees_quote": self.entry_fee + fee,
            "pnl_quote": pnl,
            "return_frac": pnl / (self.amount * self.entry),
            "exit_reason": REASONS[reason],
        }

    def leave(self, bar, price, fee_frac, reason, *, at_open):
        fee = fee_frac * self.amount * price
        self.trades.append(self.trade(bar, 0, price, fee, reason, at_open=at_open))
        self.cash += self.side * self.amount * price - fee
        self.fees += fee
        self.traded += self.amount * price
        self.side, self.amount = 0, 0.0
        self.blocked_closes = self.exits.cooldown_bars

    def enter(self, t, price, side):
        amount = self.size(price)
        if amount <= 0:
            self.refused += 1
            return
        fee = self.costs.taker_fee_frac * amount * price
        self.side, self.amount, self.entry, self.entry_fee = side, amount, price, fee
        self.entry_bar, self.best, self.closes = t, price, 0
        self.cash -= side * amount * price + fee
        self.fees += fee
        self.traded += amount * price

    def size(self, price):
        sizing, costs = self.sizing, self.costs
        most = self.cash / (price * (1 + costs.taker_fee_frac))
        if sizing.method.value == "percent_of_equity":
            amount = sizing.fraction * most
        elif sizing.method.value == "fixed_quote":
            amount = min(sizing.quote / price, most)
        else:
            amount = min(sizing.risk_frac * self.cash / (price * self.exits.stop_loss_frac), most)
        if costs.quantity_step:
            amount = math.floor(amount / costs.quantity_step) * costs.quantity_step
        if amount < costs.minimum_quantity or amount * price < costs.minimum_notional_quote:
            return 0.0
        return amount

    def worse(self, price, side):
        """What a market order on this side really gets."""
        return price * (1 + side * self.costs.slippage_frac)

    def stop(self):
        levels = []
        if self.exits.stop_loss_frac is not None:
            levels.append((self.entry * (1 - self.side * self.exits.stop_loss_frac), "stop"))
        if self.exits.trailing_stop_frac is not None:
            levels.append((self.best * (1 - self.side * self.exits.trailing_stop_frac), "trailing"))
        if not levels:
            return None, None
        # max keeps the first of equals: the fixed stop.
        return max(levels, key=lambda level: self.side * level[0])

    def target(self):
        if self.exits.take_profit_frac is None:
            return None
        return self.entry * (1 + self.side * self.exits.take_profit_frac)

    def at_open(self, t, bar):
        if self.order_out and self.side:
            price = self.worse(bar.open, -self.side)
            self.leave(t, price, self.costs.taker_fee_frac, self.order_out, at_open=True)
        elif self.side:
            stop, reason = self.stop()
            target = self.target()
            if stop is not None and self.side * bar.open <= self.side * stop:
                price = self.worse(bar.open, -self.side)
                self.leave(t, price, self.costs.taker_fee_frac, reason, at_open=True)
            elif target is not None and self.side * bar.open >= self.side * target:
                self.leave(t, bar.open, self.costs.maker_fee_frac, "target", at_open=True)
        if self.order_in and not self.side:
            self.enter(t, self.worse(bar.open, self.order_in), self.order_in)
        self.order_out, self.order_in = None, 0

    def inside(self, t, bar):
        if not self.side:
            return
        against, along = (bar.low, bar.high) if self.side > 0 else (bar.high, bar.low)
        stop, reason = self.stop()
        target = self.target()
        if stop is not None and self.side * against <= self.side * stop:
            level = min(self.side * stop, self.side * bar.open) * self.side
            price = self.worse(level, -self.side)
            self.leave(t, price, self.costs.taker_fee_frac, reason, at_open=False)
        elif target is not None and self.side * along >= self.side * target:
            self.leave(t, target, self.costs.maker_fee_frac, "target", at_open=False)
        else:
            self.best = max(self.side * self.best, self.side * along) * self.side
            self.closes += 1

    def at_close(self, bar, wanted, before):
        equity = self.cash + self.side * self.amount * bar.close
        self.equity.append(equity)
        self.position.append(self.side * self.amount)
        self.ruined = self.ruined or equity <= 0
        allowed = wanted == 1 or (wanted == -1 and self.sizing.allow_short)
        mode = "flat" if self.exits.signal_exit is None else self.exits.signal_exit.value
        if self.side:
            if self.ruined:
                self.order_out = "stop"
            elif wanted == -self.side and mode != "never":
                self.order_out = "reverse" if allowed else "signal"
                self.order_in = wanted if allowed else 0
            elif wanted == 0 and mode == "flat":
                self.order_out = "signal"
            elif self.exits.max_holding_bars and self.closes >= self.exits.max_holding_bars:
                self.order_out = "time"
        elif self.blocked_closes:
            self.blocked_closes -= 1
        elif allowed and not self.ruined:
            is_enough = self.exits.reentry.value == "while_signal" or wanted != before
            self.order_in = wanted if is_enough else 0


def reference_metrics(bars, account, cash):
    """Every metric from its definition; None where undefined."""
    equity = account.equity
    closed = [trade["pnl_quote"] for trade in account.trades if trade["exit_bar"] >= 0]
    profit, loss = sum(p for p in closed if p > 0), -sum(p for p in closed if p < 0)
    depth, depth_quote, length = _drawdown([cash, *equity])
    years = (int(bars.close_time[-1]) - int(bars.open_time[0])) / (365 * 86_400 * 10**9)
    annual = _defined(lambda: max(equity[-1] / cash, 0.0) ** (1 / years) - 1)
    returns = _daily_returns(bars, equity, cash)
    return {
        "total_return": equity[-1] / cash - 1,
        "annual_return": annual,
        "sharpe": _ratio(returns, lambda r, mean: r - mean),
        "sortino": _ratio(returns, lambda r, mean: min(r, 0.0)),
        "calmar": None if annual is None else _over(annual, depth),
        "max_drawdown": depth,
        "max_drawdown_bars": length,
        "win_rate": _over(sum(p > 0 for p in closed), len(closed)),
        "profit_factor": _over(profit, loss),
        "expectancy_quote": _over(sum(closed), len(closed)),
        "recovery_factor": _over(equity[-1] - cash, depth_quote),
        "exposure": sum(q != 0 for q in account.position) / len(equity),
        "turnover": _over(account.traded, sum(equity) / len(equity)) if sum(equity) > 0 else None,
        "trades": len(closed),
        "fees_quote": account.fees,
        "buy_and_hold_return": float(bars.close[-1] / bars.close[0]) - 1,
        "final_equity": equity[-1],
    }


def _defined(compute):
    try:
        value = compute()
    except OverflowError:
        return None
    return value if math.isfinite(value) else None


def _over(a, b):
    return None if b == 0 else _defined(lambda: a / b)


def _drawdown(curve):
    """Depth, depth in quote, and bars from the deepest fall's peak to recovery or the end."""
    depth = depth_quote = 0.0
    length = 0
    for low in range(len(curve)):
        peak = max(range(low + 1), key=lambda i: curve[i])
        fall = curve[peak] - curve[low]
        depth_quote = max(depth_quote, fall)
        if fall / curve[peak] > depth:
            depth = fall / curve[peak]
            later = [i for i in range(low, len(curve)) if curve[i] > curve[peak]]
            length = (later[0] if later else len(curve) - 1) - peak
    return depth, depth_quote, length


def _daily_returns(bars, equity, cash):
    marks = {}
    for close_time, value in zip(bars.close_time, equity, strict=True):
        last_moment = datetime.fromtimestamp((int(close_time) // 10**9) - 1, tz=UTC)
        marks[last_moment.date()] = value
    day, last = min(marks), max(marks)
    returns, before = [], cash
    while day <= last:
        value = marks.get(day, before)
        returns.append(value / before - 1)
        before, day = value, day + timedelta(days=1)
    return returns


def _ratio(returns, part):
    if len(returns) < 2:
        return None
    mean = sum(returns) / len(returns)
    deviation = math.sqrt(sum(part(r, mean) ** 2 for r in returns) / (len(returns) - 1))
    return None if deviation <= 1e-12 else mean / deviation * math.sqrt(365)
