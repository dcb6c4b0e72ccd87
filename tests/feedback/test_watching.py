"""Each disagreement has its finding and its action; too little evidence has none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crypto_bot.core.errors import DataError
from crypto_bot.core.timeframes import HOUR_NS
from crypto_bot.feedback import (
    Action,
    Agreement,
    CalibrationEvidence,
    FeatureEvidence,
    FindingKind,
    LiveEvidence,
    PredictionEvidence,
    RivalEvidence,
    WatchOptions,
    acted_share,
    calibration_decay,
    trade_gaps,
    watch,
)
from drifting_streams import FIRST_NS, STEP_NS, drawn, sample, split, trades

ODD = Agreement(False, 9, 0, 2, 0, 1, 1, "A/USDT is odd")
PROMISED = drawn(0.002, 300, seed=2)


def noise(columns=4, seed=3):
    return np.random.default_rng(seed).normal(size=(6_000, columns))


def features(moved):
    values = noise()
    values[-600:, :moved] += 1.0
    return FeatureEvidence(("a", "b", "c", "d"), *split(values, 600))


def predictions(*, lift=0.0, acts=0.1, live_acts=0.1, live=600):
    rng = np.random.default_rng(4)
    up = rng.beta(4, 4, 6_000)
    up[-live:] = np.clip(up[-live:] + lift, 0, 1)
    before, now = split(np.column_stack([1 - up, up]), live)
    reference_acted = rng.random(6_000 - live) < acts
    return PredictionEvidence((0, 1), before, now, reference_acted, rng.random(live) < live_acts)


def calibration(rows=2_000, *, promised=0.2, lie=0.0, classes=(0, 1)):
    """Probabilities that are right, or too high by `lie`."""
    rng = np.random.default_rng(5)
    truth = rng.uniform(0.1, 0.9, rows)
    labels = (rng.random(rows) < truth).astype(np.int8)
    up = np.clip(truth + lie, 0.0, 1.0)
    times = FIRST_NS + np.arange(rows) * STEP_NS
    shown = np.column_stack([1 - up, up])
    return CalibrationEvidence(classes, times, shown, labels, HOUR_NS, promised)


def account(lag, periods=60):
    rng = np.random.default_rng(6)
    own = rng.normal(0.0, 0.01, periods)
    return RivalEvidence("v1", own, own + lag + rng.normal(0.0, 0.002, periods))


CALM = LiveEvidence(
    "BTC/USDT",
    trades=drawn(0.002, 60),
    expected=PROMISED,
    slippage=np.full(60, 0.001),
    assumed_slippage_frac=0.001,
    agreement=Agreement(True, 9, 0, 0, 0, 0, 0, None),
    features=features(0),
    predictions=predictions(),
    calibration=calibration(),
    rival=account(0.0),
    drawdown_frac=0.05,
    promised_drawdown_frac=0.1,
    previous_version="v1",
)
FALLEN = np.concatenate([drawn(0.002, 100)["return_frac"], drawn(-0.02, 100)["return_frac"]])


def found(evidence, **options):
    return {(each.kind, each.action) for each in watch(evidence, WatchOptions(**options))}


def test_what_is_as_promised_has_no_finding():
    assert watch(CALM) == ()
    assert watch(LiveEvidence("BTC/USDT")) == ()


@pytest.mark.parametrize(
    ("change", "kind", "actions"),
    [
        ({"features": features(1)}, FindingKind.FEATURE_DRIFT, {Action.RETRAIN}),
        ({"predictions": predictions(lift=0.2)}, FindingKind.PREDICTION_DRIFT, {Action.SHRINK}),
        (
            {"predictions": predictions(live_acts=0.4)},
            FindingKind.PREDICTION_DRIFT,
            {Action.SHRINK},
        ),
        (
            {"calibration": calibration(lie=0.35)},
            FindingKind.CALIBRATION_DECAY,
            {Action.SHRINK, Action.RETRAIN},
        ),
        ({"trades": drawn(-0.004, 40)}, FindingKind.WORSE_THAN_PROMISED, {Action.SHRINK}),
        ({"slippage": np.full(60, 0.004)}, FindingKind.SLIPPAGE, {Action.SHRINK}),
        ({"agreement": ODD}, FindingKind.UNEXPLAINED, {Action.STAND_ASIDE}),
        ({"drawdown_frac": 0.11}, FindingKind.DRAWDOWN, {Action.ROLL_BACK}),
        (
            {"drawdown_frac": 0.11, "previous_version": None},
            FindingKind.DRAWDOWN,
            {Action.STAND_ASIDE},
        ),
        ({"rival": account(0.003)}, FindingKind.RIVAL, {Action.ROLL_BACK}),
    ],
)
def test_each_disagreement_has_its_actions(change, kind, actions):
    results = found(replace(CALM, **change))
    assert {action for of, action in results if of is kind} == actions
    assert {of for of, _ in results} == {kind}


def test_a_fallen_score_stands_aside_and_retrains():
    results = found(replace(CALM, trades=trades(FALLEN)))
    assert {action for of, action in results if of is FindingKind.SCORE} == {
        Action.STAND_ASIDE,
        Action.RETRAIN,
    }
    other = found(replace(CALM, trades=trades(FALLEN)), score_detector="page_hinkley")
    assert (FindingKind.SCORE, Action.STAND_ASIDE) in other


@pytest.mark.parametrize(
    "change",
    [
        {"trades": drawn(-0.02, 20)},
        {"calibration": calibration(60, lie=0.4)},
        {"predictions": predictions(lift=0.3, live=150)},
        {"rival": account(0.01, periods=10)},
        {"trades": drawn(0.002, 20), "rival": account(0.003)},
        {"features": FeatureEvidence(("a",), sample(noise(1)), sample(noise(1)[:100] + 3))},
        {"promised_drawdown_frac": None, "drawdown_frac": 0.9},
        {"expected": PROMISED[:20], "trades": drawn(-0.02, 60)},
    ],
)
def test_too_little_evidence_raises_nothing(change):
    assert watch(replace(CALM, **change)) == ()


def test_the_same_evidence_gives_the_same_findings():
    evidence = replace(CALM, trades=trades(FALLEN), agreement=ODD, features=features(3))
    assert watch(evidence) == watch(evidence)
    assert len({each.alarm_kind for each in watch(evidence)}) == len(watch(evidence))


def test_options_move_the_thresholds():
    moved = replace(CALM, features=features(1))
    assert found(moved, drifted_features_frac=0.3) == set()
    assert found(replace(CALM, calibration=calibration(lie=0.35)), calibration_decay=0.3) == set()
    assert found(replace(CALM, trades=drawn(-0.004, 40)), minimum_trades=41) == set()


def test_the_brier_score_is_that_of_validation():
    sklearn_metrics = pytest.importorskip("sklearn.metrics")
    from crypto_bot.training import score_probabilities

    given = calibration(500, lie=0.1)
    found_here = calibration_decay(given)
    theirs = score_probabilities(given.labels, given.probabilities, (0, 1))
    assert found_here.brier == pytest.approx(theirs.brier)
    assert found_here.log_loss == pytest.approx(theirs.log_loss)
    assert found_here.brier == pytest.approx(
        sklearn_metrics.brier_score_loss(given.labels, given.probabilities[:, 1])
    )
    assert found_here.reliability == pytest.approx(theirs.brier_parts.reliability)


def test_the_brier_score_of_three_classes_is_that_of_validation():
    from crypto_bot.training import score_probabilities

    rng = np.random.default_rng(8)
    shown = rng.dirichlet([2, 2, 2], 400)
    labels = rng.integers(-1, 2, 400).astype(np.int8)
    shown[3] = np.nan
    times = FIRST_NS + np.arange(400) * STEP_NS
    given = CalibrationEvidence((-1, 0, 1), times, shown, labels, HOUR_NS, 0.5)
    theirs = score_probabilities(labels, shown, (-1, 0, 1))
    ours = calibration_decay(given)
    assert (ours.rows, ours.brier) == (399, pytest.approx(theirs.brier))
    assert ours.reliability == pytest.approx(theirs.brier_parts.reliability)


def test_labels_that_overlap_count_for_less():
    given = calibration(2_000)
    error = calibration_decay(given).standard_error
    copied = replace(
        given,
        time_ns=np.repeat(given.time_ns[::20], 20),
        probabilities=np.repeat(given.probabilities[::20], 20, axis=0),
        labels=np.repeat(given.labels[::20], 20),
    )
    assert calibration_decay(copied).standard_error > 3 * error


def test_wrong_shapes_and_labels_are_refused():
    given = calibration(100)
    with pytest.raises(DataError, match=r"probabilities must be \(100, 3\), was \(100, 2\)"):
        calibration_decay(replace(given, classes=(-1, 0, 1)))
    with pytest.raises(DataError, match="labels must be among the classes"):
        calibration_decay(replace(given, labels=np.full(100, 7, np.int8)))
    unknown = replace(given, probabilities=np.full((100, 2), np.nan))
    assert calibration_decay(unknown) is None


def test_a_model_that_never_acted_gives_no_chance():
    share = acted_share(predictions(acts=0.0, live_acts=0.3))
    assert share.p_value is None
    assert not share.has_moved(0.001)


def test_each_trade_is_held_against_trades_of_its_side():
    promised = np.concatenate([trades(np.full(40, 0.01)), trades(np.full(40, -0.002), -1)])
    live = np.concatenate([trades([0.02, 0.0]), trades([0.0], -1)])
    gaps = trade_gaps(live, promised)
    assert gaps.expected == pytest.approx([0.01, 0.01, -0.002])
    assert gaps.mean_gap == pytest.approx((0.01 - 0.01 + 0.002) / 3)
    assert gaps.standard_error == pytest.approx(np.std([0.01, -0.01, 0.002], ddof=1) / np.sqrt(3))
    rare = trade_gaps(live, np.concatenate([promised[:40], promised[40:50]]))
    assert rare.expected[2] == pytest.approx((40 * 0.01 - 10 * 0.002) / 50)
    assert trade_gaps(live, promised[:29]) is None
