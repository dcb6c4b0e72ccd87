"""The two heads: chances that come true, expectations no larger than the evidence, files that rebuild."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_bot.core.errors import ConfigError, DataError, ModelError
from crypto_bot.dataset import Dataset
from crypto_bot.selector import (
    SELECTOR_FILE,
    Calibration,
    ReturnLine,
    SelectorOptions,
    TradeRows,
    fit_calibration,
    fit_return_line,
    fit_selector,
    load_selector,
)
from crypto_bot.selector.model import usual_sizes

HOUR = 3_600_000_000_000


def made_rows(count=1_200, edge=1.0, seed=1, strategies=("a", "b")):
    """Trades whose first feature says who wins; strategy b moves five times as far."""
    random = np.random.default_rng(seed)
    features = random.standard_normal((count, 3))
    strategy = random.integers(0, len(strategies), count)
    is_win = random.random(count) < 1 / (1 + np.exp(-edge * features[:, 0]))
    size = np.where(strategy == 1, 0.05, 0.01) * random.lognormal(0, 0.3, count)
    returns = np.where(is_win, size, -size) - 0.001
    decided = 1_700_000_000_000_000_000 // HOUR * HOUR + np.arange(count) * HOUR
    dataset = Dataset(
        features=np.column_stack((features, strategy)),
        feature_names=("signal", "noise", "other", "strategy.b"),
        labels=(returns > 0).astype(np.int8),
        weights=np.ones(count),
        classes=(0, 1),
        decided_at_ns=decided,
        label_end_ns=decided + 3 * HOUR,
        bar_index=np.arange(count),
        symbol_index=np.zeros(count, np.int64),
        symbols=("BTC/USDT",),
        timeframe="1h",
        label_definition={"name": "profitable_trade", "strategies": list(strategies)},
        fingerprint="made",
        dropped={},
        is_simulated=True,
    )
    return TradeRows(dataset, returns, strategy, strategies)


@pytest.fixture(scope="module")
def selector():
    return fit_selector(made_rows())


def test_foretold_chances_and_returns_come_true_on_trades_never_seen(selector):
    unseen = made_rows(count=4_000, seed=2)
    chance = selector.chance(unseen.dataset.features)
    expected = selector.expected_return(unseen.dataset.features, unseen.strategy)
    order = np.argsort(chance)
    for rows in np.array_split(order, 4):
        assert np.mean(unseen.returns[rows] > 0) == pytest.approx(chance[rows].mean(), abs=0.06)
    taken = selector.takes(chance, expected)
    assert 0.3 < taken.mean() < 0.7
    assert unseen.returns[taken].mean() > 0.003
    assert unseen.returns[~taken].mean() < -0.003
    of_b = unseen.strategy == 1
    assert np.abs(expected[of_b]).mean() > 3 * np.abs(expected[~of_b]).mean()


def test_without_skill_every_chance_is_the_base_rate_and_every_expectation_the_mean():
    for seed in range(2):
        rows = made_rows(edge=0.0, seed=10 + seed)
        learned = fit_selector(rows)
        fresh = made_rows(count=2_000, edge=0.0, seed=50 + seed).dataset.features
        assert np.std(learned.chance(fresh)) < 0.03
        assert learned.chance(fresh).mean() == pytest.approx(rows.dataset.labels.mean(), abs=0.05)
        assert learned.line.slope < 0.5
        expected = learned.expected_return(fresh, np.zeros(len(fresh), np.int64))
        assert np.ptp(expected) < 0.004


def test_a_selector_is_rebuilt_from_its_files_bit_for_bit(selector):
    again = load_selector(selector.files)
    features = made_rows(count=300, seed=3).dataset.features
    strategy = np.arange(300) % 2
    assert again.chance(features).tobytes() == selector.chance(features).tobytes()
    first, second = (each.expected_return(features, strategy) for each in (selector, again))
    assert first.tobytes() == second.tobytes()
    assert (again.options, again.strategies) == (selector.options, selector.strategies)


def test_the_same_trades_give_the_same_files_byte_for_byte(selector):
    assert fit_selector(made_rows()).files == selector.files
    assert fit_selector(made_rows(seed=9)).files != selector.files


def test_reading_a_selector_needs_no_training_library(selector, tmp_path):
    for name, content in selector.files.items():
        (tmp_path / name).write_bytes(content)
    code = """
import sys, pathlib, numpy as np
from crypto_bot.selector import load_selector
files = {path.name: path.read_bytes() for path in pathlib.Path(sys.argv[1]).iterdir()}
chance = load_selector(files).chance(np.zeros((1, 4)))
print(0 < chance[0] < 1, [name for name in ("lightgbm", "sklearn", "keras") if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "True []"


def test_an_unknown_feature_gives_no_chance_and_no_entry(selector):
    features = made_rows(count=4).dataset.features.copy()
    features[1, 0], features[2, 1] = np.nan, np.inf
    chance = selector.chance(features)
    expected = selector.expected_return(features, np.zeros(4, np.int64))
    np.testing.assert_array_equal(np.isnan(chance), [False, True, True, False])
    assert not selector.takes(chance, expected)[1:3].any()


def test_margin_and_chance_are_both_asked_for(selector):
    chance, expected = np.array([0.4, 0.6, 0.6, 0.6]), np.array([0.02, 0.02, 0.01, 0.0])
    assert selector.takes(chance, expected).tolist() == [True, True, True, False]
    strict = replace(selector, options=SelectorOptions(margin_frac=0.01, minimum_chance=0.5))
    assert strict.takes(chance, expected).tolist() == [False, True, False, False]


def test_a_damaged_or_missing_file_is_named(selector):
    with pytest.raises(ModelError, match=f"must include {SELECTOR_FILE}"):
        load_selector({})
    for change in (b"{", b"{}", b'{"cards": 3}'):
        with pytest.raises(ModelError, match="must be intact"):
            load_selector({**selector.files, SELECTOR_FILE: change})
    fewer = {name: content for name, content in selector.files.items() if "gain" not in name}
    with pytest.raises(ModelError, match=r"must include model\.txt"):
        load_selector(fewer)
    told = json.loads(selector.files[SELECTOR_FILE])
    told["cards"]["chance."]["feature_names"] = ["a", "b", "c", "d"]
    with pytest.raises(ModelError, match="feature_names must equal"):
        load_selector({**selector.files, SELECTOR_FILE: json.dumps(told).encode()})


def test_too_few_trades_or_one_outcome_are_refused_by_name():
    with pytest.raises(DataError, match="at least 100, were 60 by 20"):
        fit_selector(made_rows(count=60))
    rows = made_rows(count=300)
    lost = replace(
        rows,
        returns=-np.abs(rows.returns),
        dataset=replace(rows.dataset, labels=np.zeros(300, np.int8)),
    )
    with pytest.raises(DataError, match=r"must both win and lose, were \{0: 300, 1: 0\}"):
        fit_selector(lost)
    still = replace(rows, returns=np.zeros(300))
    with pytest.raises(DataError, match="must win or lose something, 300 did neither"):
        usual_sizes(still, SelectorOptions())
    with pytest.raises(ConfigError, match="minimum_chance must be less than 1"):
        SelectorOptions(minimum_chance=1.0)


def test_usual_sizes_are_means_drawn_to_that_of_all():
    rows = made_rows(count=200)
    none, much = (SelectorOptions(tail_frac=0.0, shrink_trades=k) for k in (1e-9, 1e9))
    own = [np.abs(rows.returns[rows.strategy == k]).mean() for k in (0, 1)]
    np.testing.assert_allclose(usual_sizes(rows, none), own)
    np.testing.assert_allclose(usual_sizes(rows, much), np.abs(rows.returns).mean(), rtol=1e-5)


@settings(max_examples=8, deadline=None, derandomize=True)
@given(st.integers(0, 10_000), st.floats(0.2, 2.0), st.floats(-1.0, 1.0))
def test_a_calibration_finds_the_line_that_made_the_outcomes(seed, slope, intercept):
    random = np.random.default_rng(seed)
    raw = 1 / (1 + np.exp(-random.standard_normal(20_000)))
    truth = Calibration(intercept, slope).apply(raw)
    found = fit_calibration(raw, (random.random(len(raw)) < truth).astype(np.int8))
    assert np.abs(found.apply(raw) - truth).max() < 0.06


def test_a_calibration_never_turns_a_chance_around():
    raw = np.linspace(0.1, 0.9, 1_000)
    backwards = (np.random.default_rng(1).random(1_000) > raw).astype(np.int8)
    found = fit_calibration(raw, backwards)
    assert found.slope == 0.0
    assert found.apply(raw) == pytest.approx(backwards.mean(), abs=0.01)
    assert fit_calibration(np.full(9, 0.5), np.ones(9, np.int8)).apply(np.array([0.5])) < 1.0


def test_a_return_line_counts_an_expectation_as_far_as_it_is_more_than_luck():
    random = np.random.default_rng(2)
    said, day = random.standard_normal(4_000), np.arange(4_000) // 20
    sure = fit_return_line(said, 2.0 * said + 0.1 * random.standard_normal(4_000) + 1, day)
    assert sure == ReturnLine(pytest.approx(1 - 0 * said.mean(), abs=0.1), 1.0)
    noise = [fit_return_line(said, random.standard_normal(4_000) + 1, day).slope for _ in range(40)]
    assert np.mean(np.array(noise) == 0.0) > 0.7
    assert max(noise) < 0.05
    flat = fit_return_line(np.ones(9), np.arange(9.0), np.arange(9))
    assert flat == ReturnLine(4.0, 0.0)


def test_rows_that_come_out_alike_are_less_evidence():
    random = np.random.default_rng(4)
    said = np.repeat(random.standard_normal(40), 50)
    came = 0.3 * said + np.repeat(random.standard_normal(40), 50)
    alone = fit_return_line(said, came, np.arange(2_000)).slope
    together = fit_return_line(said, came, np.repeat(np.arange(40), 50)).slope
    assert together < alone
