"""The guide's `optimize_strategy_params`: real backtests, real types, a stretch kept apart."""

import pytest

from candle_files_made import write_candles
from crypto_bot.core.errors import ConfigError, DataError
from crypto_bot.engine import ExitOptions, exits_for, simulate
from crypto_bot.ml.optimize_strategy_params import (
    main,
    optimize_parameters,
    optimize_strategy_params,
)
from crypto_bot.strategies import get_strategy
from search.markets import market

GRID = {"fast": (2, 40), "slow": [30, 60, 90, 120]}


@pytest.fixture(scope="module")
def found():
    return optimize_parameters(market()[0], GRID, trials=32)


def test_the_answer_is_a_complete_setting_that_was_really_backtested(found):
    assert found.trials == 32
    best = found.finalists[0]
    assert found.best == best.parameters
    assert isinstance(found.best["fast"], int)
    assert found.best["slow"] in GRID["slow"]
    assert 2 <= found.best["fast"] <= 40
    strategy = get_strategy("sma_cross", **found.best)
    bars = market()[0]
    late = bars.open_time >= bars.closed_by(_ns(found.holdout_start)).close_time[-1]
    first = int(late.argmax())
    whole = strategy.signals_on(bars)
    signals = type(whole)(whole.direction[first:], whole.score[first:])
    result = simulate(bars[first:], signals, exits=exits_for(strategy, ExitOptions()))
    assert result.metrics.total_return == pytest.approx(best.held_out, rel=1e-9)


def _ns(text):
    import pandas as pd

    return pd.Timestamp(text).value


def test_finalists_are_ranked_by_the_candles_kept_apart(found):
    held_out = [each.held_out for each in found.finalists]
    assert len(held_out) == 5
    known = [value for value in held_out if value is not None]
    assert len(known) > 1
    assert held_out[: len(known)] == sorted(known, reverse=True)
    searched = [each.searched for each in found.finalists]
    assert len({str(each.parameters) for each in found.finalists}) == 5
    assert max(searched) > min(searched)


def test_same_seed_same_answer_and_the_kept_stretch_changes_no_search(found):
    assert optimize_parameters(market()[0], GRID, trials=32) == found
    bars = market()[0]
    cut = len(bars.closed_by(_ns(found.holdout_start)))
    span = bars[: len(bars) - (len(bars) - cut) // 2]
    frac = 1 - (bars.close_time[cut - 1] - bars.open_time[0]) / (
        span.close_time[-1] - span.open_time[0]
    )
    other = optimize_parameters(span, GRID, trials=32, holdout_frac=float(frac))
    assert {str(each.parameters) for each in other.finalists} == {
        str(each.parameters) for each in found.finalists
    }


def test_the_guides_call_takes_a_frame_and_a_list_of_settings():
    frame = market()[0].to_pandas()
    grid = [{"fast": fast, "slow": slow} for fast in (5, 10, 20) for slow in (30, 60)]
    best = optimize_strategy_params(frame, grid, trials=20)
    assert 5 <= best["fast"] <= 20
    assert 30 <= best["slow"] <= 60
    assert all(type(value) is int for value in best.values())


def test_a_huge_grid_costs_no_more_than_its_budget():
    grid = {"fast": range(2, 200), "slow": range(3, 400)}
    assert optimize_parameters(market()[0], grid, trials=16, finalists=1).trials == 16


@pytest.mark.parametrize(
    ("grid", "options", "message"),
    [
        ({"fats": (2, 9)}, {}, "space.fats must be a parameter of sma_cross; did you mean 'fast'"),
        ({"fast": (2, 9000)}, {}, "space.fast must lie in 2.*was 9000"),
        ({"fast": (2.5, 9)}, {}, "space.fast must be whole numbers, was 2.5"),
        ({}, {}, "param_grid must name a parameter, was empty"),
        ([], {}, "param_grid must be a mapping or settings that name the same"),
        ([{"fast": 3}, {"slow": 50}], {}, "param_grid must be a mapping or settings that name"),
        (GRID, {"holdout_frac": 1.0}, "holdout_frac must lie between 0 and 1, was 1.0"),
        (GRID, {"finalists": 0}, "finalists must be at least 1, was 0"),
        (GRID, {"strategy": "sma_cros"}, "did you mean 'sma_cross'"),
        (GRID, {"trials": 0}, "trials must be 1"),
    ],
)
def test_what_cannot_be_searched_is_named(grid, options, message):
    with pytest.raises(ConfigError, match=message):
        optimize_parameters(market()[0], grid, **options)


def test_a_search_without_enough_trades_says_so():
    with pytest.raises(DataError, match="must hold a setting with >= 500 closed trades"):
        optimize_parameters(market()[0], GRID, trials=8, minimum_trades=500)
    with pytest.raises(DataError, match="must have at least 2 bars, was 1"):
        optimize_parameters(market()[0][:1], GRID)


def test_the_command_prints_the_finalists(tmp_path, capsys):
    path = write_candles(tmp_path / "BTC_USDT-15m.csv")
    words = ["--data", str(path), "--trials", "16"]
    assert main([*words, "--param", "fast=2:40", "--param", "slow=30,60,90"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "16 backtests before" in lines[0]
    assert len(lines) == 2 + 5
    assert main([*words, "--param", "fast"]) == 2
    assert "--param must look like fast=2:50" in capsys.readouterr().err
