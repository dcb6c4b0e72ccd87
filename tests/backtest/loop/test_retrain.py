"""`crypto-bot retrain`: a training that a person asks for is the plan's next turn."""

from __future__ import annotations

import subprocess
import sys

import pytest
import yaml

from backtest.tiny import TINY, settings_in
from crypto_bot.backtest.loop.lease import lease_name
from crypto_bot.backtest.loop.plan import next_turn, read_past
from crypto_bot.backtest.turn import KIND
from crypto_bot.cli.bot import main
from crypto_bot.config import load_settings
from crypto_bot.core.timeframes import SystemClock
from crypto_bot.journal import Journal, Trial, TrialKind


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(TINY))
    return tmp_path


def trained(folder):
    with Journal(f"sqlite:///{folder / 'journal.sqlite'}") as journal:
        run_id = journal.start_run(KIND)
        journal.record_trials(run_id, [Trial("ALL", "5m", "lightgbm", {}, {}, TrialKind.MODEL)])
        journal.finish_run(run_id, "done")


def test_a_loop_that_was_killed_is_not_the_one_that_will_train(folder, capsys):
    settings = settings_in(folder, TINY)
    code = (
        "import os, sys; from crypto_bot.journal import Journal; "
        "Journal(sys.argv[1]).take_lease(sys.argv[2], lease_s=60); os._exit(9)"
    )
    name = lease_name(load_settings(TINY, environ={}))
    subprocess.run([sys.executable, "-c", code, settings.journal.url, name], check=False)
    assert main(["retrain", "-c", "c.yaml"]) == 0
    assert "the next start of the loop makes it" in capsys.readouterr().out


def planned(folder):
    settings = settings_in(folder, TINY)
    now_ns = SystemClock().now_ns()
    with Journal(settings.journal.url) as journal:
        return next_turn(settings, read_past(journal), now_ns), now_ns, journal.open_alarms()


def test_a_training_asked_for_is_due_at_once_and_asked_for_once(folder, capsys):
    trained(folder)
    before, now_ns, _ = planned(folder)
    assert before.at_ns > now_ns
    assert main(["retrain", "-c", "c.yaml", "--reason", "new pairs"]) == 0
    assert "the next start of the loop makes it" in capsys.readouterr().out
    assert main(["retrain", "-c", "c.yaml"]) == 0
    due, now_ns, alarms = planned(folder)
    assert (due.at_ns, due.train) == (now_ns, True)
    assert "on_demand" in due.why
    assert [alarm.detail["reason"] for alarm in alarms] == ["new pairs"]
