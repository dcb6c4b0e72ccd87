"""Live: one close of several pairs at a time to the same numbers as `compute_panel`."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from crypto_bot.core.arrays import PerRow
from crypto_bot.core.bars import Bar, Bars
from crypto_bot.core.errors import DataError
from crypto_bot.core.funding import FundingRates
from crypto_bot.features.nodes import MARKET_RETURN, Outside
from crypto_bot.features.panel import (
    check_pairs,
    compared,
    market_of,
    pair_columns,
    panel_plan,
    return_names,
    symbols_of,
    windows_of,
)
from crypto_bot.features.stream import FeatureStream, PairStream

_FORMAT = 1


class PanelStream:
    """Features of several pairs close by close, equal bit for bit to `compute_panel`.

    Parameters
    ----------
    names : feature names, as for `compute_panel`
    symbols : every pair that may come, in any order
    timeframe : of the bars, such as '5m'

    Raises
    ------
    ConfigError    if a name is unknown, given twice, or none is given
    DataError      if a symbol is given twice, or one alone should be a market

    Notes
    -----
    Give all the bars of one close in one `update`: a pair whose bar comes later was missing when the
    others' market was added up.
    """

    def __init__(self, names: Sequence[str], symbols: Sequence[str], timeframe: str) -> None:
        self.symbols = tuple(sorted(symbols))
        self.timeframe = timeframe
        self._pairs = {symbol: PairStream(names, timeframe) for symbol in self.symbols}
        if not self._pairs:
            raise DataError("symbols must hold at least one pair, was empty")
        plan = self._pairs[self.symbols[0]].plan
        check_pairs(self.symbols, plan)
        self._wanted = [outside for outside, _ in plan.outside if outside.is_market]
        self._windows = windows_of(plan)
        self._returns = {
            symbol: FeatureStream(return_names(self._windows), timeframe)
            for symbol in (self.symbols if self._windows else ())
        }

    @property
    def names(self) -> tuple[str, ...]:
        """The features' names, in the order of each pair's values."""
        return self._pairs[self.symbols[0]].names

    def is_settled(self, symbol: str) -> bool:
        """Whether the pair's last values no longer depend on where its bars began."""
        return self._pairs[symbol].is_settled

    def update(
        self, bars: Mapping[str, Bar], *, funding: Mapping[str, FundingRates] | None = None
    ) -> dict[str, PerRow]:
        """Take the closed bars of one close; float64 (features,) of each pair that has one.

        Parameters
        ----------
        bars : by symbol; a pair without a bar at this close is left out
        funding : payments so far by symbol, as for `FeatureStream.update`

        Raises
        ------
        DataError    if a symbol is unknown, bars open at different times, one is not after the last
                     or breaks a rule of `Bars`, or rates are missing; the stream is then as it was
        """
        self._check(bars)
        rates = {symbol: (funding or {}).get(symbol) for symbol in bars}
        paid = {
            symbol: self._pairs[symbol].funding_at(bar, rates[symbol], symbol)
            for symbol, bar in bars.items()
        }
        market = self._across(bars)
        return {
            symbol: self._pairs[symbol].take(bar, paid[symbol] | market[symbol])
            for symbol, bar in bars.items()
        }

    def _check(self, bars: Mapping[str, Bar]) -> None:
        unknown = sorted(set(bars) - set(self.symbols))
        if unknown:
            raise DataError(
                f"bars must be of {', '.join(self.symbols)}, had {', '.join(unknown)}; name every "
                "pair when the stream is made"
            )
        times = sorted({bar.open_time for bar in bars.values()})
        if len(times) > 1:
            raise DataError(f"bars of one close must open at one time, did at {times}")
        for symbol, bar in bars.items():
            try:
                self._pairs[symbol].check(bar)
            except DataError as error:
                raise DataError(f"{symbol} {error}") from None

    def _across(self, bars: Mapping[str, Bar]) -> dict[str, dict[Outside, float]]:
        """Of each pair what it reads across all of them."""
        found: dict[str, dict[Outside, float]] = {symbol: {} for symbol in bars}
        if not self._windows:
            return found
        returns = np.full((len(self._windows), len(self.symbols), 1), np.nan)
        for pair, symbol in enumerate(self.symbols):
            if symbol in bars:
                returns[:, pair, 0] = self._returns[symbol].update(bars[symbol])
        known = {
            window: compared(part) for window, part in zip(self._windows, returns, strict=True)
        }
        for symbol in bars:
            pair = self.symbols.index(symbol)
            for outside in self._wanted:
                mean, ranks = known[outside.window]
                is_mean = outside.kind == MARKET_RETURN
                found[symbol][outside] = float(mean[0] if is_mean else ranks[pair, 0])
        return found

    @classmethod
    def from_history(
        cls,
        bars: Sequence[Bars],
        names: Sequence[str],
        *,
        funding: Mapping[str, FundingRates] | None = None,
    ) -> Self:
        """A stream that has seen `bars`: as if each close had been passed to `update`."""
        plan = panel_plan(bars, names)
        symbols = symbols_of(bars)
        stream = cls(names, symbols, bars[0].timeframe)
        market = market_of(bars, plan)
        for each in bars:
            columns = pair_columns(each, symbols, plan, market, funding)
            stream._pairs[each.symbol].run(each, columns)
            if stream._windows:
                past = FeatureStream.from_history(each, return_names(stream._windows))
                stream._returns[each.symbol] = past
        return stream

    def to_bytes(self) -> bytes:
        """The whole state, to be carried on by `from_bytes`; numpy's npz, no pickle."""
        header = {
            "format": _FORMAT,
            "names": self.names,
            "symbols": self.symbols,
            "timeframe": self.timeframe,
        }
        parts: dict[str, FeatureStream] = {}
        parts |= {f"pair {k}": part for k, part in enumerate(self._pairs.values())}
        parts |= {f"returns {k}": part for k, part in enumerate(self._returns.values())}
        content: dict[str, Any] = {
            name: np.frombuffer(part.to_bytes(), np.uint8) for name, part in parts.items()
        }
        file = io.BytesIO()
        np.savez(file, header=np.array(json.dumps(header)), **content)
        return file.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """The stream `to_bytes` saved.

        Raises
        ------
        DataError    if the content is damaged, or was saved under other feature definitions
        """
        header, parts = _read(content)
        stream = cls(header["names"], header["symbols"], header["timeframe"])
        for k, symbol in enumerate(stream.symbols):
            stream._pairs[symbol] = PairStream.from_bytes(parts[f"pair {k}"])
            if stream._windows:
                stream._returns[symbol] = FeatureStream.from_bytes(parts[f"returns {k}"])
        return stream


def _read(content: bytes) -> tuple[dict[str, Any], dict[str, bytes]]:
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as saved:
            parts = {name: saved[name].tobytes() for name in saved if name != "header"}
            header = json.loads(str(saved["header"]))
        version = header["format"]
    except (ValueError, KeyError, OSError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"panel state must be what to_bytes wrote, was not: {error}") from error
    if version != _FORMAT:
        raise DataError(f"panel state must be of format {_FORMAT}, was {version!r}; rebuild it")
    return header, parts
