"""The words of the page, each in one plain sentence."""

from __future__ import annotations

from typing import NamedTuple

from crypto_bot.report.contents import ReportContents


class Term(NamedTuple):
    """A word and what it means."""

    name: str
    meaning: str


_RETURNS = (
    Term("Sharpe ratio", "mean daily return divided by its daily deviation, scaled to a year; 1 is good, and luck reaches 1 often in short records."),
    Term("drawdown", "how far the account stands below its best value so far."),
    Term("in sample", "measured on the candles that were searched: the best of many trials always flatters itself."),
    Term("out of sample", "measured on rows that the model, or the search, had never seen."),
)  # fmt: skip
_MODEL = (
    Term("walk-forward", "train on the past, predict the next stretch, move on: as it would have been done at the time."),
    Term("purged, embargoed", "training rows whose label reaches into the tested stretch are left out, and some bars beside it too."),
    Term("log loss", "minus the mean logarithm of the probability given to what came; less is better, and bold mistakes cost most."),
    Term("calibration, reliability", "whether what was said with 60 % happens 6 times of 10; a calibrated model lies on the diagonal."),
    Term("confusion matrix", "how often each class was predicted when each class happened."),
    Term("feature importance", "how much training gained by a feature, on the rows it learned from; no proof that it works on others."),
    Term("permutation importance", "how much worse the model gets on unseen rows when a feature's values are mixed up; about 0: it could do without."),
    Term("SHAP value", "by how much one feature moved one prediction away from the model's usual answer; a row's values add up to its score."),
    Term("log odds", "the scale on which a model adds up its reasons: 0 is 50 %, 1 is 73 %, -1 is 27 %."),
    Term("partial dependence", "what the model says on average when one feature is set to one value in every row."),
    Term("abstain band", "the range of probabilities in which the model takes no side (conformal prediction)."),
    Term("PSI", "population stability index: how differently a feature is spread now than in training; below 0.1 stable, from 0.25 another distribution."),
    Term("KS", "Kolmogorov-Smirnov distance: the largest gap between the two distributions, 0 the same, 1 nothing in common."),
)  # fmt: skip
_GATE = (
    Term("gate", "written thresholds that a candidate must pass, all of them, before it may trade."),
    Term("probabilistic Sharpe", "the chance that the true Sharpe ratio is above 0, given the length and shape of the record."),
    Term("deflated Sharpe", "the same chance after allowing for every trial made: the best of many tries looks good by luck alone."),
    Term("effective trials", "how many independent tries the trials amount to; near copies of one idea count once."),
    Term("PBO", "probability of backtest overfitting: how often the setting that was best on one half of the days is below the middle on the other."),
    Term("minimum track record", "how many days a result like this must last before it can be told from luck."),
    Term("random entry p", "the share of traders who enter at random, as often and as long, and do as well."),
    Term("break-even cost", "the cost a side of a trade at which nothing would be left."),
    Term("95 % interval", "where the true figure lies in 19 of 20 cases; one that holds 0 proves nothing."),
    Term("champion", "the version in service, judged on the same stretch as its challenger."),
    Term("balanced accuracy", "the mean over classes of the share found, so that always saying the commonest class earns nothing."),
)  # fmt: skip


def glossary(contents: ReportContents) -> tuple[Term, ...]:
    """The terms of the parts that are there."""
    found: tuple[Term, ...] = ()
    if contents.equity or contents.strategies:
        found += _RETURNS
    if contents.models:
        found += _MODEL
    if contents.gates:
        found += _GATE
    return found
