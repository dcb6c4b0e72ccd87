"""CSV files under the names and columns of the Bot v3.1 guide and its sibling documents.

Times are ISO, UTC. Sizes are signed: negative for a short. `percentage` is the price move in the
trade's favour (a short that falls gains), before fees; `pnl` is in quote currency after fees.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from crypto_bot.core import ExitReason
from crypto_bot.core.arrays import Index, PerBarTime
from crypto_bot.report.contents import PredictionsView, TradeRecord

if TYPE_CHECKING:
    from collections.abc import Mapping

_EXIT_TYPES = {
    ExitReason.STOP: "Stop",
    ExitReason.TRAILING: "StopTrail",
    ExitReason.TARGET: "Limit",
}
"""How an exit was executed, in backtrader's words; everything else is a market order."""


def predictions_csv(view: PredictionsView) -> str:
    """predictions.csv: each prediction beside the close of the bar it was made on."""
    frame = pl.DataFrame(
        {
            "date": _moments(view.time_ns),
            "close": view.close,
            "prediction": pl.Series(view.prediction, dtype=pl.Float64).fill_nan(None),
        }
    )
    return frame.write_csv()


def trade_files(records: Sequence[TradeRecord]) -> Mapping[str, str]:
    """File name -> content: trades, positions and orders of every strategy."""
    files: dict[str, str] = {}
    for strategy in dict.fromkeys(record.strategy for record in records):
        own = [record for record in records if record.strategy == strategy]
        for kind, table in (("trades", _trades), ("positions", _positions), ("orders", _orders)):
            frames = [table(record, _method(record, own)) for record in own]
            files[f"{strategy}_bt_{kind}.csv"] = pl.concat(frames).write_csv()
    return files


def _method(record: TradeRecord, own: Sequence[TradeRecord]) -> str:
    """The strategy's name; with the pair where a file holds several, for it has no such column."""
    return record.strategy if len(own) == 1 else f"{record.strategy} {record.bars.symbol}"


def _trades(record: TradeRecord, method: str) -> pl.DataFrame:
    trades = record.trades
    is_open = trades["exit_bar"] < 0
    closed = pl.Series(is_open).not_()
    exit_time = pl.Series(_moments(trades["exit_time"]))
    side = trades["direction"].astype(np.float64)
    return pl.DataFrame(
        {
            "method": pl.Series([method] * len(trades), dtype=pl.String),
            "ref": np.arange(1, len(trades) + 1),
            "type": pl.Series(np.where(side > 0, "LONG", "SHORT").tolist(), dtype=pl.String),
            "status": pl.Series(np.where(is_open, "OPEN", "CLOSED").tolist(), dtype=pl.String),
            "open": _moments(trades["entry_time"]),
            "close": _blank_unless(closed, exit_time),
            "size": side * trades["quantity"],
            "open price": trades["entry_price"],
            "close price": trades["exit_price"],
            "diff price": trades["exit_price"] - trades["entry_price"],
            "percentage": 100.0 * side * (trades["exit_price"] / trades["entry_price"] - 1.0),
            "pnl": trades["pnl_quote"],
        }
    )


def _positions(record: TradeRecord, method: str) -> pl.DataFrame:
    """One row for every bar at whose close a position was held."""
    trades, bars = record.trades, record.bars
    end = np.where(trades["exit_bar"] < 0, len(bars), trades["exit_bar"])
    held = np.maximum(end - trades["entry_bar"], 0)
    row = np.repeat(np.arange(len(trades)), held)
    first = np.repeat(np.cumsum(held) - held, held)
    bar: Index = trades["entry_bar"][row] + np.arange(len(row)) - first
    size = trades["direction"][row].astype(np.float64) * trades["quantity"][row]
    entry, close = trades["entry_price"][row], bars.close[bar]
    side = trades["direction"][row].astype(np.float64)
    return pl.DataFrame(
        {
            "method": pl.Series([method] * len(row), dtype=pl.String),
            "datetime": _moments(bars.close_time[bar]),
            "size": size,
            "open_price": entry,
            "adjbase_price": close,
            "percentage": 100.0 * side * (close / entry - 1.0),
            "init_cost": size * entry,
            "curr_cost": size * close,
            "curr_pnl": size * (close - entry),
        }
    )


def _orders(record: TradeRecord, method: str) -> pl.DataFrame:
    """An entry and, once closed, an exit for every trade; the two name each other."""
    rows = [
        order
        for number, trade in enumerate(record.trades)
        for order in _orders_of_trade(trade, number, method)
    ]
    return pl.DataFrame(rows, schema=_ORDER_COLUMNS, orient="row")


_ORDER_COLUMNS = {
    "method": pl.String,
    "ref": pl.Int64,
    "notify_dt": pl.String,
    "pair_type": pl.String,
    "pair_order_ref": pl.Int64,
    "executed_datetime": pl.String,
    "order_type": pl.String,
    "status": pl.String,
    "size": pl.Float64,
    "executed_size": pl.Float64,
    "price": pl.Float64,
    "executed_price": pl.Float64,
    "executed_value": pl.Float64,
    "exec_type": pl.String,
}


def _orders_of_trade(trade: Any, number: int, method: str) -> list[tuple[Any, ...]]:
    is_closed = int(trade["exit_bar"]) >= 0
    entry_ref, exit_ref = 2 * number + 1, 2 * number + 2
    size = float(trade["quantity"]) * int(trade["direction"])
    exit_type = _EXIT_TYPES.get(ExitReason(int(trade["exit_reason"])), "Market")
    legs = [("entry", entry_ref, exit_ref if is_closed else None, size, "Market")]
    if is_closed:
        legs.append(("exit", exit_ref, entry_ref, -size, exit_type))
    rows = []
    for leg, ref, other, quantity, kind in legs:
        moment = _moment(int(trade[f"{leg}_time"]))
        price = float(trade[f"{leg}_price"])
        side = "Buy" if quantity > 0 else "Sell"
        done = (moment, side, "Completed", quantity, quantity)
        # The asked price of a market order does not exist, and a stop's level is not recorded.
        cost = (None, price, quantity * price, kind)
        rows.append((method, ref, moment, leg, other, *done, *cost))
    return rows


def _blank_unless(shown: pl.Series, values: pl.Series) -> pl.Series:
    return pl.select(pl.when(shown).then(values).otherwise(None)).to_series()


def _moments(time_ns: PerBarTime) -> list[str]:
    seconds = np.asarray(time_ns, dtype=np.int64) // 1_000_000_000
    texts: list[str] = np.datetime_as_string(seconds.astype("datetime64[s]")).tolist()
    return [f"{text}Z" for text in texts]


def _moment(time_ns: int) -> str:
    return _moments(np.array([time_ns]))[0]
