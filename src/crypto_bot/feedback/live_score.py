"""The live score: where each trade stands among validation's, watched for a lasting fall."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from crypto_bot.core.arrays import PerBarTime, PerRow, PerTrade
from crypto_bot.feedback.detectors import Adwin, Detector, PageHinkley
from crypto_bot.feedback.expectation import closed_returns

MOST_REFERENCE_SCORES = 500
FEWEST_EXPECTED = 30
"""Validation's trades that a scale of scores needs."""
PAGE_HINKLEY_DELTA = 0.05
PAGE_HINKLEY_THRESHOLD = 8.0
"""Of scores in 0..1: about one false alarm in 100 streams of 500 trades, see tests/feedback."""
_SEED = 42


@dataclass(frozen=True, eq=False)
class ScoreTrack:
    """Scores in order of exit and what the detector made of them.

    Attributes
    ----------
    time_ns : int64 (trades,)    exits
    scores : float64 (trades,)   share of validation's trades that earned less; 0.5 on average is as
                                 promised
    alarms : tuple of int        places where the mean fell
    recoveries : tuple of int    places where it rose
    mean : float                 of the values since the last change, validation's among them
    """

    time_ns: PerBarTime
    scores: PerRow
    alarms: tuple[int, ...]
    recoveries: tuple[int, ...]
    mean: float

    @property
    def has_fallen(self) -> bool:
        """The last change was a fall: no rise has followed it."""
        return bool(self.alarms) and (not self.recoveries or self.alarms[-1] > self.recoveries[-1])


def new_detector(name: Literal["adwin", "page_hinkley"], delta: float) -> Detector:
    """The detector of `feedback.score_detector`, for scores in 0..1; `delta` is ADWIN's."""
    if name == "adwin":
        return Adwin(delta=delta, clock=1)
    return PageHinkley(delta=PAGE_HINKLEY_DELTA, threshold=PAGE_HINKLEY_THRESHOLD)


def scores_of(returns: PerRow, expected: PerRow) -> PerRow:
    """Share of `expected` below each of `returns`, ties half: uniform on 0..1 if all is as promised."""
    ordered = np.sort(expected)
    below = np.searchsorted(ordered, returns, "left") + np.searchsorted(ordered, returns, "right")
    return np.asarray(below / (2.0 * len(ordered)))


def score_track(trades: PerTrade, expected: PerTrade, detector: Detector) -> ScoreTrack | None:
    """Run `detector` over the scores of the closed trades; None with too few expected ones.

    Notes
    -----
    The detector first takes up to 500 of validation's own scores, in drawn order: they are a level
    and no history. So a session that is worse from its first trade is found too, not only one that
    gets worse. A trade's score uses its own return and validation's only: nothing later.
    """
    promised = closed_returns(expected)
    if len(promised) < FEWEST_EXPECTED:
        return None
    own = scores_of(promised, promised)
    drawn = np.random.default_rng(_SEED).permutation(own)[:MOST_REFERENCE_SCORES]
    for value in drawn.tolist():
        detector.update(value)
    closed = trades[trades["exit_bar"] >= 0]
    closed = closed[np.argsort(closed["exit_time"], kind="stable")]
    scores = scores_of(np.ascontiguousarray(closed["return_frac"]), promised)
    alarms: list[int] = []
    recoveries: list[int] = []
    for place, value in enumerate(scores.tolist()):
        if detector.update(value):
            (alarms if detector.change < 0 else recoveries).append(place)
    times = np.ascontiguousarray(closed["exit_time"])
    return ScoreTrack(times, scores, tuple(alarms), tuple(recoveries), detector.mean)
