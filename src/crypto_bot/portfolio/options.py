"""What one cash account allows its strategies."""

from __future__ import annotations

from pydantic import Field

from crypto_bot.core.options import Options
from crypto_bot.engine.options import SizingMethod, SizingOptions


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


def equal_parts(sizing: SizingOptions, slots: int, options: PortfolioOptions) -> SizingOptions:
    """The sizes, the whole account cut into equal parts: one a position it may hold.

    Sizes that already say which part (a fraction below 1, or another method) stay as they are.
    """
    if sizing.method is not SizingMethod.PERCENT_OF_EQUITY or sizing.fraction < 1.0:
        return sizing
    return sizing.replace(fraction=1.0 / min(slots, options.max_open_positions))
