"""Models from candle files: the trainer's six features, its label, its limits on rows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from crypto_bot.backtest.recipes import Recipe, lightgbm_trainer, three_class
from crypto_bot.backtest.workbench import Workbench
from crypto_bot.core import Bars
from crypto_bot.core.bars import OHLCV
from crypto_bot.core.errors import DataError
from crypto_bot.core.timeframes import iso_time
from crypto_bot.features import TRAINER_FEATURES
from crypto_bot.training import DownsamplingTrainer, LightGBMTrainer, Trainer

FILE_FEATURES = tuple("obv_frac_20" if name == "obv" else name for name in TRAINER_FEATURES)
"""The trainer's six; `obv` depends on where a file begins, so its settled twin stands in."""
AGGREGATE = {"n_estimators": 600, "subsample": 0.8, "colsample_bytree": 0.8}
"""LightGBM of a model of many pairs, where the configuration does not say otherwise."""


def file_recipe(bench: Workbench, symbol: str, trainer: Trainer | None = None) -> Recipe:
    """As for `ml-training`, but on the trainer's features and the device that was asked for."""
    device = bench.settings.ml_integration.training.device_type
    return Recipe(
        symbol,
        lightgbm_trainer(bench, device) if trainer is None else trainer,
        three_class(bench),
        bench.settings.paper.prediction_threshold,
        FILE_FEATURES,
    )


def aggregate_recipe(
    bench: Workbench, symbol: str, *, seed: int, downsample_flat: bool, is_pooled: bool
) -> Recipe:
    """The model of many pairs; with `is_pooled` off, that of one pair among them."""
    options = lightgbm_trainer(bench, bench.settings.ml_integration.training.device_type).options
    given = bench.settings.models.lightgbm.model_fields_set
    chosen = {name: value for name, value in AGGREGATE.items() if name not in given}
    trainer: Trainer = LightGBMTrainer(options.replace(seed=seed, **(chosen if is_pooled else {})))
    if downsample_flat:
        trainer = DownsamplingTrainer(trainer, seed)
    return file_recipe(bench, symbol, trainer)


def file_sha256(path: Path) -> str:
    """Of its content; DataError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path} must be readable, was not: {error.strerror or error}") from error


def newest(bars: Bars, rows: int | None) -> Bars:
    """The last `rows` bars; all for None."""
    return bars if rows is None or rows >= len(bars) else bars[len(bars) - rows :]


def joined_pairs(files: Sequence[Bars]) -> dict[str, Bars]:
    """The bars of each symbol, its files put together, by symbol.

    Raises
    ------
    DataError    two files give one candle different values, or are of different timeframes
    """
    found: dict[str, list[Bars]] = {}
    for bars in files:
        found.setdefault(bars.symbol, []).append(bars)
    return {symbol: _joined(parts) for symbol, parts in sorted(found.items())}


def _joined(parts: Sequence[Bars]) -> Bars:
    first = parts[0]
    if len(parts) == 1:
        return first
    other = next((each for each in parts if each.timeframe != first.timeframe), None)
    if other is not None:
        raise DataError(
            f"{first.symbol} files must be of one timeframe, were {first.timeframe} and "
            f"{other.timeframe}; choose one by --glob"
        )
    columns = {
        name: np.concatenate([getattr(each, name) for each in parts])
        for name in ("open_time", *OHLCV)
    }
    order = np.argsort(columns["open_time"], kind="stable")
    columns = {name: values[order] for name, values in columns.items()}
    repeats = np.flatnonzero(np.diff(columns["open_time"]) == 0)
    for name in OHLCV:
        differs = repeats[columns[name][repeats] != columns[name][repeats + 1]]
        if differs.size:
            i = int(differs[0])
            raise DataError(
                f"{first.symbol} files must agree, had {name} {columns[name][i]} and "
                f"{columns[name][i + 1]} at {iso_time(int(columns['open_time'][i]))} "
                f"({differs.size} such candles); remove the wrong file"
            )
    kept: dict[str, Any] = {name: np.delete(values, repeats) for name, values in columns.items()}
    return replace(first, **kept)


def capped(
    pairs: Mapping[str, Bars], rows_per_pair: int | None, total: int | None
) -> dict[str, Bars]:
    """The newest bars of each pair, then the newest of all from one common moment on.

    Notes
    -----
    No chance in it: what is left out is what is oldest. Bars of one moment stay together, so the
    total may be a few below the limit; a pair without a bar in the stretch falls out.
    """
    found = {symbol: newest(bars, rows_per_pair) for symbol, bars in pairs.items()}
    if total is None or sum(map(len, found.values())) <= total:
        return found
    times = np.sort(np.concatenate([bars.open_time for bars in found.values()]))
    # The first moment all of whose bars, and all after them, are within the limit.
    from_ns = int(times[len(times) - total - 1]) + 1
    cut = {symbol: bars.between(from_ns, None) for symbol, bars in found.items()}
    return {symbol: bars for symbol, bars in cut.items() if len(bars)}
