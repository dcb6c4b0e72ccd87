"""A frame of features as windows that cross no gap, each with the label of its last bar, in spans."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from crypto_bot.core import OHLCV
from crypto_bot.core.arrays import Index
from crypto_bot.core.errors import ConfigError, DataError
from crypto_bot.core.timeframes import timeframe_ns
from crypto_bot.dataset import Dataset
from crypto_bot.features import S0_FEATURES, feature, sequence_features
from crypto_bot.ml.feature_engineering import TARGET, frame_timeframe
from crypto_bot.ml.train_model import check_extra_columns, settled_rows
from crypto_bot.splits.holdout import holdout_split
from crypto_bot.training import LSTMOptions
from crypto_bot.training.recurrent import FitRows, fit_rows

if TYPE_CHECKING:
    import pandas as pd

TEST_SIZE = 0.2
"""The guide's: newest share of the windows, kept for the test."""
MINIMUM_WINDOWS = 100


class LSTMRows(NamedTuple):
    """Windows as a dataset, oldest first, and which of them teach, say when to stop, and test."""

    dataset: Dataset
    names: tuple[str, ...]
    fit: FitRows
    tested: Index

    @property
    def definitions(self) -> dict[str, str]:
        """Definitions of the features that are ours."""
        return {name: feature(name).definition for name in self.names if name in S0_FEATURES}

    @property
    def settled_bars(self) -> int:
        """Bars after which a window no longer depends on where the data starts."""
        known = [feature(name).settled_bars or 0 for name in self.names if name in S0_FEATURES]
        return max(known, default=0) + len(self.dataset.feature_names) // len(self.names) - 1


def lstm_rows(
    df: pd.DataFrame, look_back: int, forecast_horizon: int, feature_names: Sequence[str] | None
) -> LSTMRows:
    """The windows of a frame, cut by time into train, validation and test.

    No bar is in a window of two spans, and a label ends before the next span's first window begins.
    Raises DataError or ConfigError as `prepare_lstm_data` says.
    """
    if forecast_horizon < 1:
        raise ConfigError(f"forecast_horizon must be at least 1, was {forecast_horizon}")
    options = LSTMOptions(look_back=look_back)
    frame = settled_rows(df)
    names = _checked_names(frame, feature_names)
    data = _windows(frame, names, look_back, forecast_horizon)
    embargo_ns = (look_back - 1) * timeframe_ns(data.timeframe)
    split = holdout_split(data.decided_at_ns, data.label_end_ns, TEST_SIZE, embargo_ns)
    inner = fit_rows(data.take(split.train), options.replace(embargo_bars=0))
    return LSTMRows(data, names, FitRows(*(split.train[each] for each in inner)), split.test)


def _checked_names(frame: pd.DataFrame, feature_names: Sequence[str] | None) -> tuple[str, ...]:
    import pandas as pd

    names = S0_FEATURES if feature_names is None else tuple(feature_names)
    missing = [name for name in (*names, "close") if name not in frame.columns]
    if missing:
        raise DataError(
            f"features_df must have the columns of create_features, lacked {', '.join(missing)}"
        )
    if set(names) & {*OHLCV, TARGET} or len(set(names)) != len(names) or not names:
        raise DataError(f"feature_names must be features, each once, were {', '.join(names)}")
    check_extra_columns(frame, TARGET, names, is_chosen=feature_names is not None)
    if not isinstance(frame.index, pd.DatetimeIndex):
        raise DataError(f"features_df.index must be datetimes, was {frame.index.dtype}")
    if not frame.index.is_monotonic_increasing or frame.index.has_duplicates:
        raise DataError("features_df.index must increase, did not; sort it, oldest first")
    return names


def _windows(frame: pd.DataFrame, names: tuple[str, ...], look_back: int, horizon: int) -> Dataset:
    index: Any = frame.index
    timeframe = frame_timeframe(index)
    step, times = timeframe_ns(timeframe), index.as_unit("ns").asi8
    values = frame[list(names)].to_numpy(dtype=np.float64)
    close = frame["close"].to_numpy(dtype=np.float64)
    ends = _whole_windows(times, np.isfinite(values).all(axis=1), look_back, horizon, step)
    ends = ends[np.isfinite(close[ends]) & np.isfinite(close[ends + horizon])]
    if len(ends) < MINIMUM_WINDOWS:
        raise DataError(
            f"features_df must give at least {MINIMUM_WINDOWS} windows of {look_back} bars without a "
            f"gap whose close {horizon} bars later is known, gave {len(ends)} of {len(frame)} rows; "
            "give more rows"
        )
    every = np.lib.stride_tricks.sliding_window_view(values, look_back, axis=0)
    flat = every[ends - look_back + 1].reshape(len(ends), -1)
    decided = times[ends] + step
    symbols = frame["symbol"].unique().tolist() if "symbol" in frame.columns else []
    return Dataset(
        features=np.ascontiguousarray(flat),
        feature_names=sequence_features(names, look_back),
        labels=(close[ends + horizon] > close[ends]).astype(np.int8),
        weights=np.ones(len(ends)),
        classes=(0, 1),
        decided_at_ns=decided,
        label_end_ns=decided + horizon * step,
        bar_index=ends,
        symbol_index=np.zeros(len(ends), dtype=np.int64),
        symbols=(str(symbols[0]) if len(symbols) == 1 else "",),
        timeframe=timeframe,
        label_definition={"name": f"next_{horizon}_up", "horizon_bars": horizon},
        fingerprint=_fingerprint(names, values, close, times),
        dropped={"windows": len(frame) - len(ends)},
        is_simulated=bool(frame.attrs.get("is_simulated", False)),
    )


def _whole_windows(
    times: Index, is_finite: npt.NDArray[np.bool_], look_back: int, horizon: int, step: int
) -> Index:
    """Last rows of the windows in which, and up to whose target, no bar is missing or undefined."""
    ends = np.arange(look_back - 1, len(times) - horizon, dtype=np.int64)
    starts = ends - look_back + 1
    broken = np.concatenate(([0], np.cumsum(~is_finite)))
    is_whole = (
        (times[ends] - times[starts] == (look_back - 1) * step)
        & (times[ends + horizon] - times[ends] == horizon * step)
        & (broken[ends + 1] == broken[starts])
    )
    kept: Index = ends[is_whole]
    return kept


def _fingerprint(
    names: tuple[str, ...],
    values: npt.NDArray[np.float64],
    close: npt.NDArray[np.float64],
    times: Index,
) -> str:
    digest = hashlib.sha256(" ".join(names).encode())
    for each in (values, close, times):
        digest.update(np.ascontiguousarray(each).tobytes())
    return digest.hexdigest()
