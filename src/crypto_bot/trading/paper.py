"""What a paper session is told, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import Field, field_validator

from crypto_bot.core.arrays import PerBar, PerBarTime, PerTrade
from crypto_bot.core.options import Options
from crypto_bot.core.orders import Fill, Order
from crypto_bot.engine.options import CostOptions, ExitOptions, SizingOptions
from crypto_bot.trading.recording import Intervention
from crypto_bot.trading.risk import RiskLimits


class PaperOptions(Options):
    """How a paper session trades. `sizing.initial_cash` is what EACH symbol's account opens with."""

    mode: str = Field(default="paper", description="paper is the only mode there is")
    costs: CostOptions = Field(default=CostOptions(), description="fees and slippage")
    exits: ExitOptions = Field(default=ExitOptions(), description="stops, targets, time exits")
    sizing: SizingOptions = Field(default=SizingOptions(), description="size of an entry")
    limits: RiskLimits = Field(default=RiskLimits(), description="what blocks an entry")
    journal_batch: int = Field(
        default=5_000, ge=1, description="decisions and fills written to the journal together"
    )

    @field_validator("mode")
    @classmethod
    def _only_paper(cls, mode: str) -> str:
        if mode != "paper":
            raise ValueError(
                "be paper: live trading is not available, orders never leave this machine"
            )
        return mode


@dataclass(frozen=True, eq=False)
class PaperResult:
    """What a paper session came to, or has come to so far.

    A live session keeps the newest of trades, orders, fills and interventions, and from a hundred
    thousand closes on every second, fourth ... value of the equity; the journal has them all.

    Attributes
    ----------
    run_id : str
    trades : symbol -> TRADE (trades,)     as `simulate` lists them; an open position last
    times_ns : int64 (times,)              every close at which some symbol had a bar
    equity : float64 (times,)              all accounts together, quote
    initial_cash : float                   all accounts together, quote
    decisions : int                        symbol-bars decided
    orders : tuple[Order, ...]             sent, in order
    fills : tuple[Fill, ...]               in order
    blocked : tuple[Intervention, ...]     what limits and interventions changed, with reasons
    is_complete : bool                     False when it was stopped; the same run id goes on
    is_simulated : bool                    the candles were
    """

    run_id: str
    trades: dict[str, PerTrade]
    times_ns: PerBarTime
    equity: PerBar
    initial_cash: float
    decisions: int
    orders: tuple[Order, ...]
    fills: tuple[Fill, ...]
    blocked: tuple[Intervention, ...]
    is_complete: bool
    is_simulated: bool
