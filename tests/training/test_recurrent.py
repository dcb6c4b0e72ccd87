"""The LSTM: windows that stay apart, files that repeat, an export that is what Keras predicts."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from crypto_bot.core import ModelCard
from crypto_bot.core.errors import ConfigError, DataError, MissingExtra, ModelError
from crypto_bot.features import sequence_features, sequence_names
from crypto_bot.predictors import LSTM_FILE, NETWORK_FILE, read_lstm
from crypto_bot.registry import open_registry
from crypto_bot.training import LSTMOptions, LSTMTrainer, keras_backend, recurrent, recurrent_onnx
from crypto_bot.training.cards import library_versions
from crypto_bot.training.recurrent import (
    build_network,
    export_network,
    fit_network,
    fit_rows,
    network_weights,
    row_windows,
)
from training.network_runs import LOOK_BACK, MINUTE_NS, SMALL, noise, windows_dataset

QUICK = SMALL.replace(epochs=12, learning_rate=0.05)


@pytest.fixture(scope="module")
def dataset():
    return windows_dataset(*noise())


@pytest.fixture(scope="module")
def trained(dataset):
    return LSTMTrainer(QUICK).fit(dataset)


def test_the_defaults_are_the_guides():
    options = LSTMOptions()
    assert (options.look_back, options.units, options.dropout) == (20, 50, 0.2)
    assert (options.epochs, options.batch_size, options.patience) == (50, 32, 10)
    assert (options.learning_rate, options.validation_fraction) == (0.001, 0.2)


def test_the_layers_are_the_guides():
    model = build_network(LOOK_BACK, 2, SMALL)
    assert [type(layer).__name__ for layer in model.layers] == [
        "LSTM",
        "Dropout",
        "LSTM",
        "Dropout",
        "Dense",
    ]
    first, _, last, _, dense = model.layers
    assert (first.units, first.return_sequences) == (4, True)
    assert (last.units, last.return_sequences) == (2, False)
    assert (model.layers[1].rate, model.layers[3].rate) == (0.2, 0.2)
    assert (dense.units, dense.activation.__name__) == (1, "sigmoid")
    assert model.input_shape == (None, LOOK_BACK, 2)
    assert type(model.optimizer).__name__ == "Adam"
    assert float(model.optimizer.learning_rate.value) == pytest.approx(1e-3)
    assert model.loss == "binary_crossentropy"


def test_windows_are_spelled_oldest_first_and_read_back():
    names = sequence_features(["rsi_14", "bb_width"], 3)
    assert names == ("rsi_14~2", "rsi_14~1", "rsi_14", "bb_width~2", "bb_width~1", "bb_width")
    assert sequence_names(names, 3) == ("rsi_14", "bb_width")
    assert sequence_features(["rsi_14"], 1) == ("rsi_14",)


@pytest.mark.parametrize("wrong", [("rsi_14",), ("rsi_14", "rsi_14~1"), (), ("a~1", "a", "b~1")])
def test_names_that_are_no_windows_are_refused(wrong):
    with pytest.raises(ConfigError, match=r"must be windows of 2 bars .* sequence_features"):
        sequence_names(wrong, 2)


@pytest.mark.parametrize(("names", "look_back"), [((), 2), (("a~1",), 2), (("a",), 0)])
def test_windows_of_nothing_are_refused(names, look_back):
    with pytest.raises(ConfigError, match="must be"):
        sequence_features(names, look_back)


def test_a_row_becomes_its_own_past_oldest_step_first(dataset):
    values, _ = noise()
    windows = row_windows(dataset.features, LOOK_BACK)
    assert windows.shape == (len(dataset), LOOK_BACK, 2)
    assert np.array_equal(windows[7], values[7 : 7 + LOOK_BACK])


def test_no_bar_and_no_label_is_shared_by_the_rows_that_teach_and_that_stop(dataset):
    taught, stopping = fit_rows(dataset, SMALL.replace(embargo_bars=0))
    first_bar = dataset.decided_at_ns[stopping[0]] - (LOOK_BACK - 1) * MINUTE_NS
    assert dataset.label_end_ns[taught].max() < first_bar
    assert len(taught) + len(stopping) == len(dataset) - (LOOK_BACK - 1) - 2
    wider = fit_rows(dataset, SMALL.replace(embargo_bars=30))
    assert dataset.label_end_ns[wider.taught].max() < (
        dataset.decided_at_ns[stopping[0]] - 30 * MINUTE_NS
    )


def test_the_scaler_learns_from_the_teaching_rows_alone(dataset, trained):
    taught = fit_rows(dataset, QUICK).taught
    wanted = StandardScaler().fit(row_windows(dataset.features, LOOK_BACK)[taught].reshape(-1, 2))
    assert np.array_equal(trained.predictor.network.mean, wanted.mean_)
    assert np.array_equal(trained.predictor.network.scale, wanted.scale_)


def test_it_learns_the_label_of_the_windows_last_bar(dataset, trained):
    fresh = windows_dataset(*noise(seed=1))
    guess = trained.predictor.predict_proba(fresh.features)[:, 1] > 0.5
    assert np.mean(guess == fresh.labels) > 0.9


def test_rows_without_weight_teach_nothing():
    values, labels = noise()
    lies = np.random.default_rng(5).random(len(labels)) < 0.55
    data = windows_dataset(values, np.where(lies, 1 - labels, labels), weights=~lies)
    fresh = windows_dataset(*noise(seed=1))
    predictor = LSTMTrainer(QUICK.replace(epochs=30)).fit(data).predictor
    guess = predictor.predict_proba(fresh.features)[:, 1] > 0.5
    assert np.mean(guess == fresh.labels) > 0.8


def test_the_same_rows_and_seed_give_byte_identical_files(dataset, trained):
    assert LSTMTrainer(QUICK).fit(dataset).files == trained.files


def test_another_seed_gives_another_model(dataset):
    one, other = (LSTMTrainer(SMALL.replace(seed=seed)).fit(dataset) for seed in (1, 2))
    assert one.files[NETWORK_FILE] == other.files[NETWORK_FILE]
    assert one.files[LSTM_FILE] != other.files[LSTM_FILE]
    assert (one.seed, other.seed) == (1, 2)


def test_global_random_numbers_are_left_alone(dataset):
    np.random.seed(3)
    wanted = np.random.random()
    np.random.seed(3)
    LSTMTrainer(SMALL).fit(dataset)
    assert np.random.random() == wanted


def test_a_batch_filled_up_teaches_what_the_bare_one_does():
    """Keras means over rows: added ones weigh 0, the others as much more."""
    windows, targets, weights = (
        np.random.default_rng(1).random((5, *shape)) for shape in ((3, 2), (), ())
    )
    filled = recurrent._filled((windows, targets, weights), 4)
    assert [len(each) for each in filled] == [8, 8, 8]
    assert np.array_equal(filled[0][:5], windows)
    losses = np.square(filled[1] - 0.5)
    assert np.mean(losses * filled[2]) == pytest.approx(np.mean(losses[:5] * weights))
    assert all(
        map(
            np.array_equal,
            recurrent._filled((windows, targets, weights), 5),
            (windows, targets, weights.astype(np.float32)),
        )
    )


def test_it_stops_early_and_keeps_the_best_weights(dataset):
    options = SMALL.replace(patience=1, epochs=40, learning_rate=0.5)
    rows = fit_rows(dataset, options)
    fitted = fit_network(dataset, rows, options)
    losses = fitted.history["val_loss"]
    assert len(losses) < 40
    _, predictor = export_network(fitted, dataset, LOOK_BACK)
    chance = predictor.predict_proba(dataset.features[rows.stopping])[:, 1]
    truth = dataset.labels[rows.stopping]
    loss = -np.mean(np.log(np.where(truth == 1, chance, 1 - chance)))
    assert loss == pytest.approx(min(losses), rel=1e-4)


def test_an_export_that_predicts_something_else_is_refused(dataset, monkeypatch):
    monkeypatch.setattr(recurrent_onnx, "_ONNX_GATES", ("input", "forget", "cell", "output"))
    with pytest.raises(ModelError, match="must predict what the library does"):
        LSTMTrainer(SMALL).fit(dataset)


def test_weights_that_ran_away_are_refused(trained):
    network = trained.predictor.network
    weights = network_weights(build_network(LOOK_BACK, 2, SMALL))
    weights[0][0, 0] = np.nan
    with pytest.raises(ModelError, match="weights must be finite after training"):
        recurrent_onnx.exported_network(weights, (network.mean, network.scale))


def test_what_cannot_be_learned_is_refused_by_name(dataset):
    with pytest.raises(ConfigError, match="windows of 20 bars"):
        LSTMTrainer().fit(dataset)
    with pytest.raises(DataError, match="at least two classes"):
        LSTMTrainer(SMALL).fit(replace(dataset, labels=np.zeros_like(dataset.labels)))
    with pytest.raises(DataError, match="rows must leave some"):
        LSTMTrainer(SMALL).fit(dataset.take(np.arange(6)))


def test_a_published_network_predicts_the_same_after_loading(tmp_path, dataset, trained):
    card = ModelCard(
        symbol="AAA/USDT",
        timeframe="1m",
        model_type=trained.model_type,
        feature_names=dataset.feature_names,
        feature_settled_bars=LOOK_BACK,
        classes=dataset.classes,
        label=dataset.label_definition,
        data_fingerprint=dataset.fingerprint,
        data_start="",
        data_end="",
        rows=len(dataset),
        library_versions=library_versions(trained.model_type),
    )
    assert {"keras", "onnx", "onnxruntime"} < set(card.library_versions)
    registry = open_registry(tmp_path)
    version = registry.publish(card.symbol, trained.files, card)
    loaded, read = open_registry(tmp_path.as_uri()).load(card.symbol, version)
    assert read == card
    wanted = trained.predictor.predict_proba(dataset.features)
    assert np.array_equal(loaded.predict_proba(dataset.features), wanted)


def test_serving_imports_no_training_library(tmp_path, trained):
    for name, content in trained.files.items():
        (tmp_path / name).write_bytes(content)
    code = (
        "import sys, pathlib, numpy as np\n"
        "from crypto_bot.predictors import OnnxPredictor, read_lstm\n"
        f"read = lambda name: pathlib.Path({str(tmp_path)!r}, name).read_bytes()\n"
        f"model = OnnxPredictor(*read_lstm(read({LSTM_FILE!r}), read({NETWORK_FILE!r})))\n"
        "model.predict_one(np.zeros(10))\n"
        "print([m for m in ('keras', 'jax', 'torch', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_files_are_the_trained_weights(trained):
    network, schema = read_lstm(trained.files[LSTM_FILE], trained.files[NETWORK_FILE])
    assert schema.feature_names == trained.predictor.feature_names
    assert all(map(np.array_equal, network, trained.predictor.network))


@pytest.mark.parametrize(
    ("asked", "installed", "wanted"),
    [
        ("tensorflow", ("torch",), "tensorflow"),
        ("", ("tensorflow", "jax", "torch"), "torch"),
        ("", ("tensorflow", "jax"), "jax"),
        ("", ("tensorflow",), "tensorflow"),
    ],
)
def test_the_backend_is_the_one_asked_for_or_the_first_installed(
    monkeypatch, asked, installed, wanted
):
    monkeypatch.setenv(keras_backend.BACKEND_VARIABLE, asked)
    monkeypatch.setattr(
        keras_backend, "find_spec", lambda name: name if name in installed else None
    )
    assert keras_backend.chosen_backend() == wanted


def test_a_missing_backend_or_keras_names_the_install_line(monkeypatch):
    monkeypatch.setenv(keras_backend.BACKEND_VARIABLE, "")
    monkeypatch.setattr(keras_backend, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"torch, jax, tensorflow .* 'crypto-bot\[deep\]'"):
        keras_backend.chosen_backend()
    monkeypatch.setitem(sys.modules, "keras", None)
    with pytest.raises(MissingExtra, match=r"keras must be installed .* 'crypto-bot\[deep\]'"):
        keras_backend.load_keras()


def test_a_gpu_that_is_not_there_gives_the_cpu_and_says_so(monkeypatch, caplog):
    monkeypatch.setattr(keras_backend, "_has_gpu", lambda: False)
    device, note = keras_backend.usable_network_device("gpu")
    assert device == "cpu"
    assert note.startswith("cpu (gpu asked: ")
    assert len(caplog.records) == 1
