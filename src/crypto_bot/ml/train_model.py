"""The Bot v3.1 guide's step 2: `train_ml_model`, with its signature, printed lines and files.

The guide's two pickles become `rf_model.npz` (scaler inside), `scaler.json` and `card.json`.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from crypto_bot.core import OHLCV, ModelCard, Predictor
from crypto_bot.core.arrays import PerBarFeature
from crypto_bot.core.errors import ConfigError, DataError, ModelError
from crypto_bot.core.files import write_file, write_json
from crypto_bot.core.timeframes import iso_time
from crypto_bot.features import S0_FEATURES, feature
from crypto_bot.ml.feature_engineering import SETTLED_FROM, TARGET, frame_timeframe
from crypto_bot.ml.figures import confusion_png, importance_png
from crypto_bot.predictors import FOREST_FILE, RANDOM_FOREST, load_predictor, write_forest
from crypto_bot.training import ForestOptions
from crypto_bot.training.cards import library_versions
from crypto_bot.training.forest import FittedForest, export_forest, fit_forest

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.preprocessing import StandardScaler

MODEL_FILE, CARD_FILE = "rf_model.npz", "card.json"
MINIMUM_ROWS = 100


class Table(NamedTuple):
    """The rows a model is trained and tested on, oldest first."""

    names: tuple[str, ...]
    features: PerBarFeature
    target: npt.NDArray[np.int64]


class Split(NamedTuple):
    """Training rows, rows purged at the border, test rows: counts, in time order."""

    train: int
    purged: int
    test: int


def train_ml_model(
    features_df: pd.DataFrame,
    target_col: str = TARGET,
    test_size: float = 0.3,
    *,
    output_folder: Path | str = "ml",
    feature_names: Sequence[str] | None = None,
    horizon_bars: int = 5,
) -> tuple[RandomForestClassifier, StandardScaler, float]:
    """Train the guide's random forest on the older rows and test it on the newer ones.

    Parameters
    ----------
    features_df : DataFrame    as `create_features` returns it
    target_col : column of whole-number labels
    test_size : fraction of the rows, the newest, kept for the test
    output_folder : where the files go; made if absent
    feature_names : columns to learn from; None is the guide's 23. Other columns are never used:
        text is ignored and said so, an unknown column of numbers is refused unless the list is given
    horizon_bars : how far the target looks ahead; that many rows before the test are left out

    Returns
    -------
    (RandomForestClassifier, StandardScaler, float)    the fitted model, the scaler fitted on the
        training rows alone, the accuracy on the test rows

    Raises
    ------
    DataError       missing or unknown column, value not finite, rows out of order, too few rows,
                    labels of one class
    ConfigError     test_size or horizon_bars out of range
    StorageError    the output folder cannot be written

    Notes
    -----
    Writes rf_model.npz, scaler.json, confusion_matrix.png, feature_importance.png,
    training_summary.txt and card.json; `load_ml_model` reads them back without scikit-learn. Rows
    before `features_df.attrs['settled_from']` are not used where enough others are left.
    """
    from sklearn.metrics import accuracy_score, classification_report, confusion_matrix

    frame = settled_rows(features_df)
    table = read_table(frame, target_col, feature_names)
    split = _split(len(table.target), test_size, horizon_bars)
    _check_classes(table.target[: split.train], target_col)
    tested = slice(split.train + split.purged, None)
    _say("Training Random Forest model...")
    options = ForestOptions()
    fitted = fit_forest(table.features[: split.train], table.target[: split.train], options)
    guess = fitted.model.predict(fitted.scaler.transform(table.features[tested]))
    truth = table.target[tested]
    accuracy = float(accuracy_score(truth, guess))
    _say(f"Model accuracy: {accuracy:.4f}")
    _say("\nClassification Report:")
    _say(classification_report(truth, guess, zero_division=0))
    labels = sorted({*truth.tolist(), *guess.tolist()})
    matrix = confusion_matrix(truth, guess, labels=labels)
    importance = _importance(table.names, fitted)
    _say("\nTop 10 Important Features:")
    _say(_lines(importance[:10]))
    majority = majority_accuracy(table.target[: split.train], truth)
    folder = Path(output_folder)
    _write_model(folder, table, fitted)
    mark = {"is_simulated": bool(frame.attrs.get("is_simulated", False))}
    write_file(folder / "confusion_matrix.png", confusion_png(matrix, labels, **mark))
    write_file(folder / "feature_importance.png", importance_png(importance[:20], **mark))
    write_file(
        folder / "training_summary.txt", _summary(len(frame), table, accuracy, majority, split)
    )
    metrics = {"accuracy": accuracy, "majority_accuracy": majority}
    card = _card(frame, table, fitted, split, target_col, horizon_bars)
    write_json(folder / CARD_FILE, card.replace(metrics=metrics).model_dump())
    return fitted.model, fitted.scaler, accuracy


def load_ml_model(folder: Path | str = "ml") -> Predictor:
    """The model `train_ml_model` wrote, as a predictor (scaler inside); ModelError if it is damaged."""
    place = Path(folder)
    try:
        card = ModelCard.from_mapping(
            json.loads((place / CARD_FILE).read_bytes()), path=str(place / CARD_FILE)
        )
        content = (place / MODEL_FILE).read_bytes()
    except FileNotFoundError as error:
        raise ModelError(
            f"{error.filename} must exist, does not; run python -m crypto_bot.ml.train_wrapper"
        ) from error
    except (ValueError, ConfigError) as error:
        raise ModelError(f"{place / CARD_FILE} must be a model card, was not: {error}") from error
    return load_predictor(card, {FOREST_FILE: content})


def settled_rows(features_df: pd.DataFrame) -> pd.DataFrame:
    """The rows whose features no longer depend on the data's start, if enough are left."""
    import pandas as pd

    start = features_df.attrs.get(SETTLED_FROM)
    if start is None or not isinstance(features_df.index, pd.DatetimeIndex):
        return features_df
    index = features_df.index
    moment = pd.Timestamp(start)
    is_settled = index >= (moment if index.tz is not None else moment.tz_localize(None))
    unsettled = int((~is_settled).sum())
    if unsettled and int(is_settled.sum()) >= MINIMUM_ROWS:
        _say(
            f"Left out the first {unsettled} rows: their features still depend on the data's start."
        )
        return features_df[is_settled]
    if unsettled:
        _say(
            f"Warning: {unsettled} of {len(index)} rows are not settled (their features depend on the "
            f"data's start) and are used only because the rest are fewer than {MINIMUM_ROWS}."
        )
    return features_df


def read_table(frame: pd.DataFrame, target_col: str, feature_names: Sequence[str] | None) -> Table:
    names = S0_FEATURES if feature_names is None else tuple(feature_names)
    missing = [name for name in (*names, target_col) if name not in frame.columns]
    if missing:
        raise DataError(
            f"features_df must have the columns of create_features, lacked {', '.join(missing)}"
        )
    if target_col in names or set(names) & set(OHLCV) or len(set(names)) != len(names):
        raise DataError(f"feature_names must be features, each once, were {', '.join(names)}")
    check_extra_columns(frame, target_col, names, is_chosen=feature_names is not None)
    if not frame.index.is_monotonic_increasing:
        raise DataError("features_df.index must increase, did not; sort it, oldest first")
    features = np.ascontiguousarray(frame[list(names)].to_numpy(dtype=np.float64))
    broken = ~np.isfinite(features)
    if broken.any():
        row, column = np.argwhere(broken)[0]
        raise DataError(
            f"features_df must be finite, {names[column]} was {features[row, column]} at "
            f"{frame.index[row]} ({int(broken.any(axis=1).sum())} such rows); drop them"
        )
    return Table(names, features, _target(frame, target_col))


def check_extra_columns(
    frame: pd.DataFrame, target_col: str, names: tuple[str, ...], *, is_chosen: bool
) -> None:
    """Extra columns are never learned from: said for text, refused for numbers nobody named.

    A column that stands twice is refused: which of the two was meant, nobody knows.
    """
    import pandas as pd

    twice = sorted({str(name) for name in frame.columns[frame.columns.duplicated()]})
    if twice:
        raise DataError(
            f"features_df must have each column once, had {', '.join(twice)} more than once; "
            "drop all but one"
        )
    known = {*names, *OHLCV, target_col}
    extra = [name for name in frame.columns if name not in known]
    numbers = [name for name in extra if pd.api.types.is_numeric_dtype(frame[name])]
    if numbers and not is_chosen:
        raise DataError(
            f"features_df must hold no unknown column of numbers, had {', '.join(map(str, numbers))}; "
            "drop it, or name every column to learn from in feature_names"
        )
    if extra:
        _say(f"Ignored columns, not features: {', '.join(map(str, extra))}")


def _target(frame: pd.DataFrame, target_col: str) -> npt.NDArray[np.int64]:
    values = frame[target_col].to_numpy(dtype=np.float64)
    if not np.isfinite(values).all() or (values != np.round(values)).any():
        raise DataError(
            f"{target_col} must be whole numbers on every row, was not; drop unlabelled rows"
        )
    return values.astype(np.int64)


def _split(rows: int, test_size: float, horizon_bars: int) -> Split:
    if not 0.0 < test_size < 1.0:
        raise ConfigError(f"test_size must lie between 0 and 1, was {test_size}")
    if horizon_bars < 1:
        raise ConfigError(f"horizon_bars must be at least 1, was {horizon_bars}")
    if rows < MINIMUM_ROWS:
        raise DataError(f"features_df must have at least {MINIMUM_ROWS} rows, was {rows}")
    test = int(np.ceil(rows * test_size))
    train = rows - test - horizon_bars
    if train < 2 or test < 1:
        raise DataError(
            f"test_size and horizon_bars must leave rows to train on, left {train} of {rows}"
        )
    return Split(train, horizon_bars, test)


def _check_classes(target: npt.NDArray[np.int64], target_col: str) -> None:
    if len(np.unique(target)) < 2:
        raise DataError(
            f"{target_col} must hold at least two classes in the {len(target)} training rows, "
            f"was always {target[0]}; prices may be flat, or give more rows"
        )


def _importance(names: tuple[str, ...], fitted: FittedForest) -> list[tuple[str, float]]:
    pairs = zip(names, fitted.model.feature_importances_.tolist(), strict=True)
    return sorted(pairs, key=lambda pair: -pair[1])


def _lines(importance: list[tuple[str, float]]) -> str:
    width = max(len(name) for name, _ in importance)
    return "\n".join(f"{name:<{width}}  {value:.6f}" for name, value in importance)


def majority_accuracy(trained: npt.NDArray[np.int64], tested: npt.NDArray[np.int64]) -> float:
    """Accuracy on the test rows of always saying the training rows' commonest class."""
    labels, counts = np.unique(trained, return_counts=True)
    return float(np.mean(tested == labels[counts.argmax()]))


def _write_model(folder: Path, table: Table, fitted: FittedForest) -> None:
    classes = tuple(fitted.model.classes_.tolist())
    content = write_forest(export_forest(fitted, classes), table.names, classes)
    scaler = {
        "feature_names": table.names,
        "mean": fitted.scaler.mean_.tolist(),
        "scale": fitted.scaler.scale_.tolist(),
    }
    write_file(folder / MODEL_FILE, content)
    write_json(folder / "scaler.json", scaler)


def _summary(rows: int, table: Table, accuracy: float, majority: float, split: Split) -> str:
    return (
        "Model training completed\n"
        f"Dataset size: {rows} samples\n"
        f"Features used: {len(table.names)}\n"
        f"Accuracy: {accuracy:.4f}\n"
        f"Majority-class accuracy: {majority:.4f}\n"
        f"Rows trained, purged, tested: {split.train}, {split.purged}, {split.test}\n"
    )


def _card(
    frame: pd.DataFrame,
    table: Table,
    fitted: FittedForest,
    split: Split,
    target_col: str,
    horizon_bars: int,
) -> ModelCard:
    known = {name: feature(name) for name in table.names if name in S0_FEATURES}
    settled = [each.settled_bars or 0 for each in known.values()]
    symbols = frame["symbol"].unique().tolist() if "symbol" in frame.columns else []
    options: dict[str, Any] = {**ForestOptions().model_dump(), **split._asdict()}
    return ModelCard(
        symbol=str(symbols[0]) if len(symbols) == 1 else "",
        timeframe=_timeframe(frame),
        model_type=RANDOM_FOREST,
        feature_names=table.names,
        feature_definitions={name: each.definition for name, each in known.items()},
        feature_settled_bars=max(settled, default=0),
        classes=tuple(fitted.model.classes_.tolist()),
        label={"name": target_col, "horizon_bars": horizon_bars},
        data_fingerprint=_fingerprint(table),
        data_start=_time(frame.index[0]),
        data_end=_time(frame.index[-1]),
        is_simulated=bool(frame.attrs.get("is_simulated", False)),
        rows=split.train,
        seed=options["random_state"],
        library_versions=library_versions(RANDOM_FOREST),
        options=options,
    )


def _fingerprint(table: Table) -> str:
    digest = hashlib.sha256(" ".join(table.names).encode())
    digest.update(table.features.tobytes())
    digest.update(table.target.tobytes())
    return digest.hexdigest()


def _timeframe(frame: pd.DataFrame) -> str:
    import pandas as pd

    return frame_timeframe(frame.index) if isinstance(frame.index, pd.DatetimeIndex) else ""


def _time(label: Any) -> str:
    import pandas as pd

    return iso_time(label.as_unit("ns").value) if isinstance(label, pd.Timestamp) else str(label)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
