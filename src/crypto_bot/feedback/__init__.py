"""Did reality agree, and what is done where it did not? Paper and live against what was promised.

In: trades of a session, of the backtest of the same bars and of validation; features, probabilities
and labels before and during the session, as `LiveEvidence`. Out: a `Finding` for each disagreement,
a `Plan` of alarms, and `Remedies` called for: shrink, stand aside, retrain, roll back.
"""

from crypto_bot.feedback.agreement import Agreement, compare_with_backtest
from crypto_bot.feedback.calibration import CalibrationDecay, calibration_decay
from crypto_bot.feedback.detectors import Adwin, Detector, PageHinkley
from crypto_bot.feedback.evidence import (
    Action,
    CalibrationEvidence,
    FeatureEvidence,
    Finding,
    FindingKind,
    LiveEvidence,
    PredictionEvidence,
    RivalEvidence,
    Sample,
    WatchOptions,
)
from crypto_bot.feedback.expectation import (
    ExpectationOptions,
    ExpectationReport,
    MetricComparison,
    Standing,
    compare_with_expectation,
    entry_slippage,
)
from crypto_bot.feedback.expected_trades import TradeGaps, trade_gaps
from crypto_bot.feedback.live_score import ScoreTrack, new_detector, score_track, scores_of
from crypto_bot.feedback.recommendation import (
    Recommendation,
    finding_record,
    look_record,
    recommend,
    record_feedback,
    shift_word,
)
from crypto_bot.feedback.remedies import (
    Plan,
    Remedies,
    carry_out,
    decide,
    resting,
    size_wanted,
    strongest,
)
from crypto_bot.feedback.shifts import (
    Shift,
    effective_rows,
    holm,
    kolmogorov_p_value,
    shifts,
)
from crypto_bot.feedback.slippage import SlippageEstimate, measured_slippage
from crypto_bot.feedback.watching import ActedShare, Look, acted_share, take_a_look, watch

__all__ = [
    "ActedShare",
    "Action",
    "Adwin",
    "Agreement",
    "CalibrationDecay",
    "CalibrationEvidence",
    "Detector",
    "ExpectationOptions",
    "ExpectationReport",
    "FeatureEvidence",
    "Finding",
    "FindingKind",
    "LiveEvidence",
    "Look",
    "MetricComparison",
    "PageHinkley",
    "Plan",
    "PredictionEvidence",
    "Recommendation",
    "Remedies",
    "RivalEvidence",
    "Sample",
    "ScoreTrack",
    "Shift",
    "SlippageEstimate",
    "Standing",
    "TradeGaps",
    "WatchOptions",
    "acted_share",
    "calibration_decay",
    "carry_out",
    "compare_with_backtest",
    "compare_with_expectation",
    "decide",
    "effective_rows",
    "entry_slippage",
    "finding_record",
    "holm",
    "kolmogorov_p_value",
    "look_record",
    "measured_slippage",
    "new_detector",
    "recommend",
    "record_feedback",
    "resting",
    "score_track",
    "scores_of",
    "shift_word",
    "shifts",
    "size_wanted",
    "strongest",
    "take_a_look",
    "trade_gaps",
    "watch",
]
