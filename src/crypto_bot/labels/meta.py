"""Would this entry have paid? Labels on a strategy's own trades, as the engine simulates them."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from crypto_bot.core import Bars
from crypto_bot.core.errors import ConfigError
from crypto_bot.engine import (
    CostOptions,
    ExitOptions,
    Reentry,
    SizingOptions,
    exits_for,
    simulate,
)
from crypto_bot.labels.base import LabelOptions, Labels, assembled, describe, label_kind
from crypto_bot.strategies import Strategy, get_strategy

_SMALL = 0.01
"""Share of equity in a trade: whether one paid must not hang on what the ones before it left."""


class MetaLabelOptions(LabelOptions):
    """Options of `meta_labels`."""

    kind: ClassVar[str] = "meta"

    strategy: str = Field(default="sma_cross", description="the strategy whose entries are judged")
    parameters: dict[str, int | float | bool | str] = Field(
        default_factory=dict, description="its parameters; others keep their defaults"
    )
    bet_bars: int = Field(default=300, ge=1, le=2000, description="bars a bet lasts at most")
    exits: ExitOptions = Field(default=ExitOptions(), description="when a trade ends")
    costs: CostOptions = Field(default=CostOptions(), description="what a trade costs")
    allow_short: bool = Field(default=True, description="false: only long entries are made")

    def model_post_init(self, context: Any) -> None:
        """Refuse a strategy that is unknown, wrongly set or needs more than candles; re-entries."""
        del context
        self.bets()
        if self.exits.reentry != Reentry.NEW_SIGNAL:
            raise ConfigError(
                f"exits.reentry must be {Reentry.NEW_SIGNAL}, was {self.exits.reentry}: "
                "a bet is decided once, when its signal is new"
            )

    def bets(self) -> Strategy:
        """The strategy `meta`, which makes the bets that are judged."""
        return get_strategy(
            "meta", strategy=self.strategy, parameters=self.parameters, bet_bars=self.bet_bars
        )


@label_kind(MetaLabelOptions)
def meta_labels(bars: Bars, options: MetaLabelOptions | None = None) -> Labels:
    """Label 1 where the trade that the strategy entered made money after costs, else 0.

    Parameters
    ----------
    bars : Bars
    options : MetaLabelOptions, optional    the strategy, its exits and costs

    Returns
    -------
    Labels    classes (0, 1); labelled are the bars at whose close an entry was decided, `side` is its
              direction, the end is the bar of the exit

    Raises
    ------
    ConfigError    if the strategy never settles, so that its entries hang on where the data starts

    Notes
    -----
    Judged are the trades of the strategy `meta` if every bet is taken: those of the primary itself,
    except that a bet ended by a stop, or by its time, is not entered again while its side is wanted.
    Looks ahead as far as the trade lasts, without a bound unless `exits.max_holding_bars` gives one.
    Trades that are still open at the last bar, and those decided before the strategy's features have
    settled, are unlabelled. Trades are small and equal shares of equity, so that no label depends
    on what the others earned. Source: Lopez de Prado 2018, section 3.6.
    """
    options = MetaLabelOptions() if options is None else options
    bets, primary = options.bets(), get_strategy(options.strategy, **options.parameters)
    settled = primary.history_bars(bars.timeframe) - 1
    values = np.zeros(len(bars), dtype=np.int8)
    side = np.zeros(len(bars), dtype=np.int8)
    end_bar = np.full(len(bars), -1, dtype=np.int64)
    if len(bars):
        trades = simulate(
            bars,
            bets.signals_on(bars, {"p_up": np.ones(len(bars))}),
            costs=options.costs,
            exits=exits_for(bets, options.exits),
            sizing=SizingOptions(fraction=_SMALL, allow_short=options.allow_short),
        ).trades
        trades = trades[(trades["exit_bar"] >= 0) & (trades["entry_bar"] > settled)]
        decided = trades["entry_bar"] - 1
        values[decided] = trades["pnl_quote"] > 0.0
        side[decided] = trades["direction"]
        end_bar[decided] = trades["exit_bar"]
    definition = describe(f"meta_{options.strategy}", bars, options, horizon_bars=_bound(options))
    return assembled(bars, values, end_bar, classes=(0, 1), definition=definition, side=side)


def _bound(options: MetaLabelOptions) -> int | None:
    """Bars from the decision to the exit at most: entered one later, sold one after its last close."""
    held = options.exits.max_holding_bars
    return None if held is None else held + 1
