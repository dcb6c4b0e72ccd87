"""Intent becomes fills, fills become equity: `Bars` and `Signals` in; trades and `Metrics` out.

**When.** A bar is known when it closes. What is decided at the close of bar t is filled at the open
of the next existing bar: after an outage that is the first bar after it. Equity is marked at every
close; missing bars are never invented.

**At the open, in this order.** (1) Orders decided at the last close, as market orders: a buy at
open * (1 + slippage), a sale at open * (1 - slippage), taker fee. (2) For a position held from an
earlier bar, a stop or target that the open has already passed fills at the open.

**Inside the bar.** A long's stop is touched when low <= level, its target when high >= level;
shorts are mirrored. If both are touched the stop came first. Stops fill at the level, with slippage
and taker fee; targets are limit orders: exactly the level (the open after a gap), maker fee, no
slippage. Distances are measured from the real fill price. A stop nearer than the slippage, so
already passed at the entry bar's open, fills at that open. The trailing stop hangs on the best
price since entry up to the bar before (on the entry bar: on the entry price); the tighter of stop
and trailing stop counts, and the reason is TRAILING when the trailing one is tighter.

**At the close.** While in a position: ruin, then the signal, then the time exit. `signal_exit` says
what a direction does: FLAT (0 or opposite closes), OPPOSITE (0 holds), NEVER. An opposite direction
that closes also enters the other side at the same open (reason REVERSE), unless it is a short and
shorts are not allowed (reason SIGNAL). The time exit is decided at the `max_holding_bars`-th close
of the position. While flat: after an exit in bar e the closes e .. e + cooldown_bars - 1 cannot
enter; afterwards `reentry` NEW_SIGNAL needs a direction that differs from the bar before (the first
bar's counts as new), WHILE_SIGNAL any but 0. A refused entry is counted and not tried again.

**Size.** Fractional, at the fill: percent_of_equity spends fraction * equity, fee included;
fixed_quote buys that notional, fixed_quantity that much; risk_to_stop loses risk_frac * equity
between fill and stop, before costs; half_kelly and volatility_target are told in `engine.sizing`. None
exceeds what leverage * equity pays for with its fee. `quantity_step` floors; an entry below
`minimum_quantity` or `minimum_notional_quote` is refused.

**Shorts and margin.** The account receives a short's proceeds; equity = cash + quantity * close,
quantity negative. Funding and interest are charged at the open of a bar, before anything fills, to
the position carried into it (`engine.financing`). A touched liquidation price closes like a stop. Ruin
(equity <= 0 at a close) closes the position at the next open, reason STOP, and nothing is entered
again.

**End.** An open position is marked at the last close and listed with reason OPEN and exit_bar -1;
win rate, profit factor, expectancy and `trades` count closed trades only.
"""

from crypto_bot.engine.financing import borrow_due, financing, funding_due, liquidation_price
from crypto_bot.engine.ledger import FILL, fill_rows, round_trips
from crypto_bot.engine.matching import (
    UNASKED,
    AccountState,
    BarEvents,
    FillEvent,
    advance,
    decide,
    open_account,
)
from crypto_bot.engine.metrics import METRICS, Metrics
from crypto_bot.engine.options import (
    CostOptions,
    ExitOptions,
    Reentry,
    SignalExit,
    SizingMethod,
    SizingOptions,
)
from crypto_bot.engine.rules import (
    Conditions,
    Known,
    MatchingRules,
    conditions_of,
    is_plain,
    known_features,
    matching_rules,
)
from crypto_bot.engine.settling import exits_for, settled_bars
from crypto_bot.engine.signal_sweep import SIGNAL_SWEEP_SCHEMA, sweep_signals
from crypto_bot.engine.simulate import BacktestResult, simulate
from crypto_bot.engine.sweep import sweep
from crypto_bot.engine.sweep_table import SWEEP_SCHEMA, SkippedTrial, SweepResult

__all__ = [
    "FILL",
    "METRICS",
    "SIGNAL_SWEEP_SCHEMA",
    "SWEEP_SCHEMA",
    "UNASKED",
    "AccountState",
    "BacktestResult",
    "BarEvents",
    "Conditions",
    "CostOptions",
    "ExitOptions",
    "FillEvent",
    "Known",
    "MatchingRules",
    "Metrics",
    "Reentry",
    "SignalExit",
    "SizingMethod",
    "SizingOptions",
    "SkippedTrial",
    "SweepResult",
    "advance",
    "borrow_due",
    "conditions_of",
    "decide",
    "exits_for",
    "fill_rows",
    "financing",
    "funding_due",
    "is_plain",
    "known_features",
    "liquidation_price",
    "matching_rules",
    "open_account",
    "round_trips",
    "settled_bars",
    "simulate",
    "sweep",
    "sweep_signals",
]
