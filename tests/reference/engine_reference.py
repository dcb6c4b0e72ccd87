"""A plain twin of the engine: one Python loop over bars, written from the rules and nothing else.

Shares no code with `crypto_bot.engine` but the option classes it reads.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

REASONS = {
    "open": 0,
    "signal": 1,
    "reverse": 2,
    "stop": 3,
    "trailing": 4,
    "target": 5,
    "time": 6,
    "liquidation": 7,
}
YEAR_SECONDS = 365 * 24 * 3600


def reference_backtest(bars, direction, costs, exits, sizing, known=None, funding=None, finer=None):
    """Trades (dicts), equity, position and metrics of a backtest, bar by bar.

    known : per bar (atr, yearly volatility, mean volume); funding : list of (time, rate);
    finer : finer bars
    """
    account = _Account(costs, exits, sizing, list(finer) if finer is not None else [])
    before, last_open = 0, None
    for t, bar in enumerate(bars):
        if last_open is not None:
            due = sum(rate for time, rate in funding or [] if last_open < time <= bar.open_time)
            account.pay(bar, due, (bar.open_time - last_open) / 1e9 / YEAR_SECONDS)
        last_open = bar.open_time
        account.interval = bars.interval_ns
        account.at_open(t, bar)
        account.inside(t, bar)
        account.at_close(bar, int(direction[t]), before, None if known is None else known[t])
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
    def __init__(self, costs, exits, sizing, finer):
        self.finer, self.financing, self.returns = finer, 0.0, []
        self.atr = self.volatility = self.volume = self.last_close = None
        self.entry_atr = None
        self.ambiguous = self.resolved = 0
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
        pnl -= self.financing
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
            "financing_quote": self.financing,
            "pnl_quote": pnl,
            "return_frac": pnl / (self.amount * self.entry),
            "exit_reason": REASONS[reason],
        }

    def leave(self, bar, price, fee_frac, reason, *, at_open):
        fee = fee_frac * self.amount * price
        self.trades.append(self.trade(bar, 0, price, fee, reason, at_open=at_open))
        self.returns.append(self.trades[-1]["return_frac"])
        self.financing = 0.0
        self.cash += self.side * self.amount * price - fee
        self.fees += fee
        self.traded += self.amount * price
        self.side, self.amount = 0, 0.0
        self.blocked_closes = self.exits.cooldown_bars

    def pay(self, bar, rate, years):
        """Funding and interest on what was carried to this open."""
        if not self.side:
            return
        loan = self.amount * bar.open if self.side < 0 else max(0.0, -self.cash)
        due = self.side * self.amount * bar.open * rate
        due += loan * years * self.costs.borrow_rate_annual_frac
        self.cash -= due
        self.financing += due

    def enter(self, t, bar, side):
        price = bar.open * (1 + side * self.slippage(0.0))
        amount = self.size(price)
        if self.costs.slippage_volume_mult:
            price = bar.open * (1 + side * self.slippage(amount))
            amount = self.size(price)
        if amount <= 0:
            self.refused += 1
            return
        fee = self.costs.taker_fee_frac * amount * price
        self.side, self.amount, self.entry, self.entry_fee = side, amount, price, fee
        self.entry_bar, self.best, self.closes = t, price, 0
        self.entry_atr = self.atr
        self.cash -= side * amount * price + fee
        self.fees += fee
        self.traded += amount * price

    def size(self, price):
        sizing, costs = self.sizing, self.costs
        most = sizing.leverage * self.cash / (1 + sizing.leverage * costs.taker_fee_frac) / price
        if sizing.method.value == "percent_of_equity":
            amount = sizing.fraction * most
        elif sizing.method.value == "fixed_quote":
            amount = min(sizing.quote / price, most)
        elif sizing.method.value == "fixed_quantity":
            amount = min(sizing.quantity, most)
        elif sizing.method.value == "half_kelly":
            amount = min(self.half_kelly() * self.cash / price, most)
        elif sizing.method.value == "volatility_target":
            share = sizing.target_volatility_annual_frac / self.volatility
            amount = min(share * self.cash / price, most)
        else:
            ways = []
            if self.exits.stop_loss_frac is not None:
                ways.append(price * self.exits.stop_loss_frac)
            if self.exits.stop_loss_atr is not None:
                ways.append(self.exits.stop_loss_atr * self.atr)
            amount = min(sizing.risk_frac * self.cash / min(ways), most)
        if costs.quantity_step:
            amount = math.floor(amount / costs.quantity_step) * costs.quantity_step
        if amount < costs.minimum_quantity or amount * price < costs.minimum_notional_quote:
            return 0.0
        return amount

    def half_kelly(self):
        sizing, returns = self.sizing, self.returns
        won = [r for r in returns if r > 0]
        lost = [-r for r in returns if r <= 0]
        if len(returns) < sizing.kelly_minimum_trades or not won:
            return sizing.kelly_floor_frac
        if sum(lost) == 0:
            return max(sizing.kelly_cap_frac, sizing.kelly_floor_frac)
        share = len(won) / len(returns)
        edge = (sum(won) / len(won)) / (sum(lost) / len(lost))
        half = (share - (1 - share) / edge) / 2
        return max(sizing.kelly_floor_frac, min(sizing.kelly_cap_frac, half))

    def slippage(self, amount):
        slippage = self.costs.slippage_frac
        if self.costs.slippage_atr_mult:
            slippage += self.costs.slippage_atr_mult * self.atr / self.last_close
        if self.costs.slippage_volume_mult:
            share = math.sqrt(amount / self.volume) if self.volume else math.inf
            slippage += min(0.5, self.costs.slippage_volume_mult * share)
        return min(slippage, 0.99)

    def worse(self, price, side):
        """What a market order of the whole position on this side really gets."""
        return price * (1 + side * self.slippage(self.amount))

    def stop(self):
        levels = []
        if self.exits.stop_loss_frac is not None:
            levels.append((self.entry * (1 - self.side * self.exits.stop_loss_frac), "stop"))
        if self.exits.trailing_stop_frac is not None:
            levels.append((self.best * (1 - self.side * self.exits.trailing_stop_frac), "trailing"))
        if self.exits.stop_loss_atr is not None:
            away = self.exits.stop_loss_atr * self.entry_atr
            levels.append((self.entry - self.side * away, "stop"))
        if self.exits.trailing_stop_atr is not None:
            away = self.exits.trailing_stop_atr * self.entry_atr
            levels.append((self.best - self.side * away, "trailing"))
        margin = self.sizing.maintenance_margin_frac
        if margin is None and self.sizing.leverage > 1:
            margin = min(0.05, 0.5 / self.sizing.leverage)
        if margin is not None:
            # cash + side * amount * p = margin * amount * p
            broke = self.cash / (self.amount * (margin - self.side))
            levels.append((max(broke, 0.0), "liquidation"))
        if not levels:
            return None, None
        # max keeps the first of equals: the fixed stop.
        return max(levels, key=lambda level: self.side * level[0])

    def target(self):
        targets = []
        if self.exits.take_profit_frac is not None:
            targets.append(self.entry * (1 + self.side * self.exits.take_profit_frac))
        if self.exits.take_profit_atr is not None:
            away = self.exits.take_profit_atr * self.entry_atr
            targets.append(self.entry + self.side * away)
        return min(targets, key=lambda level: self.side * level) if targets else None

    def is_target_first(self, bar, stop, target):
        """Whether finer bars show the target alone before any of them touches the stop."""
        for fine in self.finer:
            if not bar.open_time <= fine.open_time < bar.open_time + self.interval:
                continue
            against, along = (fine.low, fine.high) if self.side > 0 else (fine.high, fine.low)
            stopped = self.side * against <= self.side * stop
            reached = self.side * along >= self.side * target
            if stopped and reached:
                break
            if stopped or reached:
                self.resolved += 1
                return reached
        self.ambiguous += 1
        return False

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
            self.enter(t, bar, self.order_in)
        self.order_out, self.order_in = None, 0

    def inside(self, t, bar):
        if not self.side:
            return
        against, along = (bar.low, bar.high) if self.side > 0 else (bar.high, bar.low)
        stop, reason = self.stop()
        target = self.target()
        is_stopped = stop is not None and self.side * against <= self.side * stop
        is_reached = target is not None and self.side * along >= self.side * target
        if is_stopped and is_reached and self.is_target_first(bar, stop, target):
            is_stopped = False
        if is_stopped:
            level = min(self.side * stop, self.side * bar.open) * self.side
            price = self.worse(level, -self.side)
            self.leave(t, price, self.costs.taker_fee_frac, reason, at_open=False)
        elif is_reached:
            self.leave(t, target, self.costs.maker_fee_frac, "target", at_open=False)
        else:
            self.best = max(self.side * self.best, self.side * along) * self.side
            self.closes += 1

    def is_informed(self):
        """Whether each average that the options ask for has a value above 0."""
        exits, asked = self.exits, []
        atr_exits = (exits.stop_loss_atr, exits.take_profit_atr, exits.trailing_stop_atr)
        if self.costs.slippage_atr_mult or any(each is not None for each in atr_exits):
            asked.append(self.atr)
        if self.sizing.method.value == "volatility_target":
            asked.append(self.volatility)
        if self.costs.slippage_volume_mult:
            asked.append(self.volume)
        return all(value > 0 for value in asked)

    def at_close(self, bar, wanted, before, known):
        self.last_close = bar.close
        self.atr, self.volatility, self.volume = known or (0.0, 0.0, 0.0)
        equity = self.cash + self.side * self.amount * bar.close
        self.equity.append(equity)
        self.position.append(self.side * self.amount)
        self.ruined = self.ruined or equity <= 0
        allowed = wanted == 1 or (wanted == -1 and self.sizing.allow_short)
        allowed = allowed and self.is_informed()
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
