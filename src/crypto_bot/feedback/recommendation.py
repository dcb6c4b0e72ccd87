"""A look in words and as plain data: one recommendation for a person, one record for the journal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from crypto_bot.feedback.agreement import Agreement
from crypto_bot.feedback.evidence import Action, Finding, WatchOptions
from crypto_bot.feedback.expectation import ExpectationReport
from crypto_bot.feedback.expected_trades import TradeGaps
from crypto_bot.feedback.remedies import strongest
from crypto_bot.feedback.shifts import Shift
from crypto_bot.feedback.watching import Look
from crypto_bot.journal import Feedback, Journal


@dataclass(frozen=True)
class Recommendation:
    """What to do and why.

    Attributes
    ----------
    action : Action              the strongest that was asked for
    reasons : tuple[str, ...]    one line each; the first decided
    """

    action: Action
    reasons: tuple[str, ...]

    def describe(self) -> str:
        """Action and reasons as one line."""
        return f"{self.action.value}: {'; '.join(self.reasons)}"


def recommend(look: Look) -> Recommendation:
    """The strongest action of a look's findings, its reasons first; `continue` says why not."""
    action = strongest([found.action for found in look.findings])
    decided = sorted(look.findings, key=lambda found: found.action is not action)
    reasons = dict.fromkeys(found.reason for found in decided)
    return Recommendation(action, tuple(reasons) or (_calm(look.expectation),))


def look_record(
    look: Look,
    *,
    agreement: Agreement | None = None,
    options: WatchOptions | None = None,
    left_out_of_drift: Sequence[str] = (),
) -> dict[str, Any]:
    """Everything measured, as plain data for the journal and the report.

    `matches_backtest` and `as_expected` are the two halves of the journal's `agrees`; None where
    there was nothing, or too little, to tell.
    """
    settings = WatchOptions() if options is None else options
    advice = recommend(look)
    return {
        "action": advice.action.value,
        "reasons": list(advice.reasons),
        "matches_backtest": None if agreement is None else agreement.unexplained == 0,
        "as_expected": _as_expected(look.expectation),
        "agreement": None if agreement is None else asdict(agreement),
        "expectation": _expectation_record(look.expectation),
        "drift": [shift_record(shift, settings) for shift in look.features],
        "left_out_of_drift": list(left_out_of_drift),
        "predictions": [shift_record(shift, settings) for shift in look.predictions],
        "acted": None if look.acted is None else look.acted._asdict(),
        "calibration": None if look.calibration is None else asdict(look.calibration),
        "score": _score_record(look),
        "trades": _gaps_record(look.gaps),
        "findings": [finding_record(found) for found in look.findings],
    }


def record_feedback(
    journal: Journal,
    run_id: str,
    symbol: str,
    look: Look,
    *,
    kind: str = "paper",
    agreement: Agreement | None = None,
    options: WatchOptions | None = None,
    left_out_of_drift: Sequence[str] = (),
    more: Mapping[str, Any] | None = None,
) -> None:
    """Write a look into the journal's feedback table.

    `agrees` is False when something is unexplained or worse than promised, or anything else was
    found, None when there was too little to tell, else True. `more` is kept beside the record.
    """
    detail = look_record(
        look, agreement=agreement, options=options, left_out_of_drift=left_out_of_drift
    )
    halves = [detail["matches_backtest"], detail["as_expected"]]
    told = [half for half in halves if half is not None]
    agrees = False if look.findings else all(told) if told else None
    entry = Feedback(symbol=symbol, kind=kind, agrees=agrees, detail={**detail, **(more or {})})
    journal.record_feedback(run_id, [entry])


def finding_record(found: Finding) -> dict[str, Any]:
    """A finding as the detail of its alarm."""
    return {
        "kind": found.kind.value,
        "action": found.action.value,
        "value": found.value,
        "threshold": found.threshold,
        "reason": found.reason,
    }


def shift_record(shift: Shift, options: WatchOptions) -> dict[str, Any]:
    """One column's drift in numbers and a word."""
    return {
        "feature": shift.name,
        "psi": shift.psi,
        "ks": shift.ks,
        "p_value": shift.p_value,
        "effective_rows": shift.effective_rows,
        "level": shift_word(shift, options),
    }


def shift_word(shift: Shift, options: WatchOptions) -> str:
    """'drifted', 'stable', or 'unknown' from too few rows."""
    if shift.p_value is None:
        return "unknown"
    return "drifted" if shift.has_moved(options.psi_strong, options.ks_p_value) else "stable"


def _score_record(look: Look) -> dict[str, Any] | None:
    track = look.score
    if track is None:
        return None
    return {
        "trades": len(track.scores),
        "mean": float(track.scores.mean()) if len(track.scores) else None,
        "alarms_ns": [int(track.time_ns[place]) for place in track.alarms],
        "recoveries_ns": [int(track.time_ns[place]) for place in track.recoveries],
        "has_fallen": track.has_fallen,
    }


def _gaps_record(gaps: TradeGaps | None) -> dict[str, Any] | None:
    """Each closed trade's return beside what was expected at its entry."""
    if gaps is None:
        return None
    return {
        "mean_gap": gaps.mean_gap,
        "standard_error": gaps.standard_error,
        "expected": [float(f"{value:.6g}") for value in gaps.expected],
        "realised": [float(f"{value:.6g}") for value in gaps.realised],
    }


def _as_expected(expectation: ExpectationReport) -> bool | None:
    if expectation.is_disappointing:
        return False
    return True if expectation.is_known else None


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


def _calm(report: ExpectationReport) -> str:
    if not report.expected_trades:
        return "nothing to hold the result against"
    if not report.is_known:
        return "too few trades to judge"
    return "results are within what validation promised"
