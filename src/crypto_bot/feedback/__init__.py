"""Did reality agree? Paper against backtest, against validation's promise, and drift of features.

In: trades of a paper session, of the backtest of the same bars and of validation; `FeatureDrift`s.
Out: an `Agreement`, an `ExpectationReport`, and one `Recommendation`: continue, shrink or retrain.
"""

from crypto_bot.feedback.agreement import Agreement, compare_with_backtest
from crypto_bot.feedback.expectation import (
    ExpectationOptions,
    ExpectationReport,
    MetricComparison,
    Standing,
    compare_with_expectation,
    entry_slippage,
)
from crypto_bot.feedback.recommendation import (
    Action,
    FeedbackOptions,
    Recommendation,
    feedback_record,
    recommend,
    record_feedback,
)

__all__ = [
    "Action",
    "Agreement",
    "ExpectationOptions",
    "ExpectationReport",
    "FeedbackOptions",
    "MetricComparison",
    "Recommendation",
    "Standing",
    "compare_with_backtest",
    "compare_with_expectation",
    "entry_slippage",
    "feedback_record",
    "recommend",
    "record_feedback",
]
