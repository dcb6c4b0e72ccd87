"""The journal on a real PostgreSQL server; skipped, visibly, where there is none.

Start one yourself and set CRYPTO_BOT_TEST_POSTGRESQL=postgresql://user@host/empty_database.
"""

from __future__ import annotations

import os
import uuid

import pytest
from sqlalchemy import create_engine

from crypto_bot.core import Fill, Order, OrderType, Side
from crypto_bot.core.errors import DataError, StorageError
from crypto_bot.journal import Decision, Journal, Trial
from crypto_bot.journal.database import database_url

URL = os.environ.get("CRYPTO_BOT_TEST_POSTGRESQL", "")


@pytest.fixture
def journal():
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'crypto-bot[pg]'")
    if not URL:
        pytest.skip("CRYPTO_BOT_TEST_POSTGRESQL names no server")
    schema = f"test_{uuid.uuid4().hex}"
    engine = create_engine(database_url(URL))
    with engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE SCHEMA {schema}")
    with Journal(f"{URL}?options=-csearch_path%3D{schema}") as opened:
        yield opened
    with engine.begin() as connection:
        connection.exec_driver_sql(f"DROP SCHEMA {schema} CASCADE")
    engine.dispose()


def test_the_whole_journal_works_on_postgresql(journal):
    run_id = journal.start_run("demo", {"seed": 1})
    order = Order("a", "BTC/USDT", Side.BUY, OrderType.MARKET, 0.1, 10**18)
    fill = Fill("a", "BTC/USDT", Side.BUY, 0.1, 50_000.0, 1.0, 10**18)
    for count in (1, 0):
        assert journal.record_orders(run_id, [order]) == count
        assert journal.record_fills(run_id, [fill]) == count
        assert journal.record_decisions(run_id, [Decision("A/B", 10**18, -1, 0.5)]) == count
        given = [Trial("A/B", "5m", "rsi", {"window": 1}, {"sharpe": 0.5})]
        assert journal.record_trials(run_id, given) == count
    assert journal.orders(run_id) == [order]
    assert journal.fills(run_id) == [fill]
    assert journal.trial_sharpes() == [0.5]
    with journal.step(run_id, "train") as step:
        step.finish({"rows": 1})
    journal.model_event(run_id, "A/B", "1", "trained")
    journal.finish_run(run_id, "done", {"promoted": None})
    assert journal.run(run_id).summary == {"promoted": None}
    journal.require_intact()
    with pytest.raises(DataError, match="must name a run"):
        journal.record_trials("x", [Trial("A/B", "5m", "rsi", {}, {})])
    with (
        pytest.raises(StorageError, match="trials are only ever added"),
        journal._writing() as connection,
    ):
        connection.exec_driver_sql("DELETE FROM trials")


def test_a_server_that_does_not_answer_is_named_without_its_password():
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'crypto-bot[pg]'")
    with pytest.raises(StorageError, match="must be reachable, was not") as caught:
        Journal("postgresql://user:hidden@127.0.0.1:1/name")
    assert "hidden" not in str(caught.value)
