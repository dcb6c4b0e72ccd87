"""What one kind of model did on rows it never saw, and what the gate made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from crypto_bot.backtest.recipes import Recipe
from crypto_bot.backtest.workbench import Workbench
from crypto_bot.core import Bars, ModelCard
from crypto_bot.core.funding import FundingRates
from crypto_bot.dataset import Dataset
from crypto_bot.engine import BacktestResult, ExitOptions
from crypto_bot.gate import Pooled, Verdict
from crypto_bot.training import Scores, TrainedModel
from crypto_bot.validation import ClassBaseline, OutOfSample


@dataclass(frozen=True, eq=False)
class Examined:
    """What one kind of model did on rows it never saw.

    Attributes
    ----------
    dataset : Dataset            every labelled row of the development stretch
    predictions : OutOfSample
    results : tuple              backtests of those predictions, one a pair, costs included
    pooled : Pooled              their accounts summed
    scores : Scores              of the out-of-sample probabilities
    left_out : tuple of str      symbols it could not learn from, with the reason
    bars : tuple of Bars         what the dataset was built from
    class_scores : ClassBaseline the predictions beside the class shares
    funding : symbol -> rates    charged to the account
    notes : dict                 what a search found besides, JSON-ready; kept with the verdict
    """

    recipe: Recipe
    dataset: Dataset
    predictions: OutOfSample
    results: tuple[BacktestResult, ...]
    pooled: Pooled
    scores: Scores
    left_out: tuple[str, ...]
    bars: tuple[Bars, ...]
    class_scores: ClassBaseline
    funding: Mapping[str, FundingRates] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)

    def exits(self, bench: Workbench) -> ExitOptions:
        """What ends a position of this model."""
        return self.recipe.exits(bench)


@dataclass(frozen=True, eq=False, kw_only=True)
class Learned(Examined):
    """An examined kind of model with its verdict.

    Attributes
    ----------
    verdict : Verdict            of the gate
    model : TrainedModel         trained on the whole development stretch
    version : str | None         its id in the registry; None where it was not published
    card : ModelCard
    """

    verdict: Verdict
    model: TrainedModel
    version: str | None
    card: ModelCard

    @property
    def promoted(self) -> bool:
        """The gate said yes."""
        return self.verdict.promoted
