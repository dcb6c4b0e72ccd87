"""Candle files into checked `Bars`, and whole folders of them into the store."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from crypto_bot.core.bars import OHLCV, Bars, symbol_slug
from crypto_bot.core.errors import ConfigError, DataError, StorageError
from crypto_bot.core.files import write_json
from crypto_bot.core.progress import track
from crypto_bot.core.timeframes import timeframe_ns
from crypto_bot.market.candle_files import (
    SUFFIXES,
    NotCandles,
    is_candle_file,
    read_candle_file,
)
from crypto_bot.market.locking import folder_lock
from crypto_bot.market.quality import (
    DuplicatePolicy,
    QualityReport,
    RawCandles,
    RefusedCandles,
    clean_candles,
    commonest_timeframe,
)
from crypto_bot.market.store import BarStore, delete_leftovers

_MANIFEST = "imports.json"
_VERSION = 1
_QUOTES = (
    "FDUSD", "USDT", "USDC", "BUSD", "TUSD", "DAI", "USD", "EUR", "GBP", "JPY", "TRY", "BRL", "AUD",
    "BTC", "ETH", "BNB",
)  # fmt: skip
_TIMEFRAME = re.compile(r"(\d+)(s|m|min|h|hour|d|day|w)")
_TIMEFRAME_WORDS = {"hourly": "1h", "daily": "1d", "minute": "1m", "weekly": "1w"}


class ImportStatus(StrEnum):
    """What became of a file."""

    IMPORTED = "imported"
    ALREADY_STORED = "already stored"
    SKIPPED = "skipped"
    REFUSED = "refused"


@dataclass(frozen=True)
class ImportOutcome:
    """One file (or one symbol of a file with several) after an import.

    `added` counts new bars; `error` says why a file was skipped or refused; `report` is None only
    where the file could not be read far enough.
    """

    file: Path
    symbol: str
    timeframe: str
    status: ImportStatus
    report: QualityReport | None
    added: int
    error: str | None


class FileName(NamedTuple):
    """What a file's name says: '' where it does not."""

    symbol: str
    timeframe: str


def read_candles(
    path: Path | str,
    *,
    symbol: str | None = None,
    timeframe: str | None = None,
    duplicates: DuplicatePolicy = DuplicatePolicy.REFUSE,
) -> tuple[Bars, QualityReport]:
    """Read one file of candles, whatever its format, check it and say what was found.

    Parameters
    ----------
    path : Path                      .csv, .csv.gz, CSV7, .parquet or .feather
    symbol, timeframe : str | None   default: the file's columns, else its name; the timeframe at
                                     last from the commonest step between candles
    duplicates : DuplicatePolicy     what to do with rows of one time and different values

    Returns
    -------
    (Bars, QualityReport)    sorted, no duplicates; the report says what was repaired

    Raises
    ------
    DataError    naming file, row and reason where a repair would be a guess; a file of several
                 symbols needs `symbol`
    """
    path = Path(path)
    found = _read(path, symbol, timeframe)
    if len(found) > 1:
        names = ", ".join(raw.symbol for raw, _ in found[:8])
        raise DataError(f"{path} must hold one symbol, had {names}; choose one with symbol=")
    return _checked(*found[0], duplicates)


def import_candles(
    path: Path | str,
    store: BarStore,
    *,
    symbol: str | None = None,
    timeframe: str | None = None,
    timeframes: Sequence[str] | None = None,
    duplicates: DuplicatePolicy = DuplicatePolicy.REFUSE,
    on_outcome: Callable[[ImportOutcome], None] | None = None,
) -> list[ImportOutcome]:
    """Import a file, or every candle file of a folder and its subfolders, into the store.

    Parameters
    ----------
    path : Path
    store : BarStore
    symbol, timeframe, duplicates    as for `read_candles`
    timeframes : sequence | None     import only these; files of others are skipped, unread where
                                     the name tells
    on_outcome : callable | None     told of each file as it is done

    Returns
    -------
    list[ImportOutcome]    in the order of the file names; a bad file is reported, not raised

    Raises
    ------
    DataError       if the path does not exist or a folder holds no candle file
    StorageError    if the store cannot be written

    Notes
    -----
    A file whose content was imported before is recognised by its sha256 and not read again.
    """
    path = Path(path)
    reader = _Importer(store, symbol, timeframe, timeframes, duplicates)
    outcomes = []
    for file in track(_files(path), "importing candles"):
        for outcome in reader.outcomes(file):
            outcomes.append(outcome)
            if on_outcome is not None:
                on_outcome(outcome)
    return outcomes


def file_name_parts(path: Path) -> FileName:
    """Symbol and timeframe as exchanges, freqtrade and CryptoDataDownload put them into file names.

    >>> file_name_parts(Path("BTC_USDT_USDT-1h.parquet"))
    FileName(symbol='BTC/USDT:USDT', timeframe='1h')
    >>> file_name_parts(Path("XRPUSD.csv")).symbol
    'XRP/USD'
    """
    stem = next(
        (path.name[: -len(end)] for end in SUFFIXES if path.name.lower().endswith(end)), path.stem
    )
    words = [word for word in re.split(r"[-_ .]+", stem) if word]
    times = [i for i, word in enumerate(words) if _timeframe_word(word)]
    timeframe = _timeframe_word(words[times[0]]) if times else ""
    before = words[: times[0]] if times else words
    return FileName(_symbol_of_words(before, is_sure=bool(times)), timeframe)


def pair_symbol(text: str) -> str:
    """The usual spelling of a symbol: 'BTCUSDT', 'BTC_USDT' and 'btc-usdt' become 'BTC/USDT'.

    >>> pair_symbol("XRPUSD"), pair_symbol("BTC/USDT:USDT"), pair_symbol("AAPL")
    ('XRP/USD', 'BTC/USDT:USDT', 'AAPL')
    """
    if "/" in text:
        return text
    return _symbol_of_words(
        [word for word in re.split(r"[-_ .]+", text.upper()) if word], is_sure=True
    )


def _timeframe_word(word: str) -> str:
    match = _TIMEFRAME.fullmatch(word.lower())
    # '1M' is a month to exchanges; such candles have no fixed length.
    if match is None or word.endswith("M") or not int(match[1]):
        return _TIMEFRAME_WORDS.get(word.lower(), "")
    return f"{int(match[1])}{match[2][0]}"


def _symbol_of_words(words: list[str], *, is_sure: bool) -> str:
    """A pair from the capital words of a name; '' when nothing looks like one."""
    capital = [word for word in words if word.isupper() and word.isalnum()]
    chosen = capital or [word.upper() for word in words if word.isalnum()]
    if not chosen:
        return ""
    if len(chosen) > 1 and chosen[1] in _QUOTES:
        settle = f":{chosen[2]}" if len(chosen) > 2 and chosen[2] in (chosen[0], chosen[1]) else ""
        return f"{chosen[0]}/{chosen[1]}{settle}"
    if pair := _split_pair(chosen[0]):
        return pair
    return chosen[0] if capital or is_sure else ""


def _split_pair(text: str) -> str:
    if text in _QUOTES:
        return ""
    for quote in _QUOTES:
        # Two letters before a coin are a token's own name more often than a pair: WBTC, STETH.
        shortest = 3 if quote in ("BTC", "ETH", "BNB") else 2
        base = text.removesuffix(quote)
        if base != text and len(base) >= shortest:
            return f"{base}/{quote}"
    return ""


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DataError(f"{path} must be a file or folder of candles, was not there")
    found = sorted(file for file in path.rglob("*") if file.is_file() and is_candle_file(file))
    if not found:
        raise DataError(f"{path} must hold candle files ({', '.join(SUFFIXES)}), had none")
    return found


def _read(path: Path, symbol: str | None, timeframe: str | None) -> list[tuple[RawCandles, str]]:
    """Each symbol's candles with their timeframe settled."""
    if symbol is not None:
        symbol_slug(symbol)
    name = file_name_parts(path)
    settled = []
    for raw in read_candle_file(path, symbol=symbol, named=name.symbol):
        written = symbol if symbol is not None else pair_symbol(raw.symbol)
        if not written:
            raise DataError(f"{path} must say its symbol in a column or its name; pass symbol=")
        raw = raw._replace(symbol=_valid_symbol(path, written))
        settled.append((raw, _timeframe(raw, timeframe or name.timeframe)))
    return settled


def _valid_symbol(path: Path, symbol: str) -> str:
    try:
        symbol_slug(symbol)
    except ConfigError as error:
        raise DataError(f"{path}: {error}; pass symbol=") from error
    return symbol


def _timeframe(raw: RawCandles, said: str) -> str:
    commonest = commonest_timeframe(raw)
    if said and commonest and timeframe_ns(said) != timeframe_ns(commonest):
        raise DataError(
            f"{raw.path} must hold {said} candles as said, most of its steps were {commonest}; "
            "correct the timeframe or the file's name"
        )
    if not said and commonest is None:
        raise DataError(f"{raw.path} must say its timeframe, had one candle; pass timeframe=")
    return said or str(commonest)


def _checked(
    raw: RawCandles, timeframe: str, duplicates: DuplicatePolicy
) -> tuple[Bars, QualityReport]:
    candles, report = clean_candles(raw, timeframe, duplicates=DuplicatePolicy(duplicates))
    columns = {name: candles.values[name] for name in OHLCV}
    bars = Bars(
        symbol=raw.symbol,
        timeframe=timeframe,
        open_time=candles.open_time,
        is_simulated=False,
        **columns,
    )
    return bars, report


class _Importer:
    """Imports file after file and keeps the manifest of those done."""

    def __init__(
        self,
        store: BarStore,
        symbol: str | None,
        timeframe: str | None,
        timeframes: Sequence[str] | None,
        duplicates: DuplicatePolicy,
    ) -> None:
        self._store = store
        self._symbol = symbol
        self._timeframe = timeframe
        self._wanted = None if timeframes is None else {timeframe_ns(name) for name in timeframes}
        self._duplicates = duplicates
        self._manifest = _load_manifest(store.root / _MANIFEST)

    def outcomes(self, file: Path) -> list[ImportOutcome]:
        """What became of one file; a fault in it is an outcome, a fault of the disk is raised."""
        named = file_name_parts(file)
        said = self._timeframe or named.timeframe
        if said and not self._is_wanted(said):
            return [self._skipped(file, named.symbol, said)]
        try:
            return self._import(file)
        except DataError as error:
            is_other = isinstance(error, NotCandles)
            status = ImportStatus.SKIPPED if is_other else ImportStatus.REFUSED
            return [ImportOutcome(file, named.symbol, said, status, None, 0, str(error))]

    def _import(self, file: Path) -> list[ImportOutcome]:
        key = self._key(file)
        if known := self._known(key, file):
            return known
        outcomes = [
            self._append(file, raw, timeframe)
            if self._is_wanted(timeframe)
            else self._skipped(file, raw.symbol, timeframe)
            for raw, timeframe in _read(file, self._symbol, self._timeframe)
        ]
        if all(outcome.error is None for outcome in outcomes):
            self._remember(key, outcomes)
        return outcomes

    def _is_wanted(self, timeframe: str) -> bool:
        return self._wanted is None or timeframe_ns(timeframe) in self._wanted

    def _skipped(self, file: Path, symbol: str, timeframe: str) -> ImportOutcome:
        reason = f"{file} holds {timeframe} candles, which were not asked for"
        return ImportOutcome(file, symbol, timeframe, ImportStatus.SKIPPED, None, 0, reason)

    def _append(self, file: Path, raw: RawCandles, timeframe: str) -> ImportOutcome:
        try:
            bars, report = _checked(raw, timeframe, self._duplicates)
            added = self._store.append(bars).added
        except DataError as error:
            found = error.report if isinstance(error, RefusedCandles) else None
            refused = ImportStatus.REFUSED
            return ImportOutcome(file, raw.symbol, timeframe, refused, found, 0, str(error))
        return ImportOutcome(
            file, bars.symbol, timeframe, ImportStatus.IMPORTED, report, added, None
        )

    def _key(self, file: Path) -> str:
        """Content, name and arguments: everything an import depends on."""
        try:
            content = hashlib.sha256(file.read_bytes()).hexdigest()
        except OSError as error:
            raise DataError(
                f"{file} must be readable, was not: {error.strerror or error}"
            ) from error
        asked = (_VERSION, file.name, self._symbol, self._timeframe, str(self._duplicates))
        return f"{content} {json.dumps(asked)}"

    def _known(self, key: str, file: Path) -> list[ImportOutcome]:
        reports = [QualityReport.from_mapping(found) for found in self._manifest.get(key, ())]
        if not all(self._is_stored(r) and self._is_wanted(r.timeframe) for r in reports):
            return []
        stored = ImportStatus.ALREADY_STORED
        return [
            ImportOutcome(file, report.symbol, report.timeframe, stored, report, 0, None)
            for report in (r.replace(file=str(file)) for r in reports)
        ]

    def _is_stored(self, report: QualityReport) -> bool:
        """The manifest is a memory, the store is the truth: it may have been deleted since."""
        span = self._store.entry(report.symbol, report.timeframe)
        return span is not None and span.rows >= report.rows_kept

    def _remember(self, key: str, outcomes: list[ImportOutcome]) -> None:
        path = self._store.root / _MANIFEST
        with folder_lock(self._store.root):
            delete_leftovers(self._store.root)
            self._manifest = _load_manifest(path)
            self._manifest[key] = [
                outcome.report.model_dump() for outcome in outcomes if outcome.report is not None
            ]
            write_json(path, {"version": _VERSION, "files": self._manifest})


def _load_manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except NotADirectoryError as error:
        raise StorageError(f"{path.parent} must be a folder, was a file") from error
    except ValueError as error:
        raise StorageError(
            f"{path} must be readable JSON, was not; delete it, files will be read again"
        ) from error
    files: dict[str, Any] = manifest["files"] if manifest.get("version") == _VERSION else {}
    return files
