"""Rows of a table, a page at a time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr

from crypto_bot.adapters.supabase_problems import SupabaseRefused
from crypto_bot.adapters.supabase_tables import read_table
from crypto_bot.core.errors import ConfigError, DataError
from supabase_double.server import SupabaseDouble

START = datetime(2026, 1, 1, tzinfo=UTC)


def trade(number, symbol="XRPUSD"):
    moment = START + timedelta(minutes=number // 3)
    return {
        "id": number,
        "timestamp": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "symbol": symbol,
        "price": 0.5,
    }


@pytest.fixture
def double():
    with SupabaseDouble() as running:
        rows = [trade(number) for number in range(50)]
        rows += [trade(number, "BTC/USDT") for number in range(50, 60)]
        running.tables.rows["trade_logs"] = rows[::-1]
        yield running


def pages(double, table="trade_logs", key=None, **options):
    secret = SecretStr(double.service_key if key is None else key)
    return list(read_table(double.url, secret, table, **options))


def numbers(found):
    return [row["id"] for page in found for row in page]


def test_all_rows_come_once_and_in_order_a_page_at_a_time(double):
    found = pages(double, page=7)
    assert {len(page) for page in found} == {7, 4}
    assert numbers(found) == list(range(60))


def test_a_server_that_gives_smaller_pages_is_asked_on(double):
    double.tables.most_rows = 5
    assert numbers(pages(double, page=1_000)) == list(range(60))


def test_pages_are_asked_for_one_by_one(double):
    found = read_table(double.url, SecretStr(double.service_key), "trade_logs", page=10)
    assert double.requests == []
    assert len(next(found)) == 10
    assert double.count("table") == 2
    found.close()


def test_start_is_in_and_end_is_out(double):
    found = pages(double, start="2026-01-01T00:01:00Z", end=START + timedelta(minutes=3))
    assert numbers(found) == list(range(3, 9))
    assert numbers(pages(double, start="2026-01-01 00:19:00")) == [57, 58, 59]


def test_a_symbol_is_one_symbol(double):
    assert numbers(pages(double, symbol="BTC/USDT")) == list(range(50, 60))
    assert pages(double, symbol="NONE") == []


@pytest.mark.parametrize("unit", [1, 1_000])
def test_times_may_be_numbers_of_seconds_or_milliseconds(double, unit):
    first = int(START.timestamp())
    double.tables.rows["candles"] = [{"ts": (first + number) * unit} for number in range(5)]
    found = pages(double, "candles", start="2026-01-01T00:00:01", end="2026-01-01T00:00:03Z")
    assert [row["ts"] for row in found[0]] == [(first + 1) * unit, (first + 2) * unit]


def test_an_empty_table_has_no_pages(double):
    double.tables.rows["empty"] = []
    assert pages(double, "empty") == []


def test_faults_that_pass_change_nothing(double, monkeypatch):
    monkeypatch.setattr("crypto_bot.adapters.supabase_service._JITTER.uniform", lambda *_: 0.0)
    for kind in ("drop_before", "truncate", "answer"):
        double.faults.add(kind, "table")
    assert numbers(pages(double)) == list(range(60))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"table": "a/b"}, "table must be letters"),
        ({"table": "a?select=*"}, "table must be letters"),
        ({"symbol": "A&b=1"}, "symbol must look like XRPUSD"),
        ({"time_column": "a.b"}, "time_column must be letters"),
        ({"symbol_column": "a b"}, "symbol_column must be letters"),
        ({"start": "yesterday"}, "start must be a date or time"),
        ({"start": "2026-02-01", "end": "2026-01-01"}, "start must be before end"),
        ({"page": 0}, "page must be at least 1"),
    ],
)
def test_what_cannot_be_right_is_refused_before_any_request(double, options, words):
    with pytest.raises(ConfigError, match=words):
        read_table(double.url, SecretStr(double.service_key), **{"table": "trade_logs", **options})
    assert double.requests == []


def test_a_missing_table_or_column_is_named(double):
    with pytest.raises(DataError, match="table nothing must exist at 127"):
        pages(double, "nothing")
    with pytest.raises(DataError, match="must have the column 'times', had id, timestamp"):
        pages(double, time_column="times")
    with pytest.raises(DataError, match=r"column trade_logs\.pair does not exist"):
        pages(double, symbol="XRPUSD", symbol_column="pair")
    double.tables.rows["timeless"] = [{"a": 1}]
    with pytest.raises(DataError, match="timeless must have a time column"):
        pages(double, "timeless")


@pytest.mark.parametrize(
    ("name", "words"),
    [("expired_key", "has expired"), ("foreign_key", "must be a key of this project, is not")],
)
def test_a_wrong_key_is_a_setting_to_mend(double, name, words):
    with pytest.raises(SupabaseRefused, match=words):
        pages(double, key=getattr(double, name))
