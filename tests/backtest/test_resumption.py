"""kill -9 at any stage: the next turn takes up the same run and ends as if nothing had happened."""

from __future__ import annotations

import threading

import polars as pl
import pytest

from backtest.tiny import TINY, bench_in, killed, posix, settings_in, turn_in, write_market
from crypto_bot.backtest.schedule import Stopped
from crypto_bot.backtest.turn import run_turn
from crypto_bot.core.bars import symbol_slug
from crypto_bot.journal import Journal, RunStatus, TrialKind
from crypto_bot.market import BarStore
from crypto_bot.registry import open_registry

POINTS = ("import", "sweep", "training", "publish", "paper", "report")


@pytest.fixture(scope="module")
def market(tmp_path_factory):
    return write_market(tmp_path_factory.mktemp("market") / "candles")


def traces(folder):
    """Everything a run leaves that must not depend on whether it was interrupted."""
    with Journal(folder / "journal.sqlite") as journal:
        (run,) = journal.runs()
        assert run.status is RunStatus.DONE
        summary = dict(run.summary)
        counts = {
            "backtests": journal.trials_count(kind=TrialKind.BACKTEST),
            "models": journal.trials_count(kind=TrialKind.MODEL),
            "decisions": journal.decisions(run.id),
            "orders": [order.client_id.replace(run.id, "") for order in journal.orders(run.id)],
            "fills": [(f.filled_at_ns, f.quantity, f.price) for f in journal.fills(run.id)],
            "feedback": [(f.agrees, f.detail) for f in journal.feedback()],
        }
    registry = open_registry(folder / "registry")
    models = {}
    for symbol in registry.symbols():
        (version,) = registry.versions(symbol)
        registry.load(symbol, version)
        place = folder / "registry" / symbol_slug(symbol) / "versions" / version
        models[symbol] = {
            path.name: path.read_bytes() for path in place.iterdir() if "json" not in path.suffix
        }
    for model in summary["models"]:
        model.pop("version")
    told = {name: summary[name] for name in ("models", "paper", "symbols", "promoted")}
    table = pl.read_parquet(folder / "out/runs" / run.id / "sweep.parquet")
    entries = BarStore(folder / "data/market").catalog()
    return run.id, {"counts": counts, "models": models, "told": told, "stored": entries}, table


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, market):
    folder = tmp_path_factory.mktemp("undisturbed")
    turn_in(folder, data=str(market))
    return traces(folder)


@posix
@pytest.mark.parametrize("point", POINTS)
def test_a_killed_turn_goes_on_under_its_id_and_ends_the_same(tmp_path, market, undisturbed, point):
    killed(point, tmp_path, market)
    with Journal(tmp_path / "journal.sqlite") as journal:
        (dead,) = journal.unfinished_runs("integrated")
    summary, lines = turn_in(tmp_path, data=str(market))
    assert lines[0] == f"taking up the interrupted run {dead.id}"
    assert summary["run_id"] == dead.id
    run_id, found, table = traces(tmp_path)
    _, expected, expected_table = undisturbed
    assert run_id == dead.id
    assert found["told"] == expected["told"]
    assert found["stored"] == expected["stored"]
    assert found["models"] == expected["models"]
    for name, value in expected["counts"].items():
        assert found["counts"][name] == value, name
    assert table.equals(expected_table)
    assert [folder.name for folder in (tmp_path / "out/runs").iterdir()] == [run_id]
    assert list(tmp_path.rglob("*.partial")) == []


def test_an_interrupted_run_on_other_candles_does_not_go_on(tmp_path):
    first = write_market(tmp_path / "first")
    with bench_in(tmp_path) as bench:
        with pytest.raises(Stopped, match="the same command goes on"):
            run_turn(bench, data=str(first), should_stop=lambda: True)
        (before,) = bench.journal.unfinished_runs("integrated")
    for path in first.iterdir():
        path.unlink()
    first.rmdir()
    write_market(first, seed=9)
    summary, lines = turn_in(tmp_path, data=str(first))
    assert summary["run_id"] != before.id
    assert any("must go on with the candles it began with" in line for line in lines)
    assert summary["paper"]["unexplained_differences"] == 0
    with Journal(tmp_path / "journal.sqlite") as journal:
        assert journal.run(before.id).status is RunStatus.FAILED
        assert journal.run(summary["run_id"]).status is RunStatus.DONE


def test_other_arguments_are_another_run(tmp_path, market):
    with bench_in(tmp_path) as bench:
        with pytest.raises(Stopped):
            run_turn(bench, data=str(market), should_stop=lambda: True)
        (before,) = bench.journal.unfinished_runs("integrated")
        summary = run_turn(bench, data=str(market), symbols=["ETH/USDT"])
        assert summary["run_id"] != before.id
        assert summary["symbols"] == ["ETH/USDT"]
        again = run_turn(bench, data=str(market))
        assert again["run_id"] == before.id


def test_a_stop_in_the_paper_session_judges_nothing_and_goes_on_later(
    tmp_path, market, undisturbed
):
    stop = threading.Event()
    asked = []

    def should_stop():
        asked.append(1)
        return len(asked) > 20

    with bench_in(tmp_path) as bench:
        with pytest.raises(Stopped, match="stopped in paper trading"):
            run_turn(bench, data=str(market), should_stop=should_stop)
        (run,) = bench.journal.runs()
        assert run.status is RunStatus.INTERRUPTED
        assert 0 < len(bench.journal.decisions(run.id)) < undisturbed_decisions(undisturbed)
        assert bench.journal.feedback() == []
        run_turn(bench, data=str(market), should_stop=stop.is_set)
    run_id, found, _ = traces(tmp_path)
    assert run_id == run.id
    assert found["counts"]["decisions"] == undisturbed[1]["counts"]["decisions"]
    assert found["told"] == undisturbed[1]["told"]


def undisturbed_decisions(undisturbed):
    return len(undisturbed[1]["counts"]["decisions"])


def test_an_interruption_by_hand_can_be_taken_up(tmp_path, monkeypatch):
    def interrupted(*given, **named):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("crypto_bot.backtest.turn.run_sweep", interrupted)
        with bench_in(tmp_path) as bench, pytest.raises(KeyboardInterrupt):
            run_turn(bench)
    summary, lines = turn_in(tmp_path)
    with Journal(settings_in(tmp_path, TINY).journal.url) as journal:
        assert [run.id for run in journal.runs()] == [summary["run_id"]]
    assert "taking up" in lines[0]


def test_a_damaged_sweep_of_an_interrupted_run_is_named(tmp_path):
    with bench_in(tmp_path) as bench, pytest.raises(Stopped):
        run_turn(bench, should_stop=lambda: True)
    (stored,) = (tmp_path / "out/runs").rglob("sweep.parquet")
    stored.write_bytes(b"PAR1 not at all")
    with pytest.raises(Exception, match=rf"{stored.name} must be readable, was not .*delete it"):
        turn_in(tmp_path)
