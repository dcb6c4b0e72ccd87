"""The card says what was trained on what, by whom and with which seed."""

from __future__ import annotations

import numpy as np
import pytest

from crypto_bot.core import ModelCard
from crypto_bot.core.errors import DataError
from crypto_bot.features import feature
from crypto_bot.training import LightGBMOptions, LightGBMTrainer, make_card
from training.learnable_rows import dataset


@pytest.fixture(scope="module")
def trained():
    return LightGBMTrainer(LightGBMOptions(n_estimators=3, seed=9)).fit(dataset(3))


def test_a_card_describes_data_features_label_and_options(trained):
    data = dataset(3)
    card = make_card(data, trained, thresholds={"open": 0.6}, metrics={"accuracy": 0.5})
    assert card.symbol == "GLOBAL"
    assert card.timeframe == "5m"
    assert card.is_simulated
    assert card.rows == len(data)
    assert card.data_fingerprint == data.fingerprint
    assert card.feature_definitions["rsi_14"] == feature("rsi_14").definition
    wanted = max(feature(name).settled_bars for name in data.feature_names)
    assert card.feature_settled_bars == wanted
    assert card.label["horizon_minutes"] == 15
    assert card.thresholds == {"hold": 0.0015, "open": 0.6}
    assert card.seed == 9
    assert card.options["n_estimators"] == 3
    assert card.options["device"] == "cpu"
    assert set(card.library_versions) == {"crypto-bot", "numpy", "lightgbm", "python"}
    assert card.data_start < card.data_end


def test_a_card_survives_its_file(trained):
    card = make_card(dataset(3), trained, symbol="BTC/USDT", run_id="r1")
    assert ModelCard.model_validate_json(card.model_dump_json()) == card
    assert card.symbol == "BTC/USDT"


def test_a_card_of_another_dataset_is_refused(trained):
    with pytest.raises(DataError, match="must be the one the model was trained on"):
        make_card(dataset(2), trained)
    with pytest.raises(DataError, match="must be the one the model was trained on"):
        make_card(dataset(3).take(np.arange(0)), trained)
