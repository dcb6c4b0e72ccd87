"""The gate: every threshold in words, no evidence never passes, luck does not, an edge does."""

from __future__ import annotations

import json
import math
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_bot.core.errors import ConfigError
from crypto_bot.gate import (
    ChampionEvidence,
    ClassMeasure,
    Evidence,
    GateOptions,
    annual_sharpe,
    judge,
)
from crypto_bot.significance import deflated_sharpe, return_moments
from crypto_bot.validation import ClassBaseline

SCORES = ClassBaseline(
    rows=1000,
    accuracy=0.56,
    majority_accuracy=0.51,
    balanced_accuracy=0.55,
    majority_balanced_accuracy=0.5,
    log_loss=0.67,
    prior_log_loss=0.693,
)
GOOD = Evidence(
    start_ns=0,
    end_ns=100,
    sharpe=2.0,
    total_return=0.2,
    max_drawdown=0.08,
    win_rate=0.55,
    trades=120,
    deflated_sharpe=0.98,
    trials=300,
    random_entry_p=0.01,
    buy_and_hold_sharpe=0.5,
    class_scores=SCORES,
)


def failed(evidence, options=None):
    return [check.name for check in judge(evidence, options).checks if not check.holds]


def test_good_evidence_is_promoted_and_says_so():
    verdict = judge(GOOD)
    assert verdict.promoted
    assert verdict.reason == "promoted: all 8 checks hold"


@pytest.mark.parametrize(
    ("change", "name", "words"),
    [
        (
            {"sharpe": 0.19, "buy_and_hold_sharpe": 0.0},
            "sharpe",
            "sharpe must be at least 0.2, was 0.19",
        ),
        ({"max_drawdown": 0.16}, "max_drawdown", "max_drawdown must be at most 0.15, was 0.16"),
        ({"win_rate": 0.29}, "win_rate", "win_rate must be at least 0.3, was 0.29"),
        ({"trades": 29}, "trades", "trades must be at least 30, was 29"),
        (
            {"deflated_sharpe": 0.94},
            "deflated_sharpe",
            "deflated_sharpe must be at least 0.95 given 300 trials, was 0.94",
        ),
        (
            {"random_entry_p": 0.06},
            "random_entry_p",
            "random_entry_p must be at most 0.05, was 0.06",
        ),
        (
            {"buy_and_hold_sharpe": 2.5},
            "beats_buy_and_hold",
            "beats_buy_and_hold must be above buy and hold's Sharpe ratio of 2.5, was 2",
        ),
        (
            {"class_scores": replace(SCORES, balanced_accuracy=0.505)},
            "beats_majority_class",
            "beats_majority_class must be a balanced accuracy above 0.51, was 0.505",
        ),
    ],
)
def test_each_threshold_is_enforced_alone_and_in_words(change, name, words):
    evidence = replace(GOOD, **change)
    verdict = judge(evidence)
    assert not verdict.promoted
    assert failed(evidence) == [name]
    assert verdict.reason == f"not promoted, 1 of 8 checks failed: {words}"


def test_a_value_on_the_threshold_passes():
    edge = replace(
        GOOD, sharpe=0.2, max_drawdown=0.15, win_rate=0.3, trades=30, buy_and_hold_sharpe=0.1
    )
    assert judge(replace(edge, deflated_sharpe=0.95, random_entry_p=0.05)).promoted


MEASURED = ["sharpe", "max_drawdown", "win_rate", "deflated_sharpe", "random_entry_p"]


@pytest.mark.parametrize("name", [*MEASURED, "buy_and_hold_sharpe"])
@pytest.mark.parametrize("nothing", [None, math.nan, math.inf, -math.inf])
def test_what_could_not_be_measured_never_passes(name, nothing):
    verdict = judge(replace(GOOD, **{name: nothing}))
    assert not verdict.promoted
    assert "could not be measured" in verdict.reason or "both measured" in verdict.reason
    json.dumps(verdict.to_dict(), allow_nan=False)


def test_a_classifier_without_class_scores_fails_and_a_rule_strategy_may_say_it_is_none():
    evidence = replace(GOOD, class_scores=None)
    assert failed(evidence) == ["beats_majority_class"]
    assert judge(evidence, GateOptions(must_beat_majority_class=False)).promoted
    broken = replace(GOOD, class_scores=replace(SCORES, balanced_accuracy=math.nan))
    assert failed(broken) == ["beats_majority_class"]


def test_the_class_measure_can_be_chosen():
    weighted = replace(GOOD, class_scores=replace(SCORES, accuracy=0.5, log_loss=0.8))
    assert judge(weighted).promoted
    for measure in (ClassMeasure.ACCURACY, ClassMeasure.LOG_LOSS):
        assert judge(GOOD, GateOptions(class_measure=measure)).promoted
        assert failed(weighted, GateOptions(class_measure=measure)) == ["beats_majority_class"]


def test_a_challenger_must_be_better_than_the_champion_on_the_same_stretch():
    champion = ChampionEvidence("v1", sharpe=1.5, start_ns=0, end_ns=100)
    assert judge(replace(GOOD, champion=champion)).promoted
    assert (
        "champion v1's Sharpe ratio of 2, was 2"
        in judge(replace(GOOD, champion=replace(champion, sharpe=2.0))).reason
    )
    options = GateOptions(min_champion_margin=0.6)
    assert failed(replace(GOOD, champion=champion), options) == ["beats_champion"]
    for unmeasured in (None, math.nan):
        assert failed(replace(GOOD, champion=replace(champion, sharpe=unmeasured))) == [
            "beats_champion"
        ]
    elsewhere = replace(GOOD, champion=replace(champion, end_ns=99))
    assert "on the same stretch" in judge(elsewhere).reason
    assert failed(elsewhere) == ["beats_champion"]


def test_the_verdict_is_plain_json_with_thresholds_and_evidence():
    value = np.float64(2.0)
    verdict = judge(replace(GOOD, sharpe=value, is_simulated=True, details={"x": math.nan}))
    kept = json.loads(json.dumps(verdict.to_dict(), allow_nan=False))
    assert kept["promoted"] is True
    assert kept["is_simulated"] is True
    assert kept["evidence"]["details"] == {"x": None}
    assert kept["options"]["min_deflated_sharpe"] == 0.95
    assert {check["name"] for check in kept["checks"]} >= {"sharpe", "deflated_sharpe"}


def test_every_option_has_help_and_a_written_default():
    for name, option in GateOptions.model_fields.items():
        assert option.description, name
        assert option.default is not None, name
    with pytest.raises(ConfigError, match="did you mean 'min_sharpe'"):
        GateOptions(min_sharp=1.0)


@given(
    st.fixed_dictionaries(
        {name: st.none() | st.floats(allow_nan=True, allow_infinity=True) for name in MEASURED}
    )
)
@settings(deadline=None, derandomize=True, max_examples=200)
def test_promotion_means_that_every_number_was_measured_and_holds(values):
    verdict = judge(replace(GOOD, **values))
    assert verdict.promoted == all(check.holds for check in verdict.checks)
    if verdict.promoted:
        assert all(math.isfinite(values[name]) for name in MEASURED)
        assert values["sharpe"] >= 0.2
        assert values["random_entry_p"] <= 0.05
    json.dumps(verdict.to_dict(), allow_nan=False)


def evidence_of(daily_returns, trials, variance):
    """Everything but the Sharpe figures as good as could be."""
    return replace(
        GOOD,
        sharpe=annual_sharpe(daily_returns),
        trials=trials,
        deflated_sharpe=deflated_sharpe(
            return_moments(daily_returns), trials=trials, trial_variance=variance
        ),
        random_entry_p=0.001,
        buy_and_hold_sharpe=-1.0,
    )


def test_the_luckiest_of_a_hundred_random_strategies_is_refused_and_a_planted_edge_accepted():
    random = np.random.default_rng(2026)
    returns = random.normal(0.0, 0.01, size=(100, 365))
    sharpes = returns.mean(axis=1) / returns.std(axis=1, ddof=1)
    variance = float(sharpes.var(ddof=1))
    lucky = evidence_of(returns[sharpes.argmax()], 100, variance)
    assert lucky.sharpe > 1.5
    assert failed(lucky) == ["deflated_sharpe"]
    planted = evidence_of(random.normal(0.003, 0.01, 365), 101, variance)
    assert judge(planted).promoted


def test_evidence_lists_only_known_fields():
    names = {field.name for field in fields(Evidence)}
    assert set(GOOD.to_dict()) == names
