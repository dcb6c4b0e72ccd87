"""`watch`: live evidence in, findings out. Pure: the same evidence gives the same findings."""

from __future__ import annotations

from collections.abc import Iterator
from math import erfc, sqrt
from typing import NamedTuple

import numpy as np

from crypto_bot.feedback.calibration import CalibrationDecay, calibration_decay
from crypto_bot.feedback.evidence import (
    Action,
    Finding,
    FindingKind,
    LiveEvidence,
    PredictionEvidence,
    Sample,
    WatchOptions,
)
from crypto_bot.feedback.expectation import (
    ExpectationOptions,
    ExpectationReport,
    compare_with_expectation,
)
from crypto_bot.feedback.expected_trades import TradeGaps, trade_gaps
from crypto_bot.feedback.live_score import ScoreTrack, new_detector, score_track
from crypto_bot.feedback.shifts import FEWEST_EFFECTIVE_ROWS, Shift, effective_rows, shifts

ACTED_RATIO = 2.0
"""A model that acts this many times as often, or as rarely, has drifted."""
RIVAL_PERIODS = 20
RIVAL_DEVIATIONS = 2.33
"""Standard errors by which the previous champion must be better: once in 100 by chance."""


class ActedShare(NamedTuple):
    """Share of bars acted on: of the reference, live, and the chance of such a difference."""

    reference: float
    live: float
    p_value: float | None

    def has_moved(self, p_value: float) -> bool:
        """Twice as often or half as rarely, and not by chance."""
        low, high = sorted((self.reference, self.live))
        return self.p_value is not None and self.p_value < p_value and high >= ACTED_RATIO * low


class Look(NamedTuple):
    """What a look measured, for tables and pictures; None: there was nothing to measure."""

    features: tuple[Shift, ...]
    predictions: tuple[Shift, ...]
    acted: ActedShare | None
    calibration: CalibrationDecay | None
    expectation: ExpectationReport
    score: ScoreTrack | None
    findings: tuple[Finding, ...]
    gaps: TradeGaps | None = None


def watch(evidence: LiveEvidence, options: WatchOptions | None = None) -> tuple[Finding, ...]:
    """What disagrees with what was promised, each with an action.

    Parameters
    ----------
    evidence : LiveEvidence    nothing later than the look; what is missing gives no finding
    options : WatchOptions     the configuration's section `feedback`

    Returns
    -------
    tuple of Finding    in the order of `FindingKind`; empty: as promised, or too little to tell

    Notes
    -----
    The table of findings and actions, with reasons, is in docs/feedback.md.
    """
    return take_a_look(evidence, options).findings


def take_a_look(evidence: LiveEvidence, options: WatchOptions | None = None) -> Look:
    """`watch` with everything that was measured on the way."""
    settings = WatchOptions() if options is None else options
    features: tuple[Shift, ...] = ()
    predictions: tuple[Shift, ...] = ()
    acted: ActedShare | None = None
    decay: CalibrationDecay | None = None
    if evidence.features is not None:
        found = evidence.features
        features = shifts(found.names, found.reference, found.live)
    if evidence.predictions is not None:
        predictions = _prediction_shifts(evidence.predictions)
        acted = acted_share(evidence.predictions)
    if evidence.calibration is not None:
        decay = calibration_decay(evidence.calibration)
    expectation = _expectation(evidence, settings)
    detector = new_detector(settings.score_detector, settings.detector_delta)
    score = score_track(evidence.trades, evidence.expected, detector)
    gaps = trade_gaps(evidence.trades, evidence.expected)
    look = Look(features, predictions, acted, decay, expectation, score, (), gaps)
    return look._replace(findings=tuple(_findings(evidence, look, settings)))


def acted_share(evidence: PredictionEvidence) -> ActedShare:
    """How often the model acts, live and in its reference.

    The chance is that of the normal approximation for as many independent rows as the acted bars of
    the reference are worth; None where either side is worth fewer than 8.
    """
    before, after = evidence.reference_acted, evidence.live_acted
    reference = float(before.mean()) if len(before) else 0.0
    live = float(after.mean()) if len(after) else 0.0
    worth = effective_rows(evidence.reference.time_ns, before.astype(np.float64))
    here = worth * len(after) / len(before) if len(before) else 0.0
    if min(worth, here) < FEWEST_EFFECTIVE_ROWS:
        return ActedShare(reference, live, None)
    pooled = (reference * worth + live * here) / (worth + here)
    # At least half a row on each side: a share of exactly 0 is no certainty.
    pooled = min(max(pooled, 0.5 / here), 1.0 - 0.5 / here)
    error = sqrt(pooled * (1.0 - pooled) * (1.0 / worth + 1.0 / here))
    return ActedShare(reference, live, erfc(abs(live - reference) / error / sqrt(2.0)))


def _prediction_shifts(evidence: PredictionEvidence) -> tuple[Shift, ...]:
    """Each class; of two only the upper, the other is its mirror."""
    first = 1 if len(evidence.classes) == 2 else 0
    names = tuple(f"p({label})" for label in evidence.classes[first:])
    reference, live = (
        Sample(side.time_ns, side.values[:, first:]) for side in (evidence.reference, evidence.live)
    )
    return shifts(names, reference, live)


def _expectation(evidence: LiveEvidence, settings: WatchOptions) -> ExpectationReport:
    return compare_with_expectation(
        evidence.trades,
        evidence.expected,
        live_slippage=evidence.slippage,
        assumed_slippage_frac=evidence.assumed_slippage_frac,
        options=ExpectationOptions(minimum_live_trades=settings.minimum_trades),
    )


def _findings(evidence: LiveEvidence, look: Look, settings: WatchOptions) -> Iterator[Finding]:
    yield from _feature_drift(evidence, look, settings)
    yield from _prediction_drift(evidence, look, settings)
    yield from _calibration(evidence, look, settings)
    yield from _worse(evidence, look)
    yield from _unexplained(evidence)
    yield from _score(evidence, look, settings)
    yield from _drawdown(evidence)
    yield from _rival(evidence, settings)


def _feature_drift(evidence: LiveEvidence, look: Look, settings: WatchOptions) -> Iterator[Finding]:
    known = [shift for shift in look.features if shift.p_value is not None]
    moved = [s for s in known if s.has_moved(settings.psi_strong, settings.ks_p_value)]
    share = len(moved) / len(known) if known else 0.0
    if moved and share >= settings.drifted_features_frac:
        worst = ", ".join(f"{shift.name} {shift.psi:.2f}" for shift in moved[:3])
        yield Finding(
            FindingKind.FEATURE_DRIFT,
            evidence.symbol,
            share,
            settings.drifted_features_frac,
            Action.RETRAIN,
            f"{len(moved)} of {len(known)} features drifted strongly (PSI >= {settings.psi_strong:g} "
            f"and not by chance): {worst}",
        )


def _prediction_drift(
    evidence: LiveEvidence, look: Look, settings: WatchOptions
) -> Iterator[Finding]:
    kind, action = FindingKind.PREDICTION_DRIFT, Action.SHRINK
    moved = [s for s in look.predictions if s.has_moved(settings.psi_strong, settings.ks_p_value)]
    if moved:
        worst = max(moved, key=lambda shift: shift.psi or 0.0)
        words = f"probabilities {worst.name} are distributed otherwise: PSI {worst.psi:.2f}"
        yield Finding(kind, evidence.symbol, worst.psi or 0.0, settings.psi_strong, action, words)
    elif look.acted is not None and look.acted.has_moved(settings.ks_p_value):
        words = f"acts on {look.acted.live:.1%} of bars, {look.acted.reference:.1%} before"
        value = look.acted.live
        yield Finding(kind, evidence.symbol, value, look.acted.reference, action, words)


def _calibration(evidence: LiveEvidence, look: Look, settings: WatchOptions) -> Iterator[Finding]:
    decay = look.calibration
    if decay is None or not decay.has_decayed(settings.calibration_decay):
        return
    words = (
        f"Brier score {decay.brier:.4f}, validation's {decay.promised_brier:.4f} "
        f"(standard error {decay.standard_error:.4f}, {decay.rows} decisions)"
    )
    for action in (Action.SHRINK, Action.RETRAIN):
        yield Finding(
            FindingKind.CALIBRATION_DECAY,
            evidence.symbol,
            decay.decay,
            settings.calibration_decay,
            action,
            words,
        )


def _worse(evidence: LiveEvidence, look: Look) -> Iterator[Finding]:
    worse = [found for found in look.expectation.comparisons if found.is_worse]
    results = [found for found in worse if found.name != "slippage_frac"]
    for kind, found in (
        (FindingKind.WORSE_THAN_PROMISED, results),
        (FindingKind.SLIPPAGE, [found for found in worse if found not in results]),
    ):
        if found:
            first = found[0]
            bound = first.high if kind is FindingKind.SLIPPAGE else first.low
            words = "; ".join(each.verdict for each in found)
            value = first.live or 0.0
            yield Finding(kind, evidence.symbol, value, bound or 0.0, Action.SHRINK, words)


def _unexplained(evidence: LiveEvidence) -> Iterator[Finding]:
    agreement = evidence.agreement
    if agreement is not None and agreement.unexplained > 0:
        yield Finding(
            FindingKind.UNEXPLAINED,
            evidence.symbol,
            float(agreement.unexplained),
            0.0,
            Action.STAND_ASIDE,
            f"{agreement.unexplained} trades differ from the backtest without a risk limit to "
            f"explain them, first: {agreement.first_difference}",
        )


def _score(evidence: LiveEvidence, look: Look, settings: WatchOptions) -> Iterator[Finding]:
    track = look.score
    if track is None or not track.has_fallen or len(track.scores) < settings.minimum_trades:
        return
    since = track.alarms[-1]
    mean = float(track.scores[-settings.minimum_trades :].mean())
    words = (
        f"{settings.score_detector}: the score of trades fell at trade {since + 1} of "
        f"{len(track.scores)}; the last {settings.minimum_trades} average {mean:.2f}, 0.50 is promised"
    )
    for action in (Action.STAND_ASIDE, Action.RETRAIN):
        yield Finding(FindingKind.SCORE, evidence.symbol, mean, 0.5, action, words)


def _drawdown(evidence: LiveEvidence) -> Iterator[Finding]:
    now, worst = evidence.drawdown_frac, evidence.promised_drawdown_frac
    if now is not None and worst is not None and worst > 0.0 and now > worst:
        words = f"drawdown {now:.1%}, validation's worst was {worst:.1%}"
        action = _back(evidence)
        yield Finding(FindingKind.DRAWDOWN, evidence.symbol, now, worst, action, words)


def _rival(evidence: LiveEvidence, settings: WatchOptions) -> Iterator[Finding]:
    """The previous champion on the same bars, period by period."""
    rival = evidence.rival
    if rival is None or len(rival.own) < RIVAL_PERIODS:
        return
    closed = np.count_nonzero(evidence.trades["exit_bar"] >= 0)
    gap = rival.own - rival.rival
    error = float(gap.std(ddof=1)) / sqrt(len(gap))
    lag = float(gap.mean())
    if closed >= settings.minimum_trades and lag < -RIVAL_DEVIATIONS * error:
        words = (
            f"{rival.version} would have earned {-lag:.3%} more a period "
            f"(standard error {error:.3%}, {len(gap)} periods)"
        )
        bound = -RIVAL_DEVIATIONS * error
        yield Finding(FindingKind.RIVAL, evidence.symbol, lag, bound, _back(evidence), words)


def _back(evidence: LiveEvidence) -> Action:
    return Action.STAND_ASIDE if evidence.previous_version is None else Action.ROLL_BACK
