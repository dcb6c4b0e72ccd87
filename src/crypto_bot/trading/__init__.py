"""Stage 9, intent to orders: paper sessions under risk limits, written down before they act.

In: closed `Bars` per symbol and a `DecisionMaker` (a model or a strategy). Out: a `PaperResult` with
the same TRADE records as the backtest of those bars, and decisions, orders and fills in the journal.
Orders never leave this machine: there is no live mode yet.
"""

from crypto_bot.trading.broker import Broker, PaperBroker
from crypto_bot.trading.decisions import DecisionMaker, ModelDecisions, StrategyDecisions
from crypto_bot.trading.recording import Intervention, SessionRecord, Step
from crypto_bot.trading.risk import (
    Allowed,
    Blocked,
    EntryIntent,
    RiskGuard,
    RiskLimits,
    RiskState,
    mark_risk_state,
    open_risk_state,
)
from crypto_bot.trading.session import PaperOptions, PaperResult, PaperSession
from crypto_bot.trading.twin import (
    TradedSymbol,
    expected_backtest,
    expected_signals,
    expected_trades,
)

__all__ = [
    "Allowed",
    "Blocked",
    "Broker",
    "DecisionMaker",
    "EntryIntent",
    "Intervention",
    "ModelDecisions",
    "PaperBroker",
    "PaperOptions",
    "PaperResult",
    "PaperSession",
    "RiskGuard",
    "RiskLimits",
    "RiskState",
    "SessionRecord",
    "Step",
    "StrategyDecisions",
    "TradedSymbol",
    "expected_backtest",
    "expected_signals",
    "expected_trades",
    "mark_risk_state",
    "open_risk_state",
]
