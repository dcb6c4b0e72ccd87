"""One action out of three comparisons, and a record of everything found."""

from __future__ import annotations

import json

import numpy as np
import pytest

from crypto_bot.core import TRADE
from crypto_bot.features import DriftLevel, FeatureDrift
from crypto_bot.feedback import (
    Action,
    Agreement,
    compare_with_expectation,
    feedback_record,
    recommend,
    record_feedback,
)
from crypto_bot.journal import Journal
from crypto_bot.journal.records import to_json

EQUAL = Agreement(True, 9, 0, 0, 0, 0, 0, None)
ODD = Agreement(False, 9, 0, 2, 0, 1, 1, "A/USDT is odd")
EXPLAINED = Agreement(False, 9, 0, 2, 0, 2, 0, "A/USDT is blocked")
STRONG = FeatureDrift("rsi_14", 0.4, DriftLevel.STRONG)
STABLE = FeatureDrift("sma_10", 0.01, DriftLevel.STABLE)
UNKNOWN = FeatureDrift("atr_14", None, DriftLevel.UNKNOWN)


def report(live_mean, count=60):
    rng = np.random.default_rng(1)
    live, promised = np.zeros(count, TRADE), np.zeros(300, TRADE)
    live["return_frac"] = rng.normal(live_mean, 0.01, count)
    promised["return_frac"] = rng.normal(0.002, 0.01, 300)
    return compare_with_expectation(live, promised)


GOOD, BAD, FEW = report(0.002), report(-0.01), report(0.0, count=3)


@pytest.mark.parametrize(
    ("agreement", "expectation", "drift", "action", "words"),
    [
        (EQUAL, GOOD, (STABLE,), Action.CONTINUE, "results are within what validation promised"),
        (EXPLAINED, GOOD, (STABLE,), Action.CONTINUE, "within what validation promised"),
        (None, None, (), Action.CONTINUE, "nothing to hold the result against"),
        (EQUAL, FEW, (STABLE, STABLE, STRONG), Action.CONTINUE, "too few trades to judge"),
        (ODD, GOOD, (STABLE,), Action.SHRINK, "1 trades differ from the backtest without a risk"),
        (EQUAL, BAD, (STABLE,), Action.SHRINK, "worse than validation promised"),
        (EQUAL, BAD, (STABLE, STABLE, STRONG), Action.RETRAIN, "1 of 3 features drifted strongly"),
        (EQUAL, GOOD, (STRONG, STABLE, UNKNOWN), Action.RETRAIN, "1 of 2 features drifted"),
    ],
)
def test_the_action_follows_from_what_was_found(agreement, expectation, drift, action, words):
    found = recommend(agreement, expectation, drift)
    assert found.action is action
    assert words in found.describe()
    assert found.describe().startswith(action.value)


def test_everything_found_is_kept_in_the_journal():
    drift = (STRONG, UNKNOWN)
    found = recommend(ODD, BAD, drift)
    with Journal("sqlite://") as journal:
        run_id = journal.start_run("feedback", {})
        record_feedback(
            journal,
            run_id,
            "A/USDT",
            agreement=ODD,
            expectation=BAD,
            drift=drift,
            recommendation=found,
        )
        (kept,) = journal.feedback(run_id=run_id)
    assert (kept.symbol, kept.kind, kept.agrees) == ("A/USDT", "paper", False)
    assert kept.detail == json.loads(to_json(feedback_record(ODD, BAD, drift, found)))
    assert kept.detail["agreement"]["unexplained"] == 1
    assert kept.detail["drift"][1] == {"feature": "atr_14", "psi": None, "level": "unknown"}


@pytest.mark.parametrize(
    ("agreement", "expectation", "agrees"),
    [
        (EQUAL, GOOD, True),
        (EXPLAINED, FEW, True),
        (EQUAL, BAD, False),
        (ODD, GOOD, False),
        (None, FEW, None),
        (None, None, None),
    ],
)
def test_agreement_is_claimed_only_where_something_was_told(agreement, expectation, agrees):
    with Journal("sqlite://") as journal:
        run_id = journal.start_run("feedback", {})
        found = recommend(agreement, expectation)
        record_feedback(
            journal,
            run_id,
            "A/USDT",
            agreement=agreement,
            expectation=expectation,
            recommendation=found,
        )
        (kept,) = journal.feedback(run_id=run_id)
    assert kept.agrees is agrees
    halves = kept.detail["matches_backtest"], kept.detail["as_expected"]
    assert halves[0] is {ODD: False, None: None}.get(agreement, True)
    assert halves[1] is (True if expectation is GOOD else False if expectation is BAD else None)
