"""The Bot v3.1 guide's LSTM: Keras builds and fits it, ONNX carries it to where it is used."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import Field

from crypto_bot.core import Options
from crypto_bot.core.arrays import Index, PerBarFeature, PerRowClass
from crypto_bot.core.timeframes import timeframe_ns
from crypto_bot.dataset import Dataset
from crypto_bot.features import sequence_names
from crypto_bot.predictors import LSTM, NetworkSchema, OnnxPredictor, Scaler, read_lstm, write_lstm
from crypto_bot.predictors.lstm_file import LSTM_FILE, NETWORK_FILE
from crypto_bot.splits import DEFAULT_EMBARGO_BARS
from crypto_bot.splits.holdout import holdout_split
from crypto_bot.training.keras_backend import (
    NetworkDevice,
    array_copies_allowed,
    device_scope,
    load_keras,
    usable_network_device,
)
from crypto_bot.training.recurrent_onnx import EXPORT_TOLERANCE, exported_network
from crypto_bot.training.trainers import (
    TrainedModel,
    check_export,
    require_two_classes,
    row_weights,
    sample_rows,
    shares,
    uneven_weights,
)

if TYPE_CHECKING:
    from sklearn.preprocessing import StandardScaler

_ROWS_A_BATCH = 512
"""Of a validation or a prediction: they hold no gradients."""
Windows: TypeAlias = npt.NDArray[Any]
"""(rows, look_back, features), oldest step first; float64 as given, float32 once scaled."""
_Arrays: TypeAlias = tuple[Windows, npt.NDArray[Any], npt.NDArray[Any]]
_NEVER = -1e4
"""A logit whose softmax is 0 in float32, and whose gradient is."""


class LSTMOptions(Options):
    """Options of `LSTMTrainer`; the defaults are the guide's."""

    look_back: int = Field(default=20, ge=1, le=1000, description="bars in a window")
    units: int = Field(default=50, ge=2, le=2048, description="of the first layer; the second half")
    dropout: float = Field(default=0.2, ge=0, lt=1, description="share dropped after each layer")
    learning_rate: float = Field(default=0.001, gt=0, le=1, description="Adam's step")
    epochs: int = Field(default=50, ge=1, le=10_000, description="passes over the rows, at most")
    batch_size: int = Field(default=32, ge=1, le=65_536, description="rows a step")
    patience: int = Field(
        default=10, ge=1, description="epochs without a lower val_loss before it stops"
    )
    validation_fraction: float = Field(
        default=0.2, gt=0, lt=1, description="newest share of the rows, which decides when to stop"
    )
    embargo_bars: int = Field(
        default=DEFAULT_EMBARGO_BARS,
        ge=0,
        description="bars left out before that share, at least a window's",
    )
    class_weight: Literal["balanced"] | None = Field(
        default=None, description="'balanced' weighs classes inversely to their frequency"
    )
    device_type: NetworkDevice = Field(
        default="cpu", description="cpu or gpu; falls back to cpu and says so"
    )
    seed: int = Field(default=42, ge=0, lt=2**31 - 8, description="seed of everything random")


class FittedNetwork(NamedTuple):
    """Keras's model, the scaler in front of it, how each epoch went, and where."""

    model: Any
    scaler: Scaler
    history: dict[str, list[float]]
    device: NetworkDevice
    device_note: str


class FitRows(NamedTuple):
    """Row numbers: those that teach, those that say when to stop."""

    taught: Index
    stopping: Index


class LSTMTrainer:
    """LSTM - dropout - LSTM of half the units - dropout - sigmoid; softmax for more classes than two.

    The dataset's features are windows: `sequence_features(names, look_back)`. A window is one row's
    own past, so no window crosses a gap or a split, and the label is that of its last bar.
    """

    def __init__(self, options: LSTMOptions | None = None) -> None:
        self.options = LSTMOptions() if options is None else options

    @property
    def name(self) -> str:
        """Such as 'lstm (50 units, 20 bars)'."""
        return f"{LSTM} ({self.options.units} units, {self.options.look_back} bars)"

    def fit(self, dataset: Dataset) -> TrainedModel:
        """Train, export and check that the export predicts what Keras does within 1e-6.

        The scaler and the weights learn from the older rows only; the newest `validation_fraction`,
        purged by label end and embargo, decides when to stop. The same rows, options, backend and
        processor give byte-identical files on the CPU.

        Raises
        ------
        ConfigError    feature names that are not windows of `look_back` bars
        DataError      labels of one class, or too few rows for a stopping share
        ModelError     weights that ran away, or an export that differs
        MissingExtra   Keras, a backend, onnx or onnxruntime is not installed
        """
        options = self.options
        sequence_names(dataset.feature_names, options.look_back)
        rows = fit_rows(dataset, options)
        start = time.perf_counter()
        fitted = fit_network(dataset, rows, options)
        seconds = time.perf_counter() - start
        files, predictor = export_network(fitted, dataset, options.look_back)
        return TrainedModel(
            predictor=predictor,
            files=files,
            importance=_importance(predictor),
            model_type=LSTM,
            options=options.model_dump(),
            device=fitted.device_note,
            seconds=seconds,
            seed=options.seed,
            evidence={
                "backend": load_keras().backend.backend(),
                "epochs_run": len(fitted.history["loss"]),
                "val_loss": min(fitted.history["val_loss"]),
                "rows_taught": len(rows.taught),
                "rows_stopping": len(rows.stopping),
            },
        )


def fit_rows(dataset: Dataset, options: LSTMOptions) -> FitRows:
    """Which rows teach and which say when to stop; no bar is in a window of both.

    Raises DataError when nothing is left to teach, or only one class.
    """
    bars = max(options.embargo_bars, options.look_back - 1)
    split = holdout_split(
        dataset.decided_at_ns,
        dataset.label_end_ns,
        options.validation_fraction,
        bars * timeframe_ns(dataset.timeframe),
    )
    require_two_classes(dataset.take(split.train))
    return FitRows(split.train, split.test)


def row_windows(features: PerBarFeature, look_back: int) -> Windows:
    """Rows of `sequence_features` as (rows, look_back, features), a view."""
    return features.reshape(len(features), -1, look_back).transpose(0, 2, 1)


def fit_scaler(dataset: Dataset, look_back: int) -> StandardScaler:
    """scikit-learn's scaler of each feature over every step of the rows' windows, by their weights."""
    from sklearn.preprocessing import StandardScaler

    windows = row_windows(dataset.features, look_back)
    weights = uneven_weights(dataset)
    return StandardScaler().fit(
        windows.reshape(-1, windows.shape[-1]),
        sample_weight=None if weights is None else np.repeat(weights, look_back),
    )


def scaled_windows(windows: Windows, scaler: Scaler) -> Windows:
    """float32 (rows, look_back, features), as the network reads them."""
    return ((windows - scaler.mean) / scaler.scale).astype(np.float32)


def build_network(
    look_back: int, features: int, options: LSTMOptions | None = None, *, classes: int = 2
) -> Any:
    """The compiled Keras model; the same options give the same first weights on one backend."""
    chosen = LSTMOptions() if options is None else options
    keras = load_keras()
    seed = chosen.seed
    layers, start = keras.layers, keras.initializers

    def lstm(units: int, place: int, *, whole: bool) -> Any:
        return layers.LSTM(
            units,
            return_sequences=whole,
            kernel_initializer=start.GlorotUniform(seed=seed + place),
            recurrent_initializer=start.Orthogonal(seed=seed + place + 1),
            seed=seed + place,
        )

    model = keras.Sequential(
        [
            keras.Input((look_back, features)),
            lstm(chosen.units, 0, whole=True),
            layers.Dropout(chosen.dropout, seed=seed + 2),
            lstm(chosen.units // 2, 3, whole=False),
            layers.Dropout(chosen.dropout, seed=seed + 5),
            layers.Dense(
                1 if classes == 2 else classes,
                activation="sigmoid" if classes == 2 else "softmax",
                kernel_initializer=start.GlorotUniform(seed=seed + 6),
            ),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate=chosen.learning_rate),
        loss="binary_crossentropy" if classes == 2 else "sparse_categorical_crossentropy",
        weighted_metrics=["accuracy"],
    )
    return model


def fit_network(
    dataset: Dataset, rows: FitRows, options: LSTMOptions, *, prints: bool = False
) -> FittedNetwork:
    """Fit the scaler on the teaching rows, then the network, until the stopping rows get no better.

    `prints` puts a line an epoch on stdout.
    """
    keras = load_keras()
    taught, stopping = (dataset.take(each) for each in rows)
    fitted = fit_scaler(taught, options.look_back)
    scaler = Scaler(fitted.mean_, fitted.scale_)
    stop = keras.callbacks.EarlyStopping(
        monitor="val_loss", patience=options.patience, restore_best_weights=True
    )
    device, note = usable_network_device(options.device_type)
    with array_copies_allowed(), device_scope(device):
        model = build_network(
            options.look_back, len(scaler.mean), options, classes=len(dataset.classes)
        )
        _forbid_unseen_classes(model, taught)
        history = model.fit(
            _shuffled_batches(keras, _arrays(taught, scaler, options), options),
            epochs=options.epochs,
            validation_data=_filled(_arrays(stopping, scaler, options), _ROWS_A_BATCH),
            validation_batch_size=_ROWS_A_BATCH,
            shuffle=False,
            callbacks=[stop],
            verbose=2 if prints else 0,
        ).history
    figures = {name: [float(each) for each in values] for name, values in history.items()}
    return FittedNetwork(model, scaler, figures, device, note)


def export_network(
    fitted: FittedNetwork, dataset: Dataset, look_back: int
) -> tuple[dict[str, bytes], OnnxPredictor]:
    """The files of a fitted network and the predictor they give, checked on rows of the dataset."""
    schema = NetworkSchema(dataset.feature_names, look_back, dataset.classes)
    files = write_lstm(exported_network(network_weights(fitted.model), fitted.scaler), schema)
    predictor = OnnxPredictor(*read_lstm(files[LSTM_FILE], files[NETWORK_FILE]))
    sample = sample_rows(dataset)
    library = network_probabilities(fitted, row_windows(sample, look_back))
    check_export(predictor, sample, library, tolerance=EXPORT_TOLERANCE)
    return files, predictor


def network_weights(model: Any) -> list[npt.NDArray[Any]]:
    """Keras's weight arrays: kernel, recurrent kernel, bias of each layer, then the dense two."""
    convert = load_keras().ops.convert_to_numpy
    with array_copies_allowed():
        return [np.asarray(convert(each.value)) for each in model.trainable_variables]


def network_probabilities(fitted: FittedNetwork, windows: Windows) -> PerRowClass:
    """Keras's own probabilities, float64 (rows, classes)."""
    scaled = scaled_windows(windows, fitted.scaler)
    unweighted = np.ones(len(scaled))
    asked, _, _ = _filled((scaled, unweighted, unweighted), _ROWS_A_BATCH)
    with array_copies_allowed(), device_scope(fitted.device):
        found = fitted.model.predict(asked, batch_size=_ROWS_A_BATCH, verbose=0)[: len(scaled)]
    chances = np.asarray(found, dtype=np.float64)
    return np.hstack((1.0 - chances, chances)) if chances.shape[1] == 1 else chances


def _forbid_unseen_classes(model: Any, taught: Dataset) -> None:
    """A class without a teaching row keeps its output, with a probability of 0 for ever."""
    seen = np.isin(taught.classes, taught.labels[taught.weights > 0])
    if not seen.all():
        model.layers[-1].bias.assign(np.where(seen, 0.0, _NEVER).astype(np.float32))


def _arrays(dataset: Dataset, scaler: Scaler, options: LSTMOptions) -> _Arrays:
    """Scaled windows, targets and weights of the rows, as Keras takes them."""
    windows = scaled_windows(row_windows(dataset.features, options.look_back), scaler)
    kind = np.float32 if len(dataset.classes) == 2 else np.int32
    targets = np.searchsorted(dataset.classes, dataset.labels).astype(kind)
    weights = row_weights(dataset, is_balanced=options.class_weight == "balanced")
    return windows, targets, np.ones(len(dataset)) if weights is None else weights


def _filled(arrays: _Arrays, size: int) -> _Arrays:
    """Rows up to a multiple of `size`: a backend compiles once for every shape it meets.

    Added rows weigh nothing, and the others more by as much as Keras's mean over rows grew.
    """
    windows, targets, weights = arrays
    rows = len(weights)
    index = np.arange(-(-rows // size) * size)
    is_added = index >= rows
    index[is_added] = 0
    scaled = np.where(is_added, 0.0, weights[index] * (len(index) / rows))
    return windows[index], targets[index], scaled.astype(np.float32)


def _importance(predictor: OnnxPredictor) -> dict[str, float]:
    """Size of the first layer's weights of each scaled feature, spread evenly over its steps."""
    sizes = np.abs(predictor.network.kernel_1[0]).sum(axis=0, dtype=np.float64)
    return shares(predictor.feature_names, np.repeat(sizes, predictor.look_back))


def _shuffled_batches(keras: Any, rows: _Arrays, options: LSTMOptions) -> Any:
    """Batches in an order that the seed alone decides, another one each epoch."""
    rng = np.random.default_rng(options.seed)
    count = len(rows[0])
    size = min(options.batch_size, count)

    class Batches(keras.utils.PyDataset):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.order = rng.permutation(count)

        def __len__(self) -> int:
            return -(-count // size)

        def __getitem__(self, batch: int) -> _Arrays:
            windows, targets, weights = rows
            chosen = self.order[batch * size : (batch + 1) * size]
            return _filled((windows[chosen], targets[chosen], weights[chosen]), size)

        def on_epoch_end(self) -> None:
            self.order = rng.permutation(count)

    return Batches()
