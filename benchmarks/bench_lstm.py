"""The guide's LSTM at its defaults: seconds an epoch by each Keras backend here, beside plain torch.

Same network, rows, batches and one thread each. Processor seconds of 1.6 k sequences, the median of three
passes after one that pays for compiling, times 12.5: an epoch is nothing but its batches. What is not
installed is said to be left out, never counted.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from importlib.util import find_spec
from typing import Any

import numpy as np

from benchmarks.rows import row

SEQUENCES, LOOK_BACK, FEATURES, UNITS, BATCH = 20_000, 20, 23, 50, 32
TIMED, PASSES = 1_600, 3
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
}


def run() -> list[dict[str, Any]]:
    """Rows of name, value, unit, target, holds."""
    what = (
        f"{SEQUENCES // 1000} k sequences of {LOOK_BACK} x {FEATURES}, {UNITS} units, batch {BATCH}"
    )
    rows, seconds = [], {}
    for name in ("torch", "jax", "tensorflow", "plain torch"):
        if find_spec(name.split()[-1]) is None or find_spec("keras") is None:
            print(f"lstm: {name} is not installed, left out", file=sys.stderr)
            continue
        seconds[name] = _in_a_process_of_its_own(name)
        label = name if name == "plain torch" else f"Keras on {name}"
        rows.append(row(f"lstm: an epoch by {label}, {what}", seconds[name], "s"))
    if "plain torch" in seconds:
        ratio = seconds["torch"] / seconds["plain torch"]
        rows.append(row("lstm: Keras on torch beside plain torch", ratio, "x"))
    return rows + _serving_rows()


def _in_a_process_of_its_own(name: str) -> float:
    """A process has one Keras backend for life."""
    environment = {**os.environ, **ONE_THREAD, "KERAS_BACKEND": name.split()[-1]}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.bench_lstm", name],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{name} must be measurable, was not: {done.stderr[-2000:]}")
    return float(json.loads(done.stdout.splitlines()[-1]))


def _rows() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    windows = rng.normal(size=(TIMED, LOOK_BACK, FEATURES)).astype(np.float32)
    chance = 1.0 / (1.0 + np.exp(-windows[:, -5:, 0].sum(axis=1)))
    return windows, (rng.random(TIMED) < chance).astype(np.float32)


def _keras_epoch() -> float:
    """Median processor seconds of an epoch as `LSTMTrainer` runs it."""
    from crypto_bot.training import LSTMOptions
    from crypto_bot.training.keras_backend import array_copies_allowed, device_scope, load_keras
    from crypto_bot.training.recurrent import _shuffled_batches, build_network

    keras, options, marks = load_keras(), LSTMOptions(), [time.process_time()]
    windows, targets = _rows()
    ended = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda *_: marks.append(time.process_time())
    )
    with array_copies_allowed(), device_scope("cpu"):
        model = build_network(LOOK_BACK, FEATURES, options)
        batches = _shuffled_batches(keras, (windows, targets, np.ones(TIMED)), options)
        model.fit(batches, epochs=PASSES + 1, shuffle=False, callbacks=[ended], verbose=0)
    return float(np.median(np.diff(marks)[1:])) * SEQUENCES / TIMED


def _torch_epoch() -> float:
    """Median processor seconds of an epoch of the same network in a plain torch loop."""
    import torch

    torch.set_num_threads(1)

    class Network(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.first = torch.nn.LSTM(FEATURES, UNITS, batch_first=True)
            self.last = torch.nn.LSTM(UNITS, UNITS // 2, batch_first=True)
            self.dropout = torch.nn.Dropout(0.2)
            self.dense = torch.nn.Linear(UNITS // 2, 1)

        def forward(self, windows: Any) -> Any:
            states, _ = self.first(windows)
            states, _ = self.last(self.dropout(states))
            return torch.sigmoid(self.dense(self.dropout(states[:, -1])))[:, 0]

    windows, targets = (torch.from_numpy(each) for each in _rows())
    network, loss = Network(), torch.nn.BCELoss()
    adam, marks = torch.optim.Adam(network.parameters(), lr=1e-3), [time.process_time()]
    for _ in range(PASSES + 1):
        for chosen in torch.randperm(TIMED).split(BATCH):
            adam.zero_grad()
            loss(network(windows[chosen]), targets[chosen]).backward()
            adam.step()
        marks.append(time.process_time())
    return float(np.median(np.diff(marks)[1:])) * SEQUENCES / TIMED


def _serving_rows() -> list[dict[str, Any]]:
    """What a prediction costs once the network is a file, whatever trained it."""
    if find_spec("onnxruntime") is None or find_spec("onnx") is None:
        print("lstm: onnx and onnxruntime are not installed, left out", file=sys.stderr)
        return []
    from crypto_bot.features import sequence_features
    from crypto_bot.predictors import LstmNetwork, NetworkSchema, OnnxPredictor

    names = sequence_features([f"f{k}" for k in range(FEATURES)], LOOK_BACK)
    rng, last = np.random.default_rng(1), UNITS // 2
    shapes = [(1, 4 * UNITS, FEATURES), (1, 4 * UNITS, UNITS), (1, 8 * UNITS)]
    shapes += [(1, 4 * last, UNITS), (1, 4 * last, last), (1, 8 * last), (last, 1), (1,)]
    weights = [rng.normal(scale=0.2, size=shape).astype(np.float32) for shape in shapes]
    network = LstmNetwork(np.zeros(FEATURES), np.ones(FEATURES), *weights)
    predictor = OnnxPredictor(network, NetworkSchema(names, LOOK_BACK, (0, 1)))
    values = rng.normal(size=(4096, len(names)))
    one = []
    for each in values[:600]:
        start = time.perf_counter_ns()
        predictor.predict_one(each)
        one.append(time.perf_counter_ns() - start)
    start = time.process_time()
    predictor.predict_proba(values)
    many = (time.process_time() - start) / len(values) * 1e6
    return [
        row("lstm: one row by onnxruntime, median", float(np.median(one[100:])) / 1e3, "us"),
        row("lstm: a row of many by onnxruntime, 1 thread", many, "us"),
    ]


if __name__ == "__main__":
    print(_torch_epoch() if sys.argv[1] == "plain torch" else _keras_epoch())
