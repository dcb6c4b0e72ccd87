"""The session that resume tests start, stop, kill and start again."""

from __future__ import annotations

from crypto_bot.engine import ExitOptions
from crypto_bot.strategies import get_strategy
from crypto_bot.trading import PaperOptions, PaperSession, RiskLimits, StrategyDecisions
from paper_markets import NO_LIMITS, traded

# Tight enough to bite now and then, so that interventions are part of what must be repeated.
LIMITS = RiskLimits(
    max_open_positions=1,
    max_daily_loss_frac=0.02,
    max_drawdown_frac=1,
    kill_switch_file=NO_LIMITS.kill_switch_file,
)
OPTIONS = PaperOptions(
    exits=ExitOptions(stop_loss_frac=0.01, take_profit_frac=0.015),
    limits=LIMITS,
    journal_batch=100,
)


def symbols():
    maker = StrategyDecisions(get_strategy("sma_cross"))
    return [traded(f"A{seed}/USDT", 250, seed, maker, history=60) for seed in range(3)]


def session_on(journal, run_id, **more):
    return PaperSession(symbols(), options=OPTIONS, journal=journal, run_id=run_id, **more)


def written(journal, run_id):
    """Everything a run wrote, in an order that does not depend on when."""
    fills = sorted(journal.fills(run_id), key=lambda fill: (fill.filled_at_ns, fill.client_id))
    return journal.decisions(run_id), journal.orders(run_id), fills
