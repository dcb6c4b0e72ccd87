"""Stage 9, intent to orders: paper sessions under risk limits, written down before they act.

In: closed `Bars` per symbol, stored or as they come from a `CandleFeed`, and a `DecisionMaker` (a
model or a strategy). Out: a `PaperResult` with the same TRADE records as the backtest of those bars,
and decisions, orders and fills in the journal. `PaperSession` replays, `LiveSession` goes along.
Orders never leave this machine: there is no live mode yet.
"""

from crypto_bot.trading.broker import PaperBroker
from crypto_bot.trading.decisions import DecisionMaker, ModelDecisions, StrategyDecisions
from crypto_bot.trading.feeds import CandleFeed, KeptFeed, ReplayFeed, StoreFeed
from crypto_bot.trading.lane import LiveSymbol
from crypto_bot.trading.live import CloseReport, LiveSession
from crypto_bot.trading.paper import PaperOptions, PaperResult
from crypto_bot.trading.port import Broker
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
from crypto_bot.trading.session import PaperSession
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
    "CandleFeed",
    "CloseReport",
    "DecisionMaker",
    "EntryIntent",
    "Intervention",
    "KeptFeed",
    "LiveSession",
    "LiveSymbol",
    "ModelDecisions",
    "PaperBroker",
    "PaperOptions",
    "PaperResult",
    "PaperSession",
    "ReplayFeed",
    "RiskGuard",
    "RiskLimits",
    "RiskState",
    "SessionRecord",
    "Step",
    "StoreFeed",
    "StrategyDecisions",
    "TradedSymbol",
    "expected_backtest",
    "expected_signals",
    "expected_trades",
    "mark_risk_state",
    "open_risk_state",
]
