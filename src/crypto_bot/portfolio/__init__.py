"""Many strategies and symbols on one cash account: slots in; one curve and its attribution out.

At one moment, closes come before opens. At a close: stops and targets inside the bar, the value of
what is held, the next decisions. At an open: what holding cost, then every exit, then the entries
by score, highest first, of equals the slot given first. An entry beyond a limit is made smaller, or
refused and told in `refusals`. A portfolio of one slot is `engine.simulate`, bit for bit.
"""

from crypto_bot.portfolio.options import PortfolioOptions, equal_parts
from crypto_bot.portfolio.run import (
    PortfolioResult,
    Slot,
    equal_weight_index,
    portfolio_slots,
    simulate_portfolio,
)

__all__ = [
    "PortfolioOptions",
    "PortfolioResult",
    "Slot",
    "equal_parts",
    "equal_weight_index",
    "portfolio_slots",
    "simulate_portfolio",
]
