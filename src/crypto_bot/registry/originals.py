"""Models of the original trainer: its pointer is read and checked, its pickles are not.

::

    models/regime/<SYMBOL>/LATEST.json                        key, hash, feature_list, label_order ...
    models/regime/<SYMBOL>/20250101-000000_regime_lgbm.pkl    what the pointer's key names
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from crypto_bot.core.bars import symbol_slug
from crypto_bot.core.errors import ConfigError, ModelError
from crypto_bot.core.models import Predictor
from crypto_bot.core.options import Options
from crypto_bot.registry.latest import LATEST
from crypto_bot.registry.objects import MissingObject, ObjectStore, check_key
from crypto_bot.registry.records import RegistryLimits, cut, read_json
from crypto_bot.registry.version_files import is_code

ORIGINAL_PREFIX = "models/regime"
_MOST_POINTER_BYTES = 1 << 18
_ZIP = b"PK\x03\x04"
_TEXT = b"tree\n"


class OriginalPointer(Options):
    """The fields of the original trainer's LATEST.json."""

    key: str = Field(min_length=1, max_length=1000, description="of the model, in the same bucket")
    schema_version: str = Field(pattern="^1$", description="of the pointer")
    feature_list: tuple[str, ...] = Field(
        min_length=1, max_length=10_000, description="columns of the model, in order"
    )
    label_order: tuple[int, ...] = Field(
        min_length=2, max_length=100, description="label of each probability column"
    )
    horizon: str | int | None = Field(default=None, description="of the label, such as '15m'")
    thresholds: dict[str, float] = Field(default={}, description="hold, and open_thr where given")
    symbol: str = Field(description="such as 'BTC-USDT'")
    hash: str = Field(pattern="^sha256:[0-9a-f]{64}$", description="of the model's bytes")


@dataclass(frozen=True)
class OriginalModel:
    """A model that the pointer named, and that could be read without running anything."""

    place: str
    pointer: OriginalPointer
    predictor: Predictor


def read_pointer(
    store: ObjectStore, symbol: str, *, prefix: str = ORIGINAL_PREFIX
) -> tuple[str, OriginalPointer]:
    """Where the pointer of a symbol lies, and what it says; nothing it says is trusted yet.

    Parameters
    ----------
    symbol : such as 'BTC/USDT'; its folder may be BTC-USDT, BTC_USDT or BTCUSDT
    prefix : where the folders of the symbols lie; '' for the root

    Raises
    ------
    ModelError    if there is none, or if it is malformed or of another symbol
    """
    for folder in _folders(symbol, prefix):
        key = f"{folder}/{LATEST}"
        try:
            content = store.get(key, _MOST_POINTER_BYTES)
        except MissingObject:
            continue
        pointer = _parsed(content, f"{store.where}/{key}")
        if _letters(pointer.symbol) != _letters(symbol):
            raise ModelError(
                f"{store.where}/{key} must be of {symbol}, was of {cut(pointer.symbol)}"
            )
        return folder, pointer
    raise ModelError(
        f"{store.where} must hold {_folders(symbol, prefix)[0]}/{LATEST}, did not; "
        f"train one with: {_way_over(symbol)}"
    )


def load_original(
    store: ObjectStore,
    symbol: str,
    *,
    prefix: str = ORIGINAL_PREFIX,
    limits: RegistryLimits | None = None,
) -> OriginalModel:
    """The model the pointer names, where it is a LightGBM text or one of our array files.

    Raises
    ------
    ModelError    if the pointer or the model is missing or malformed, if the model's sha256 is not the
                  pointer's, if its schema differs, or if it is a pickle: that is never opened
    """
    folder, pointer = read_pointer(store, symbol, prefix=prefix)
    key = _model_key(folder, pointer, f"{store.where}/{folder}/{LATEST}")
    place = f"{store.where}/{key}"
    most = (limits or RegistryLimits()).max_file_bytes
    try:
        content = store.get(key, most)
    except MissingObject as error:
        raise ModelError(f"{place} must exist as {LATEST} says, did not") from error
    found = hashlib.sha256(content).hexdigest()
    if f"sha256:{found}" != pointer.hash:
        raise ModelError(
            f"{place} must have sha256 {pointer.hash[7:23]}... as {LATEST} says, was {found[:16]}...; "
            "it was changed or the pointer is old: do not use it"
        )
    if is_code(key, content):
        raise ModelError(
            f"{place} must be a model that cannot run code, was a pickle; its sha256 is the pointer's, "
            "but reading it would run whatever it holds, so it is never opened. Train it anew with: "
            f"{_way_over(symbol)}"
        )
    return OriginalModel(place, pointer, _predictor(place, content, pointer))


def _parsed(content: bytes, name: str) -> OriginalPointer:
    values: Mapping[str, Any] = read_json(content, name)
    known = {key: values[key] for key in OriginalPointer.model_fields if key in values}
    try:
        return OriginalPointer.from_mapping(known, path=name)
    except ConfigError as error:
        raise ModelError(cut(str(error))) from error


def _model_key(folder: str, pointer: OriginalPointer, name: str) -> str:
    """The key of the model; a bare file name lies beside the pointer."""
    key = pointer.key if "/" in pointer.key else f"{folder}/{pointer.key}"
    try:
        return check_key(key)
    except ConfigError as error:
        raise ModelError(f"{name} must name a plain key: {error}") from error


def _predictor(place: str, content: bytes, pointer: OriginalPointer) -> Predictor:
    from crypto_bot import predictors

    names, classes = pointer.feature_list, pointer.label_order
    if content.startswith(_TEXT):
        ensemble, found = predictors.read_lightgbm(content)
        if found == tuple(f"Column_{k}" for k in range(len(names))):
            found = names
        predictor: Predictor = predictors.TreePredictor(ensemble, found, classes)
    elif content.startswith(_ZIP):
        predictor = _of_arrays(content)
    else:
        raise ModelError(
            f"{place} must be a LightGBM text or one of our npz files, was {content[:8]!r}"
        )
    if predictor.feature_names != names or predictor.classes != classes:
        raise ModelError(
            f"{place} must read {LATEST}'s features and labels, read "
            f"{cut(str(predictor.feature_names))} for {predictor.classes}"
        )
    return predictor


def _of_arrays(content: bytes) -> Predictor:
    """A forest, else a logistic model; ModelError of the latter where it is neither."""
    from crypto_bot import predictors

    try:
        return predictors.TreePredictor(*predictors.read_forest(content))
    except ModelError:
        return predictors.LinearPredictor(*predictors.read_linear(content))


def _folders(symbol: str, prefix: str) -> list[str]:
    slug = symbol_slug(symbol)
    names = dict.fromkeys((slug, slug.replace("-", "_"), slug.replace("-", "")))
    return [f"{prefix}/{name}" if prefix else name for name in names]


def _letters(symbol: str) -> str:
    return "".join(filter(str.isalnum, symbol)).upper()


def _way_over(symbol: str) -> str:
    return f"cointrainer csv-train --file CANDLES.csv --symbol {symbol} --publish"
