"""A network from candles to live bars: windows by the catalogue, one answer in a backtest and live."""

from __future__ import annotations

import numpy as np
import pytest

from crypto_bot.dataset import build_dataset
from crypto_bot.features import FeatureStream, compute_features, sequence_features
from crypto_bot.predictors import load_predictor
from crypto_bot.registry import open_registry
from crypto_bot.training import LSTMTrainer, make_card
from training.learnable_rows import plain_bars, walk
from training.network_runs import LOOK_BACK, SMALL

NAMES = sequence_features(["return_5d", "sma_ratio"], LOOK_BACK)
MISSING = (300, 301, 420)


@pytest.fixture(scope="module")
def bars():
    kept = np.setdiff1d(np.arange(500), MISSING)
    return plain_bars(walk(500, seed=4), keep=kept)


@pytest.fixture(scope="module")
def dataset(bars):
    return build_dataset([bars], feature_names=NAMES)


@pytest.fixture(scope="module")
def trained(dataset):
    return LSTMTrainer(SMALL).fit(dataset)


def test_no_row_has_a_window_over_a_gap_and_each_ends_at_its_decision(bars, dataset):
    plain = compute_features(bars, ["sma_ratio"]).column("sma_ratio")
    for row in range(0, len(dataset), 7):
        bar = dataset.bar_index[row]
        window = slice(bar - LOOK_BACK + 1, bar + 1)
        assert (np.diff(bars.open_time[window]) == bars.interval_ns).all()
        assert np.array_equal(dataset.features[row, LOOK_BACK:], plain[window])
        assert dataset.decided_at_ns[row] == bars.close_time[bar]
    after_gap = np.searchsorted(bars.open_time, bars.open_time[0] + 302 * bars.interval_ns)
    assert not set(range(after_gap, after_gap + LOOK_BACK - 1)) & set(dataset.bar_index)


def test_history_and_live_bars_get_the_same_bits_through_the_registry(
    tmp_path, bars, dataset, trained
):
    card = make_card(dataset, trained)
    assert card.feature_definitions["sma_ratio~4"]
    assert load_predictor(card, trained.files).classes == (0, 1)
    registry = open_registry(tmp_path)
    version = registry.publish(card.symbol, trained.files, card)
    predictor, _ = registry.load(card.symbol, version)
    table = compute_features(bars, NAMES)
    wanted = predictor.predict_proba(table.values)
    stream = FeatureStream(NAMES, bars.timeframe)
    found = [predictor.predict_one(stream.update(bar)) for bar in bars]
    assert np.array_equal(found, wanted, equal_nan=True)
    unknown = np.isnan(wanted[:, 0])
    assert np.count_nonzero(unknown[table.warmup_bars :]) == 2 * (LOOK_BACK - 1)
