"""The Bot v3.1 CSV files on trades worked out by hand."""

import io

import numpy as np
import polars as pl
import pytest

from crypto_bot.core import TRADE, Bars
from crypto_bot.core.timeframes import DAY_NS, MINUTE_NS
from crypto_bot.report import TradeRecord
from crypto_bot.report.tables import trade_files

TRADES = ["method", "ref", "type", "status", "open", "close", "size", "open price", "close price"]
TRADES += ["diff price", "percentage", "pnl"]
POSITIONS = ["method", "datetime", "size", "open_price", "adjbase_price", "percentage", "init_cost"]
POSITIONS += ["curr_cost", "curr_pnl"]
ORDERS = [
    "ref",
    "notify_dt",
    "pair_type",
    "pair_order_ref",
    "executed_datetime",
    "order_type",
    "status",
]
ORDERS += ["size", "executed_size", "price", "executed_price", "executed_value", "exec_type"]


def record(symbol="BTC/USDT"):
    """A long that was stopped, a short that gained, a long still open."""
    close = np.array([100.0, 101, 98, 97, 90, 91])
    time = 20_000 * DAY_NS + 5 * MINUTE_NS * np.arange(6)
    bars = Bars(symbol, "5m", time, close, close + 2, close - 2, close, np.ones(6))
    trades = np.zeros(3, TRADE)
    trades["entry_bar"], trades["exit_bar"] = [1, 3, 5], [2, 4, -1]
    trades["entry_time"] = time[[1, 3, 5]]
    trades["exit_time"] = [time[2] + 5 * MINUTE_NS, time[4], time[5] + 5 * MINUTE_NS]
    trades["direction"], trades["quantity"] = [1, -1, 1], [2.0, 1.0, 0.5]
    trades["entry_price"], trades["exit_price"] = [100, 100, 90], [95, 90, 91]
    trades["pnl_quote"], trades["exit_reason"] = [-10.5, 9.8, 0.4], [3, 1, 0]
    return TradeRecord("rsi", bars, trades)


@pytest.fixture(scope="module")
def files():
    return {name: pl.read_csv(io.StringIO(text)) for name, text in trade_files([record()]).items()}


def test_the_columns_are_exactly_the_documented_ones(files):
    assert files["rsi_bt_trades.csv"].columns == TRADES
    assert files["rsi_bt_positions.csv"].columns == POSITIONS
    # Fourteen columns are documented, thirteen are named; like its siblings it begins with method.
    assert files["rsi_bt_orders.csv"].columns == ["method", *ORDERS]


def test_trades_by_hand(files):
    rows = files["rsi_bt_trades.csv"].rows()
    day = "2024-10-04T00:"
    assert rows[0][:6] == ("rsi", 1, "LONG", "CLOSED", f"{day}05:00Z", f"{day}15:00Z")
    assert rows[0][6:] == (2.0, 100.0, 95.0, -5.0, pytest.approx(-5.0), -10.5)
    # A short that falls has gained: the guide's code had the wrong sign.
    assert rows[1][6:] == (-1.0, 100.0, 90.0, -10.0, pytest.approx(10.0), 9.8)
    assert rows[2][3:6] == ("OPEN", f"{day}25:00Z", None)


def test_positions_by_hand(files):
    rows = files["rsi_bt_positions.csv"].rows()
    # Each was held over the closes of bars 1, 3 and 5; the second lost nothing yet.
    assert [row[1][14:16] for row in rows] == ["10", "20", "30"]
    assert rows[0][2:] == (2.0, 100.0, 101.0, pytest.approx(1.0), 200.0, 202.0, 2.0)
    assert rows[1][2:] == (-1.0, 100.0, 97.0, pytest.approx(3.0), -100.0, -97.0, 3.0)
    assert rows[2][2:5] == (0.5, 90.0, 91.0)


def test_orders_by_hand(files):
    frame = files["rsi_bt_orders.csv"]
    assert frame["pair_type"].to_list() == ["entry", "exit", "entry", "exit", "entry"]
    assert frame["ref"].to_list() == [1, 2, 3, 4, 5]
    assert frame["pair_order_ref"].to_list() == [2, 1, 4, 3, None]
    assert frame["order_type"].to_list() == ["Buy", "Sell", "Sell", "Buy", "Buy"]
    assert frame["exec_type"].to_list() == ["Market", "Stop", "Market", "Market", "Market"]
    assert frame["executed_value"].to_list() == [200.0, -190.0, -100.0, 90.0, 45.0]
    assert frame["price"].null_count() == 5


def test_several_pairs_of_a_strategy_stay_apart():
    text = trade_files([record(), record("ETH/USDT")])["rsi_bt_trades.csv"]
    methods = pl.read_csv(io.StringIO(text))["method"].unique(maintain_order=True).to_list()
    assert methods == ["rsi BTC/USDT", "rsi ETH/USDT"]


def test_a_strategy_that_never_traded_leaves_headings():
    none = TradeRecord("rsi", record().bars, np.zeros(0, TRADE))
    for name, text in trade_files([none]).items():
        assert len(text.splitlines()) == 1, name
        assert text.startswith("method,")
