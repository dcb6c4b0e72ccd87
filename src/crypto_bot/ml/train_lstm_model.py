"""The Bot v3.1 guide's LSTM: `prepare_lstm_data`, `build_lstm_model`, `train_lstm`, and a command.

::

    python -m crypto_bot.ml.train_lstm_model --data candles.csv [--symbol BTC/USDT] [--timeframe 5m]

The guide's lstm_model.h5 becomes `lstm.onnx` (scaler inside) with `network.json`; its pickled scaler
becomes `scaler.json`. Needs the extra: pip install 'crypto-bot[deep]'.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from crypto_bot.core import ModelCard, Predictor
from crypto_bot.core.errors import CryptoBotError, ModelError
from crypto_bot.core.files import write_file, write_json
from crypto_bot.core.timeframes import iso_time
from crypto_bot.dataset import Dataset
from crypto_bot.market import read_candles
from crypto_bot.ml.feature_engineering import create_features
from crypto_bot.ml.figures import confusion_png, history_png
from crypto_bot.ml.lstm_rows import LSTMRows, lstm_rows
from crypto_bot.ml.train_model import majority_accuracy
from crypto_bot.predictors import LSTM, LSTM_FILE, NETWORK_FILE, load_predictor
from crypto_bot.training import LSTMOptions
from crypto_bot.training.cards import library_versions
from crypto_bot.training.recurrent import (
    FittedNetwork,
    build_network,
    export_network,
    fit_network,
    fit_scaler,
    row_windows,
)

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.preprocessing import StandardScaler

CARD_FILE, META_FILE = "card.json", "model_meta.json"
FOLDER = Path("ml/lstm")


class LSTMData(NamedTuple):
    """What `prepare_lstm_data` returns, in the guide's order.

    Attributes
    ----------
    X : float32 (rows, look_back, features)    scaled windows, oldest first
    y : int64 (rows,)                          1 where the close `forecast_horizon` bars later is higher
    scaler : StandardScaler                    fitted on the rows that `train_lstm` learns from
    """

    X: npt.NDArray[np.float32]
    y: npt.NDArray[np.int64]
    scaler: StandardScaler


def prepare_lstm_data(
    df: pd.DataFrame,
    look_back: int = 20,
    forecast_horizon: int = 5,
    *,
    feature_names: Sequence[str] | None = None,
) -> LSTMData:
    """Windows, targets and scaler of a frame of features.

    Parameters
    ----------
    df : DataFrame    as `create_features` returns it: OHLCV, features, a datetime index
    look_back : bars in a window
    forecast_horizon : bars ahead of the window's LAST bar that the target looks
    feature_names : columns to learn from; None is the guide's 23. Others are never used

    Returns
    -------
    (X, y, scaler)    see `LSTMData`

    Raises
    ------
    DataError      missing or unknown column, index without times, too few windows, one class
    ConfigError    look_back or forecast_horizon out of range

    Notes
    -----
    A window is left out where a bar inside it, or between it and its target, is missing; where a
    feature in it is not finite; and where its future is unknown (the newest `forecast_horizon`
    rows). The scaler learns from the oldest windows alone, before the validation and test spans.
    """
    rows = lstm_rows(df, look_back, forecast_horizon, feature_names)
    windows = row_windows(rows.dataset.features, look_back)
    scaler = fit_scaler(rows.dataset.take(rows.fit.taught), look_back)
    X = ((windows - scaler.mean_) / scaler.scale_).astype(np.float32)
    return LSTMData(X, rows.dataset.labels.astype(np.int64), scaler)


def build_lstm_model(input_shape: tuple[int, int], units: int = 50) -> Any:
    """The guide's compiled Keras model.

    Parameters
    ----------
    input_shape : (look_back, features)
    units : of the first LSTM layer; the second has half

    Returns
    -------
    keras.Sequential    LSTM - Dropout 0.2 - LSTM - Dropout 0.2 - Dense(1, sigmoid), Adam 1e-3,
        binary cross-entropy

    Raises MissingExtra, with the install line, without Keras or a backend.
    """
    look_back, features = input_shape
    return build_network(look_back, features, LSTMOptions(look_back=look_back, units=units))


def train_lstm(
    features_df: pd.DataFrame,
    look_back: int = 20,
    forecast_horizon: int = 5,
    epochs: int = 50,
    batch_size: int = 32,
    *,
    units: int = 50,
    seed: int = 42,
    output_folder: Path | str = FOLDER,
    feature_names: Sequence[str] | None = None,
) -> tuple[Any, StandardScaler, dict[str, Any]]:
    """Train the guide's LSTM on the older windows and test it on the newest 20 %.

    Parameters
    ----------
    features_df, look_back, forecast_horizon, feature_names : as for `prepare_lstm_data`
    epochs, batch_size : at most, and rows a step; it stops after 10 epochs without a lower loss on
        the newest 20 % of the training windows
    units : of the first layer
    seed : of the first weights, the dropout and the order of the batches
    output_folder : where the files go; made if absent

    Returns
    -------
    (keras.Sequential, StandardScaler, dict)    the model, the scaler in front of it, and the content
        of model_meta.json: look_back, forecast_horizon, feature_count, accuracy, and more

    Raises
    ------
    MissingExtra    Keras, a backend, onnx or onnxruntime is not installed
    DataError, ConfigError    as `prepare_lstm_data`
    ModelError      the training ran away
    StorageError    the output folder cannot be written

    Notes
    -----
    No bar is in a window of two of the three spans, and every training label ends before the next
    span's first window. Writes lstm.onnx, network.json, scaler.json, model_meta.json, card.json,
    training_history.png and confusion_matrix.png; `load_lstm_model` reads them back without Keras.
    """
    rows = lstm_rows(features_df, look_back, forecast_horizon, feature_names)
    options = LSTMOptions(
        look_back=look_back, units=units, epochs=epochs, batch_size=batch_size, seed=seed
    )
    data = rows.dataset
    fitted = fit_network(data, rows.fit, options, prints=True)
    fitted.model.summary(print_fn=lambda text, **_: _say(text))
    tested = data.take(rows.tested)
    files, predictor = export_network(fitted, tested, look_back)
    chances = predictor.predict_proba(tested.features)[:, 1]
    guess = (chances > 0.5).astype(np.int64)
    meta = _meta(rows, options, forecast_horizon, fitted, guess)
    _say_test(tested, chances, guess, meta)
    folder = Path(output_folder)
    for name, content in files.items():
        write_file(folder / name, content)
    _write_tables(folder, rows, fitted, meta, options)
    mark = {"is_simulated": data.is_simulated}
    write_file(folder / "training_history.png", history_png(fitted.history, **mark))
    matrix = _confusion(tested, guess)
    write_file(folder / "confusion_matrix.png", confusion_png(matrix, [0, 1], **mark))
    return fitted.model, fit_scaler(data.take(rows.fit.taught), look_back), meta


def load_lstm_model(folder: Path | str = FOLDER) -> Predictor:
    """The model `train_lstm` wrote, as a predictor over windows; ModelError if it is damaged."""
    place = Path(folder)
    try:
        card = ModelCard.from_mapping(
            json.loads((place / CARD_FILE).read_bytes()), path=str(place / CARD_FILE)
        )
        files = {name: (place / name).read_bytes() for name in (LSTM_FILE, NETWORK_FILE)}
    except FileNotFoundError as error:
        raise ModelError(
            f"{error.filename} must exist, does not; run python -m crypto_bot.ml.train_lstm_model"
        ) from error
    except ValueError as error:
        raise ModelError(f"{place / CARD_FILE} must be a model card, was not: {error}") from error
    return load_predictor(card, files)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the step; returns the exit code (0 done, 1 data refused, 2 bad usage)."""
    options = _parser().parse_args(arguments)
    try:
        _train(options)
    except CryptoBotError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    return 0


def _confusion(tested: Dataset, guess: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    from sklearn.metrics import confusion_matrix

    matrix: npt.NDArray[Any] = confusion_matrix(tested.labels, guess, labels=[0, 1])
    return matrix


def _say_test(
    tested: Dataset,
    chances: npt.NDArray[np.float64],
    guess: npt.NDArray[np.int64],
    meta: dict[str, Any],
) -> None:
    from sklearn.metrics import classification_report, log_loss

    _say(f"Test Loss: {log_loss(tested.labels, chances, labels=[0, 1]):.4f}")
    _say(
        f"Test Accuracy: {meta['accuracy']:.4f} (commonest class: {meta['majority_accuracy']:.4f})"
    )
    _say("\nClassification Report:")
    _say(classification_report(tested.labels, guess, labels=[0, 1], zero_division=0))


def _meta(
    rows: LSTMRows,
    options: LSTMOptions,
    horizon: int,
    fitted: FittedNetwork,
    guess: npt.NDArray[np.int64],
) -> dict[str, Any]:
    """The guide's four entries, then what is needed to believe them."""
    data = rows.dataset
    spans = {"train": rows.fit.taught, "validation": rows.fit.stopping, "test": rows.tested}
    trained = np.concatenate((data.labels[rows.fit.taught], data.labels[rows.fit.stopping]))
    truth = data.labels[rows.tested]
    return {
        "look_back": options.look_back,
        "forecast_horizon": horizon,
        "feature_count": len(rows.names),
        "accuracy": float(np.mean(truth == guess)),
        "majority_accuracy": majority_accuracy(trained.astype(np.int64), truth.astype(np.int64)),
        "rows": {name: len(index) for name, index in spans.items()},
        "spans": {
            name: [
                iso_time(int(data.decided_at_ns[index[0]])),
                iso_time(int(data.label_end_ns[index].max())),
            ]
            for name, index in spans.items()
        },
        "epochs_run": len(fitted.history["loss"]),
        "seed": options.seed,
        "is_simulated": data.is_simulated,
    }


def _write_tables(
    folder: Path,
    rows: LSTMRows,
    fitted: FittedNetwork,
    meta: dict[str, Any],
    options: LSTMOptions,
) -> None:
    mean, scale = (each.tolist() for each in fitted.scaler)
    scaler = {"feature_names": rows.names, "mean": mean, "scale": scale}
    write_json(folder / "scaler.json", scaler)
    write_json(folder / META_FILE, meta)
    write_json(folder / CARD_FILE, _card(rows, meta, options).model_dump())


def _card(rows: LSTMRows, meta: dict[str, Any], options: LSTMOptions) -> ModelCard:
    data = rows.dataset
    return ModelCard(
        symbol=data.symbols[0],
        timeframe=data.timeframe,
        model_type=LSTM,
        feature_names=data.feature_names,
        feature_definitions=rows.definitions,
        feature_settled_bars=rows.settled_bars,
        classes=data.classes,
        label=data.label_definition,
        data_fingerprint=data.fingerprint,
        data_start=iso_time(int(data.decided_at_ns[0])),
        data_end=iso_time(int(data.label_end_ns[-1])),
        is_simulated=data.is_simulated,
        rows=meta["rows"]["train"] + meta["rows"]["validation"],
        seed=options.seed,
        library_versions=library_versions(LSTM),
        options=options.model_dump() | meta["rows"],
        metrics={name: meta[name] for name in ("accuracy", "majority_accuracy")},
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m crypto_bot.ml.train_lstm_model")
    parser.add_argument(
        "--data", type=Path, required=True, help="candles: CSV, CSV7, Parquet or feather"
    )
    parser.add_argument("--symbol", help="such as BTC/USDT; default: as the file says")
    parser.add_argument("--timeframe", help="such as 5m; default: as the file says")
    parser.add_argument("--output", type=Path, default=FOLDER, help="folder (default: ml/lstm)")
    parser.add_argument("--look-back", type=int, default=20, help="bars in a window (default: 20)")
    parser.add_argument("--horizon", type=int, default=5, help="bars ahead (default: 5)")
    parser.add_argument("--epochs", type=int, default=50, help="at most (default: 50)")
    parser.add_argument("--batch-size", type=int, default=32, help="rows a step (default: 32)")
    parser.add_argument("--units", type=int, default=50, help="of the first layer (default: 50)")
    parser.add_argument("--seed", type=int, default=42, help="default: 42")
    return parser


def _train(options: argparse.Namespace) -> None:
    bars, _ = read_candles(options.data, symbol=options.symbol, timeframe=options.timeframe)
    _say(f"{bars.symbol} {bars.timeframe}: {len(bars)} bars from {options.data}")
    frame = bars.to_pandas().assign(symbol=bars.symbol)
    frame.attrs["is_simulated"] = bars.is_simulated
    train_lstm(
        create_features(frame),
        options.look_back,
        options.horizon,
        options.epochs,
        options.batch_size,
        units=options.units,
        seed=options.seed,
        output_folder=options.output,
    )
    _say(f"Wrote {options.output}/{META_FILE} and the model beside it")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
