"""From Keras's weights to `LstmNetwork`."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from crypto_bot.core.errors import ModelError
from crypto_bot.predictors import LstmNetwork, Scaler

EXPORT_TOLERANCE = 1e-6
"""Largest difference allowed between Keras's probability and the exported one: both are float32."""
_KERAS_GATES = ("input", "forget", "cell", "output")
_ONNX_GATES = ("input", "output", "forget", "cell")


def exported_network(weights: list[npt.NDArray[Any]], scaler: Scaler) -> LstmNetwork:
    """The eight weight arrays of LSTM - LSTM - Dense in ONNX's layout, scaler in front.

    Raises ModelError when a weight is not finite: the training ran away.
    """
    for array in weights:
        if not np.isfinite(array).all():
            raise ModelError(
                "weights must be finite after training, were not; lower learning_rate, or look for "
                "extreme values among the features"
            )
    return LstmNetwork(
        np.asarray(scaler.mean, dtype=np.float64),
        np.asarray(scaler.scale, dtype=np.float64),
        *_layer(weights[:3]),
        *_layer(weights[3:6]),
        *(np.asarray(each, dtype=np.float32) for each in weights[6:]),
    )


def _layer(weights: list[npt.NDArray[Any]]) -> tuple[npt.NDArray[np.float32], ...]:
    """Kernel, recurrent kernel and bias of one layer; Keras has one bias, ONNX two that add up."""
    kernel, recurrent, bias = (_gates_reordered(each) for each in weights)
    both = np.concatenate((bias, np.zeros_like(bias)))
    return kernel.T[None].copy(), recurrent.T[None].copy(), both[None]


def _gates_reordered(weights: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    gates = dict(zip(_KERAS_GATES, np.split(weights, 4, axis=-1), strict=True))
    return np.concatenate([gates[name] for name in _ONNX_GATES], axis=-1, dtype=np.float32)
