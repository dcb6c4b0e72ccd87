"""`lstm.onnx` and `network.json`: a two-layer LSTM written as ONNX, and read back without trust.

The graph is always the same few operations; only its arrays differ. Reading takes the arrays out,
writes the graph anew and compares: a file with anything else in it is refused, and what runs is the
graph written here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from crypto_bot.core.errors import ConfigError, MissingExtra, ModelError
from crypto_bot.features import sequence_names
from crypto_bot.predictors.wire_format import overhead

if TYPE_CHECKING:
    from onnx import ModelProto, TensorProto

LSTM_FILE, NETWORK_FILE = "lstm.onnx", "network.json"
SIZE_LIMIT_BYTES = 1 << 26
"""Of lstm.onnx: 16 million weights, far above a useful recurrent network on candles."""
LOOK_BACK_LIMIT = 10_000
_FORMAT = "crypto-bot lstm 1"
_OPSET, _IR_VERSION = 17, 8
_INPUT, _OUTPUT = "features", "probability"
_SCHEMA_LIMIT_BYTES = 1 << 22
_MOST_OVERHEAD_BYTES = 1 << 15
"""Of lstm.onnx without its numbers; ours has about 2 kB."""


class LstmNetwork(NamedTuple):
    """Scaler and weights; ONNX's gate order (input, output, forget, cell), first axis 1.

    Attributes
    ----------
    mean, scale : float64 (features,)             `(x - mean) / scale` before the network
    kernel_1 : float32 (1, 4 units, features)     of the inputs, first layer
    recurrent_1 : float32 (1, 4 units, units)
    bias_1 : float32 (1, 8 units)                 of the inputs, then of the state
    kernel_2, recurrent_2, bias_2 : float32       the second layer, of `last` units
    dense : float32 (last, outputs)               1 output for two classes, else one a class
    dense_bias : float32 (outputs,)
    """

    mean: npt.NDArray[np.float64]
    scale: npt.NDArray[np.float64]
    kernel_1: npt.NDArray[np.float32]
    recurrent_1: npt.NDArray[np.float32]
    bias_1: npt.NDArray[np.float32]
    kernel_2: npt.NDArray[np.float32]
    recurrent_2: npt.NDArray[np.float32]
    bias_2: npt.NDArray[np.float32]
    dense: npt.NDArray[np.float32]
    dense_bias: npt.NDArray[np.float32]

    @property
    def units(self) -> tuple[int, int]:
        """Units of the two layers."""
        return self.recurrent_1.shape[-1], self.recurrent_2.shape[-1]


class NetworkSchema(NamedTuple):
    """What network.json says: columns, their window, labels of the probabilities."""

    feature_names: tuple[str, ...]
    look_back: int
    classes: tuple[int, ...]

    @property
    def features(self) -> int:
        """Features of one step of the window."""
        return len(self.feature_names) // self.look_back

    @property
    def outputs(self) -> int:
        """Of the network: the chance of the second of two classes, else one chance a class."""
        return 1 if len(self.classes) == 2 else len(self.classes)


def write_lstm(network: LstmNetwork, schema: NetworkSchema) -> dict[str, bytes]:
    """The two files of a network; the same weights and schema give the same bytes.

    Raises ModelError where the arrays do not fit each other or hold a value that is not finite.
    """
    _check_schema(schema)
    _check_arrays(network, schema)
    text = json.dumps({"format": _FORMAT, **schema._asdict()}, indent=1, sort_keys=True)
    return {LSTM_FILE: graph_bytes(network, schema.look_back), NETWORK_FILE: f"{text}\n".encode()}


def read_lstm(graph: bytes, description: bytes) -> tuple[LstmNetwork, NetworkSchema]:
    """The network and schema of lstm.onnx and network.json.

    Raises ModelError when a file is damaged, too large, or holds anything that `write_lstm` does not
    write: another operation, data kept elsewhere, a value that is not finite. Nothing is executed.
    """
    if len(graph) > SIZE_LIMIT_BYTES or len(description) > _SCHEMA_LIMIT_BYTES:
        raise ModelError(
            f"{LSTM_FILE} must be at most {SIZE_LIMIT_BYTES} bytes, was {len(graph)} "
            f"({NETWORK_FILE} {len(description)})"
        )
    schema = _read_schema(description)
    model = _parsed(graph)
    try:
        tensors = {each.name: each for each in model.graph.initializer}
        arrays = {name: _array(tensors[name], name) for name in LstmNetwork._fields}
    except (KeyError, ValueError) as error:
        raise _damaged(str(error)) from error
    network = LstmNetwork(**arrays)
    _check_arrays(network, schema)
    if model != _graph(network, schema.look_back):
        raise _damaged("its operations are not those of our LSTM")
    return network, schema


def graph_bytes(network: LstmNetwork, look_back: int) -> bytes:
    """The ONNX file of a network."""
    content: bytes = _graph(network, look_back).SerializeToString(deterministic=True)
    return content


def _graph(network: LstmNetwork, look_back: int) -> ModelProto:
    """double (rows, features x look_back) -> float (rows, outputs), see `LstmNetwork.dense`."""
    onnx = _onnx()
    helper, kinds = onnx.helper, onnx.TensorProto
    first, last = network.units
    features, outputs = len(network.mean), network.dense.shape[-1]
    constants = {
        **network._asdict(),
        "window": np.array([-1, features, look_back], dtype=np.int64),
        "direction_axis": np.array([1], dtype=np.int64),
        "state_axis": np.array([0], dtype=np.int64),
    }
    layer_1 = ["steps", "kernel_1", "recurrent_1", "bias_1"]
    layer_2 = ["sequence", "kernel_2", "recurrent_2", "bias_2"]
    nodes = [
        helper.make_node("Reshape", [_INPUT, "window"], ["by_feature"]),
        helper.make_node("Transpose", ["by_feature"], ["by_step"], perm=[2, 0, 1]),
        helper.make_node("Sub", ["by_step", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "scale"], ["scaled"]),
        helper.make_node("Cast", ["scaled"], ["steps"], to=kinds.FLOAT),
        helper.make_node("LSTM", layer_1, ["states"], hidden_size=first),
        helper.make_node("Squeeze", ["states", "direction_axis"], ["sequence"]),
        helper.make_node("LSTM", layer_2, ["", "last_state"], hidden_size=last),
        helper.make_node("Squeeze", ["last_state", "state_axis"], ["state"]),
        helper.make_node("Gemm", ["state", "dense", "dense_bias"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], [_OUTPUT])
        if outputs == 1
        else helper.make_node("Softmax", ["logit"], [_OUTPUT], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "lstm",
        [helper.make_tensor_value_info(_INPUT, kinds.DOUBLE, ["rows", features * look_back])],
        [helper.make_tensor_value_info(_OUTPUT, kinds.FLOAT, ["rows", outputs])],
        [_tensor(onnx, name, array) for name, array in constants.items()],
    )
    return helper.make_model(  # type: ignore[no-any-return]
        graph,
        ir_version=_IR_VERSION,
        opset_imports=[helper.make_opsetid("", _OPSET)],
        producer_name="crypto-bot",
    )


def _onnx() -> Any:
    try:
        import onnx
        import onnx.helper
    except ImportError as error:
        raise MissingExtra("onnx", "deep") from error
    return onnx


def _tensor(onnx: Any, name: str, array: npt.NDArray[Any]) -> TensorProto:
    kind = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
    content = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes()
    return onnx.helper.make_tensor(name, kind, array.shape, content, raw=True)  # type: ignore[no-any-return]


def _parsed(graph: bytes) -> ModelProto:
    onnx = _onnx()
    from google.protobuf import message

    if overhead(graph) > _MOST_OVERHEAD_BYTES:
        raise _damaged(f"more than {_MOST_OVERHEAD_BYTES} bytes of it are no numbers")
    model: ModelProto = onnx.ModelProto()
    try:
        model.ParseFromString(graph)
    except message.DecodeError as error:
        raise _damaged(str(error)) from error
    return model


def _array(tensor: TensorProto, name: str) -> npt.NDArray[Any]:
    """The numbers of one constant; its stated shape must account for every byte."""
    wanted = np.dtype("<f8" if name in ("mean", "scale") else "<f4")
    count = 1
    for length in tensor.dims:
        count *= length
    if not tensor.dims or min(tensor.dims) < 1 or count * wanted.itemsize != len(tensor.raw_data):
        raise ValueError(f"{name} states {list(tensor.dims)} for {len(tensor.raw_data)} bytes")
    values = np.frombuffer(tensor.raw_data, dtype=wanted).reshape(tuple(tensor.dims))
    return values.astype(wanted.newbyteorder("="))


def _read_schema(description: bytes) -> NetworkSchema:
    try:
        content = json.loads(description)
        if not isinstance(content, Mapping) or content.get("format") != _FORMAT:
            raise ValueError("its format is not ours")
        schema = NetworkSchema(
            tuple(content["feature_names"]), content["look_back"], tuple(content["classes"])
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelError(f"{NETWORK_FILE} must describe an LSTM, did not: {error}") from error
    _check_schema(schema)
    return schema


def _check_schema(schema: NetworkSchema) -> None:
    names, look_back, classes = schema
    if type(look_back) is not int or not 1 <= look_back <= LOOK_BACK_LIMIT:
        raise ModelError(f"look_back must lie in 1..{LOOK_BACK_LIMIT}, was {look_back!r}")
    if not all(isinstance(name, str) for name in names) or len(set(names)) != len(names):
        raise ModelError(f"feature_names must be different names, were {names}")
    is_whole = all(type(label) is int for label in classes)
    if not is_whole or len(classes) < 2 or list(classes) != sorted(set(classes)):
        raise ModelError(f"classes must be two or more ascending whole numbers, were {classes}")
    try:
        sequence_names(names, look_back)
    except ConfigError as error:
        raise ModelError(str(error)) from error


def _check_arrays(network: LstmNetwork, schema: NetworkSchema) -> None:
    features, outputs = schema.features, schema.outputs
    first, last = network.units
    wanted: dict[str, Sequence[int]] = {
        "mean": (features,),
        "scale": (features,),
        "kernel_1": (1, 4 * first, features),
        "recurrent_1": (1, 4 * first, first),
        "bias_1": (1, 8 * first),
        "kernel_2": (1, 4 * last, first),
        "recurrent_2": (1, 4 * last, last),
        "bias_2": (1, 8 * last),
        "dense": (last, outputs),
        "dense_bias": (outputs,),
    }
    for name, shape in wanted.items():
        array = getattr(network, name)
        if array.shape != shape or not np.isfinite(array).all():
            raise _damaged(f"{name} must be finite {tuple(shape)}, was {array.shape}")
    if not (network.scale > 0).all():
        raise _damaged("scale is not > 0")


def _damaged(reason: str) -> ModelError:
    return ModelError(f"{LSTM_FILE} must be an intact LSTM of ours, was not: {reason}")
