"""What a selector learns from and when it takes an entry."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from crypto_bot.core.options import Options

DIRECTED: Mapping[str, float] = {
    "bb_percent_20": 0.5,
    "close_to_ema_10": 0.0,
    "cmf_20": 0.0,
    "roc_5": 0.0,
    "rsi_14": 50.0,
}
"""Features that mean the opposite to a short, with the value that means nothing to either side."""

SELECTOR_FEATURES = (
    *("adx_14", "atr_frac_14", "bb_width_20", "volume_ratio_50"),
    *DIRECTED,
)
"""Scale-free, settling, few: a strategy makes hundreds of trades, not hundreds of thousands."""


class SelectorOptions(Options):
    """How a selector learns, and which entries it takes."""

    features: tuple[str, ...] = Field(
        default=SELECTOR_FEATURES,
        min_length=1,
        description="of the catalogue, known at the close that decides; beside them strategy, "
        "regime and side",
    )
    margin_frac: float = Field(
        default=0.0,
        ge=-1,
        le=1,
        description="an entry is taken where its expected return after costs is above this",
    )
    minimum_chance: float = Field(
        default=0.0, ge=0, lt=1, description="and its chance of profit is above this"
    )
    minimum_trades: int = Field(
        default=100, ge=10, description="ended trades that a selector must learn from at least"
    )
    calibration_folds: int = Field(
        default=3, ge=2, le=20, description="stretches inside the training rows that judge chances"
    )
    shrink_trades: float = Field(
        default=20.0,
        gt=0,
        description="a strategy's usual size of a return counts as so many trades of all strategies'",
    )
    tail_frac: float = Field(
        default=0.01,
        ge=0,
        lt=0.5,
        description="returns beyond this share at each end are pulled in to it before they teach",
    )
