"""How much is looked at to explain a model."""

from __future__ import annotations

from pydantic import Field

from crypto_bot.core.options import Options


class ExplainOptions(Options):
    """Rows and repeats of an explanation; all rows are out of sample, drawn by `seed`."""

    contribution_rows: int = Field(
        default=240, ge=1, description="rows whose contributions (SHAP values) are computed"
    )
    permuted_rows: int = Field(
        default=2000, ge=1, description="rows, all folds together, to permute a feature in"
    )
    repeats: int = Field(default=3, ge=1, le=100, description="permutations of a feature a fold")
    dependence_features: int = Field(
        default=6, ge=0, description="features whose partial dependence is drawn, the largest first"
    )
    dependence_rows: int = Field(
        default=300, ge=1, description="rows that partial dependence moves"
    )
    grid: int = Field(default=12, ge=2, le=200, description="values of a feature, at its quantiles")
    single_rows: int = Field(
        default=20, ge=0, description="rows shown by a line of their own (ICE)"
    )
    most_trees: int = Field(
        default=400,
        ge=1,
        description="a model of more trees is asked about fewer rows, so that it takes no longer",
    )
    slow_model_frac: float = Field(
        default=0.15,
        gt=0,
        le=1,
        description="share of the rows for a model with a network in it, whose rows take far longer",
    )
    seed: int = Field(default=42, ge=0, lt=2**31, description="seed of the rows and permutations")
