"""A loop that repeats brings downloaded candles up to date before every turn, and only then."""

from __future__ import annotations

import threading

import pytest

from backtest.tiny import TINY, bench_in
from crypto_bot.backtest import commands, learning_loop
from crypto_bot.backtest.cli import build_parser as backtest_parser
from crypto_bot.backtest.integrated_cli import build_parser as integrated_parser
from crypto_bot.backtest.schedule import repeat
from crypto_bot.backtest.turn import KIND

TURNS = 3


@pytest.fixture
def calls(tmp_path, monkeypatch):
    """What is called in order; a repeated command ends after a few turns."""
    seen: list[str] = []

    def refresh(settings, symbols=None):
        seen.append("refresh")
        return ("a note",)

    def looped(turn, **arguments):
        for _ in range(TURNS):
            turn(lambda: False)
        return 0, {"turns": TURNS}

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(commands, "refresh_store", refresh)
    monkeypatch.setattr(learning_loop, "refresh_store", refresh)
    monkeypatch.setattr(commands, "repeat", looped)
    monkeypatch.setattr(commands, "training_due", lambda bench: False)
    monkeypatch.setattr(commands, "_one_turn", lambda *a, **k: (seen.append("turn"), (0, {}))[1])
    monkeypatch.setattr(commands, "_run_once", lambda *a, **k: (seen.append("turn"), (0, {}))[1])
    monkeypatch.setattr(commands, "open_workbench", lambda config, **_: bench_in(tmp_path, TINY))
    return seen


def called(parser, handlers, *words):
    options = parser.parse_args(words)
    for name in ("config", "verbose", "json"):
        if not hasattr(options, name):
            setattr(options, name, False)
    handlers[options.command](options)


def integrated(*words):
    called(integrated_parser(), commands.INTEGRATED_COMMANDS, "integrated", *words)


def continuous(*words):
    called(backtest_parser(), commands.BACKTEST_COMMANDS, "continuous", *words)


@pytest.mark.parametrize("command", [integrated, continuous])
def test_a_repeated_command_refreshes_before_every_turn_and_says_what_failed(
    command, calls, capsys
):
    command()
    assert calls == ["refresh", "turn"] * TURNS
    assert capsys.readouterr().out.count("a note\n") == TURNS


@pytest.mark.parametrize("command", [integrated, continuous])
def test_one_turn_alone_or_a_named_folder_is_not_refreshed(command, calls):
    command("--once")
    command("--data", "somewhere")
    assert set(calls) == {"turn"}


def test_the_learning_loop_refreshes_when_training_is_due(tmp_path, calls, monkeypatch):
    monkeypatch.setattr(learning_loop, "run_turn", lambda *a, **k: calls.append("turn") or {})
    with bench_in(tmp_path, TINY) as bench:
        learning_loop.run_loop(bench, threading.Event(), once=True)
    assert calls == ["refresh", "turn"]


def test_an_interrupted_run_goes_on_with_the_candles_it_began_with(tmp_path, calls):
    with bench_in(tmp_path, TINY) as bench:
        asked = {"fingerprint": bench.settings.fingerprint, "data": None, "symbols": None}
        run_id = bench.journal.start_run(KIND, {**asked, "train": True})
        bench.journal.finish_run(run_id, "interrupted")
        learning_loop.refresh_for_turn(bench, train=True)
        assert calls == []
        learning_loop.refresh_for_turn(bench, train=False)
    assert calls == ["refresh"]


def test_repeat_ends_when_told_to():
    stop = threading.Event()
    _, result = repeat(
        lambda _: (stop.set(), (0, None))[1], hours=1, announce=lambda _: None, stop=stop
    )
    assert result == {"turns": 1}


@pytest.mark.parametrize("command", [integrated, continuous])
def test_keys_without_effect_are_named_at_the_start(command, calls, capsys):
    command("--once")
    shown = capsys.readouterr().out.splitlines()
    head = "settings without effect here"
    (first,) = [number for number, line in enumerate(shown) if line.startswith(head)]
    assert first == 0
    for name in ("data_sources.dex", "amd_gpu.*", "use_process_pool", "windows_optimizations.*"):
        assert any(name in line for line in shown[1:7])
