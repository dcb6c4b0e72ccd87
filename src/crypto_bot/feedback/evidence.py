"""What reality said so far, as plain arrays: everything `watch` looks at, and when it is an alarm."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import Field

from crypto_bot.core.arrays import Mask, PerBarFeature, PerBarTime, PerRow, PerRowClass, PerTrade
from crypto_bot.core.options import Options
from crypto_bot.core.orders import TRADE
from crypto_bot.feedback.agreement import Agreement

Labels: TypeAlias = npt.NDArray[np.int8]


class WatchOptions(Options):
    """When reality is said to disagree; the section `feedback` of the configuration."""

    psi_strong: float = Field(default=0.25, gt=0, description="a feature's PSI from here: drifted")
    ks_p_value: float = Field(
        default=0.001, gt=0, lt=1, description="Kolmogorov-Smirnov test: drifted below this"
    )
    drifted_features_frac: float = Field(
        default=0.25, gt=0, le=1, description="share of drifted features from which to retrain"
    )
    score_detector: Literal["adwin", "page_hinkley"] = Field(
        default="adwin", description="what watches the live score"
    )
    detector_delta: float = Field(
        default=0.002, gt=0, lt=1, description="ADWIN's confidence; smaller: fewer false alarms"
    )
    calibration_decay: float = Field(
        default=0.05, gt=0, description="Brier score worse than in validation by this: decayed"
    )
    minimum_trades: int = Field(
        default=30, ge=5, description="closed trades before results are held against the promise"
    )
    shrink_to_frac: float = Field(
        default=0.5, ge=0, lt=1, description="positions of a model under suspicion, share of normal"
    )


class Action(StrEnum):
    """What to do with a model or strategy that trades, mildest first."""

    CONTINUE = "continue"
    SHRINK = "shrink"
    RETRAIN = "retrain"
    STAND_ASIDE = "stand_aside"
    ROLL_BACK = "roll_back"


class FindingKind(StrEnum):
    """What disagrees with what was promised."""

    FEATURE_DRIFT = "feature_drift"
    PREDICTION_DRIFT = "prediction_drift"
    CALIBRATION_DECAY = "calibration_decay"
    WORSE_THAN_PROMISED = "worse_than_promised"
    SLIPPAGE = "slippage"
    UNEXPLAINED = "unexplained_trades"
    SCORE = "live_score"
    DRAWDOWN = "drawdown"
    RIVAL = "worse_than_previous"


@dataclass(frozen=True)
class Finding:
    """One disagreement with one action; a kind with two actions gives two findings.

    Attributes
    ----------
    kind : FindingKind
    symbol : str           whose: a pair, a model's name in the registry, or 'ALL'
    value : float          what was measured
    threshold : float      what it had to stay within
    action : Action
    reason : str           both in words, with their numbers
    """

    kind: FindingKind
    symbol: str
    value: float
    threshold: float
    action: Action
    reason: str

    @property
    def alarm_kind(self) -> str:
        """Names the alarm in the journal: one for each kind and action."""
        return f"{self.kind.value}:{self.action.value}"


@dataclass(frozen=True, eq=False)
class Sample:
    """Rows of one stretch, symbols pooled.

    Attributes
    ----------
    time_ns : int64 (rows,)             close of the bar; symbols share times, in any order
    values : float64 (rows, columns)    NaN where undefined
    """

    time_ns: PerBarTime
    values: PerBarFeature


@dataclass(frozen=True, eq=False)
class FeatureEvidence:
    """Features (columns `names`) of the settled stretch before the session, and of the session."""

    names: tuple[str, ...]
    reference: Sample
    live: Sample


@dataclass(frozen=True, eq=False)
class PredictionEvidence:
    """Probabilities the model in service gave, a column a class, and whether it acted on them.

    `reference` is a stretch that the model did not learn from; what it learned looks too certain.
    """

    classes: tuple[int, ...]
    reference: Sample
    live: Sample
    reference_acted: Mask
    live_acted: Mask


@dataclass(frozen=True, eq=False)
class CalibrationEvidence:
    """Live probabilities beside what came, for decisions whose label horizon has passed.

    Attributes
    ----------
    classes : tuple of int                 columns of `probabilities`, as in the model's card
    time_ns : int64 (rows,)
    probabilities : float64 (rows, classes)
    labels : int8 (rows,)                  the class that came
    horizon_ns : int                       labels of decisions closer than this share bars
    promised_brier : float                 of validation, as in the card
    promised_log_loss : float | None
    """

    classes: tuple[int, ...]
    time_ns: PerBarTime
    probabilities: PerRowClass
    labels: Labels
    horizon_ns: int
    promised_brier: float
    promised_log_loss: float | None = None


@dataclass(frozen=True, eq=False)
class RivalEvidence:
    """Returns of the account and of what the previous champion would have earned, same periods."""

    version: str
    own: PerRow
    rival: PerRow


def no_trades() -> PerTrade:
    """TRADE (0,)."""
    return np.empty(0, TRADE)


@dataclass(frozen=True, eq=False)
class LiveEvidence:
    """Everything known of a session so far; None or empty: not known, so never an alarm.

    Attributes
    ----------
    symbol : str                      what the findings are written under
    trades, expected : TRADE          of the session, and out of sample of the same trader
    slippage : float64 (fills,)       `entry_slippage` of the session; None: not measured
    assumed_slippage_frac : float     what the backtest assumed
    agreement : Agreement | None      against the backtest of the same bars
    features, predictions, calibration, rival
    drawdown_frac : float | None      deepest of the session, fraction of the peak
    promised_drawdown_frac : float | None    deepest of validation
    previous_version : str | None     to roll back to; None: there is none
    """

    symbol: str
    trades: PerTrade = field(default_factory=no_trades)
    expected: PerTrade = field(default_factory=no_trades)
    slippage: PerRow | None = None
    assumed_slippage_frac: float | None = None
    agreement: Agreement | None = None
    features: FeatureEvidence | None = None
    predictions: PredictionEvidence | None = None
    calibration: CalibrationEvidence | None = None
    rival: RivalEvidence | None = None
    drawdown_frac: float | None = None
    promised_drawdown_frac: float | None = None
    previous_version: str | None = None
