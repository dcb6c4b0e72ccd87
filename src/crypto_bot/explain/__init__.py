"""Why a model says what it says. In: rows, their out-of-sample predictions and models. Out: `Explanation`.

Everything is measured on rows that the explained model never saw.
"""

from crypto_bot.explain.contributions import Contributions, can_contribute, contributions
from crypto_bot.explain.dependence import PartialDependence, partial_dependence, quantile_grid
from crypto_bot.explain.explanation import (
    Explanation,
    PermutedFeature,
    ShapRows,
    explain_model,
    lag_groups,
)
from crypto_bot.explain.options import ExplainOptions

__all__ = [
    "Contributions",
    "ExplainOptions",
    "Explanation",
    "PartialDependence",
    "PermutedFeature",
    "ShapRows",
    "can_contribute",
    "contributions",
    "explain_model",
    "lag_groups",
    "partial_dependence",
    "quantile_grid",
]
