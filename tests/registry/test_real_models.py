"""Trained models through the registry: what comes back predicts bit for bit what was published."""

from __future__ import annotations

import numpy as np
import pytest

from crypto_bot.core.errors import ModelError
from crypto_bot.dataset import build_dataset
from crypto_bot.labels import ThreeClassOptions
from crypto_bot.market import SimulationOptions, simulate_market
from crypto_bot.registry import open_registry
from crypto_bot.training import (
    ForestOptions,
    ForestTrainer,
    LightGBMOptions,
    LightGBMTrainer,
    make_card,
)

TRAINERS = {
    "forest": ForestTrainer(ForestOptions(n_estimators=5, max_depth=5)),
    "lightgbm": LightGBMTrainer(LightGBMOptions(n_estimators=5)),
}


@pytest.fixture(scope="module")
def dataset():
    market = simulate_market(SimulationOptions(symbols=1, bars=900))
    return build_dataset(
        market, feature_names=("rsi_14", "sma_ratio", "return_5d"), labels=ThreeClassOptions()
    )


@pytest.fixture(scope="module", params=sorted(TRAINERS))
def trained(dataset, request):
    return TRAINERS[request.param].fit(dataset)


def test_a_published_model_predicts_the_same_after_loading(tmp_path, dataset, trained):
    registry = open_registry(tmp_path)
    card = make_card(dataset, trained)
    version = registry.publish(card.symbol, trained.files, card)
    loaded, read = open_registry(tmp_path.as_uri()).load(card.symbol, version)
    assert read == card
    assert np.array_equal(
        loaded.predict_proba(dataset.features), trained.predictor.predict_proba(dataset.features)
    )
    assert registry.published_by(card.symbol, card.run_id or "none") in (version, None)


def test_cut_model_bytes_are_neither_published_nor_loaded(tmp_path, dataset, trained):
    registry = open_registry(tmp_path)
    card = make_card(dataset, trained)
    name = max(trained.files, key=lambda key: len(trained.files[key]))
    cut = {**trained.files, name: trained.files[name][: len(trained.files[name]) // 2]}
    with pytest.raises(ModelError):
        registry.publish(card.symbol, cut, card)
    assert registry.versions(card.symbol) == []
    version = registry.publish(card.symbol, trained.files, card)
    path = next(tmp_path.glob(f"*/versions/{version}/{name}"))
    path.write_bytes(cut[name])
    with pytest.raises(ModelError, match=f"{name} must have"):
        registry.load(card.symbol, version)
