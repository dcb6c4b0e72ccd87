"""A primary strategy's bets, kept where a model says that they pay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import numpy as np
from numba import njit
from pydantic import BeforeValidator, Field

from crypto_bot.core import OHLCV, Signals
from crypto_bot.core.arrays import Mask, PerBar, PerBarDirection
from crypto_bot.core.errors import ConfigError
from crypto_bot.strategies.base import (
    REGIMES,
    Columns,
    Strategy,
    StrategyParameters,
    strategy,
)
from crypto_bot.strategies.catalog import get_strategy


def _pairs(values: Any) -> Any:
    """A mapping as sorted pairs, so that parameters stay hashable."""
    return tuple(sorted(values.items())) if isinstance(values, Mapping) else values


Pairs = Annotated[tuple[tuple[str, int | float | bool | str], ...], BeforeValidator(_pairs)]


class MetaParameters(StrategyParameters):
    """Parameters of `meta`."""

    data_choices: ClassVar[tuple[str, ...]] = ("strategy", "parameters")

    strategy: str = Field(default="sma_cross", description="the primary strategy")
    parameters: Pairs = Field(
        default=(), description="its parameters as a mapping; others keep their defaults"
    )
    threshold: float = Field(
        default=0.5, ge=0, le=0.99, description="a bet needs a probability above this"
    )
    bet_bars: int = Field(default=300, ge=1, le=2000, description="bars a bet lasts at most")

    def model_post_init(self, context: Any) -> None:
        """Refuse a primary that is unknown, wrongly set, or needs more than candles."""
        super().model_post_init(context)
        if self.primary().needs:
            raise ConfigError(f"strategy must need candles only, was {self.strategy!r}")

    def primary(self) -> Strategy:
        """The strategy whose bets are kept or dropped."""
        return get_strategy(self.strategy, **dict(self.parameters))

    def features(self) -> tuple[str, ...]:
        """The primary's."""
        return self.primary().features()

    def lookback_bars(self) -> int:
        """The primary's, the longest bet, and as much before it to know that its side was new."""
        return self.primary().lookback_bars() + 2 * self.bet_bars


@strategy(
    "meta",
    parameters=MetaParameters,
    regime=REGIMES,
    signal_exit="flat",
    prices=OHLCV,
    predictions=("p_up",),
)
def meta(columns: Columns, parameters: MetaParameters) -> Signals:
    """Take a primary strategy's bets where the model's p_up is above the threshold.

    Data: columns p_up, a model's probability that the bet pays, and what the primary reads. A bet
    begins where the primary's side is new and is taken or left there, as `MetaLabelOptions` judges
    it. It lasts while the primary wants the side, or until the other one where only that ends its
    positions; at most `bet_bars`, after which so many bars without a side forget it. It ends where a
    number is missing. Score is p_up. A bet ended by a stop is not entered again. Source: Lopez de
    Prado 2018, section 3.6.

    Mended: the originals asked the model again at every bar, so that it closed bets which it had
    only learned to open.
    """
    primary = parameters.primary()
    is_known = np.isfinite(columns["p_up"])
    for name in primary.features():
        is_known &= np.isfinite(columns[name])
    return Signals(
        *_taken(
            primary.signals(columns).direction,
            columns["p_up"],
            is_known,
            primary.signal_exit == "opposite",
            parameters.threshold,
            parameters.bet_bars,
        )
    )


@njit(cache=True, nogil=True)
def _taken(  # type: ignore[no-untyped-def]
    wanted: PerBarDirection,
    p_up: PerBar,
    is_known: Mask,
    is_held: bool,
    threshold: float,
    bet_bars: int,
):
    direction = np.zeros(len(wanted), np.int8)
    score = np.zeros(len(wanted))
    side, age, quiet, is_taken = 0, 0, 0, False
    for i in range(len(wanted)):
        age += 1
        quiet += 1
        is_over = wanted[i] == -side or (wanted[i] == 0 and not (is_held and quiet < bet_bars))
        if is_over:
            side = 0
        if wanted[i] != 0:
            quiet = 0
            if side == 0:
                side, age, is_taken = wanted[i], 0, p_up[i] > threshold
        if not is_known[i]:
            is_taken = False
        if side != 0 and is_taken and age < bet_bars:
            direction[i] = side
            score[i] = min(max(p_up[i], 0.0), 1.0)
    return direction, score
