"""`lstm.onnx`: equal to a plain LSTM in numpy, rows apart, and nothing in it but our few operations."""

from __future__ import annotations

import copy
import json
import sys

import numpy as np
import onnx
import pytest

from crypto_bot.core import ModelCard
from crypto_bot.core.errors import MissingExtra, ModelError
from crypto_bot.features import sequence_features
from crypto_bot.predictors import (
    LSTM_FILE,
    NETWORK_FILE,
    LstmNetwork,
    NetworkSchema,
    OnnxPredictor,
    load_predictor,
    lstm_file,
    read_lstm,
    write_lstm,
)

FEATURES, UNITS, LAST, LOOK_BACK = 3, 6, 3, 5
SCHEMA = NetworkSchema(sequence_features(("a", "b", "c"), LOOK_BACK), LOOK_BACK, (-1, 1))


def network(features=FEATURES, units=UNITS, last=LAST, seed=0):
    rng = np.random.default_rng(seed)

    def weights(*shape):
        return rng.normal(size=shape).astype(np.float32)

    return LstmNetwork(
        rng.normal(size=features),
        rng.uniform(0.5, 2.0, size=features),
        weights(1, 4 * units, features),
        weights(1, 4 * units, units),
        weights(1, 8 * units),
        weights(1, 4 * last, units),
        weights(1, 4 * last, last),
        weights(1, 8 * last),
        weights(last, 1),
        weights(1),
    )


def rows(count=300, seed=1):
    return np.random.default_rng(seed).normal(size=(count, FEATURES * LOOK_BACK))


def sigmoid(values):
    return 1.0 / (1.0 + np.exp(-values))


def plain_layer(steps, kernel, recurrent, bias):
    """float64 twin of one ONNX LSTM layer: states (rows, steps, units)."""
    units = recurrent.shape[-1]
    total = bias[0, : 4 * units].astype(float) + bias[0, 4 * units :]
    state, cell, states = np.zeros((len(steps), units)), np.zeros((len(steps), units)), []
    for step in steps.swapaxes(0, 1):
        gates = step @ kernel[0].T.astype(float) + state @ recurrent[0].T.astype(float) + total
        entry, exit_, forget, new = np.split(gates, 4, axis=1)
        cell = sigmoid(forget) * cell + sigmoid(entry) * np.tanh(new)
        state = sigmoid(exit_) * np.tanh(cell)
        states.append(state)
    return np.stack(states, axis=1)


def plain_probabilities(values, net):
    steps = values.reshape(len(values), FEATURES, LOOK_BACK).swapaxes(1, 2)
    steps = (steps - net.mean) / net.scale
    first = plain_layer(steps, net.kernel_1, net.recurrent_1, net.bias_1)
    last = plain_layer(first, net.kernel_2, net.recurrent_2, net.bias_2)[:, -1]
    return sigmoid(last @ net.dense.astype(float) + net.dense_bias)[:, 0]


@pytest.fixture(scope="module")
def files():
    return write_lstm(network(), SCHEMA)


@pytest.fixture(scope="module")
def predictor(files):
    return OnnxPredictor(*read_lstm(files[LSTM_FILE], files[NETWORK_FILE]))


def card(**changes):
    content = {
        "symbol": "AAA/USDT",
        "timeframe": "1m",
        "model_type": "lstm",
        "feature_names": SCHEMA.feature_names,
        "feature_settled_bars": 0,
        "classes": SCHEMA.classes,
        "label": {},
        "data_fingerprint": "",
        "data_start": "",
        "data_end": "",
        "rows": 1,
    }
    return ModelCard(**(content | changes))


def test_it_predicts_what_a_plain_lstm_does(predictor):
    found = predictor.predict_proba(rows())
    assert np.abs(found[:, 1] - plain_probabilities(rows(), network())).max() < 1e-6
    assert np.array_equal(found[:, 0], 1.0 - found[:, 1])
    assert np.ptp(found[:, 1]) > 0.05


def test_one_row_alone_gives_the_bits_it_gives_among_others(predictor):
    values = rows(2100)
    found = predictor.predict_proba(values)
    assert np.array_equal(found[:200], [predictor.predict_one(each) for each in values[:200]])
    assert np.array_equal(found[3:77], predictor.predict_proba(values[3:77]))
    assert np.array_equal(found[::-1], predictor.predict_proba(values[::-1]))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_row_that_is_not_finite_gives_nan_and_no_other_row_changes(predictor, bad):
    values = rows(9)
    wanted = predictor.predict_proba(values)
    values[4, 7] = bad
    found = predictor.predict_proba(values)
    assert np.isnan(found[4]).all()
    assert np.isnan(predictor.predict_one(values[4])).all()
    others = np.arange(9) != 4
    assert np.array_equal(found[others], wanted[others])


def test_no_rows_give_no_rows(predictor):
    assert predictor.predict_proba(np.empty((0, FEATURES * LOOK_BACK))).shape == (0, 2)


def test_other_shapes_are_refused(predictor):
    with pytest.raises(ModelError, match=r"features must be float64 \(rows, 15\)"):
        predictor.predict_proba(np.zeros((2, 14)))
    with pytest.raises(ModelError, match=r"values must be float64 \(15\)"):
        predictor.predict_one(np.zeros(15, dtype=np.float32))


def test_the_card_and_the_files_must_agree(files):
    assert isinstance(load_predictor(card(), files), OnnxPredictor)
    with pytest.raises(ModelError, match=r"card.classes must equal the model file's \(-1, 1\)"):
        load_predictor(card(classes=(0, 1)), files)
    with pytest.raises(ModelError, match=r"card.feature_names must equal"):
        load_predictor(card(feature_names=("a",)), files)
    with pytest.raises(ModelError, match=f"must include {NETWORK_FILE}"):
        load_predictor(card(), {LSTM_FILE: files[LSTM_FILE]})


def test_a_copy_for_another_process_predicts_the_same(predictor):
    twin = copy.deepcopy(predictor)
    assert np.array_equal(twin.predict_proba(rows()), predictor.predict_proba(rows()))
    assert (twin.feature_names, twin.look_back) == (SCHEMA.feature_names, LOOK_BACK)


def test_files_repeat_byte_for_byte_and_are_sound_onnx(files):
    read = read_lstm(files[LSTM_FILE], files[NETWORK_FILE])
    assert write_lstm(*read) == files
    assert all(map(np.array_equal, read[0], network()))
    model = onnx.load_from_string(files[LSTM_FILE])
    onnx.checker.check_model(model, full_check=True)
    assert [(each.domain, each.version) for each in model.opset_import] == [("", 17)]


def edited(files, edit):
    model = onnx.load_from_string(files[LSTM_FILE])
    edit(model)
    return model.SerializeToString()


def initializer(model, name):
    return next(each for each in model.graph.initializer if each.name == name)


def another_operation(model):
    model.graph.node[-1].op_type = "Tanh"


def one_more_operation(model):
    model.graph.node.append(onnx.helper.make_node("Identity", ["probability"], ["twice"]))


def data_elsewhere(model):
    tensor = initializer(model, "dense")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


def data_elsewhere_only(model):
    data_elsewhere(model)
    initializer(model, "dense").ClearField("raw_data")


def one_more_constant(model):
    model.graph.initializer.add(name="spare", data_type=1, dims=[1], raw_data=b"\0\0\0\0")


def the_same_constant_twice(model):
    model.graph.initializer.append(initializer(model, "dense"))


def a_function_of_its_own(model):
    model.functions.add(name="f", domain="custom")


def another_window(model):
    initializer(model, "window").raw_data = np.array([-1, 5, 3], dtype="<i8").tobytes()


def a_note(model):
    model.metadata_props.add(key="a", value="b")


def another_opset(model):
    model.opset_import[0].version = 18


def not_finite(model):
    tensor = initializer(model, "dense_bias")
    tensor.raw_data = np.array([np.nan], dtype="<f4").tobytes()


def no_scale(model):
    initializer(model, "scale").raw_data = np.zeros(FEATURES).tobytes()


def more_shape_than_bytes(model):
    initializer(model, "kernel_1").dims[1] = 1 << 40


def a_shape_below_nothing(model):
    tensor = initializer(model, "dense")
    tensor.dims[0], tensor.dims[1] = -3, -1


def a_constant_missing(model):
    model.graph.initializer.remove(initializer(model, "bias_2"))


@pytest.mark.parametrize(
    "edit",
    [
        another_operation,
        one_more_operation,
        data_elsewhere,
        data_elsewhere_only,
        one_more_constant,
        the_same_constant_twice,
        a_function_of_its_own,
        another_window,
        a_note,
        another_opset,
        not_finite,
        no_scale,
        more_shape_than_bytes,
        a_shape_below_nothing,
        a_constant_missing,
    ],
)
def test_a_file_with_anything_else_in_it_is_refused(files, edit, monkeypatch):
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "InferenceSession", None)
    with pytest.raises(ModelError, match=r"lstm.onnx must be an intact LSTM of ours"):
        read_lstm(edited(files, edit), files[NETWORK_FILE])


def test_damaged_bytes_are_refused_or_give_another_network_but_never_another_error(files):
    rng = np.random.default_rng(7)
    content, refused = files[LSTM_FILE], 0
    for _ in range(300):
        broken = bytearray(content)
        broken[rng.integers(len(broken))] ^= 1 << rng.integers(8)
        try:
            read_lstm(bytes(broken), files[NETWORK_FILE])
        except ModelError:
            refused += 1
    assert refused > 50
    for cut in range(0, len(content), 97):
        with pytest.raises(ModelError):
            read_lstm(content[:cut], files[NETWORK_FILE])


def test_a_file_too_large_is_refused_before_it_is_read(files, monkeypatch):
    monkeypatch.setattr(lstm_file, "SIZE_LIMIT_BYTES", 100)
    with pytest.raises(ModelError, match="must be at most 100 bytes"):
        read_lstm(files[LSTM_FILE], files[NETWORK_FILE])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "another"}, "its format is not ours"),
        ({"look_back": 0}, "look_back must lie in"),
        ({"look_back": True}, "look_back must lie in"),
        ({"look_back": 3}, "must be windows of 3 bars"),
        ({"classes": [1, 0]}, "classes must be two or more ascending"),
        ({"classes": [0, 1, 2]}, "dense must be finite"),
        ({"classes": None}, "must describe an LSTM"),
        ({"feature_names": ["a", "a"]}, "must be different names"),
        ({"feature_names": [1, 2]}, "must be different names"),
        ({"feature_names": ["a~4", "a~3", "a~2", "a~1", "a"]}, "intact LSTM of ours"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(files, changes, message):
    content = json.loads(files[NETWORK_FILE]) | changes
    with pytest.raises(ModelError, match=message):
        read_lstm(files[LSTM_FILE], json.dumps(content).encode())


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b"{" * 100_000, b"[" * 100_000])
def test_a_description_that_is_no_json_object_is_refused(files, content):
    with pytest.raises(ModelError, match="must describe an LSTM"):
        read_lstm(files[LSTM_FILE], content)


def test_arrays_that_do_not_fit_are_not_written():
    with pytest.raises(ModelError, match=r"mean must be finite \(3,\), was \(2,\)"):
        write_lstm(network(features=2), SCHEMA)


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_missing_package_names_the_install_line(files, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=rf"{package} must be .* 'crypto-bot\[deep\]'"):
        load_predictor(card(), files)
