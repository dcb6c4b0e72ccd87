"""The sections of the models: their kinds, what they learn from, how they are searched."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from crypto_bot.config.section import Section


class LightGBMSettings(Section):
    """LightGBM, besides what `ml_integration.training` says."""

    n_estimators: int = Field(default=400, ge=1, le=100_000, description="boosting rounds")
    learning_rate: float = Field(default=0.05, gt=0, le=1, description="shrinkage a round")
    num_leaves: int = Field(default=63, ge=2, le=131_072, description="leaves a tree has at most")
    max_depth: int = Field(default=-1, ge=-1, description="deepest split; -1 is no limit")
    min_data_in_leaf: int = Field(default=20, ge=1, description="rows a leaf keeps at least")
    subsample: float = Field(default=1.0, gt=0, le=1, description="fraction of rows a round")
    colsample_bytree: float = Field(default=1.0, gt=0, le=1, description="fraction of features")
    lambda_l1: float = Field(default=0.0, ge=0, description="L1 penalty of leaf values")
    lambda_l2: float = Field(default=0.0, ge=0, description="L2 penalty of leaf values")
    early_stopping_rounds: int = Field(
        default=0, ge=0, description="rounds without a better log loss before it stops; 0: never"
    )
    early_stopping_frac: float = Field(
        default=0.15, gt=0, lt=1, description="last share of the training rows, which judges that"
    )
    early_stopping_embargo_bars: int = Field(
        default=10, ge=0, description="bars left out before those rows"
    )
    monotone_constraints: dict[str, Literal[-1, 0, 1]] = Field(
        default={},
        description="feature: 1, more of it never lowers the chance of up; -1, never raises",
    )
    class_weight: Literal["balanced"] | None = Field(
        default="balanced", description="weighs classes inversely to their frequency"
    )
    seed: int = Field(default=42, ge=0, lt=2**31, description="seed of everything random")
    gpu_platform_id: int = Field(default=-1, ge=-1, description="OpenCL platform; -1 = its default")
    gpu_device_id: int = Field(default=-1, ge=-1, description="OpenCL device; -1 = its default")
    gpu_use_dp: bool = Field(default=False, description="double precision on the GPU")


class ForestSettings(Section):
    """The random forest."""

    n_estimators: int = Field(default=100, ge=1, le=10_000, description="trees")
    random_state: int = Field(default=42, ge=0, lt=2**32, description="seed")
    max_depth: int | None = Field(
        default=None, ge=1, le=1000, description="deepest split; unset: until leaves are pure"
    )
    min_samples_leaf: int = Field(default=1, ge=1, description="rows a leaf keeps at least")
    class_weight: Literal["balanced"] | None = Field(
        default=None, description="weighs classes inversely to their frequency"
    )


class ModelSearchSettings(Section):
    """The trainer `search`: which model, label and threshold, judged as a whole."""

    trials: int = Field(default=12, ge=1, le=10_000, description="models trained a search")
    folds: int = Field(default=3, ge=2, le=50, description="purged folds a setting is tried on")
    sampler: Literal["tpe", "random"] = Field(default="tpe", description="who suggests settings")
    prune: bool = Field(
        default=True, description="give a setting up that stands below the median after a fold"
    )
    seed: int = Field(default=42, ge=0, description="seed")
    models: tuple[Literal["logistic", "lightgbm", "random_forest"], ...] = Field(
        default=("logistic", "lightgbm"), min_length=1, description="kinds of model"
    )
    labels: tuple[Literal["next_up", "three_class", "triple_barrier"], ...] = Field(
        default=("next_up",), min_length=1, description="kinds of label, all of the same classes"
    )
    horizon_bars: tuple[int, ...] = Field(
        default=(12, 24, 48), min_length=1, description="label horizons, bars"
    )
    open_shares: tuple[float, ...] = Field(
        default=(0.25, 0.5, 0.75),
        min_length=1,
        description="shares of decisions that take a side, all tried",
    )
    signal_exits: tuple[Literal["flat", "opposite"], ...] = Field(
        default=("opposite", "flat"), min_length=1, description="what may end a position"
    )
    storage_folder: str = Field(
        default="data/searches", description="keeps the trials, so that a search can be taken up"
    )


class LogisticSettings(Section):
    """Logistic regression with an elastic net: the honest baseline."""

    C: float = Field(default=0.1, gt=0, description="inverse strength of the penalty")
    l1_ratio: float = Field(
        default=0.5, ge=0, le=1, description="share of the L1 penalty: 0 is ridge, 1 is lasso"
    )
    class_weight: Literal["balanced"] | None = Field(
        default="balanced", description="weighs classes inversely to their frequency"
    )
    max_iter: int = Field(default=5000, ge=1, description="passes the solver may take")
    seed: int = Field(default=42, ge=0, lt=2**31, description="seed")


class LSTMSettings(Section):
    """The guide's recurrent network; needs the extra `deep`."""

    look_back: int = Field(default=20, ge=1, le=1000, description="bars in a window")
    units: int = Field(default=50, ge=2, le=2048, description="of the first layer; the second half")
    dropout: float = Field(default=0.2, ge=0, lt=1, description="share dropped after each layer")
    learning_rate: float = Field(default=0.001, gt=0, le=1, description="Adam's step")
    epochs: int = Field(default=50, ge=1, le=10_000, description="passes over the rows, at most")
    batch_size: int = Field(default=32, ge=1, le=65_536, description="rows a step")
    patience: int = Field(
        default=10, ge=1, description="epochs without a better loss till it stops"
    )
    validation_fraction: float = Field(
        default=0.2, gt=0, lt=1, description="newest share of the rows, which decides when to stop"
    )
    embargo_bars: int = Field(default=10, ge=0, description="bars left out before that share")
    class_weight: Literal["balanced"] | None = Field(
        default=None, description="weighs classes inversely to their frequency"
    )
    seed: int = Field(default=42, ge=0, lt=2**31 - 8, description="seed")


class WeightSettings(Section):
    """How rows count in training."""

    uniqueness: bool = Field(
        default=False, description="a row counts less where its label overlaps others"
    )
    half_life_days: float | None = Field(
        default=None, gt=0, le=36_500, description="a row so old counts half; unset: age is nothing"
    )


Trained = Literal["lightgbm", "random_forest", "logistic", "lstm", "soft_vote", "stacked", "search"]


class ModelSettings(Section):
    """The models that are tried, what they learn from, and what is done to their probabilities."""

    trainers: tuple[Trained, ...] = Field(
        default=("lightgbm", "random_forest"),
        min_length=1,
        description="kinds of model to train; soft_vote and stacked join lightgbm and logistic",
    )
    feature_set: str = Field(
        default="bot_v31", description="a shipped set (bot_v31, trainer, stationary) or a YAML file"
    )
    label: Literal["three_class", "next_up", "triple_barrier", "trend_scanning"] = Field(
        default="three_class",
        description="what pooled models learn; the horizon is ml_integration.features.horizon_minutes",
    )
    calibration: Literal["none", "sigmoid", "isotonic", "temperature"] = Field(
        default="none", description="how probabilities are corrected, on purged folds"
    )
    selection: bool = Field(
        default=False, description="choose features inside each fold, with evidence in the card"
    )
    coverage: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="share of rows whose conformal set shall hold their class; others are not "
        "traded; needs calibration; unset: no band",
    )
    weights: WeightSettings = Field(default=WeightSettings(), description="rows")
    lightgbm: LightGBMSettings = Field(default=LightGBMSettings(), description="LightGBM")
    random_forest: ForestSettings = Field(default=ForestSettings(), description="random forest")
    logistic: LogisticSettings = Field(default=LogisticSettings(), description="logistic")
    lstm: LSTMSettings = Field(default=LSTMSettings(), description="recurrent network")
    search: ModelSearchSettings = Field(
        default=ModelSearchSettings(), description="the trainer `search`"
    )
