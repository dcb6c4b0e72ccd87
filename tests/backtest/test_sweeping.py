"""The sweep of a run, its ranking, its trials and its result files."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from backtest.tiny import TINY, bench_in
from crypto_bot.backtest.candles import Universe
from crypto_bot.backtest.results import rank_results, read_results, result_files, summarise
from crypto_bot.backtest.sweeping import (
    RESULT_COLUMNS,
    TOO_FEW_TRADES,
    StrategySweep,
    best_setting,
    exit_grid,
    rank_settings,
    record_trials,
    result_rows,
    rule_strategies,
    run_sweep,
    write_results,
)
from crypto_bot.config import load_settings
from crypto_bot.core import FundingRates
from crypto_bot.core.errors import ConfigError, DataError
from crypto_bot.core.timeframes import HOUR_NS
from crypto_bot.engine import METRICS
from crypto_bot.market import SimulationOptions, simulate_market

MOMENT = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)


def row(**values):
    """One backtest of a sweep."""
    return {
        "symbol": "BTC/USDT", "timeframe": "1h", "strategy": "rsi", "parameters": '{"window":14}',
        "stop_loss_frac": 0.02, "take_profit_frac": 0.04, "sharpe": 1.0, "total_return": 0.1,
        "max_drawdown": 0.1, "win_rate": 0.5, "trades": 10, "buy_and_hold_return": 0.02, **values,
    }  # fmt: skip


def table(*rows):
    floats = ("sharpe", "win_rate", "stop_loss_frac", "take_profit_frac")
    return pl.DataFrame(rows, schema_overrides=dict.fromkeys(floats, pl.Float64))


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    with bench_in(tmp_path_factory.mktemp("sweep")) as opened:
        yield opened


@pytest.fixture(scope="module")
def universe():
    bars = simulate_market(SimulationOptions(symbols=2, timeframe="1h", bars=24 * 30))
    end_ns = int(bars[0].close_time[-1])
    return Universe(tuple(bars), "1h", int(bars[0].open_time[24 * 10]), end_ns, "here")


@pytest.fixture(scope="module")
def swept(bench, universe):
    return run_sweep(universe, bench, end_ns=universe.end_ns)


def test_a_score_is_the_guide_s_with_its_defects_mended():
    ranking = rank_settings(
        table(
            row(symbol="A", sharpe=2.0, total_return=0.2, max_drawdown=0.1),
            row(symbol="B", sharpe=1.0, total_return=-0.1, max_drawdown=0.3),
        )
    )
    (only,) = ranking.to_dicts()
    expected = 0.4 * 1.5 + 0.3 * 0.5 + 0.2 * (1 - 0.2) + 0.1 / (1 + 0.5)
    assert only["score"] == pytest.approx(expected, abs=1e-12)
    assert (only["pairs"], only["trades"]) == (2, 20)
    assert only["mean_return"] == pytest.approx(0.05)


def test_identical_results_do_not_swamp_the_ranking():
    same = [row(symbol=s, strategy="same", sharpe=0.1) for s in "ABC"]
    better = [row(symbol=s, strategy="better", sharpe=2.0 + k) for k, s in enumerate("ABC")]
    ranking = rank_settings(table(*same, *better))
    assert ranking["strategy"].to_list() == ["better", "same"]
    assert ranking["score"].is_finite().all()


def test_a_pair_without_trades_counts_as_nothing_earned():
    one = rank_settings(
        table(row(symbol="A", sharpe=2.0), row(symbol="B", sharpe=None, trades=0, win_rate=None))
    )
    assert one["mean_sharpe"][0] == pytest.approx(1.0)
    alone = rank_settings(
        table(row(sharpe=None, trades=0, win_rate=None, stop_loss_frac=None, take_profit_frac=None))
    )
    assert alone["mean_sharpe"][0] == 0.0
    assert alone["stop_loss_frac"][0] is None


def test_equal_scores_are_ranked_alike_in_any_order_of_rows():
    rows = [row(strategy=name, timeframe=t) for name in ("b", "a") for t in ("4h", "1h")]
    order = [(r["strategy"], r["timeframe"]) for r in rank_settings(table(*rows)).to_dicts()]
    back = [(r["strategy"], r["timeframe"]) for r in rank_settings(table(*rows[::-1])).to_dicts()]
    assert order == back == [("a", "1h"), ("a", "4h"), ("b", "1h"), ("b", "4h")]


def test_the_best_setting_must_have_traded_enough_to_mean_something():
    lucky = [row(symbol=s, strategy="lucky", sharpe=9.0, trades=1) for s in "AB"]
    steady = [row(symbol=s, strategy="steady", sharpe=1.0, trades=5) for s in "AB"]
    idle = [row(symbol=s, strategy="idle", sharpe=0.0, trades=0) for s in "AB"]
    ranking = rank_settings(table(*lucky, *steady, *idle))
    assert ranking["strategy"].to_list() == ["steady", "lucky", "idle"]
    assert ranking["is_enough"].to_list() == [True, False, False]
    assert ranking["score"][1] > ranking["score"][0]
    assert best_setting(ranking)["strategy"] == "steady"
    assert best_setting(rank_settings(table(*lucky, *idle)))["strategy"] == "lucky"
    assert best_setting(rank_settings(table(*lucky)), trades_a_pair=1)["strategy"] == "lucky"


def test_settings_that_differ_in_any_exit_are_ranked_apart():
    rows = [row(trailing_stop_frac=None), row(trailing_stop_frac=0.03, sharpe=2.0)]
    ranking = rank_settings(pl.DataFrame(rows, schema_overrides={"trailing_stop_frac": pl.Float64}))
    assert ranking["trailing_stop_frac"].to_list() == [0.03, None]
    assert ranking["pairs"].to_list() == [1, 1]


def test_a_result_row_is_that_of_a_setting_with_enough_trades_or_says_that_there_is_none():
    lucky, steady = row(sharpe=9.0, trades=1), row(sharpe=1.0, trades=5, parameters="{}")
    (best,) = result_rows(table(lucky, steady), "now").to_dicts()
    assert (best["sharpe"], best["validation"]) == (1.0, "in-sample best of the grid")
    (only,) = result_rows(table(lucky), "now").to_dicts()
    assert (only["sharpe"], only["validation"]) == (9.0, TOO_FEW_TRADES)


def test_a_lucky_result_meets_no_threshold_and_comes_last(tmp_path):
    write_rows(
        tmp_path,
        "rsi_20240101_000000",
        {"pair": "LUCK/USDT", "sharpe": 9.0, "validation": TOO_FEW_TRADES},
        {"pair": "GOOD/USDT", "sharpe": 1.0},
    )
    ranked = rank_results(tmp_path, load_settings({}, environ={}))
    assert [r["pair"] for r in ranked["top_strategies"]] == ["GOOD/USDT"]
    assert [r["pair"] for r in ranked["all_strategies"]] == ["GOOD/USDT", "LUCK/USDT"]


def test_every_strategy_pair_parameter_and_exit_is_tried_once(swept, bench):
    exits = exit_grid(bench)
    assert [(e.stop_loss_frac, e.take_profit_frac) for e in exits] == [(None, None), (0.02, 0.04)]
    key = ["symbol", "timeframe", "strategy", "parameters", "stop_loss_frac", "take_profit_frac"]
    assert len(swept.table) == 2 * 2 * 2 * len(exits)
    assert swept.table.select(key).is_unique().all()
    assert set(swept.table["strategy"]) == {"sma_cross", "rsi"}
    assert swept.ranking["pairs"].to_list() == [2] * len(swept.ranking)
    different = swept.table.group_by("strategy").agg(pl.col("total_return").n_unique())
    assert (different["total_return"] > 1).all(), "strategies are really run"


def test_trials_are_counted_once_however_often_they_are_given(swept, bench):
    run_id = bench.journal.start_run("sweep")
    record_trials(bench, run_id, swept.table)
    record_trials(bench, run_id, swept.table)
    trials = bench.journal.trials(run_id=run_id)
    assert len(trials) == len(swept.table)
    assert trials[0].parameters["costs"] == bench.costs.model_dump()
    assert set(trials[0].metrics) == set(METRICS)
    other = bench.journal.start_run("sweep")
    record_trials(bench, other, swept.table)
    assert bench.journal.trials_count() == 2 * len(swept.table)


def test_unknown_strategies_and_impossible_timeframes_are_refused(universe, bench):
    with pytest.raises(ConfigError, match=r"sma_cros.*did you mean 'sma_cross'"):
        run_sweep(universe, bench, end_ns=universe.end_ns, strategies=["sma_cros"])
    with pytest.raises(DataError, match="timeframes must be multiples of 1h, were 90m"):
        run_sweep(universe, bench, end_ns=universe.end_ns, timeframes=["90m"])
    with pytest.raises(DataError, match=r"candles must suffice for one backtest, did not: .*1w"):
        run_sweep(universe, bench, end_ns=universe.start_ns, timeframes=["1w"])


def test_a_timeframe_too_coarse_for_every_pair_stops_no_other_timeframe(universe, bench):
    brief = Universe(
        tuple(bars[:20] for bars in universe.bars),
        "1h",
        0,
        int(universe.bars[0].close_time[19]),
        "x",
    )
    found = run_sweep(
        brief, bench, end_ns=brief.end_ns, timeframes=["1h", "1w"], strategies=["sma_cross"]
    )
    assert set(found.table["timeframe"]) == {"1h"}
    assert {s.symbol for s in found.skipped if s.timeframe == "1w"} == set(brief.symbols)


def test_a_pair_too_short_for_a_timeframe_stops_no_other(universe, bench):
    first, second = universe.bars
    short = Universe((first, second[-20:]), "1h", universe.start_ns, universe.end_ns, "here")
    found = run_sweep(
        short, bench, end_ns=short.end_ns, timeframes=["1d"], strategies=["sma_cross"]
    )
    assert set(found.table["symbol"]) == {first.symbol}
    (skipped,) = [s for s in found.skipped if s.symbol == second.symbol]
    assert skipped.reason == "no bar of 1d before the hold-out"


def test_a_strategy_of_longer_bars_is_skipped_where_they_are_not_longer(universe, bench):
    names = ("daily_pivot", "sma_cross")
    found = run_sweep(
        universe, bench, end_ns=universe.end_ns, strategies=names, timeframes=("1h", "2d")
    )
    tried = {tuple(row) for row in found.table.select("timeframe", "strategy").rows()}
    assert tried == {("1h", "daily_pivot"), ("1h", "sma_cross"), ("2d", "sma_cross")} & tried
    assert ("1h", "daily_pivot") in tried
    skipped = [one for one in found.skipped if one.strategy == "daily_pivot"]
    assert [(one.timeframe, one.reason) for one in skipped] == [
        ("2d", "daily_pivot reads longer bars than 2d")
    ]
    with pytest.raises(DataError, match="daily_pivot reads longer bars than 2d"):
        run_sweep(universe, bench, end_ns=universe.end_ns, strategies=names[:1], timeframes=("2d",))


def test_rule_strategies_are_those_that_need_no_model():
    assert "model" not in rule_strategies()
    assert {"sma_cross", "trend_bot", "dip_hunter"} <= set(rule_strategies())


def test_result_files_hold_the_guide_s_columns_and_are_read_back(swept, tmp_path):
    paths = write_results(swept, tmp_path, MOMENT)
    names = [path.name for path in paths]
    assert names == [
        "rsi_20240506_070809.csv", "sma_cross_20240506_070809.csv", "rankings_20240506_070809.json",
    ]  # fmt: skip
    found = read_results(paths[1])
    assert paths[1].read_text().splitlines()[0].split(",") == list(RESULT_COLUMNS)
    assert set(RESULT_COLUMNS) < set(found.columns)
    assert found["strategy"].unique().to_list() == ["sma_cross"]
    assert sorted(found["pair"]) == ["BTC/USDT", "ETH/USDT"]
    for item in found.to_dicts():
        mine = swept.table.filter(
            (pl.col("symbol") == item["pair"]) & (pl.col("strategy") == "sma_cross")
        )
        ranked = mine.with_columns(enough=pl.col("trades") >= 5)
        best = ranked.sort(["enough", "sharpe"], descending=True, nulls_last=True).row(
            0, named=True
        )
        assert item["pnl"] == best["total_return"]
        assert item["sharpe"] == best["sharpe"]
        assert item["stop_loss_pct"] == best["stop_loss_frac"]
    ranking = json.loads(paths[-1].read_text(), parse_constant=pytest.fail)
    assert ranking["rankings"] == swept.ranking.head(100).to_dicts()


def test_the_newest_files_come_first_and_a_strategy_may_have_an_underscore(swept, tmp_path):
    older = datetime(2023, 1, 1, tzinfo=UTC)
    write_results(swept, tmp_path, older)
    write_results(swept, tmp_path, MOMENT)
    (tmp_path / "notes.csv").write_text("not one of ours")
    found = [path.name for path in result_files(tmp_path)]
    assert found == [
        "sma_cross_20240506_070809.csv", "rsi_20240506_070809.csv",
        "sma_cross_20230101_000000.csv", "rsi_20230101_000000.csv",
    ]  # fmt: skip
    assert [p.name for p in result_files(tmp_path, "sma_cross")] == [found[0], found[2]]
    with pytest.raises(DataError, match="must hold results of sma, had none; run: python -m"):
        result_files(tmp_path, "sma")
    with pytest.raises(DataError, match="must hold results, had none"):
        result_files(tmp_path / "nowhere")


def write_rows(folder, name, *rows):
    base = {
        "stop_loss_pct": 0.02, "take_profit_pct": 0.04, "sharpe": 1.0, "max_drawdown": 0.1,
        "pnl": 0.05, "win_rate": 0.5, "validation": "by hand", "pair": "BTC/USDT",
        "timeframe": "1h", "timestamp": "20240101_000000",
    }  # fmt: skip
    frame = pl.DataFrame([{**base, **values} for values in rows] or [base])
    (frame if rows else frame.clear()).write_csv(folder / f"{name}.csv")


def test_a_summary_is_a_line_a_file_also_of_an_empty_one(tmp_path):
    write_rows(
        tmp_path,
        "rsi_20240101_000000",
        {"sharpe": 1.0, "max_drawdown": 0.2},
        {"sharpe": 3.0, "pnl": 0.15},
    )
    write_rows(tmp_path, "idle_20240101_000000")
    first, second = summarise(result_files(tmp_path))
    assert first == {
        "file": "rsi_20240101_000000.csv", "strategy": "rsi", "records": 2,
        "mean_sharpe": 2.0, "mean_pnl": pytest.approx(0.1), "max_drawdown": 0.2,
        "is_simulated": False,
    }  # fmt: skip
    assert (second["records"], second["mean_sharpe"], second["max_drawdown"]) == (0, None, None)


def test_results_are_held_against_each_threshold_of_the_settings(tmp_path):
    settings = load_settings(
        {"min_sharpe_threshold": 0.5, "max_drawdown_threshold": 0.2, "min_win_rate": 0.4},
        environ={},
    )
    write_rows(
        tmp_path,
        "rsi_20240101_000000",
        {"pair": "GOOD/USDT", "sharpe": 0.5, "max_drawdown": 0.2, "win_rate": 0.4},
        {"pair": "BEST/USDT", "sharpe": 2.0},
        {"pair": "DULL/USDT", "sharpe": 0.49},
        {"pair": "DEEP/USDT", "max_drawdown": 0.21},
        {"pair": "LOSE/USDT", "win_rate": 0.39},
        {"pair": "NONE/USDT", "sharpe": None},
    )
    write_rows(tmp_path, "rsi_20230101_000000", {"pair": "OLD/USDT", "sharpe": 9.0})
    ranked = rank_results(tmp_path, settings)
    assert [r["pair"] for r in ranked["top_strategies"]] == ["BEST/USDT", "GOOD/USDT"]
    pairs = [r["pair"] for r in ranked["all_strategies"]]
    assert len(pairs) == 6
    assert pairs[0] == "BEST/USDT"
    assert pairs[-1] == "NONE/USDT"
    assert "OLD/USDT" not in pairs
    assert ranked["criteria"] == {
        "min_sharpe_threshold": 0.5, "max_drawdown_threshold": 0.2, "min_win_rate": 0.4,
    }  # fmt: skip
    json.dumps(ranked, allow_nan=False)


def test_a_file_that_holds_no_results_is_named(tmp_path):
    (tmp_path / "rsi_20240101_000000.csv").write_text("a,b\n1,2\n")
    with pytest.raises(
        DataError, match=r"rsi_20240101_000000\.csv must have columns .* lacked stop"
    ):
        read_results(tmp_path / "rsi_20240101_000000.csv")
    (tmp_path / "rsi_20240101_000001.csv").write_bytes(b"\xff\xfe\x00bad\n\x00")
    with pytest.raises(DataError, match=r"rsi_20240101_000001\.csv must"):
        read_results(tmp_path / "rsi_20240101_000001.csv")


def test_view_and_optimize_show_hand_made_files(tmp_path, capsys, monkeypatch):
    from crypto_bot.backtest.cli import main

    monkeypatch.chdir(tmp_path)
    write_rows(tmp_path, "rsi_20240101_000000", {"sharpe": 1.25})
    write_rows(tmp_path, "idle_20240101_000000")
    assert main(["view", "--cache-dir", "."]) == 0
    shown = capsys.readouterr().out
    assert "rsi_20240101_000000.csv" in shown
    assert "1.25" in shown
    assert "idle_20240101_000000.csv" in shown
    assert "in sample: a record" in shown
    assert main(["optimize", "--cache-dir", ".", "--output", "best.json", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == json.loads((tmp_path / "best.json").read_text())
    assert [r["strategy"] for r in told["top_strategies"]] == ["rsi"]
    assert main(["optimize", "--cache-dir", "."]) == 0
    shown = capsys.readouterr().out
    assert "1 of 1 results meet" in shown
    assert "in sample: a record" in shown


def test_optimize_keeps_a_perpetuals_name_and_its_timeframe_apart(tmp_path, capsys, monkeypatch):
    from crypto_bot.backtest.cli import main

    monkeypatch.chdir(tmp_path)
    write_rows(tmp_path, "rsi_20240101_000000", {"sharpe": 1.25, "pair": "BTC/USDT:USDT"})
    assert main(["optimize", "--cache-dir", "."]) == 0
    assert "BTC/USDT:USDT  " in capsys.readouterr().out


def test_a_sweep_can_be_shown_when_nothing_ever_traded(tmp_path, universe, bench):
    still = tuple(flat(bars) for bars in universe.bars)
    calm = Universe(still, "1h", universe.start_ns, universe.end_ns, "here")
    found = run_sweep(calm, bench, end_ns=calm.end_ns, strategies=["sma_cross"])
    assert found.table["trades"].sum() == 0
    assert best_setting(found.ranking)["trades"] == 0
    paths = write_results(StrategySweep(found.table, found.ranking, (), 0), tmp_path, MOMENT)
    json.loads(paths[-1].read_text(), parse_constant=pytest.fail)
    assert read_results(paths[0])["sharpe"].to_list() == [None, None]


def flat(bars):
    from dataclasses import replace

    still = np.full(len(bars), 7.0)
    return replace(bars, open=still, high=still, low=still, close=still)


def test_the_settings_decide_what_is_swept(universe, tmp_path):
    values = {
        **TINY,
        "integration": {"auto_optimize_parameters": False},
        "strategies_to_test": ["rsi"],
    }
    with bench_in(tmp_path, values) as bench:
        found = run_sweep(universe, bench, end_ns=universe.end_ns)
    assert found.table["parameters"].n_unique() == 1
    assert found.bar_combinations > 0


def test_a_sweep_charges_the_funding_kept_beside_the_candles(universe, bench):
    symbol = universe.symbols[0]
    times = np.arange(universe.start_ns, universe.end_ns, 8 * HOUR_NS)
    due = {symbol: FundingRates(symbol, times, np.full(len(times), 0.001))}
    wish = {"end_ns": universe.end_ns, "strategies": ("sma_cross",), "timeframes": ("1h",)}
    free = run_sweep(universe, bench, **wish).table
    paid = run_sweep(replace(universe, funding=due), bench, **wish).table
    differs = free["final_equity"] != paid["final_equity"]
    assert set(free.filter(differs)["symbol"]) == {symbol}
