"""TradingView alerts as a strategy: a file of alerts, laid beside the bars without look-ahead."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from pydantic import Field

from crypto_bot.core import Bars, Signals
from crypto_bot.core.arrays import PerBar, PerBarDirection, PerBarTime, PerRow
from crypto_bot.core.errors import DataError, nearest
from crypto_bot.strategies.base import Columns, StrategyParameters, strategy, whole_score
from crypto_bot.strategies.needs import TRADINGVIEW, Need, known_at_close

ACTIONS = {"buy": 1, "long": 1, "sell": -1, "short": -1, "close": 0, "exit": 0, "flat": 0}
"""What an alert may say, in any case of letters, and the side it wants."""
COLUMNS = ("symbol", "action", "price", "time", "strategy")
"""Columns of an alert file; all but time and action may be missing."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER = re.compile(r"[0-9]+")
_MILLISECONDS_FROM = 10**11
"""An epoch number of at least this is in milliseconds: as seconds it would be the year 5138."""


@dataclass(frozen=True, eq=False)
class TradingViewAlerts:
    """Alerts of one file, oldest first.

    Attributes
    ----------
    path : Path                     the file
    line : int64 (alerts,)          where each stands in it, the header being line 1
    time_ns : int64 (alerts,)       UTC, increasing
    action : int8 (alerts,)         +1 buy, -1 sell, 0 leave
    price : float64 (alerts,)       as told, NaN where not told; for a person to compare
    symbol : tuple of str           as told, '' where not told
    strategy : tuple of str         the Pine script that sent it, '' where not told
    """

    path: Path
    line: PerBarTime
    time_ns: PerBarTime
    action: PerBarDirection
    price: PerRow
    symbol: tuple[str, ...]
    strategy: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.time_ns)


def read_tradingview_alerts(path: Path | str) -> TradingViewAlerts:
    """Read a CSV of alerts: columns time and action, and perhaps symbol, price and strategy.

    Parameters
    ----------
    path : of the file. time is ISO 8601 (without a zone: UTC) or an epoch in seconds or
        milliseconds; action is one of `ACTIONS`

    Raises
    ------
    DataError    naming file and line, for a missing column, an unknown one, an unknown action, a
                 time or price that cannot be read, times out of order or twice, or no alert at all

    Notes
    -----
    Nothing is sorted, dropped or guessed: an alert that was not meant to be one is an order.
    """
    path = Path(path)
    rows = list(_rows(path))
    if not rows:
        raise DataError(f"{path} must hold at least one alert, held none; export it again")
    line, time_ns, action, price = (
        np.array(values) for values in list(zip(*rows, strict=True))[:4]
    )
    alerts = TradingViewAlerts(
        path,
        line.astype(np.int64),
        time_ns.astype(np.int64),
        action.astype(np.int8),
        price.astype(np.float64),
        tuple(row[4] for row in rows),
        tuple(row[5] for row in rows),
    )
    _check_order(alerts)
    return alerts


Row = tuple[int, int, int, float, str, str]


def _rows(path: Path) -> Iterator[Row]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            _check_header(path, reader.fieldnames or [])
            for row in reader:
                yield _row(f"{path} line {reader.line_num}", reader.line_num, row)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} must be a readable CSV of alerts, was not: {error}") from error


def _check_header(path: Path, names: object) -> None:
    names = list(names) if isinstance(names, list | tuple) else []
    for name in ("time", "action"):
        if name not in names:
            raise DataError(
                f"{path} must have columns time and action, had {', '.join(names) or 'none'}; "
                "write them in the first line"
            )
    for name in names:
        if name not in COLUMNS:
            raise DataError(
                f"{path} columns must be among {', '.join(COLUMNS)}, was {name!r}"
                f"{nearest(name, COLUMNS)}"
            )


def _row(where: str, line: int, row: Mapping[str | None, str | list[str] | None]) -> Row:
    cells = {str(name): value for name, value in row.items() if isinstance(value, str)}
    if len(cells) != len(row):
        raise DataError(f"{where} must have as many cells as the first line, had more or fewer")
    action = cells["action"].strip().lower()
    if action not in ACTIONS:
        raise DataError(
            f"{where} action must be one of {', '.join(ACTIONS)}, was {cells['action']!r}"
            f"{nearest(action, ACTIONS)}"
        )
    told = (cells.get("symbol", "").strip(), cells.get("strategy", "").strip())
    price = _price(where, cells.get("price", "").strip())
    return line, _time_ns(where, cells["time"].strip()), ACTIONS[action], price, *told


def _price(where: str, text: str) -> float:
    if text == "":
        return math.nan
    try:
        price = float(text)
    except ValueError:
        price = math.nan
    if not 0.0 < price < math.inf:
        raise DataError(f"{where} price must be a number > 0 or empty, was {text!r}")
    return price


def _time_ns(where: str, text: str) -> int:
    if _NUMBER.fullmatch(text):
        number = int(text)
        return number * (10**6 if number >= _MILLISECONDS_FROM else 10**9)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise DataError(
            f"{where} time must be ISO 8601 or an epoch in seconds or milliseconds, was {text!r}"
        ) from None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


def _check_order(alerts: TradingViewAlerts) -> None:
    late = np.flatnonzero(np.diff(alerts.time_ns) <= 0)
    if late.size:
        row = int(late[0]) + 1
        is_twice = alerts.time_ns[row] == alerts.time_ns[row - 1]
        fault = "had the same time" if is_twice else "was earlier"
        raise DataError(
            f"{alerts.path} line {alerts.line[row]} time must be after that of line "
            f"{alerts.line[row - 1]}, {fault}; sort the file and keep one alert a moment"
        )


def tradingview_direction(alerts: TradingViewAlerts, bars: Bars) -> PerBar:
    """The side the alerts want at the close of every bar: column `tradingview_direction`.

    Returns
    -------
    float64 (bars,) in {-1, 0, +1}    0 before the first alert

    Raises
    ------
    DataError    naming file and line, for an alert of another symbol; alerts without one fit any

    Notes
    -----
    An alert counts from the first bar that closes at or after its time, until the next one. Of
    several within a bar the last counts. The engine fills at the open after that close, so an alert
    of 12:03 on five-minute bars is filled at the open of 12:05, never at the price it quotes.
    """
    wanted = _plain_symbol(bars.symbol)
    for row, symbol in enumerate(alerts.symbol):
        if symbol and _plain_symbol(symbol) != wanted:
            raise DataError(
                f"{alerts.path} line {alerts.line[row]} symbol must be {bars.symbol}, "
                f"was {symbol!r}; keep one file a symbol"
            )
    sides = alerts.action.astype(np.float64)
    return np.nan_to_num(known_at_close(bars, alerts.time_ns, sides), nan=0.0)


def _plain_symbol(symbol: str) -> str:
    """Letters and digits of the pair: BINANCE:BTCUSDT, BTC/USDT, BTC/USDT:USDT, BTCUSDT.P are one.

    >>> {_plain_symbol(s) for s in ("BINANCE:BTCUSDT", "btc/usdt", "BTC/USDT:USDT", "BTCUSDT.P")}
    {'BTCUSDT'}
    """
    pair = symbol.partition(":")[0] if "/" in symbol else symbol.rpartition(":")[2]
    return re.sub(r"[^A-Z0-9]", "", pair.upper().removesuffix(".P"))


class TradingViewParameters(StrategyParameters):
    """Parameters of `tradingview_signals`."""

    delay_bars: int = Field(
        default=0, ge=0, le=50, description="act so many bars later, as a person would"
    )
    is_turned: bool = Field(default=False, description="true: trade against the alerts")
    allow_short: bool = Field(default=True, description="false: a sell only leaves the long")

    def features(self) -> tuple[str, ...]:
        """None: it reads the alerts."""
        return ()

    def needs(self) -> tuple[Need, ...]:
        """The alerts, as `tradingview_direction` lays them beside the bars."""
        return (TRADINGVIEW,)

    def lookback_bars(self) -> int:
        """As far back as the delay."""
        return self.delay_bars + 1


@strategy(
    "tradingview_signals",
    parameters=TradingViewParameters,
    regime=("trending", "sideways", "mean-reverting", "breakout", "volatile"),
    signal_exit="flat",
)
def tradingview_signals(columns: Columns, parameters: TradingViewParameters) -> Signals:
    """Do what a file of TradingView alerts says: buy, sell or leave.

    `read_tradingview_alerts(path)` reads the alerts, `tradingview_direction(alerts, bars)` makes the
    column. An alert is acted on at the first close at or after its time, plus `delay_bars`. The
    guide's risk of 1 % is the sizing `risk_to_stop` with `risk_frac` .01. Score is 1.

    Data: column tradingview_direction, from a CSV of time and action, or of symbol, action, price,
    time and strategy as a webhook receives them.

    Mended: the original took alerts by the row they stood in, so unsorted, doubled or foreign alerts
    were traded in silence; here the first bad line is named and nothing runs.
    """
    given = columns["tradingview_direction"]
    late = np.full(len(given), np.nan)
    late[parameters.delay_bars :] = given[: max(0, len(given) - parameters.delay_bars)]
    side = np.where(np.isnan(given) | np.isnan(late), 0.0, np.sign(late))
    side = -side if parameters.is_turned else side
    if not parameters.allow_short:
        side = np.maximum(side, 0.0)
    return whole_score(side.astype(np.int8))
