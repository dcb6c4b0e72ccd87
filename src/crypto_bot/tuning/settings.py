"""What a search may choose: kind of model, its options, the label, how often it trades, what ends a trade."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from crypto_bot.core.options import Options
from crypto_bot.core.timeframes import MINUTE_NS, timeframe_ns
from crypto_bot.engine import ExitOptions, SignalExit
from crypto_bot.labels import LabelOptions, NextUpOptions, ThreeClassOptions, TripleBarrierOptions
from crypto_bot.training import (
    ForestOptions,
    ForestTrainer,
    LightGBMOptions,
    LightGBMTrainer,
    LogisticOptions,
    LogisticTrainer,
    Trainer,
)

if TYPE_CHECKING:
    from optuna import Trial

ModelKind = Literal["logistic", "lightgbm", "random_forest"]
LabelKind = Literal["next_up", "three_class", "triple_barrier"]


class ModelSetting(Options):
    """One point of the search, plain data: enough to train and trade it again."""

    model: ModelKind = Field(description="kind of model")
    parameters: dict[str, float | int] = Field(description="options of its trainer")
    label: LabelKind = Field(description="kind of label")
    horizon_bars: int = Field(ge=1, description="how far the label looks ahead, bars")
    open_share: float = Field(
        gt=0,
        le=1,
        description="share of decisions out of fold that take a side; sets the threshold",
    )
    signal_exit: SignalExit = Field(description="what ends a position: no side, or the other side")
    seed: int = Field(default=42, ge=0, description="of everything random in training")

    def trainer(self, *, threads: int = 1) -> Trainer:
        """The trainer with these options."""
        options: dict[str, Any] = dict(self.parameters)
        if self.model == "logistic":
            return LogisticTrainer(LogisticOptions(**options, seed=self.seed))
        if self.model == "lightgbm":
            return LightGBMTrainer(LightGBMOptions(**options, seed=self.seed, n_jobs=threads))
        return ForestTrainer(ForestOptions(**options, random_state=self.seed, n_jobs=threads))

    def labels(self, timeframe: str) -> LabelOptions:
        """The label's options on bars of this timeframe."""
        if self.label == "next_up":
            return NextUpOptions(horizon_bars=self.horizon_bars)
        if self.label == "triple_barrier":
            return TripleBarrierOptions(horizon_bars=self.horizon_bars)
        minutes = self.horizon_bars * timeframe_ns(timeframe) / MINUTE_NS
        return ThreeClassOptions(horizon_minutes=minutes)

    def exits(self, base: ExitOptions) -> ExitOptions:
        """The account's exits with this setting's word on signals."""
        return base.replace(signal_exit=self.signal_exit)

    @property
    def name(self) -> str:
        """Short enough for a table, such as `logistic next_up 24 bars, open 0.3, opposite`."""
        return (
            f"{self.model} {self.label} {self.horizon_bars} bars, "
            f"open {self.open_share:.2g}, {self.signal_exit}"
        )


class ModelSpace(Options):
    """The ranges a search draws from."""

    models: tuple[ModelKind, ...] = Field(
        default=("logistic", "lightgbm"), min_length=1, description="kinds of model"
    )
    labels: tuple[LabelKind, ...] = Field(
        default=("next_up",), min_length=1, description="kinds of label"
    )
    horizon_bars: tuple[int, ...] = Field(
        default=(12, 24, 48), min_length=1, description="label horizons, bars"
    )
    open_shares: tuple[float, ...] = Field(
        default=(0.25, 0.5, 0.75), min_length=1, description="shares of decisions with a side"
    )
    signal_exits: tuple[SignalExit, ...] = Field(
        default=(SignalExit.OPPOSITE, SignalExit.FLAT),
        min_length=1,
        description="what may end a position",
    )

    def draw(self, trial: Trial, seed: int) -> list[ModelSetting]:
        """What Optuna's trial suggests to train, once for every way of trading it."""
        kind = trial.suggest_categorical("model", list(self.models))
        drawn = {
            "model": kind,
            "parameters": _PARAMETERS[kind](trial),
            "label": trial.suggest_categorical("label", list(self.labels)),
            "horizon_bars": trial.suggest_categorical("horizon_bars", list(self.horizon_bars)),
            "seed": seed,
        }
        ways = product(self.signal_exits, self.open_shares)
        return [
            ModelSetting.from_mapping(
                {**drawn, "signal_exit": exits, "open_share": share}, path="suggested setting"
            )
            for exits, share in ways
        ]


def _logistic(trial: Trial) -> dict[str, float | int]:
    return {
        "C": trial.suggest_float("C", 1e-4, 0.1, log=True),
        "l1_ratio": 0.0,
    }


def _lightgbm(trial: Trial) -> dict[str, float | int]:
    return {
        "n_estimators": trial.suggest_int("n_estimators", 30, 120),
        "num_leaves": trial.suggest_int("num_leaves", 3, 15),
        "learning_rate": trial.suggest_float("learning_rate", 0.02, 0.1, log=True),
        "min_data_in_leaf": trial.suggest_int("min_data_in_leaf", 40, 400, log=True),
        "lambda_l2": trial.suggest_float("lambda_l2", 0.1, 100.0, log=True),
    }


def _random_forest(trial: Trial) -> dict[str, float | int]:
    return {
        "n_estimators": 100,
        "max_depth": trial.suggest_int("max_depth", 2, 8),
        "min_samples_leaf": trial.suggest_int("min_samples_leaf", 20, 400, log=True),
    }


_PARAMETERS = {"logistic": _logistic, "lightgbm": _lightgbm, "random_forest": _random_forest}
