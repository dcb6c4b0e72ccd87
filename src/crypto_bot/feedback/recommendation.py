"""What to do about it: continue, shrink or retrain, with the reasons in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import Field

from crypto_bot.core.options import Options
from crypto_bot.features.drift import STRONG_PSI, DriftLevel, FeatureDrift
from crypto_bot.feedback.agreement import Agreement
from crypto_bot.feedback.expectation import ExpectationReport
from crypto_bot.journal import Feedback, Journal


class FeedbackOptions(Options):
    """When drift alone is reason enough to act."""

    drifted_features_frac: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="share of features with strong drift from which a retrain is advised",
    )


class Action(StrEnum):
    """What to do next with a model or strategy that trades."""

    CONTINUE = "continue"
    SHRINK = "shrink"
    RETRAIN = "retrain"


@dataclass(frozen=True)
class Recommendation:
    """What to do and why.

    Attributes
    ----------
    action : Action
    reasons : tuple[str, ...]    one line each; the first decided
    """

    action: Action
    reasons: tuple[str, ...]

    def describe(self) -> str:
        """Action and reasons as one line."""
        return f"{self.action.value}: {'; '.join(self.reasons)}"


def recommend(
    agreement: Agreement | None,
    expectation: ExpectationReport | None,
    drift: Sequence[FeatureDrift] = (),
    options: FeedbackOptions | None = None,
) -> Recommendation:
    """Turn the three comparisons into one action; None or empty: that one was not made.

    Notes
    -----
    Unexplained differences between paper and backtest come first: until they are understood no
    other number can be trusted, so the size shrinks. Then: worse than promised and drifted, or much
    drifted, means retrain; worse than promised without drift means shrink. Retraining is safe to
    advise: the gate decides about the new model.
    """
    settings = FeedbackOptions() if options is None else options
    if agreement is not None and agreement.unexplained > 0:
        return Recommendation(Action.SHRINK, (_mismatch(agreement),))
    disappointing = expectation is not None and expectation.is_disappointing
    worse = _worse(expectation) if expectation is not None else ()
    moved = [found for found in drift if found.level is DriftLevel.STRONG]
    known = [found for found in drift if found.level is not DriftLevel.UNKNOWN]
    much = bool(known) and len(moved) >= settings.drifted_features_frac * len(known)
    drift_words = _drift_words(moved, len(known)) if moved else ()
    if much or (disappointing and moved):
        return Recommendation(Action.RETRAIN, (*worse, *drift_words))
    if disappointing:
        return Recommendation(Action.SHRINK, (*worse, "features have not drifted strongly"))
    return Recommendation(Action.CONTINUE, (*_calm(expectation), *drift_words))


def feedback_record(
    agreement: Agreement | None,
    expectation: ExpectationReport | None,
    drift: Sequence[FeatureDrift],
    recommendation: Recommendation,
    *,
    left_out_of_drift: Sequence[str] = (),
) -> dict[str, Any]:
    """Everything found, as plain data for the journal and the report.

    `matches_backtest` and `as_expected` are the two halves of the journal's `agrees`; None where
    there was nothing, or too little, to tell.
    """
    return {
        "action": recommendation.action.value,
        "reasons": list(recommendation.reasons),
        "matches_backtest": None if agreement is None else agreement.unexplained == 0,
        "as_expected": _as_expected(expectation),
        "agreement": None if agreement is None else _agreement_record(agreement),
        "expectation": None if expectation is None else _expectation_record(expectation),
        "drift": [
            {"feature": found.name, "psi": found.psi, "level": found.level.value} for found in drift
        ],
        "left_out_of_drift": list(left_out_of_drift),
    }


def record_feedback(
    journal: Journal,
    run_id: str,
    symbol: str,
    *,
    agreement: Agreement | None = None,
    expectation: ExpectationReport | None = None,
    drift: Sequence[FeatureDrift] = (),
    left_out_of_drift: Sequence[str] = (),
    recommendation: Recommendation,
) -> None:
    """Write what was found into the journal's feedback table, kind 'paper'.

    `agrees` is False when something is unexplained or worse than promised, None when there was too
    little to tell, else True.
    """
    entry = Feedback(
        symbol=symbol,
        kind="paper",
        agrees=_agrees(agreement, expectation),
        detail=feedback_record(
            agreement, expectation, drift, recommendation, left_out_of_drift=left_out_of_drift
        ),
    )
    journal.record_feedback(run_id, [entry])


def _agrees(agreement: Agreement | None, expectation: ExpectationReport | None) -> bool | None:
    matches = None if agreement is None else agreement.unexplained == 0
    told = [found for found in (matches, _as_expected(expectation)) if found is not None]
    return all(told) if told else None


def _as_expected(expectation: ExpectationReport | None) -> bool | None:
    if expectation is None:
        return None
    if expectation.is_disappointing:
        return False
    return True if expectation.is_known else None


def _agreement_record(agreement: Agreement) -> dict[str, Any]:
    return {
        "equal": agreement.equal,
        "matched": agreement.matched,
        "changed": agreement.changed,
        "missing": agreement.missing,
        "extra": agreement.extra,
        "explained_by_risk": agreement.explained_by_risk,
        "unexplained": agreement.unexplained,
        "first_difference": agreement.first_difference,
    }


def _expectation_record(report: ExpectationReport) -> dict[str, Any]:
    return {
        "live_trades": report.live_trades,
        "expected_trades": report.expected_trades,
        "is_disappointing": report.is_disappointing,
        "comparisons": [
            {
                "name": found.name,
                "live": found.live,
                "expected": found.expected,
                "low": found.low,
                "high": found.high,
                "standing": found.standing.value,
                "verdict": found.verdict,
            }
            for found in report.comparisons
        ],
    }


def _mismatch(agreement: Agreement) -> str:
    return (
        f"{agreement.unexplained} trades differ from the backtest without a risk limit to explain "
        f"them, first: {agreement.first_difference}"
    )


def _worse(report: ExpectationReport) -> tuple[str, ...]:
    return tuple(found.verdict for found in report.comparisons if found.is_worse)


def _drift_words(moved: Sequence[FeatureDrift], known: int) -> tuple[str, ...]:
    worst = ", ".join(f"{found.name} {found.psi:.2f}" for found in moved[:3])
    return (f"{len(moved)} of {known} features drifted strongly (PSI >= {STRONG_PSI}): {worst}",)


def _calm(report: ExpectationReport | None) -> tuple[str, ...]:
    if report is None:
        return ("nothing to hold the result against",)
    if not report.is_known:
        return ("too few trades to judge",)
    return ("results are within what validation promised",)
