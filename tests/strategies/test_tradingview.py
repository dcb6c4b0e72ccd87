"""TradingView alerts: read strictly, laid beside bars without look-ahead, traded as told."""

import numpy as np
import pytest

from crypto_bot.core.errors import DataError
from crypto_bot.core.timeframes import MINUTE_NS, iso_time
from crypto_bot.engine import simulate
from crypto_bot.strategies import get_strategy
from crypto_bot.strategies.tradingview import (
    read_tradingview_alerts,
    tradingview_direction,
    tradingview_signals,
)
from strategies.markets import random_bars
from strategies.test_rules import NAN

BARS = random_bars(20, seed=2)
OPEN = BARS.open_time.tolist()
SECOND = 10**9


def file_of(tmp_path, text, name="alerts.csv"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def at(place, seconds=0):
    """ISO time of a bar's open, plus some seconds."""
    return iso_time(OPEN[place] + seconds * SECOND)


def alerts_of(tmp_path, *rows):
    text = "time,action\n" + "".join(f"{time},{action}\n" for time, action in rows)
    return read_tradingview_alerts(file_of(tmp_path, text))


def test_a_full_file_is_read_as_told(tmp_path):
    path = file_of(
        tmp_path,
        "symbol,action,price,time,strategy\n"
        'BINANCE:BTCUSDT,buy,64000.5,2024-10-04T00:00:00Z,"cross, fast"\n'
        "BTC/USDT,SELL,,2024-10-04T03:00:00+02:00,\n"
        "BTCUSDT.P,Exit,65000,1728003661,x\n",
    )
    alerts = read_tradingview_alerts(path)
    assert len(alerts) == 3
    assert alerts.line.tolist() == [2, 3, 4]
    assert alerts.action.tolist() == [1, -1, 0]
    base = 1_728_000_000 * SECOND
    assert alerts.time_ns.tolist() == [base, base + 3600 * SECOND, base + 3661 * SECOND]
    assert np.array_equal(alerts.price, [64000.5, NAN, 65000], equal_nan=True)
    assert alerts.symbol == ("BINANCE:BTCUSDT", "BTC/USDT", "BTCUSDT.P")
    assert alerts.strategy == ("cross, fast", "", "x")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1728000000", 0),
        ("1728000000500", 0.5),
        ("2024-10-04 00:00:01", 1),
        ("2024-10-04T00:00:00.250Z", 0.25),
        ("2024-10-03T20:00:00-04:00", 0),
    ],
)
def test_times_may_be_iso_or_epochs(tmp_path, text, seconds):
    alerts = alerts_of(tmp_path, (text, "buy"))
    assert alerts.time_ns.tolist() == [1_728_000_000 * SECOND + round(seconds * SECOND)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must have columns time and action, had none"),
        ("time,price\n1728000000,1\n", "must have columns time and action, had time, price"),
        ("time,action\n", "must hold at least one alert, held none"),
        (
            "time,action,sybmol\n1728000000,buy,BTCUSDT\n",
            r"columns must be among .*, was 'sybmol'; did you mean 'symbol'\?",
        ),
        (
            "time,action\n1728000000,buy\n1728000300,bye\n",
            r"line 3 action must be one of .*, was 'bye'; did you mean 'buy'\?",
        ),
        ("time,action\n1728000000,\n", "line 2 action must be one of .*, was ''"),
        (
            "time,action\nyesterday,buy\n",
            "line 2 time must be ISO 8601 or an epoch .*, was 'yesterday'",
        ),
        ("time,action\n-5,buy\n", "line 2 time must be ISO 8601 .*, was '-5'"),
        (
            "time,action\n1728000300,buy\n1728000000,sell\n",
            "line 3 time must be after that of line 2, was earlier; sort the file",
        ),
        (
            "time,action\n1728000000,buy\n1728000000,buy\n",
            "line 3 time must be after that of line 2, had the same time",
        ),
        ("time,action\n1728000000,buy,1\n", "line 2 must have as many cells as the first line"),
        ("time,action,price\n1728000000,buy\n", "line 2 must have as many cells as the first"),
        (
            "time,action,price\n1728000000,buy,cheap\n",
            "line 2 price must be a number > 0 or empty, was 'cheap'",
        ),
        ("time,action,price\n1728000000,buy,-3\n", "line 2 price must be a number > 0 or empty"),
        ("time,action,price\n1728000000,buy,nan\n", "line 2 price must be a number > 0 or empty"),
        ('time,action\n1728000000,"buy', "must be a readable CSV of alerts, was not"),
    ],
)
def test_the_first_bad_line_is_named(tmp_path, text, message):
    with pytest.raises(DataError, match=message) as caught:
        read_tradingview_alerts(file_of(tmp_path, text))
    assert "alerts.csv" in str(caught.value)


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"none.csv must be a readable CSV of alerts, was not"):
        read_tradingview_alerts(tmp_path / "none.csv")
    path = tmp_path / "bytes.csv"
    path.write_bytes(b"time,action\n\xff\xfe,buy\n")
    with pytest.raises(DataError, match=r"bytes.csv must be a readable CSV"):
        read_tradingview_alerts(path)


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path):
    path = tmp_path / "alerts.csv"
    path.write_text("time,action\n1728000000,buy\n", encoding="utf-8-sig")
    assert len(read_tradingview_alerts(path)) == 1


def test_an_alert_counts_from_the_first_close_at_or_after_it(tmp_path):
    alerts = alerts_of(tmp_path, (at(3), "buy"), (at(6, 1), "sell"), (at(9, 299), "close"))
    direction = tradingview_direction(alerts, BARS)
    # At the open of bar 3, which is the close of bar 2; within bar 6; just before the close of 9.
    expected = [0, 0, 1, 1, 1, 1, -1, -1, -1] + [0] * 11
    assert direction.tolist() == expected
    assert direction.dtype == np.float64


def test_of_several_alerts_within_a_bar_the_last_counts(tmp_path):
    alerts = alerts_of(tmp_path, (at(5, 10), "buy"), (at(5, 20), "sell"), (at(5, 30), "flat"))
    assert not tradingview_direction(alerts, BARS).any()
    alerts = alerts_of(tmp_path, (at(5, 10), "exit"), (at(5, 20), "long"))
    assert np.flatnonzero(tradingview_direction(alerts, BARS)).tolist() == list(range(5, 20))


def test_later_alerts_change_nothing_before_them(tmp_path):
    rows = [(at(2, 7), "buy"), (at(8, 7), "sell"), (at(14, 7), "buy")]
    for count in (1, 2, 3):
        some = tradingview_direction(alerts_of(tmp_path, *rows[:count]), BARS)
        whole = tradingview_direction(alerts_of(tmp_path, *rows), BARS)
        until = (8, 14, 20)[count - 1]
        assert some[:until].tolist() == whole[:until].tolist()


def test_alerts_before_and_after_the_candles_count_where_they_can(tmp_path):
    early = iso_time(OPEN[0] - 3600 * SECOND)
    late = iso_time(OPEN[-1] + 3600 * SECOND)
    alerts = alerts_of(tmp_path, (early, "short"), (late, "long"))
    assert tradingview_direction(alerts, BARS).tolist() == [-1.0] * 20


def test_an_alert_of_another_symbol_is_refused(tmp_path):
    path = file_of(
        tmp_path,
        "symbol,time,action\nBTCUSDT,1728000000,buy\nBINANCE:ETHUSDT,1728000300,sell\n",
    )
    with pytest.raises(
        DataError, match=r"alerts.csv line 3 symbol must be BTC/USDT, was 'BINANCE:ETHUSDT'"
    ):
        tradingview_direction(read_tradingview_alerts(path), BARS)


def side_of(column, **parameters):
    one = get_strategy("tradingview_signals", **parameters)
    return one.signals({"tradingview_direction": np.array(column, float)}).direction.tolist()


def test_the_strategy_does_what_the_alerts_say():
    column = [0, 1, 1, 0, -1, -1, NAN]
    assert side_of(column) == [0, 1, 1, 0, -1, -1, 0]
    assert side_of(column, is_turned=True) == [0, -1, -1, 0, 1, 1, 0]
    assert side_of(column, allow_short=False) == [0, 1, 1, 0, 0, 0, 0]
    assert side_of(column, delay_bars=2) == [0, 0, 0, 1, 1, 0, 0]
    assert side_of(column, delay_bars=50) == [0] * 7


def test_alerts_run_through_the_engine_at_the_next_open(tmp_path):
    alerts = alerts_of(tmp_path, (at(3, 60), "buy"), (at(9, 60), "close"))
    column = tradingview_direction(alerts, BARS)
    one = get_strategy("tradingview_signals")
    signals = one.signals_on(BARS, extra={"tradingview_direction": column})
    (trade,) = simulate(BARS, signals).trades
    assert (trade["entry_bar"], trade["exit_bar"]) == (4, 10)
    assert trade["entry_time"] == OPEN[4]
    assert (OPEN[4] - OPEN[3]) == 5 * MINUTE_NS
    assert tradingview_signals.__doc__ is not None
