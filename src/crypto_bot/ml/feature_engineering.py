"""The Bot v3.1 guide's step 1: `create_features`, pandas in and out, computed by the features stage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from crypto_bot.core import OHLCV, Bars
from crypto_bot.core.errors import DataError
from crypto_bot.core.timeframes import iso_time, timeframe_name
from crypto_bot.dataset import check_defined
from crypto_bot.features import S0_FEATURES, compute_features
from crypto_bot.labels import NextUpOptions, make_labels

if TYPE_CHECKING:
    import pandas as pd

TARGET = "target_nextNup"
"""1 where the close five bars later is higher, else 0."""
SETTLED_FROM = "settled_from"
"""Key in `DataFrame.attrs`: UTC time from which no feature depends on where the data starts."""
_FRAME = "FRAME"


def create_features(df: pd.DataFrame) -> pd.DataFrame:
    """Add the guide's 23 features and `target_nextNup` to OHLCV bars.

    Parameters
    ----------
    df : DataFrame    columns open, high, low, close, volume; datetime index of opening times (UTC if
        it names no zone), increasing. Further columns such as `symbol` are carried through untouched
        and are never read.

    Returns
    -------
    DataFrame    the columns of `df`, the 23 features in the guide's order, `target_nextNup` (int)

    Raises
    ------
    DataError    missing column, index without times, twice the same time, prices no market has, too
                 few rows, a feature undefined on every row (flat prices, no volume), or a column
                 named like a feature

    Notes
    -----
    The target looks five bars ahead. Rows are dropped, never filled: the first ones, until every
    feature is defined; the tail and bars before an outage, whose target is unknown; rows in the
    middle with an undefined feature (a window without volume). The index keeps its times, so every
    such hole stays visible. `df` is not modified. `attrs['settled_from']` says from when on the
    features no longer depend on where the data starts; `train_ml_model` heeds it.
    """
    bars = frame_bars(df)
    table = compute_features(bars, S0_FEATURES)
    labels = make_labels(bars, NextUpOptions())
    _check_rows(bars, table.warmup_bars)
    is_open = labels.is_labelled & (np.arange(len(bars)) >= table.warmup_bars)
    check_defined(bars, S0_FEATURES, table.values[is_open])
    rows = np.flatnonzero(is_open & np.isfinite(table.values).all(axis=1))
    features = df.iloc[rows].copy()
    for name in S0_FEATURES:
        features[name] = table.column(name)[rows]
    features[TARGET] = labels.values[rows].astype(np.int64)
    features.attrs[SETTLED_FROM] = _settled_from(bars, table.settled_bars or 0)
    return features


def frame_bars(df: pd.DataFrame) -> Bars:
    """The OHLCV columns of a DataFrame as checked bars; the timeframe is the commonest step."""
    import pandas as pd

    taken = [name for name in (*S0_FEATURES, TARGET) if name in df.columns]
    if taken:
        raise DataError(
            f"df must hold bars without features, already had {', '.join(taken)}; "
            f"give the columns {', '.join(OHLCV)}"
        )
    missing = [name for name in OHLCV if name not in df.columns]
    if missing:
        raise DataError(f"df must have columns {', '.join(OHLCV)}, lacked {', '.join(missing)}")
    if not isinstance(df.index, pd.DatetimeIndex):
        raise DataError(
            f"df.index must be datetimes, was {df.index.dtype}; "
            "for a column of times: df.set_index(pd.to_datetime(df['date']))"
        )
    if df.index.hasnans or df.index.has_duplicates:
        repeated = df.index[df.index.duplicated() | df.index.isna()][0]
        raise DataError(f"df.index must name each time once, had {repeated} again or no time")
    if "symbol" in df.columns and df["symbol"].nunique() > 1:
        raise DataError(
            f"df must hold one symbol, had {df['symbol'].nunique()}; take one at a time"
        )
    try:
        return Bars.from_pandas(df, symbol=_FRAME, timeframe=frame_timeframe(df.index))
    except (TypeError, ValueError) as error:
        raise DataError(
            f"df columns {', '.join(OHLCV)} must be numbers, were not: {error}"
        ) from error


def frame_timeframe(index: pd.DatetimeIndex) -> str:
    """The commonest step between the times of an index, such as '5m'."""
    steps = np.diff(index.as_unit("ns").asi8)
    if not len(steps):
        raise DataError(f"df must hold at least 2 rows to tell its timeframe, was {len(index)}")
    values, counts = np.unique(steps, return_counts=True)
    step = int(values[counts.argmax()])
    if step <= 0 or step % 1_000_000_000:
        raise DataError(
            f"df.index must increase by whole seconds, its commonest step was {step} ns; sort it"
        )
    return timeframe_name(step)


def _check_rows(bars: Bars, warmup_bars: int) -> None:
    needed = warmup_bars + NextUpOptions().horizon_bars + 1
    if len(bars) < needed:
        raise DataError(f"df must have at least {needed} rows, was {len(bars)}")


def _settled_from(bars: Bars, settled_bars: int) -> str:
    """Opening time of the first settled bar; of the bar after the last if there is none yet."""
    ends = int(bars.open_time[-1]) + bars.interval_ns * (settled_bars - len(bars) + 1)
    return iso_time(int(bars.open_time[settled_bars]) if settled_bars < len(bars) else ends)
