"""Live: one bar at a time to the same numbers, with a state that can be saved and carried on."""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from crypto_bot.core.arrays import PerBar, PerRow
from crypto_bot.core.bars import Bar, Bars
from crypto_bot.core.errors import DataError
from crypto_bot.core.funding import FundingRates
from crypto_bot.core.timeframes import SECOND_NS, timeframe_ns
from crypto_bot.features.catalogue import S0_FEATURES, Feature
from crypto_bot.features.history import refuse_market, run_plan
from crypto_bot.features.nodes import Outside
from crypto_bot.features.payments import funding_columns
from crypto_bot.features.plans import Plan, plan_features

_FORMAT = 2


class FeatureStream:
    """Features bar by bar, equal bit for bit to `compute_features` over the same bars.

    Parameters
    ----------
    names : feature names, as for `compute_features`
    timeframe : of the bars, such as '5m'; needed only for features of time, of longer bars or k bars ago

    Raises
    ------
    ConfigError    if a name is unknown, given twice, or none is given, or needs the timeframe

    Notes
    -----
    NaN during warm-up and where a quotient is 0 / 0. Decide on features only once `is_settled`:
    from there on no value depends on where the stream began.

    >>> stream = FeatureStream(["sma_2"])
    >>> [float(stream.update(Bar(t, p, p, p, p, 1.0))[0]) for t, p in enumerate([1.0, 2.0, 4.0])]
    [nan, 1.5, 3.0]
    """

    def __init__(self, names: Sequence[str] = S0_FEATURES, timeframe: str | None = None) -> None:
        self._plan: Plan = plan_features(names, timeframe)
        self._refuse()
        self._memory: PerBar = self._plan.start.copy()
        self._board = self._plan.board(1)
        self.timeframe = timeframe
        self.bars_seen = 0
        self.last_open_time: int | None = None

    def _refuse(self) -> None:
        refuse_market(self._plan, "PanelStream")

    @property
    def names(self) -> tuple[str, ...]:
        """The features' names, in the order of `update`."""
        return self._plan.names

    @property
    def features(self) -> tuple[Feature, ...]:
        """What each value is."""
        return self._plan.features

    @property
    def is_settled(self) -> bool:
        """Whether the last value no longer depends on where the stream began; never with `obv`."""
        settled = self._plan.settled_bars
        return settled is not None and self.bars_seen > settled

    def update(self, bar: Bar, *, funding: FundingRates | None = None) -> PerRow:
        """Take one closed bar; float64 (features,), the values known at its close.

        `funding`, needed for features of funding only: the payments so far, at least the last N of
        the widest window; any after the bar's close are not read.

        Raises
        ------
        DataError    if the bar is not after the last one or breaks a rule of `Bars`, or payments are
                     missing; the stream is then as it was
        """
        self._check(bar)
        if self._plan.outside:
            self._put(self._funding_at(bar, funding, None))
        return self._take(bar)

    def _take(self, bar: Bar) -> PerRow:
        self._board[:5, 0] = bar[1:]
        if self._plan.reads_time:
            self._board[5, 0] = bar.open_time // SECOND_NS
        self._plan.advance(self._memory, self._board, 1)
        self.bars_seen += 1
        self.last_open_time = bar.open_time
        values: PerRow = self._board[self._plan.shown, 0]
        return values

    def _put(self, outside: Mapping[Outside, float]) -> None:
        for column, row in self._plan.outside:
            self._board[row, 0] = outside[column]

    def _funding_at(
        self, bar: Bar, funding: FundingRates | None, symbol: str | None
    ) -> dict[Outside, float]:
        paid = [column for column in self._plan.outside_columns if not column.is_market]
        if not paid:
            return {}
        closed = np.array([bar.open_time + timeframe_ns(str(self.timeframe))])
        columns = funding_columns(paid, closed, symbol, funding)
        return {column: float(values[0]) for column, values in columns.items()}

    def _check(self, bar: Bar) -> None:
        opened, first, high, low, close, volume = bar
        if self.last_open_time is not None and opened <= self.last_open_time:
            raise DataError(
                f"bar.open_time must be after {self.last_open_time}, was {opened}; skip bars already seen"
            )
        in_range = 0.0 < low <= first <= high < math.inf and low <= close <= high
        if not (in_range and 0.0 <= volume < math.inf):
            raise DataError(
                f"bar at {opened} must have 0 < low <= open, close <= high and volume >= 0, was {tuple(bar[1:])}"
            )

    @classmethod
    def from_history(
        cls,
        bars: Bars,
        names: Sequence[str] = S0_FEATURES,
        *,
        funding: FundingRates | None = None,
    ) -> Self:
        """A stream that has seen `bars`: as if each had been passed to `update`, only faster."""
        stream = cls(names, bars.timeframe)
        paid = stream._plan.outside_columns
        outside = funding_columns(paid, bars.close_time, bars.symbol, funding)
        stream._run(bars, outside)
        return stream

    def _run(self, bars: Bars, outside: Mapping[Outside, PerBar]) -> None:
        run_plan(self._plan, self._memory, bars, None, outside)
        self.bars_seen = len(bars)
        self.last_open_time = int(bars.open_time[-1]) if len(bars) else None

    def to_bytes(self) -> bytes:
        """The whole state, to be carried on by `from_bytes`; numpy's npz, no pickle."""
        header = {
            "format": _FORMAT,
            "names": self.names,
            "timeframe": self.timeframe,
            "definitions": self._plan.digest,
            "bars_seen": self.bars_seen,
            "last_open_time": self.last_open_time,
        }
        file = io.BytesIO()
        np.savez(file, header=np.array(json.dumps(header)), memory=self._memory)
        return file.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """The stream `to_bytes` saved; its next values are those it would have given.

        Raises
        ------
        DataError    if the content is damaged, or was saved under other feature definitions
        """
        header, memory = _read(content)
        stream = cls(header["names"], header["timeframe"])
        if header["definitions"] != stream._plan.digest or memory.shape != stream._memory.shape:
            raise DataError(
                "stream state must be of the present feature definitions, was saved under others; rebuild it by from_history"
            )
        stream._memory[:] = memory
        stream.bars_seen, stream.last_open_time = header["bars_seen"], header["last_open_time"]
        return stream


class PairStream(FeatureStream):
    """One pair's part of a panel: what it reads of the others is put in from there."""

    def _refuse(self) -> None:
        """Features of the market are what it is for."""

    @property
    def plan(self) -> Plan:
        """The computation, the same for every pair of the panel."""
        return self._plan

    def check(self, bar: Bar) -> None:
        """Raise DataError where the bar cannot be taken."""
        self._check(bar)

    def funding_at(
        self, bar: Bar, funding: FundingRates | None, symbol: str | None
    ) -> dict[Outside, float]:
        """What it reads of funding at the bar's close; DataError naming the symbol without rates."""
        return self._funding_at(bar, funding, symbol)

    def take(self, bar: Bar, outside: Mapping[Outside, float]) -> PerRow:
        """The values at the close of a checked bar."""
        self._put(outside)
        return self._take(bar)

    def run(self, bars: Bars, outside: Mapping[Outside, PerBar]) -> None:
        """Take a whole history."""
        self._run(bars, outside)


def _read(content: bytes) -> tuple[dict[str, Any], PerBar]:
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as saved:
            header, memory = json.loads(str(saved["header"])), saved["memory"]
        version = header["format"]
    except (ValueError, KeyError, OSError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"stream state must be what to_bytes wrote, was not: {error}") from error
    if version != _FORMAT:
        raise DataError(f"stream state must be of format {_FORMAT}, was {version!r}; rebuild it")
    return header, memory
