"""A stretch of bars made ready once, and many settings judged on it, by whichever walk the rules allow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from crypto_bot.core.arrays import PerBarDirection
from crypto_bot.core.bars import Bars
from crypto_bot.core.funding import FundingRates
from crypto_bot.core.orders import Signals
from crypto_bot.engine.blocks import Market, Marks, prepare_market, prepare_marks
from crypto_bot.engine.first_touch import has_levels
from crypto_bot.engine.ledger import round_trips
from crypto_bot.engine.metrics import tally
from crypto_bot.engine.options import CostOptions, ExitOptions, SizingOptions
from crypto_bot.engine.rules import (
    Conditions,
    MatchingRules,
    conditions_of,
    is_plain,
    known_features,
    matching_rules,
)
from crypto_bot.engine.sides import Sides, unpack_directions
from crypto_bot.engine.sweep_kernel import tally_sides
from crypto_bot.engine.walk import walk

Tallies = npt.NDArray[np.float64]
"""(settings, len(Tally._fields))"""


@dataclass(frozen=True, eq=False)
class Stretch:
    """Bars to trade, at least one, with what judging many settings asks again and again.

    Attributes
    ----------
    bars : Bars
    costs, sizing, funding
    market, marks                 for rules that let bars be skipped
    conditions : by the features the rules read    for rules that do not
    """

    bars: Bars
    costs: CostOptions
    sizing: SizingOptions
    funding: FundingRates | None
    market: Market = field(repr=False)
    marks: Marks = field(repr=False)
    conditions: dict[tuple[str, ...], Conditions] = field(repr=False)

    def rules(self, exits: ExitOptions) -> MatchingRules:
        """The rules of these exits here."""
        return matching_rules(self.costs, exits, self.sizing, has_funding=self.funding is not None)

    def tally(self, sides: Sides, exits: ExitOptions) -> Tallies:
        """The sums of every setting's backtest with these exits; those of `simulate` to 1e-9."""
        rules = self.rules(exits)
        if is_plain(rules):
            return tally_sides(self.market, self.marks, sides, self.sizing.initial_cash, rules)
        conditions = self.conditions[known_features(self.costs, exits, self.sizing)]
        return np.stack(
            [
                self._tally_walk(unpack_directions(up, down, len(self.bars)), conditions, rules)
                for up, down in zip(*sides, strict=True)
            ]
        )

    def _tally_walk(
        self, direction: PerBarDirection, conditions: Conditions, rules: MatchingRules
    ) -> Tallies:
        bars, cash = self.bars, self.sizing.initial_cash
        walked = walk(bars, Signals(direction, np.zeros(len(bars))), conditions, rules, cash)
        trades = round_trips(
            walked.fills,
            bars.open_time,
            bars.close_time,
            float(bars.close[-1]),
            walked.open_financing,
        )
        return np.array(tally(trades, walked.fills, walked.equity, walked.position, bars, cash))


def prepare_stretch(
    bars: Bars,
    exits: Sequence[ExitOptions],
    costs: CostOptions,
    sizing: SizingOptions,
    *,
    funding: FundingRates | None = None,
    history: Bars | None = None,
) -> Stretch:
    """Make a stretch of bars ready for these exits.

    Parameters
    ----------
    bars : Bars                at least one
    exits, costs, sizing
    funding : FundingRates     of a perpetual
    history : Bars             just before, on which ATR, volatility and volume settle

    Raises
    ------
    DataError      if history or funding do not fit the bars
    ConfigError    if sizing by risk_to_stop has no stop
    """
    conditions: dict[tuple[str, ...], Conditions] = {}
    with_levels = False
    for options in exits:
        rules = matching_rules(costs, options, sizing, has_funding=funding is not None)
        if is_plain(rules):
            with_levels |= has_levels(rules)
            continue
        known = known_features(costs, options, sizing)
        if known not in conditions:
            conditions[known] = conditions_of(
                bars, costs, options, sizing, funding=funding, history=history
            )
    market, marks = prepare_market(bars, with_levels=with_levels), prepare_marks(bars)
    return Stretch(bars, costs, sizing, funding, market, marks, conditions)
