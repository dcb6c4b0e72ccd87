"""How the predictions of a setting are traded, in a search and after it: one definition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from crypto_bot.core import Bars
from crypto_bot.core.arrays import PerRowClass
from crypto_bot.core.errors import DataError
from crypto_bot.core.funding import FundingRates
from crypto_bot.dataset import Dataset
from crypto_bot.engine import BacktestResult, CostOptions, ExitOptions, SizingOptions
from crypto_bot.engine.options import Reentry
from crypto_bot.strategies import get_strategy
from crypto_bot.tuning.settings import ModelSetting
from crypto_bot.validation import OutOfSample, trade_out_of_sample

LEAST_THRESHOLD, LARGEST_THRESHOLD = 0.3, 0.99
"""What the strategy `model` takes."""


@dataclass(frozen=True)
class TradingTerms:
    """The account that predictions are traded on.

    Attributes
    ----------
    costs, sizing : of every fill and position
    exits : stops and targets; the signal's part is the setting's
    funding : symbol -> rates, charged where a symbol has them
    """

    costs: CostOptions = field(default_factory=CostOptions)
    exits: ExitOptions = field(default_factory=lambda: ExitOptions(reentry=Reentry.WHILE_SIGNAL))
    sizing: SizingOptions = field(default_factory=SizingOptions)
    funding: Mapping[str, FundingRates] = field(default_factory=dict)


def threshold_for(probabilities: PerRowClass, classes: tuple[int, ...], open_share: float) -> float:
    """The probability above which a share of the decisions takes a side.

    Parameters
    ----------
    probabilities : float64 (rows, classes)    out of fold; NaN rows are left out
    classes : label of each column
    open_share : 0..1

    Raises
    ------
    DataError    if no row has probabilities
    """
    known = probabilities[np.isfinite(probabilities).all(axis=1)]
    if not len(known):
        raise DataError("probabilities must be known on some row to set a threshold, were on none")
    sides = [k for k, label in enumerate(classes) if label != 0 or -1 not in classes]
    strongest = known[:, sides].max(axis=1)
    found = float(np.quantile(strongest, 1.0 - open_share))
    return min(max(found, LEAST_THRESHOLD), LARGEST_THRESHOLD)


def trade_setting(
    setting: ModelSetting,
    predictions: OutOfSample,
    threshold: float,
    dataset: Dataset,
    bars: Sequence[Bars],
    terms: TradingTerms,
) -> list[BacktestResult]:
    """Backtests of the predictions, one a symbol with bars in the tested stretch, costs included."""
    strategy = get_strategy("model", threshold=threshold, allow_short=terms.sizing.allow_short)
    tested = [
        each for each in bars if each.symbol in dataset.symbols and _is_tested(each, predictions)
    ]
    return trade_out_of_sample(
        dataset,
        predictions,
        tested,
        strategy,
        costs=terms.costs,
        exits=setting.exits(terms.exits),
        sizing=terms.sizing,
        funding=terms.funding,
    )


def _is_tested(bars: Bars, predictions: OutOfSample) -> bool:
    times = bars.close_time
    return bool(((times >= predictions.start_ns) & (times <= predictions.end_ns)).any())
