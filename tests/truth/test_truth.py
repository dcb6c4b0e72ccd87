"""A short look at what `make truth` asks at length."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.truth.__main__ import market_rows
from benchmarks.truth.markets import EDGES, ideal_sharpe, null_market, planted_market
from benchmarks.truth.oracles import run as oracles
from benchmarks.truth.pipeline import judge_market
from benchmarks.truth.reproduction import run as reproduction


def log_moves(bars):
    return np.diff(np.log(bars.close))


@pytest.mark.parametrize("real", [False, True])
def test_a_null_market_has_clusters_and_tails_but_nothing_that_tells_up_from_down(real):
    if real:
        from shared_data import shared_data

        shared_data("binance")
    bars = null_market(5, real=real)
    pooled = np.concatenate([log_moves(each) for each in bars])
    kurtosis = np.mean(pooled**4) / np.mean(pooled**2) ** 2
    assert kurtosis > 5
    sizes = np.abs(log_moves(bars[0]))
    assert np.corrcoef(sizes[1:], sizes[:-1])[0, 1] > 0.1
    for each in bars:
        moves = log_moves(each)
        for lag in (1, 2, 24):
            sign = np.mean(np.sign(moves[lag:]) * np.sign(moves[:-lag]))
            assert abs(sign) < 4 / np.sqrt(len(moves))
        assert (each.high >= np.maximum(each.open, each.close)).all()
        assert (each.low <= np.minimum(each.open, each.close)).all()
    assert np.corrcoef(log_moves(bars[0]), log_moves(bars[1]))[0, 1] > 0.2


def test_the_ideal_predictor_earns_what_a_market_is_made_for():
    for follows in (True, False):
        seeds = [s for s in range(24) if (s // 2 % 2 == 0) == follows][:5]
        earned = [ideal_sharpe(s, planted_market(s, EDGES[follows][3], real=False)) for s in seeds]
        assert np.mean(earned) == pytest.approx(3.0, abs=0.9)


def test_the_pipeline_promotes_a_strong_edge_and_puts_it_into_service():
    judged = judge_market(planted_market(4, 0.12, bars=7_000, real=False, trend=True))
    assert judged.promoted
    assert judged.sharpe > 1.5


def test_the_pipeline_does_not_promote_noise():
    judged = judge_market(null_market(2, bars=7_000, real=False))
    assert not judged.promoted
    assert judged.failed


def test_the_same_candles_settings_and_seed_give_the_same_bytes():
    assert [row["holds"] for row in reproduction()] == [True, True]


def test_every_oracle_agrees():
    rows = oracles()
    assert [row["name"] for row in rows if not row["holds"]] == []
    assert len(rows) >= 6


def outcome(ideal, seed, promoted):
    return {
        "ideal": ideal,
        "seed": seed,
        "promoted": promoted,
        "earned": 1.0,
        "ideal_earned": float(ideal),
    }


def test_shares_come_with_exact_intervals_and_a_missed_target_is_shown_as_missed():
    made = [outcome(0, s, s < 3) for s in range(20)] + [outcome(3, s, s < 7) for s in range(10)]
    rows = {row["name"]: row for row in market_rows(made)}
    null = rows["null markets: promoted of 20"]
    assert (null["value"], null["holds"]) == (0.15, False)
    # Clopper-Pearson for 3 of 20, from published tables.
    assert rows["null markets: promoted of 20, 95 % interval from"]["value"] == pytest.approx(
        0.0321, abs=1e-4
    )
    assert rows["null markets: promoted of 20, 95 % interval to"]["value"] == pytest.approx(
        0.3789, abs=1e-4
    )
    edge = rows["planted edge, ideal Sharpe 3: promoted of 10"]
    assert (edge["value"], edge["holds"]) == (0.7, False)
