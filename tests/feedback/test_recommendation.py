"""One look becomes one piece of advice and one record."""

from __future__ import annotations

import json

import numpy as np
import pytest

from crypto_bot.feedback import (
    Action,
    Agreement,
    FeatureEvidence,
    LiveEvidence,
    look_record,
    recommend,
    record_feedback,
    take_a_look,
)
from crypto_bot.journal import Journal
from crypto_bot.journal.records import to_json
from drifting_streams import drawn, split

EQUAL = Agreement(True, 9, 0, 0, 0, 0, 0, None)
ODD = Agreement(False, 9, 0, 2, 0, 1, 1, "A/USDT is odd")
EXPLAINED = Agreement(False, 9, 0, 2, 0, 2, 0, "A/USDT is blocked")
PROMISED = drawn(0.002, 300, seed=2)
GOOD, BAD, FEW = drawn(0.002, 60), drawn(-0.004, 60), drawn(0.0, 3)


def drifted(share):
    values = np.random.default_rng(3).normal(size=(6_000, 4))
    values[-600:, : int(4 * share)] += 1.0
    return FeatureEvidence(("a", "b", "c", "d"), *split(values, 600))


def evidence(agreement=EQUAL, live=GOOD, moved=0.0):
    return LiveEvidence(
        "ALL", trades=live, expected=PROMISED, agreement=agreement, features=drifted(moved)
    )


@pytest.mark.parametrize(
    ("given", "action", "words"),
    [
        (evidence(), Action.CONTINUE, "results are within what validation promised"),
        (evidence(EXPLAINED), Action.CONTINUE, "within what validation promised"),
        (LiveEvidence("ALL"), Action.CONTINUE, "nothing to hold the result against"),
        (evidence(live=FEW), Action.CONTINUE, "too few trades to judge"),
        (evidence(ODD), Action.STAND_ASIDE, "1 trades differ from the backtest without a risk"),
        (evidence(live=BAD), Action.SHRINK, "worse than validation promised"),
        (evidence(moved=0.5), Action.RETRAIN, "2 of 4 features drifted strongly"),
        (evidence(live=BAD, moved=0.5), Action.RETRAIN, "2 of 4 features drifted strongly"),
    ],
)
def test_the_advice_follows_from_what_was_found(given, action, words):
    found = recommend(take_a_look(given))
    assert found.action is action
    assert words in found.describe()
    assert found.describe().startswith(action.value)


def test_everything_found_is_kept_in_the_journal():
    look = take_a_look(evidence(ODD, BAD, 0.5))
    with Journal("sqlite://") as journal:
        run_id = journal.start_run("feedback", {})
        record_feedback(journal, run_id, "A/USDT", look, agreement=ODD, more={"size": 0.5})
        (kept,) = journal.feedback(run_id=run_id)
    assert (kept.symbol, kept.kind, kept.agrees) == ("A/USDT", "paper", False)
    assert kept.detail == json.loads(to_json({**look_record(look, agreement=ODD), "size": 0.5}))
    assert kept.detail["agreement"]["unexplained"] == 1
    assert [each["level"] for each in kept.detail["drift"]].count("drifted") == 2
    assert {each["kind"] for each in kept.detail["findings"]} == {
        "feature_drift",
        "worse_than_promised",
        "unexplained_trades",
    }


@pytest.mark.parametrize(
    ("given", "agrees"),
    [(evidence(), True), (evidence(None, FEW), None), (evidence(EQUAL, FEW), True)],
)
def test_agreement_is_not_claimed_where_nothing_can_be_told(given, agrees):
    with Journal("sqlite://") as journal:
        run_id = journal.start_run("feedback", {})
        record_feedback(journal, run_id, "A/USDT", take_a_look(given), agreement=given.agreement)
        assert journal.feedback(run_id=run_id)[0].agrees is agrees
