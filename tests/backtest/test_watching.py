"""The loop is watched: its figures are true, its faults told, its memory held."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import httpx
import pytest

from crypto_bot.backtest.loop.turn_process import TurnEnd
from crypto_bot.backtest.loop.watching import Watching
from crypto_bot.backtest.telling import open_channels, run_ended, run_failed
from crypto_bot.config import load_settings
from crypto_bot.core.errors import StorageError
from crypto_bot.operations.health import HealthState
from operations.loopback_receiver import receiver
from small_runs import small_bench, small_settings


def settings_with(folder, url=None, **changes):
    plain = small_settings(folder, **changes).model_dump(mode="json", exclude_unset=True)
    return load_settings(plain, environ={"CRYPTO_BOT__WEBHOOK_URL": url} if url else {})


@pytest.fixture
def watched(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with receiver() as told:
        changes = {"operations.port": 0, "notifications.timeout_seconds": 5.0}
        with small_bench(tmp_path) as bench:
            bench = type(bench)(
                **{**bench.__dict__, "settings": settings_with(tmp_path, told.url, **changes)}
            )
            said, stop = [], threading.Event()
            watching = Watching(
                bench,
                bench.journal.start_run("loop"),
                end_training=lambda: False,
                stop=stop,
                announce=said.append,
            )
            try:
                yield SimpleNamespace(
                    bench=bench, watching=watching, told=told, said=said, stop=stop, folder=tmp_path
                )
            finally:
                watching.close()


def report(decided=2, missed=()):
    return SimpleNamespace(decided=decided, missed=missed)


def test_what_the_loop_does_is_in_the_metrics_and_its_health(watched):
    watching = watched.watching
    watching.on_close(report(), 0.2)
    assert watching.health.report().state is HealthState.OK
    watching.on_close(report(missed=("ETH/USDT",)), 1.7)
    assert watching.health.report().reasons == ("the last candle was decided late",)
    token = (watched.folder / "operations.token").read_text().strip()
    headers = {"Authorization": f"Bearer {token}"}
    text = httpx.get(f"{watching.server.address}/metrics", headers=headers).text
    assert "crypto_bot_bars_decided_total 2.0" in text
    assert "crypto_bot_bars_missed_total 1.0" in text
    assert "crypto_bot_lease_held 1.0" in text
    assert watched.said[0].startswith("metrics at http://127.0.0.1:")
    assert token not in str(watched.said)


def test_a_turn_that_fails_is_told_once_and_makes_the_loop_degraded(watched, caplog):
    run_id = watched.bench.journal.start_run("integrated", {})
    run_failed(watched.bench.settings, watched.bench.journal, run_id, "no candles")
    watched.bench.journal.finish_run(run_id, "failed")
    watched.watching.on_turn_end(TurnEnd("", promoted=False, error="no candles"))
    assert watched.watching.health.report().reasons == ("the last turn failed",)
    messages = watched.bench.journal.messages()
    assert [(m.kind, m.event_id) for m in messages] == [("webhook.run_failed", run_id)]
    assert "ALERT: run" in caplog.text
    watched.watching.notifier.deliver_due()
    assert watched.told.came.wait(10)


def test_a_part_that_fails_is_told_at_the_first_of_a_row_and_again_when_it_works(watched):
    for number in (1, 2, 3):
        watched.watching.on_failure("trading", StorageError("disk full"), number)
    watched.watching.on_recovery("trading")
    kinds = [message.kind for message in watched.bench.journal.messages()]
    assert kinds == ["webhook.run_failed"], "recovered is not among notifications.events"


def test_alarms_of_the_journal_are_told_once_each(watched):
    journal = watched.bench.journal
    run_id = journal.start_run("live", {})
    journal.raise_alarm(run_id, "BTC/USDT", "drift", "shrink", {"psi": 0.4})
    for _ in range(2):
        watched.watching.probe()
    (message,) = journal.messages()
    assert message.kind == "webhook.alarm"
    assert message.body["data"] == {
        "symbol": "BTC/USDT",
        "kind": "drift",
        "action": "shrink",
        "psi": 0.4,
    }
    assert b'crypto_bot_alarms_open{kind="drift"} 1.0' in watched.watching.metrics.exposition()


def test_too_much_memory_stops_the_loop_with_exit_code_1_and_an_alert(watched):
    watched.watching.memory.limit_bytes = 1
    watched.watching.tick(0)
    assert watched.stop.is_set()
    assert watched.watching.exit_code == 1
    assert [m.kind for m in watched.bench.journal.messages()] == ["webhook.memory_ceiling"]


def test_a_registry_that_fails_degrades_and_the_loop_is_not_held_up(watched, monkeypatch):
    from crypto_bot.backtest.loop import watching

    def broken(_):
        raise StorageError("bucket must be reachable, was not")

    monkeypatch.setattr(watching, "models_in_service", broken)
    watched.watching.probe()
    assert watched.watching.health.report().reasons == ("the registry cannot be reached",)


def test_it_ends_without_a_thread_left(watched):
    watched.watching.close()
    names = {thread.name for thread in threading.enumerate()}
    assert not names & {"operations", "probe", "notify-webhook"}


def test_a_turn_that_ends_is_told_by_what_it_came_to(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    from crypto_bot.backtest import summary

    monkeypatch.setattr(summary, "turn_lines", lambda _: ["promoted  yes"])
    changes = {
        "reporting.email": True,
        "notifications.email_host": "mail.example",
        "notifications.email_to": ["a@example.org"],
        "notifications.events": ["promoted"],
    }
    settings = settings_with(tmp_path, "https://hooks.example/x", **changes)
    assert [channel.name for channel in open_channels(settings)] == ["webhook", "email"]
    with small_bench(tmp_path) as bench:
        run_id = bench.journal.start_run("integrated", {})
        for _ in range(2):
            told = {"run_id": run_id, "promoted": True, "models": [{}]}
            run_ended(settings, bench.journal, told)
        messages = bench.journal.messages()
    kinds = {message.kind for message in messages}
    assert kinds == {"webhook.promoted", "email.promoted", "email.summary"}
    assert len(messages) == 3
    assert messages[-1].body["data"]["text"] == "promoted  yes"
