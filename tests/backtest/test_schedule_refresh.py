"""Downloaded candles are brought up to date before a turn that repeats, once a run, and only then."""

from __future__ import annotations

import pytest

from backtest.tiny import TINY, bench_in, turn_in
from crypto_bot.backtest import commands, turn
from crypto_bot.backtest.cli import build_parser as backtest_parser
from crypto_bot.backtest.integrated_cli import build_parser as integrated_parser
from crypto_bot.backtest.loop.parts import nobody
from crypto_bot.backtest.schedule import Stopped
from crypto_bot.backtest.turn import run_turn
from crypto_bot.market import BarStore, SimulationOptions, simulate_market

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
    monkeypatch.setattr(turn, "refresh_store", refresh)
    monkeypatch.setattr(commands, "repeat", looped)
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


def test_a_repeated_backtest_refreshes_before_every_turn_and_says_what_failed(calls, capsys):
    continuous()
    assert calls == ["refresh", "turn"] * TURNS
    assert capsys.readouterr().out.count("a note\n") == TURNS


@pytest.mark.parametrize("command", [integrated, continuous])
def test_one_turn_alone_is_not_refreshed(command, calls):
    command("--once")
    assert calls == ["turn"]


def test_a_named_folder_is_not_refreshed(calls):
    continuous("--data", "somewhere")
    assert set(calls) == {"turn"}


def test_a_turn_that_is_to_refresh_does_so_first_and_says_what_failed(tmp_path, calls):
    said = []
    with bench_in(tmp_path) as bench:
        summary = run_turn(bench, announce=said.append, refresh=True)
        steps = bench.journal.steps(summary["run_id"])
    assert calls == ["refresh"]
    assert said.index("a note") < said.index("candles ...")
    assert [step.name for step in steps][:2] == ["refresh", "candles"]
    assert steps[0].result == {"notes": ["a note"]}


def test_a_run_taken_up_is_not_refreshed_again(tmp_path, calls):
    with bench_in(tmp_path) as bench:
        with pytest.raises(Stopped):
            run_turn(bench, refresh=True, should_stop=lambda: True, announce=nobody)
        run_turn(bench, refresh=True, announce=nobody)
        assert len(bench.journal.runs("integrated")) == 1
    assert calls == ["refresh"]


def test_a_run_taken_up_goes_on_with_the_candles_it_began_with(tmp_path):
    """The store grows while the run lies still; the report is of the candles there were."""
    market = simulate_market(SimulationOptions(symbols=3, timeframe="1h", bars=24 * 44, seed=5))
    until_ns = int(market[0].close_time[-1]) - 24 * 3600 * 10**9
    with bench_in(tmp_path) as bench:
        store = BarStore(bench.settings.data.store_folder)
        for bars in market:
            store.append(bars.closed_by(until_ns))
        with pytest.raises(Stopped):
            run_turn(bench, should_stop=lambda: True, announce=nobody)
        (begun,) = bench.journal.unfinished_runs("integrated")
        for bars in market:
            store.append(bars)
    summary, lines = turn_in(tmp_path)
    assert lines[0] == f"taking up the interrupted run {begun.id}"
    assert summary["run_id"] == begun.id
    later, _ = turn_in(tmp_path)
    with bench_in(tmp_path) as bench:
        done, after = (bench.journal.run(found["run_id"]) for found in (summary, later))
    assert after.data_fingerprint != done.data_fingerprint == begun.data_fingerprint


def test_keys_without_effect_are_named_at_the_start(calls, capsys):
    for command in (integrated, continuous):
        command("--once")
        shown = capsys.readouterr().out.splitlines()
        head = "settings without effect here"
        (first,) = [number for number, line in enumerate(shown) if line.startswith(head)]
        assert first == 0
        for name in ("data_sources.dex", "amd_gpu.*", "use_process_pool"):
            assert any(name in line for line in shown[1:7])
