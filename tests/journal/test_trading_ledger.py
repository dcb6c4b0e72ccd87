"""Decisions, orders and fills: once, in order, or not at all."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from crypto_bot.core import Fill, Order, OrderType, Side
from crypto_bot.core.errors import DataError, StorageError
from crypto_bot.journal import Decision, Journal

ORDER = Order("run-1", "BTC/USDT", Side.BUY, OrderType.MARKET, 0.5, 100, reason="entry")
FILL = Fill("run-1", "BTC/USDT", Side.BUY, 0.5, 50_000.0, 25.0, 101, reason="open")
DECISION = Decision("BTC/USDT", 100, 1, 0.7, "model", {"p_up": 0.7})


@pytest.fixture
def journal(location):
    with Journal(location) as opened:
        yield opened


@pytest.fixture
def run_id(journal):
    return journal.start_run("paper")


def test_records_come_back_as_they_went_in(journal, run_id):
    limit = replace(ORDER, client_id="run-2", type=OrderType.LIMIT, side=Side.SELL, price=51_000.0)
    journal.record_decisions(run_id, [DECISION])
    journal.record_orders(run_id, [ORDER, limit])
    journal.record_fills(run_id, [FILL])
    assert journal.decisions(run_id) == [DECISION]
    assert journal.orders(run_id) == [ORDER, limit]
    assert journal.fills(run_id) == [FILL]
    assert journal.orders(run_id, "ETH/USDT") == journal.orders("other") == []


def test_floats_come_back_to_the_last_digit(journal, run_id):
    order = replace(ORDER, quantity=0.1 + 0.2, price=1 / 3)
    journal.record_orders(run_id, [order])
    assert journal.orders(run_id) == [order]


def test_the_same_again_changes_nothing(journal, run_id):
    for count in (1, 0):
        assert journal.record_decisions(run_id, [DECISION]) == count
        assert journal.record_orders(run_id, [ORDER]) == count
        assert journal.record_fills(run_id, [FILL]) == count
    assert len(journal.fills(run_id)) == 1


def test_another_order_under_a_used_id_refuses_the_whole_batch(journal, run_id):
    journal.record_orders(run_id, [ORDER])
    fresh = replace(ORDER, client_id="run-9")
    with pytest.raises(
        StorageError, match=r"orders run-1 must be written once, was there with quantity 0\.5"
    ):
        journal.record_orders(run_id, [fresh, replace(ORDER, quantity=2.0)])
    assert journal.orders(run_id) == [ORDER]


def test_an_order_of_another_run_keeps_its_id(journal, run_id):
    journal.record_orders(run_id, [ORDER])
    with pytest.raises(StorageError, match="was there with run_id"):
        journal.record_orders(journal.start_run("paper"), [ORDER])


def test_an_id_twice_in_a_batch_is_refused(journal, run_id):
    with pytest.raises(StorageError, match="was twice in one batch"):
        journal.record_orders(run_id, [ORDER, replace(ORDER, quantity=2.0)])
    assert journal.orders(run_id) == []


def test_another_decision_for_a_decided_bar_refuses_the_batch(journal, run_id):
    journal.record_decisions(run_id, [DECISION])
    with pytest.raises(StorageError, match=r"decisions .* BTC/USDT 100 must be written once"):
        journal.record_decisions(
            run_id, [replace(DECISION, bar_close_ns=200), replace(DECISION, direction=-1)]
        )
    assert journal.decisions(run_id) == [DECISION]


def test_a_fill_without_its_order_is_refused(journal, run_id):
    with pytest.raises(DataError, match="record_orders before record_fills"):
        journal.record_fills(run_id, [FILL])


def test_partial_fills_of_an_order_all_count(journal, run_id):
    journal.record_orders(run_id, [ORDER])
    parts = [replace(FILL, quantity=0.2), replace(FILL, quantity=0.3)]
    assert journal.record_fills(run_id, parts) == 2
    assert journal.fills(run_id) == parts


def test_a_hundred_thousand_decisions_take_less_than_two_seconds_of_work(journal, run_id):
    taken = []
    for symbol in ("BTC/USDT", "ETH/USDT"):  # the better of two: the machine may be busy
        decisions = [replace(DECISION, symbol=symbol, bar_close_ns=bar) for bar in range(100_000)]
        started = time.process_time()
        assert journal.record_decisions(run_id, decisions) == 100_000
        taken.append(time.process_time() - started)
    assert min(taken) < 2.0


def test_nothing_given_is_nothing_written(journal):
    assert journal.record_decisions("x", []) == 0
    assert journal.record_orders("x", []) == 0
    assert journal.record_fills("x", []) == 0
