"""`OnnxPredictor`: a recurrent network behind the `Predictor` port, run by onnxruntime on one thread."""

from __future__ import annotations

from typing import Any

import numpy as np

from crypto_bot.core.arrays import PerBarFeature, PerRow, PerRowClass
from crypto_bot.core.errors import MissingExtra, ModelError
from crypto_bot.predictors.lstm_file import LstmNetwork, NetworkSchema, graph_bytes

_ROWS_A_RUN = 2048
_ERRORS_ONLY = 3


class OnnxPredictor:
    """Probabilities of a network; every row's answer depends on that row alone.

    Parameters
    ----------
    network : LstmNetwork      checked weights, as `read_lstm` gives them
    schema : NetworkSchema     columns, their window, labels

    Raises
    ------
    MissingExtra    onnxruntime or onnx is not installed
    ModelError      onnxruntime refuses the graph

    Notes
    -----
    A row with a NaN or infinite feature gives a row of NaN. One thread, so that the same row gives
    the same bits in a backtest of a million and on a live bar.
    """

    def __init__(self, network: LstmNetwork, schema: NetworkSchema) -> None:
        self._network = network
        self._schema = schema
        self._session = _session(graph_bytes(network, schema.look_back))

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Ordered feature schema: windows, oldest first."""
        return self._schema.feature_names

    @property
    def classes(self) -> tuple[int, ...]:
        """Label of each probability column."""
        return self._schema.classes

    @property
    def look_back(self) -> int:
        """Bars in a window."""
        return self._schema.look_back

    @property
    def network(self) -> LstmNetwork:
        """Scaler and weights."""
        return self._network

    def predict_proba(self, features: PerBarFeature) -> PerRowClass:
        """float64 (rows, classes) from float64 (rows, features); NaN where a feature is not finite."""
        matrix = np.ascontiguousarray(features, dtype=np.float64)
        if matrix.ndim != 2 or matrix.shape[1] != len(self.feature_names):
            raise self._wrong_shape("features", matrix, "rows, ")
        out = np.full((len(matrix), len(self.classes)), np.nan)
        known = np.flatnonzero(np.isfinite(matrix).all(axis=1))
        for start in range(0, len(known), _ROWS_A_RUN):
            rows = known[start : start + _ROWS_A_RUN]
            out[rows] = self._run(matrix[rows])
        return out

    def predict_one(self, values: PerRow) -> PerRow:
        """float64 (classes,) of one row of float64 (features,); the quick path of a live bar."""
        if values.shape != (len(self.feature_names),) or values.dtype != np.float64:
            raise self._wrong_shape("values", values, "")
        if not np.isfinite(values).all():
            return np.full(len(self.classes), np.nan)
        out: PerRow = self._run(values.reshape(1, -1))[0]
        return out

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies to other processes carry the weights; the session is made anew there."""
        return OnnxPredictor, (self._network, self._schema)

    def _run(self, rows: PerBarFeature) -> PerRowClass:
        (found,) = self._session.run(None, {"features": rows})
        chances: PerRowClass = found.astype(np.float64)
        return np.hstack((1.0 - chances, chances)) if self._schema.outputs == 1 else chances

    def _wrong_shape(self, name: str, values: Any, rows: str) -> ModelError:
        return ModelError(
            f"{name} must be float64 ({rows}{len(self.feature_names)}), "
            f"was {values.dtype} {values.shape}"
        )


def _session(graph: bytes) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtra("onnxruntime", "deep") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.log_severity_level = _ERRORS_ONLY
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except RuntimeError as error:
        raise ModelError(f"onnxruntime must accept the network, did not: {error}") from error
