"""Searches: seeded, honest about few trades, counted, and equal to a sweep of the same settings."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from crypto_bot.core.errors import ConfigError, DataError, StorageError
from crypto_bot.engine import CostOptions, ExitOptions, SizingOptions, sweep
from crypto_bot.search import exit_space, search, setting_of
from crypto_bot.search.samplers import BATCH, OptunaSampler, RandomSampler
from crypto_bot.search.space import search_space
from search.markets import market

EXITS = exit_space(["stop", "target"], ExitOptions())
METHODS = ("grid", "random", "tpe", "nsga2", "forest")


def found(method="random", trials=24, bars=None, **options):
    options = {"minimum_trades": 2, "workers": 1, **options}
    return search(bars or market(), "sma_cross", method=method, trials=trials, **options)


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_trials_and_another_seed_others(method):
    first, again = found(method, 40, exits=EXITS), found(method, 40, exits=EXITS, workers=2)
    assert first.trials.equals(again.trials)
    assert first.table.equals(again.table)
    if method != "grid":
        other = found(method, 40, exits=EXITS, seed=7)
        assert not other.trials["parameters"].equals(first.trials["parameters"])


@pytest.mark.parametrize("method", ["random", "tpe"])
def test_more_trials_begin_with_the_fewer(method):
    few, many = found(method, 20), found(method, 50)
    assert many.trials.head(20).equals(few.trials)


def test_every_trial_has_the_metrics_that_a_sweep_gives_it():
    bars = market(2)
    costs, sizing = CostOptions(slippage_frac=0.0005), SizingOptions(allow_short=False)
    start_ns = int(bars[0].open_time[200])
    result = found("tpe", 20, bars, exits=EXITS, costs=costs, sizing=sizing, start_ns=start_ns)
    assert len(result.table) == 40
    for row in result.trials.iter_rows(named=True):
        setting = setting_of(row)
        alone = sweep(
            bars, ["sma_cross"], grids={"sma_cross": [setting.parameters]}, exits=[setting.exits],
            costs=costs, sizing=sizing, start_ns=start_ns,
        ).table  # fmt: skip
        mine = result.table.filter(pl.col("trial") == row["trial"]).select(alone.columns)
        assert mine.equals(alone)
        assert row["trades"] == alone["trades"].sum()
        assert row["total_return"] == pytest.approx(alone["total_return"].mean(), abs=1e-15)
        if row["value"] is not None:
            assert row["value"] == pytest.approx(alone["sharpe"].fill_null(0.0).mean(), abs=1e-15)


def test_a_setting_with_too_few_trades_has_no_value_and_never_leads():
    free = found("random", 60, minimum_trades=1)
    strict = found("random", 60, minimum_trades=12)
    lucky = strict.trials.filter(pl.col("trades") < 12)
    assert len(lucky) > 3
    assert lucky["value"].null_count() == len(lucky)
    assert strict.best()["trades"] >= 12
    assert strict.leaderboard(99)["trades"].min() >= 12
    assert free.leaderboard(99)["trades"].min() < 12
    with pytest.raises(DataError, match=r"search must hold a setting with >= 9999 closed trades"):
        found("random", 5, minimum_trades=9_999).best()


def test_the_leaderboard_holds_different_settings_in_order():
    result = search(
        market(), "sma_cross", method="tpe", trials=80, minimum_trades=1, workers=1,
        space={"fast": [3, 5], "slow": [20, 30]},
    )  # fmt: skip
    assert result.trials["is_repeat"].sum() == 76
    board = result.leaderboard()
    assert len(board) == 4
    assert board["value"].is_sorted(descending=True)
    assert board.select("parameters", "exits").is_unique().all()


def test_what_optuna_learns_beats_chance_on_a_plain_task():
    # Longer averages trade less and pay fewer fees: the fewer trades, the better the return.
    costs = CostOptions(taker_fee_frac=0.02)
    options = {"objective": "total_return", "costs": costs, "minimum_trades": 1}
    learnt, chance = found("tpe", 96, **options), found("random", 96, **options)
    last = learnt.trials.tail(32)["total_return"].mean()
    assert last > chance.trials["total_return"].mean() + 0.05


def test_the_front_is_what_no_other_beats_in_return_and_drawdown():
    result = found("nsga2", 96, exits=EXITS)
    front = result.front()
    enough = result.trials.filter("is_enough")
    assert len(front) >= 1
    for row in front.iter_rows(named=True):
        better = enough.filter(
            (pl.col("total_return") >= row["total_return"])
            & (pl.col("max_drawdown") <= row["max_drawdown"])
            & (
                (pl.col("total_return") > row["total_return"])
                | (pl.col("max_drawdown") < row["max_drawdown"])
            )
        )
        assert better.is_empty()
    dominated = enough.join(front, on=["parameters", "exits"], how="anti")
    for row in dominated.iter_rows(named=True):
        assert not front.filter(
            (pl.col("total_return") >= row["total_return"])
            & (pl.col("max_drawdown") <= row["max_drawdown"])
        ).is_empty()


def test_nsga2_is_told_to_raise_the_return_and_to_lower_the_drawdown(monkeypatch):
    told = []
    tell = OptunaSampler.tell

    def heard(self, suggestions, values):
        told.extend(values)
        tell(self, suggestions, values)

    monkeypatch.setattr(OptunaSampler, "tell", heard)
    trials = found("nsga2", 32, exits=EXITS, minimum_trades=20).trials
    rows = trials.select("is_enough", "total_return", "max_drawdown").rows()
    assert told == [(gain, -fall) if enough else (-1.0, -1.0) for enough, gain, fall in rows]
    assert 0 < trials["is_enough"].sum() < 32


def test_a_pair_without_trades_counts_as_nothing_earned():
    (first,) = market()
    flat = np.full(len(first), 100.0)
    still = replace(first, symbol="STILL/USDT", open=flat, high=flat, low=flat, close=flat)
    alone = found(bars=(first,), minimum_trades=1).trials
    both = found(bars=(first, still), minimum_trades=1).trials
    rows = [
        (one, two)
        for one, two in zip(alone["value"], both["value"], strict=True)
        if two is not None
    ]
    assert len(rows) > 10
    assert all(two == pytest.approx(one / 2) for one, two in rows)


def test_the_next_batch_of_random_draws_is_another():
    space = search_space("sma_cross")
    sampler = RandomSampler(space, 42)
    first = {each.setting.key for each in sampler.ask(0, BATCH["random"])}
    later = {each.setting.key for each in sampler.ask(1, 100)}
    assert len(later - first) > 90


def test_a_setting_that_cannot_run_is_kept_with_its_reason():
    short = market()[0][:60]
    result = found("random", 30, short, minimum_trades=1)
    refused = result.table.filter(pl.col("reason").is_not_null())
    assert 0 < len(refused) < 30
    assert refused["trades"].null_count() == len(refused)
    assert result.skipped[0].reason == refused["reason"][0]
    assert "must have at least" in result.skipped[0].reason
    with pytest.raises(DataError, match=r"not run: .* must have at least"):
        found("random", 30, short, minimum_trades=500).best()


def test_every_trial_that_ran_is_told_in_order_whether_new_or_kept(tmp_path):
    told, again = [], []
    first = found("tpe", 30, market(2), store=tmp_path, on_trial=told.append)
    second = found("tpe", 30, market(2), store=tmp_path, on_trial=again.append)
    assert second.reused == 30
    assert told == again
    assert [row["trial"] for row in told] == first.table["trial"].to_list()
    assert {row["study"] for row in told} == {first.study}
    assert json.loads(told[0]["exits"])["cooldown_bars"] == 0


def test_a_trial_is_told_before_its_batch_is_kept(tmp_path):
    def stop(row):
        if row["trial"] == BATCH["tpe"] + 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        found("tpe", 40, store=tmp_path, on_trial=stop)
    assert len(list(tmp_path.rglob("batch-*.parquet"))) == 1
    assert found("tpe", 40, store=tmp_path).reused == BATCH["tpe"]


@pytest.fixture
def small_batches(monkeypatch):
    """Batches of 16 where only their number matters, not their size."""
    for method in ("grid", "random"):
        monkeypatch.setitem(BATCH, method, 16)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("batches", [1, 2])
def test_a_search_cut_short_goes_on_as_if_it_had_not_been(tmp_path, method, batches, small_batches):
    trials = 80 if method == "nsga2" else 44
    exits = None if method in ("grid", "random") else EXITS
    whole = found(method, trials, exits=exits)
    kept = found(method, trials, exits=exits, store=tmp_path)
    for path in sorted(tmp_path.rglob("batch-*.parquet"))[batches:]:
        path.unlink()
    again = found(method, trials, exits=exits, store=tmp_path)
    assert again.reused == min(batches * BATCH[method], len(whole.trials))
    assert again.trials.equals(whole.trials)
    assert again.table.equals(whole.table)
    assert kept.trials.equals(whole.trials)


@pytest.mark.parametrize("method", ["random", "tpe", "nsga2", "forest"])
def test_more_trials_go_on_in_the_middle_of_a_batch(tmp_path, method, small_batches):
    few = BATCH[method] + 5
    found(method, few, exits=EXITS, store=tmp_path)
    more = found(method, 2 * BATCH[method] + 3, exits=EXITS, store=tmp_path)
    assert more.reused == few
    assert more.trials.equals(found(method, 2 * BATCH[method] + 3, exits=EXITS).trials)


def test_anything_that_changes_results_begins_another_study(tmp_path):
    plan = found("random", 3).plan
    other = [
        found("random", 3, seed=1), found("tpe", 3), found("random", 3, objective="calmar"),
        found("random", 3, exits=EXITS), found("random", 3, minimum_trades=3),
        found("random", 3, costs=CostOptions(taker_fee_frac=0.0)),
        found("random", 3, sizing=SizingOptions(fraction=0.5)),
        found("random", 3, space={"fast": (2, 9)}),
        found("random", 3, market()[0][:-1]), found("random", 3, market(2)),
        found("random", 3, start_ns=int(market()[0].open_time[5])),
    ]  # fmt: skip
    names = {plan.identity, *(result.plan.identity for result in other)}
    assert len(names) == len(other) + 1
    assert found("random", 9, workers=2).plan.identity == plan.identity


def test_a_damaged_batch_is_named(tmp_path):
    found("random", 3, store=tmp_path)
    (path,) = tmp_path.rglob("batch-*.parquet")
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(StorageError, match=r"batch-000000\.parquet must be a batch of a study"):
        found("random", 3, store=tmp_path)
    pl.DataFrame({"a": [1]}).write_parquet(path)
    with pytest.raises(StorageError, match=r"must have the columns of a batch, had others; remove"):
        found("random", 3, store=tmp_path)


def test_a_store_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "studies").write_text("in the way")
    with pytest.raises(StorageError, match="must be writable, was not"):
        found("random", 3, store=tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trials": 0}, r"trials must be 1\.\.1,000,000, was 0"),
        ({"trials": -5}, r"trials must be 1\.\.1,000,000, was -5"),
        ({"trials": 10**9}, r"trials must be 1\.\.1,000,000, was 1,000,000,000"),
        ({"method": "tpee"}, r"method must be one of grid, random, tpe, nsga2, forest, was 'tpee'; did you mean 'tpe'"),
        ({"objective": "sharp"}, r"objective must be one of sharpe, .*, was 'sharp'; did you mean 'sharpe'"),
        ({"seed": -1}, r"seed must be at least 0, was -1"),
        ({"minimum_trades": 0}, r"minimum_trades must be at least 1, was 0"),
        ({"bars": [market()[0], market()[0]]}, r"bars must hold a symbol and timeframe once, had BTC/USDT 1h twice"),
    ],
)  # fmt: skip
def test_a_bad_option_is_refused_by_name(options, message):
    with pytest.raises(ConfigError, match=message):
        found(**options)
    with pytest.raises(ConfigError, match="bars must hold at least one symbol, was empty"):
        search([], "rsi")


def test_a_grid_of_named_values_is_tried_whole_and_others_take_256():
    named = search(market(), "sma_cross", method="grid", space={"fast": [3, 4], "slow": [9, 20]})
    assert len(named.trials) == 4
    assert search(market(), "rsi", method="grid").plan.trials == 256
    assert search(market(), "rsi", method="grid", space={"window": (5, 9)}).plan.trials == 256
