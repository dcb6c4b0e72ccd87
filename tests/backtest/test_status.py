"""The status: from the journal alone, whoever runs the loop, in plain words on one screen."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from crypto_bot.backtest.loop.lease import lease_name
from crypto_bot.backtest.ml_integration import MLBacktestingIntegration
from crypto_bot.backtest.status import loop_status, status_lines
from crypto_bot.cli.bot import main
from crypto_bot.core.timeframes import HOUR_NS, ReplayClock
from crypto_bot.journal import Journal
from small_runs import small_environment, small_settings

NOW_NS = 1_735_689_600_000_000_000


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return small_settings(tmp_path)


def a_past(settings, clock):
    """A turn, a session of three closes, an alarm, two messages; as a loop leaves them."""
    with Journal(settings.journal.url, clock=clock) as journal:
        turn = journal.start_run("integrated", {})
        with journal.step(turn, "sweep"):
            clock.set(clock.now_ns() + 5 * 10**9)
        journal.finish_run(turn, "done", {"promoted": False})
        session = journal.start_run("live", {})
        for number, lateness in enumerate((0.1, 0.2, 0.9)):
            with journal.step(session, f"close {number}") as step:
                missed = ["ETH/USDT"] if number == 2 else []
                step.finish({"decided": 2, "missed": missed, "lateness_s": lateness})
        journal.raise_alarm(session, "BTC/USDT", "drift", "shrink", {"psi": 0.4})
        journal.add_message("webhook.alarm", "1", {})
        journal.add_message("webhook.alarm", "2", {})
        journal.message_failed(2, "webhook must answer 2xx, was 404", None)
        journal.finish_run(session, "interrupted")


def test_without_a_journal_the_status_says_so_and_leaves_nothing_behind(settings, tmp_path):
    found = loop_status(settings)
    assert found["journal"] == {"reachable": False, "error": "there is none yet"}
    assert (found["is_running"], found["holder"], found["bars"]) == (False, None, None)
    assert list(tmp_path.iterdir()) == []


def test_the_status_is_what_the_journal_holds(settings):
    clock = ReplayClock(NOW_NS)
    a_past(settings, clock)
    found = loop_status(settings, clock=clock)
    assert found["journal"]["reachable"]
    assert found["bars"] == {
        "decided": 6,
        "missed": 1,
        "lateness_p50_s": 0.2,
        "lateness_p99_s": 0.9,
    }
    assert found["outbox"] == {"waiting": 1, "dead": 1}
    (alarm,) = found["alarms"]
    assert (alarm["symbol"], alarm["kind"], alarm["action"]) == ("BTC/USDT", "drift", "shrink")
    (step,) = found["last_turn"]["steps"]
    assert step == {"name": "sweep", "status": "done", "seconds": 5.0}
    assert found["session"]["status"] == "interrupted"
    assert found["next_turn"].startswith("next turn 2025-01-01T0")
    json.dumps(found)


HOLDING = """
import sys
from crypto_bot.journal import Journal
with Journal(sys.argv[1]) as journal:
    journal.take_lease(sys.argv[2], lease_s=60)
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_loop_in_another_process_is_seen_and_a_dead_one_is_not(settings):
    with Journal(settings.journal.url):
        pass
    arguments = [sys.executable, "-c", HOLDING, settings.journal.url, lease_name(settings)]
    with subprocess.Popen(
        arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=dict(os.environ)
    ) as loop:
        assert loop.stdout.readline() == b"held\n"
        found = loop_status(settings)
        assert found["is_running"]
        assert found["holder"]["pid"] == loop.pid
        assert found["memory_gb"] > 0.01
        assert found["holder"]["silent_s"] < 60
        loop.kill()
        loop.wait()
        assert not loop_status(settings)["is_running"]


def test_a_journal_that_is_damaged_is_told_and_the_rest_goes_on(settings, tmp_path):
    (tmp_path / "journal.sqlite").write_bytes(b"no database at all" * 100)
    found = loop_status(settings)
    assert not found["journal"]["reachable"]
    assert "journal.sqlite" in found["journal"]["error"]


def test_a_turn_at_work_goes_before_the_next_one(settings):
    with Journal(settings.journal.url) as journal:
        journal.take_lease(lease_name(settings), lease_s=60)
        journal.start_run("integrated", {})
        found = MLBacktestingIntegration(settings).get_integration_status()
    assert "next       a turn is at work now" in status_lines(found)


def test_a_journal_that_does_not_answer_leaves_the_rest_of_the_status(settings, tmp_path):
    (tmp_path / "journal.sqlite").write_bytes(b"no database at all" * 100)
    found = MLBacktestingIntegration(settings).get_integration_status()
    assert (found["last_retrain"], found["retrain_due"]) == (None, False)
    text = "\n".join(status_lines(found))
    assert "training   last: not known: no journal; every 24 hours" in text
    assert "journal    not reached: " in text


def test_the_integration_status_carries_the_loop_and_fits_a_screen(settings):
    clock = ReplayClock(NOW_NS)
    a_past(settings, clock)
    found = MLBacktestingIntegration(settings, clock=clock).get_integration_status()
    assert found["loop"]["registry"] == {"reachable": True, "error": None, "models": {}}
    lines = status_lines(found)
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 160
    text = "\n".join(lines)
    assert "does not run; start it: crypto-bot integrated" in text
    assert "6 candles decided, 1 missed; after the close p50 0.200 s, p99 0.900 s" in text
    assert "1 open: BTC/USDT drift: shrink" in text
    assert "1 waiting, 1 given up" in text
    json.dumps(found)


def test_a_model_in_service_is_shown_with_its_age(settings, monkeypatch):
    from crypto_bot.backtest import status

    served = {"BTC/USDT": ("v1", NOW_NS - 2 * HOUR_NS), "ETH/USDT": (None, None)}
    monkeypatch.setattr(status, "models_in_service", lambda _: served)
    found = MLBacktestingIntegration(settings, clock=ReplayClock(NOW_NS)).get_integration_status()
    assert found["loop"]["registry"]["models"] == {"BTC/USDT": {"version": "v1", "age_hours": 2.0}}
    assert "BTC/USDT v1 (2.0 h old)" in "\n".join(status_lines(found))


def test_the_command_prints_words_or_one_json_object(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, value in small_environment().items():
        if name.startswith("CRYPTO_BOT__"):
            monkeypatch.setenv(name, value)
    assert main(["status"]) == 0
    assert "loop       does not run" in capsys.readouterr().out
    assert main(["status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["loop"]["is_running"] is False
