"""The original trainer's layout: read where that is possible without running code, refused plainly else."""

from __future__ import annotations

import hashlib
import json
import pickle

import numpy as np
import pytest

from crypto_bot.core.errors import ModelError
from crypto_bot.registry import FolderStore, RegistryLimits, load_original, read_pointer
from predictors.library_models import NAMES, booster_text, forest_bytes, random_rows
from registry.artifacts import linear

FOLDER = "models/regime/BTC-USDT"


@pytest.fixture
def store(tmp_path):
    return FolderStore(tmp_path)


def pointer(content=b"", name="20250101-000000_regime_lgbm.txt", **changes):
    values = {
        "key": f"{FOLDER}/{name}",
        "schema_version": "1",
        "feature_list": list(NAMES),
        "label_order": [0, 1],
        "horizon": "15m",
        "thresholds": {"hold": 0.0015, "open_thr": 0.55},
        "symbol": "BTC-USDT",
        "hash": f"sha256:{hashlib.sha256(content).hexdigest()}",
        "lgbm_version": "4.5.0",
    }
    return {key: value for key, value in (values | changes).items() if value is not ...}


def keep(store, content, folder=FOLDER, **changes):
    told = pointer(content, **changes)
    store.put_copy(f"{folder}/LATEST.json", json.dumps(told).encode())
    key = told["key"] if "/" in told["key"] else f"{folder}/{told['key']}"
    store.put_new(key, content)
    return told


def test_a_lightgbm_text_is_loaded_and_predicts(store):
    text = booster_text(3, rounds=2)
    keep(store, text, label_order=[-1, 0, 1])
    model = load_original(store, "BTC/USDT")
    assert model.pointer.thresholds == {"hold": 0.0015, "open_thr": 0.55}
    assert model.predictor.classes == (-1, 0, 1)
    found = model.predictor.predict_proba(random_rows(2, 20))
    assert np.allclose(found.sum(axis=1), 1.0)
    assert model.place.endswith("_regime_lgbm.txt")


@pytest.mark.parametrize("content", [forest_bytes(), linear(NAMES)], ids=["forest", "logistic"])
def test_our_array_files_are_loaded(store, content):
    keep(store, content, name="model.npz")
    assert load_original(store, "BTC/USDT").predictor.feature_names == NAMES


def test_columns_without_names_take_those_of_the_pointer(store):
    text = booster_text(rounds=2).decode()
    for k, name in enumerate(NAMES):
        text = text.replace(name, f"Column_{k}")
    unsealed = "\n".join(line for line in text.split("\n") if not line.startswith("sealed_sha256:"))
    keep(store, unsealed.encode(), feature_list=[f"f{k}" for k in range(len(NAMES))])
    assert load_original(store, "BTC/USDT").predictor.feature_names[0] == "f0"


@pytest.mark.parametrize("folder", ["BTC-USDT", "BTC_USDT", "BTCUSDT"])
def test_the_folder_of_a_symbol_is_found_however_it_is_spelled(store, folder):
    keep(store, booster_text(rounds=2), folder=f"models/regime/{folder}", key="model.txt")
    where, told = read_pointer(store, "BTC/USDT")
    assert where == f"models/regime/{folder}"
    assert told.key == "model.txt"
    load_original(store, "BTC/USDT")


class Trap:
    def __reduce__(self):
        return pytest.fail, ("a pickle was opened",)


@pytest.mark.parametrize("name", ["x_regime_lgbm.pkl", "x_regime_lgbm.txt"])
def test_a_pickle_is_never_opened_and_the_way_over_is_told(store, name):
    keep(store, pickle.dumps(Trap()), name=name)
    with pytest.raises(
        ModelError, match=r"was a pickle; its sha256 is the pointer's.*csv-train.*--publish"
    ):
        load_original(store, "BTC/USDT")


def test_other_bytes_than_the_pointer_states_are_refused(store):
    text = booster_text(rounds=2)
    keep(store, text, hash=f"sha256:{'0' * 64}")
    with pytest.raises(ModelError, match=r"must have sha256 0000.* as LATEST\.json says, was"):
        load_original(store, "BTC/USDT")


def test_nothing_there_names_the_way_to_a_model(store):
    with pytest.raises(ModelError, match=r"must hold models/regime/BTC-USDT/LATEST\.json, did not"):
        load_original(store, "BTC/USDT")
    store.put_copy(f"{FOLDER}/LATEST.json", json.dumps(pointer()).encode())
    with pytest.raises(ModelError, match=r"must exist as LATEST\.json says, did not"):
        load_original(store, "BTC/USDT")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"key": ...}, "key must"),
        ({"key": ""}, "key must"),
        ({"key": "../../etc/passwd"}, "must name a plain key"),
        ({"key": "/etc/passwd"}, "must name a plain key"),
        ({"hash": ...}, "hash must"),
        ({"hash": "md5:1"}, "hash must"),
        ({"schema_version": "2"}, "schema_version must"),
        ({"feature_list": []}, "feature_list must"),
        ({"feature_list": "abc"}, "feature_list must"),
        ({"feature_list": ["x"] * 20_000}, "feature_list must"),
        ({"label_order": [1]}, "label_order must"),
        ({"label_order": ["long", "flat"]}, "label_order"),
        ({"thresholds": {"hold": "much"}}, "thresholds"),
        ({"symbol": "ETH-USDT"}, "must be of BTC/USDT, was of ETH-USDT"),
        ({"symbol": 5}, "symbol must"),
        ({"feature_list": ["a", "b"]}, "must read LATEST.json's features"),
        ({"label_order": [0, 1, 2]}, "classes must be 2"),
    ],
)
def test_a_pointer_that_says_something_else_is_refused_by_name(store, changes, message):
    text = booster_text(rounds=2)
    told = pointer(text, **changes)
    store.put_copy(f"{FOLDER}/LATEST.json", json.dumps(told).encode())
    store.put_new(f"{FOLDER}/20250101-000000_regime_lgbm.txt", text)
    with pytest.raises(ModelError, match=message):
        load_original(store, "BTC/USDT")


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"[" * 200_000, b"\xff", b'{"key": 1e999}', b"x" * 300_000]
)
def test_a_pointer_that_is_no_json_object_is_refused(store, content):
    store.put_copy(f"{FOLDER}/LATEST.json", content)
    with pytest.raises(ModelError, match=r"LATEST\.json must"):
        load_original(store, "BTC/USDT")


def test_bytes_of_no_known_kind_or_too_many_are_refused(store):
    keep(store, b"what is this", name="model.bin")
    with pytest.raises(ModelError, match="must be a LightGBM text or one of our npz files"):
        load_original(store, "BTC/USDT")
    with pytest.raises(ModelError, match="must have at most 5 bytes"):
        load_original(store, "BTC/USDT", limits=RegistryLimits(max_file_bytes=5))
