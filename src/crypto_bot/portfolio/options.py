"""What one cash account allows its strategies."""

from __future__ import annotations

from pydantic import Field

from crypto_bot.core.options import Options


class PortfolioOptions(Options):
    """Limits of the shared account; an entry beyond one is made smaller, or refused and told."""

    max_open_positions: int = Field(default=10, ge=1, description="positions held at once")
    max_symbol_exposure_frac: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="positions of one symbol, all strategies, over equity; None = no limit",
    )
    max_exposure_frac: float = Field(
        default=1.0, gt=0, le=1, description="all positions over equity, longs and shorts added"
    )
