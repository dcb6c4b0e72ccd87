"""The commands that search: `sweep`, `optimize --strategy`, and `continuous` computing only what is new."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import yaml

from backtest.tiny import TINY, bench_in
from crypto_bot.backtest.candles import Universe
from crypto_bot.backtest.cli import main
from crypto_bot.backtest.logs import close_logging
from crypto_bot.backtest.search_command import _ground_lines, _map_lines, _share, read_space
from crypto_bot.backtest.search_pictures import colour_limit, map_png
from crypto_bot.backtest.showing_sweep import heat_maps
from crypto_bot.backtest.sweeping import StrategySweep, best_setting, rank_settings, run_sweep
from crypto_bot.core import progress as progress_bars
from crypto_bot.core.errors import ConfigError
from crypto_bot.core.timeframes import DAY_NS, HOUR_NS
from crypto_bot.engine import ExitOptions
from crypto_bot.journal import Journal
from crypto_bot.market import BarStore, SimulationOptions, simulate_market
from crypto_bot.search import ParameterMap, Plateau
from crypto_bot.search.landscape import neighbours
from crypto_bot.search.space import Setting, search_space

PAIRS = ("BTC/USDT", "ETH/USDT")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with a configuration; stored candles are real in all but name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({**TINY, "lookback_days": 20}))
    store = BarStore(tmp_path / "data/market")
    for bars in market():
        store.append(bars)
    return tmp_path


def market(bars=24 * 60):
    made = simulate_market(SimulationOptions(symbols=2, timeframe="1h", bars=bars))
    return [replace(each, is_simulated=False) for each in made]


def command(*words):
    try:
        return main([*words, "--config", "config.yaml"])
    finally:
        close_logging()


def asked(capsys, *words):
    """The JSON a command prints."""
    assert command(*words, "--json") == 0
    return json.loads(capsys.readouterr().out)


SEARCH = ("optimize", "--strategy", "sma_cross", "--pairs", *PAIRS, "--trials", "20",
          "--minimum-trades", "2", "--folds", "2")  # fmt: skip


def test_a_search_shows_a_leaderboard_the_ground_and_the_re_test(folder, capsys):
    assert command(*SEARCH) == 0
    shown = capsys.readouterr().out
    for words in ("best settings by sharpe, means over 2 pairs, in sample", "plateau   ",
                  "searched anew 2 times", "holding the same stretch", "hold  "):  # fmt: skip
        assert words in shown
    (place,) = (path for path in (folder / "out/opt").iterdir() if path.name != "studies")
    names = {path.name for path in place.iterdir()}
    assert names == {"leaderboard.csv", "best.json", "heat_map.png", "walk_forward.png"}
    for name in ("heat_map.png", "walk_forward.png"):
        assert (place / name).read_bytes().startswith(b"\x89PNG")
    told = json.loads((place / "best.json").read_text(), parse_constant=pytest.fail)
    assert told["best"] == told["leaderboard"][0]
    assert told["plateau"]["neighbours"] >= 2
    assert len(told["walk_forward"]["windows"]) == 2
    assert set(told["walk_forward"]) == {"stitched", "buy_and_hold", "random_entries", "windows"}
    assert len(pl.read_csv(place / "leaderboard.csv")) == len(told["leaderboard"])


def test_the_same_command_again_reads_its_trials_and_counts_none_twice(folder, capsys):
    first = asked(capsys, *SEARCH)
    with Journal(f"sqlite:///{folder / 'journal.sqlite'}") as journal:
        counted = journal.trials_count()
    assert counted > 20 * len(PAIRS)
    second = asked(capsys, *SEARCH)
    assert (first["reused_trials"], second["reused_trials"]) == (0, 20)
    for name in ("best", "plateau", "leaderboard", "walk_forward", "studies"):
        assert first[name] == second[name]
    with Journal(f"sqlite:///{folder / 'journal.sqlite'}") as journal:
        assert journal.trials_count() == counted
        assert {str(run.status) for run in journal.runs("search")} == {"done"}


def test_an_interrupted_search_goes_on_under_its_own_run(folder, capsys, monkeypatch):
    from crypto_bot.search.batches import BatchFiles

    write = BatchFiles.write

    def stop(self, number, rows):
        write(self, number, rows)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(BatchFiles, "write", stop)
        assert command(*SEARCH) == 130
    with Journal(f"sqlite:///{folder / 'journal.sqlite'}") as journal:
        (run,) = journal.runs("search")
        journal.finish_run(run.id, "interrupted")
    capsys.readouterr()
    again = asked(capsys, *SEARCH)
    assert (again["run_id"], again["reused_trials"]) == (run.id, 16)
    with Journal(f"sqlite:///{folder / 'journal.sqlite'}") as journal:
        assert journal.trials_count(run_id=run.id) == journal.trials_count() > 20 * len(PAIRS)


def test_every_trial_is_in_the_ledger_with_all_that_sets_it_apart(folder, capsys):
    told = asked(capsys, *SEARCH, "--folds", "0", "--exits", "none")
    with Journal(f"sqlite:///{folder / 'journal.sqlite'}") as journal:
        trials = journal.trials(run_id=told["run_id"])
    best = told["best"]
    mine = [
        t for t in trials if {k: t.parameters[k] for k in best["parameters"]} == best["parameters"]
    ]
    assert {t.symbol for t in mine} == set(PAIRS)
    assert np.mean([t.metrics["total_return"] for t in mine[:2]]) == pytest.approx(
        best["total_return"]
    )
    assert set(mine[0].parameters) == {"fast", "slow", "exits", "costs", "sizing"}
    assert mine[0].parameters["exits"]["cooldown_bars"] == 0


def test_the_neighbours_that_a_plateau_tried_are_in_the_ledger(folder, capsys):
    told = asked(capsys, *SEARCH, "--folds", "0", "--exits", "none")
    with Journal(f"sqlite:///{folder / 'journal.sqlite'}") as journal:
        trials = journal.trials(run_id=told["run_id"])
    counted = {(t.parameters["fast"], t.parameters["slow"]) for t in trials}
    best = Setting(told["best"]["parameters"], ExitOptions())
    near = [each for _, each in neighbours(search_space("sma_cross"), best)]
    assert len(near) == told["plateau"]["neighbours"] >= 3
    assert {(each.parameters["fast"], each.parameters["slow"]) for each in near} <= counted


def test_a_sweep_searches_several_strategies_and_names_those_that_could_not(folder, capsys):
    told = asked(
        capsys, "sweep", "--strategies", "rsi", "sma_cross", "dip_hunter", "--pairs", *PAIRS,
        "--timeframes", "1h", "4h", "90m", "--trials", "32", "--minimum-trades", "3", "--folds", "0",
    )  # fmt: skip
    assert set(told["studies"]) | set(told["failed"]) == {
        f"{name} {tf}" for name in ("rsi", "sma_cross", "dip_hunter") for tf in ("1h", "4h", "90m")
    }
    assert "timeframe must be a multiple of 1h, was 90m" in told["failed"]["rsi 90m"]
    assert told["walk_forward"] is None
    values = [row["value"] for row in told["leaderboard"]]
    assert values == sorted(values, reverse=True)
    assert {row["strategy"] for row in told["leaderboard"]} <= {"rsi", "sma_cross", "dip_hunter"}


def test_settings_that_trade_alike_are_one_row_and_the_winner_is_told_whole(folder, capsys):
    words = ("sweep", "--strategies", "sma_cross", "--pairs", *PAIRS, "--timeframes", "1h", "1h",
             "--trials", "64", "--minimum-trades", "2", "--folds", "0")  # fmt: skip
    assert command(*words) == 0
    shown = capsys.readouterr().out
    told = asked(capsys, *words)
    outcome = ("value", "trades", "total_return", "max_drawdown", "win_rate", "exposure")
    outcomes = [tuple(row[name] for name in outcome) for row in told["leaderboard"]]
    assert len(set(outcomes)) == len(outcomes) >= 10
    (winner,) = [line for line in shown.splitlines() if line.startswith("winner ")]
    for name, value in told["best"]["parameters"].items():
        assert f"{name}={value}" in winner
    for value in told["best"]["exits"].values():
        assert f"{value:g}" in winner
    assert f"of {told['trials']:,} tried:" in shown
    assert list(told["studies"]) == ["sma_cross 1h"]


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([[0.5, 1.0], [np.nan, 0.9]], []),
        (
            [[0.5, 1.0], [1.25, np.nan]],
            ["map       1 settings round the winner do better, up to 1.25 at fast=5, slow=40"],
        ),
    ],
)
def test_better_cells_of_the_map_than_the_winner_are_told(values, told):
    view = ParameterMap("fast", "slow", [5, 10], [20, 40], np.array(values), None, (0, 1))
    for method, advice in (("grid", "--trials or --method tpe"), ("tpe", "--trials")):
        lines = _map_lines(SimpleNamespace(picture=view, wish=SimpleNamespace(method=method)), "")
        ends = f": the search was coarse; take more {advice}"
        assert lines == [line + ends for line in told]


def test_one_disaster_does_not_bleach_the_map():
    values = np.append(np.linspace(-2.0, 2.0, 40), [-40.0, np.nan]).reshape(6, 7)
    assert 1.5 < colour_limit(values) < 2.5
    assert colour_limit(np.full((2, 2), np.nan)) > 0


def test_the_title_of_a_narrow_map_is_not_cut_off():
    from matplotlib.image import imread

    setting = Setting({"fast": 5, "slow": 20, "window": 14}, ExitOptions(stop_loss_frac=0.0123))
    view = ParameterMap("fast", "slow", [5, 10], [20], np.array([[0.5, 1.0]]), setting, (0, 1))
    plan = SimpleNamespace(
        objective="recovery_factor",
        space=SimpleNamespace(strategy="momentum_exploiter"),
        bars=[SimpleNamespace(timeframe="15m")],
    )
    found = SimpleNamespace(picture=view, winner=SimpleNamespace(plan=plan))
    pixels = imread(io.BytesIO(map_png(found, is_simulated=False)))
    assert (pixels[:, -2:, :3] == 1.0).all()


def test_a_plateau_below_nothing_is_not_told_in_thousands_of_percent():
    assert (_share(-10.97), _share(0.5), _share(None)) == ("below 0", "0.50", "-")
    ground = Plateau(-10.97, -23.7, 6)
    (line,) = _ground_lines(SimpleNamespace(ground=ground), "")
    assert "6 neighbours reach less than 0% of the best value on average, less than 0%" in line


def test_a_front_is_drawn_and_an_invented_market_is_marked(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(TINY))
    assert command("optimize", "--strategy", "sma_cross", "--method", "nsga2", "--trials", "40",
                   "--minimum-trades", "1", "--folds", "0") == 0  # fmt: skip
    shown = capsys.readouterr().out
    assert "SIMULATED best settings" in shown
    (place,) = (p for p in (tmp_path / "out/opt-simulated").iterdir() if p.name != "studies")
    assert (place / "front.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((place / "best.json").read_text())["is_simulated"] is True
    assert not (tmp_path / "out/opt").exists()


def test_a_space_is_read_from_words():
    assert read_space(["a=5:20", "b=0.5:2", "c=5:20:5", "d=0.1:0.3:0.1", "e=1,2.5,x", "f=true"]) == {
        "a": (5, 20), "b": (0.5, 2), "c": range(5, 21, 5), "d": [0.1, 0.2, 0.3],
        "e": [1, 2.5, "x"], "f": True,
    }  # fmt: skip
    for word in ("a", "a=", "=5", "a=1:2:3:4", "a=1:x", "a=5:1:1", "a=1:5:0", "a=1:5:nan"):
        with pytest.raises(
            ConfigError, match=r"--space must .* was 'a?=" if "=" in word else "--space"
        ):
            read_space([word])
    with pytest.raises(ConfigError, match="--space must have at most 1,000,000 steps"):
        read_space(["a=0.0:1e9:0.1"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--strategy", "sma_cros"], "did you mean 'sma_cross'?"),
        (["--strategy", "rsi", "--trials", "0"], "trials must be 1..1,000,000, was 0"),
        (["--strategy", "rsi", "--trials", "-1"], "trials must be 1..1,000,000, was -1"),
        (["--strategy", "rsi", "--method", "tpee"], "method must be one of grid, random, tpe, nsga2, forest, was 'tpee'; did you mean 'tpe'?"),
        (["--strategy", "rsi", "--objective", "sharp"], "was 'sharp'; did you mean 'sharpe'?"),
        (["--strategy", "rsi", "--exits", "stopp"], "exits must be among none, stop, target, trailing, holding, was 'stopp'; did you mean 'stop'?"),
        (["--strategy", "rsi", "--seed", "-3"], "seed must be at least 0, was -3"),
        (["--strategy", "rsi", "--folds", "-1"], "folds must be at least 0, was -1"),
        (["--strategy", "rsi", "--minimum-trades", "0"], "minimum_trades must be at least 1, was 0"),
        (["--strategy", "rsi", "--timeframes", "1x"], "timeframe must be a number and one of s m h d w"),
        (["--strategy", "rsi", "--space", "windw=5:9"], "space.windw must be a parameter of rsi; did you mean 'window'?"),
        (["--strategy", "rsi", "--space", "window"], "--space must be NAME=LOW:HIGH[:STEP], NAME=A,B,C or NAME=VALUE, was 'window'"),
        (["--strategy", "rsi", "--cache-dir", "x"], "--cache-dir must go without --strategy"),
        (["--method", "grid"], "--method must go with --strategy NAME"),
        (["--minimum-trades", "4"], "--minimum-trades must go with --strategy NAME"),
    ],
)  # fmt: skip
def test_a_bad_option_is_refused_with_exit_code_2_before_anything_is_read(
    folder, capsys, words, message
):
    assert command("optimize", *words) == 2
    assert message in capsys.readouterr().err
    assert not (folder / "journal.sqlite").exists()


def test_a_grid_of_thousands_of_millions_is_refused_with_its_size(folder, capsys):
    space = [
        "fast=2:50:1",
        "slow=3:200:1",
        "window=5:50:1",
        "volume_bars=5:100:1",
        "adx_min=0:50:0.1",
    ]
    words = ["optimize", "--strategy", "trend_bot", "--method", "grid", "--space", *space]
    assert command(*words) == 2
    message = capsys.readouterr().err
    assert (
        "grid must have at most 1,000,000 settings (trials), was 343,437,760,512 (fast 49 x"
        in message
    )
    assert "exits 16" in message


def test_a_strategy_that_needs_more_than_candles_says_what(folder, capsys):
    assert command("optimize", "--strategy", "model") == 1
    assert "model needs a model's predictions" in capsys.readouterr().err


def test_no_setting_with_enough_trades_is_an_error_that_says_so(folder, capsys):
    assert command(*SEARCH, "--minimum-trades", "900") == 1
    assert "search must hold a setting with >= 900 closed trades a pair" in capsys.readouterr().err
    with Journal(f"sqlite:///{folder / 'journal.sqlite'}") as journal:
        (run,) = journal.runs("search")
    assert str(run.status) == "failed"


def test_the_short_form_knows_the_command(folder, capsys):
    from crypto_bot.cli.bot import main as short

    with pytest.raises(SystemExit) as ended:
        short(["sweep", "--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert "--strategies" in shown
    assert "example" in shown


# continuous

CONTINUOUS = ("continuous", "--once", "--pairs", *PAIRS, "--strategies", "rsi", "sma_cross")


def test_continuous_computes_only_pairs_and_timeframes_with_new_candles(folder, capsys):
    store = BarStore(folder / "data/market")
    first = asked(capsys, *CONTINUOUS)
    assert first["computed"] == first["backtests"] > 0
    again = asked(capsys, *CONTINUOUS)
    assert (again["computed"], again["files"]) == (0, [])
    assert again["ranking"] == first["ranking"]
    longer = market(24 * 60 + 2)
    store.append(longer[0][-2:])
    later = asked(capsys, *CONTINUOUS)
    # One of two pairs, at 1h but not at 4h, has a new bar: 2 strategies x 2 sets x 2 exits.
    assert later["computed"] == 2 * 2 * 2
    with Journal(f"sqlite:///{folder / 'journal.sqlite'}") as journal:
        assert journal.trials_count() == first["computed"] + later["computed"]
    for path in (folder / "crypto_bot/logs/backtest_results/store").rglob("*.parquet"):
        path.unlink()
    whole = asked(capsys, *CONTINUOUS)
    assert whole["computed"] == whole["backtests"]
    assert whole["ranking"] == later["ranking"]


def test_the_table_read_from_the_store_equals_one_computed_anew(tmp_path):
    bars = market()
    end_ns = int(bars[0].close_time[-1])
    start_ns = int(bars[0].open_time[24 * 30])
    universe = Universe(tuple(bars), "1h", start_ns + HOUR_NS, end_ns, "here")
    shorter = Universe((bars[0], bars[1][:-3]), "1h", start_ns + HOUR_NS, end_ns, "here")
    with bench_in(tmp_path) as bench:
        options = {"strategies": ["rsi", "sma_cross"], "timeframes": ["1h", "4h"]}
        for known in (shorter, universe, universe):
            kept = run_sweep(known, bench, end_ns=end_ns, store=tmp_path / "kept", **options)
            fresh = run_sweep(
                known, bench, end_ns=end_ns, store=tmp_path / str(id(kept)), **options
            )
            assert kept.table.equals(fresh.table)
            assert kept.ranking.equals(fresh.ranking)
            assert kept.skipped == fresh.skipped
        assert kept.computed == 0
        # Later the same day the window begins at the same midnight.
        moved = replace(universe, start_ns=universe.start_ns + 5 * HOUR_NS)
        assert (
            run_sweep(moved, bench, end_ns=end_ns, store=tmp_path / "kept", **options).computed == 0
        )
        tomorrow = replace(universe, start_ns=universe.start_ns + DAY_NS)
        assert (
            run_sweep(tomorrow, bench, end_ns=end_ns, store=tmp_path / "kept", **options).computed
            > 0
        )


# What is shown of sweeps.


def test_a_heat_map_of_the_report_is_of_the_chosen_exits_and_not_a_mean(tmp_path):
    rows = []
    for fast in (5, 10):
        for slow in (20, 30):
            for stop, sharpe in ((None, fast + slow), (0.02, -90.0), (0.04, -80.0)):
                for pair, more in (("A", 0.0), ("B", 1.0)):
                    rows.append({
                        "symbol": pair, "timeframe": "1h", "strategy": "sma_cross",
                        "parameters": json.dumps({"fast": fast, "slow": slow}),
                        "stop_loss_frac": stop, "take_profit_frac": None if stop is None else 0.05,
                        "sharpe": sharpe + more, "total_return": 0.1, "max_drawdown": 0.1,
                        "win_rate": 0.5, "trades": 10, "buy_and_hold_return": 0.0,
                    })  # fmt: skip
    floats = dict.fromkeys(("stop_loss_frac", "take_profit_frac", "sharpe"), pl.Float64)
    table = pl.DataFrame(rows, schema_overrides=floats)
    swept = StrategySweep(table, rank_settings(table), (), 0)
    parameters, exits = heat_maps(swept)
    assert parameters.values.tolist() == [[25.5, 30.5], [35.5, 40.5]]
    best = best_setting(swept.ranking)
    assert json.loads(best["parameters"]) == {"fast": 10, "slow": 30}
    assert parameters.values.max() == best["mean_sharpe"]
    assert exits.values.tolist() == [[-89.5, -79.5]]


def test_work_made_of_smaller_work_shows_one_bar(monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with progress_bars.progress("outer", 2) as outer, progress_bars.progress("inner", 2) as inner:
        assert isinstance(inner, progress_bars._Silent)
        assert not isinstance(outer, progress_bars._Silent)
    with progress_bars.progress("next", 1) as shown:
        assert not isinstance(shown, progress_bars._Silent)
