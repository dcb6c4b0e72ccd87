"""Candles: files, exchanges or a simulation come in; checked, stored `Bars` go out."""

from crypto_bot.market.download import (
    CandleSource,
    DownloadOptions,
    DownloadOutcome,
    ExchangeUnreachable,
    download_candles,
)
from crypto_bot.market.funding_files import (
    import_funding,
    load_funding,
    read_funding,
    store_funding,
)
from crypto_bot.market.importing import (
    ImportOutcome,
    ImportStatus,
    import_candles,
    pair_symbol,
    read_candles,
)
from crypto_bot.market.quality import DuplicatePolicy, QualityReport, RefusedCandles
from crypto_bot.market.resampling import resample
from crypto_bot.market.simulation import SimulationOptions, simulate_market
from crypto_bot.market.store import AppendReport, BarStore, CatalogEntry

__all__ = [
    "AppendReport",
    "BarStore",
    "CandleSource",
    "CatalogEntry",
    "DownloadOptions",
    "DownloadOutcome",
    "DuplicatePolicy",
    "ExchangeUnreachable",
    "ImportOutcome",
    "ImportStatus",
    "QualityReport",
    "RefusedCandles",
    "SimulationOptions",
    "download_candles",
    "import_candles",
    "import_funding",
    "load_funding",
    "pair_symbol",
    "read_candles",
    "read_funding",
    "resample",
    "simulate_market",
    "store_funding",
]
