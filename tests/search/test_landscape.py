"""Neighbours, plateau and map are those of the chosen setting, its exits included."""

from __future__ import annotations

import math

import numpy as np
import pytest

from crypto_bot.core.errors import ConfigError
from crypto_bot.engine import ExitOptions, sweep
from crypto_bot.search import ExitSpace, Setting, exit_space, parameter_map, plateau, search
from crypto_bot.search.landscape import Plateau, dimensions, neighbours
from crypto_bot.search.study import SearchResult, plan_on
from search.markets import market

EXITS = exit_space(["stop", "target"], ExitOptions())


@pytest.fixture(scope="module")
def result():
    return search(
        market(), "sma_cross", method="random", trials=60, exits=EXITS, minimum_trades=2, workers=1
    )


def alone(result, setting):
    """The value of one setting by a sweep of its own; None without enough trades."""
    found = sweep(
        result.plan.bars, ["sma_cross"], grids={"sma_cross": [setting.parameters]},
        exits=[setting.exits], workers=1,
    ).table  # fmt: skip
    enough = found["trades"].sum() >= result.plan.minimum_trades
    return (found["sharpe"][0] or 0.0) if enough else None


def test_a_neighbour_is_one_step_away_in_one_number():
    space = search(
        market(), "sma_cross", method="random", trials=1, exits=EXITS, workers=1
    ).plan.space
    used = ExitOptions(stop_loss_frac=0.05)
    near = neighbours(space, Setting({"fast": 30, "slow": 100}, used))
    moved = [
        (name, s.parameters["fast"], s.parameters["slow"], s.exits.stop_loss_frac)
        for name, s in near
    ]
    assert moved == [
        ("fast", 27, 100, 0.05), ("fast", 33, 100, 0.05),
        ("slow", 30, 90, 0.05), ("slow", 30, 110, 0.05),
        ("stop_loss_frac", 30, 100, 0.045), ("stop_loss_frac", 30, 100, 0.055),
    ]  # fmt: skip


def test_steps_stay_inside_the_space_and_in_order():
    space = search(
        market(), "sma_cross", method="random", trials=1, workers=1,
        space={"fast": (2, 9), "slow": [8, 10, 50]},
    ).plan.space  # fmt: skip
    near = neighbours(space, Setting({"fast": 9, "slow": 10}, ExitOptions()))
    pairs = [(s.parameters["fast"], s.parameters["slow"]) for _, s in near]
    assert pairs == [(8, 10), (9, 50)]
    lowest = neighbours(space, Setting({"fast": 2, "slow": 8}, ExitOptions()))
    assert [(s.parameters["fast"], s.parameters["slow"]) for _, s in lowest] == [(3, 8), (2, 10)]


def test_the_plateau_is_the_neighbours_value_over_the_setting_s(result):
    setting = result.best_setting()
    found = plateau(result, setting)
    near = [alone(result, s) or 0.0 for _, s in neighbours(result.plan.space, setting)]
    own = alone(result, setting)
    assert own == pytest.approx(result.best()["value"])
    assert found.neighbours == len(near) >= 4
    assert found.mean_frac == pytest.approx(sum(near) / len(near) / own)
    assert found.worst_frac == pytest.approx(min(near) / own)
    assert min(found.moved.values()) == pytest.approx(min(near))


def test_a_plateau_of_a_losing_setting_is_undefined(result):
    rows = result.trials.filter(result.trials["value"] < 0)
    from crypto_bot.search import setting_of

    losing = plateau(result, setting_of(rows.row(0, named=True)))
    assert (losing.mean_frac, losing.worst_frac) == (None, None)
    assert losing.neighbours > 0


def test_a_map_shows_the_chosen_exits_and_not_a_mean_over_them(result):
    setting = result.best_setting()
    drawn = parameter_map(result, axes=("fast", "slow"), levels=4)
    assert (drawn.x, drawn.y) == ("fast", "slow")
    assert drawn.setting == setting
    assert drawn.values[drawn.place] == pytest.approx(result.best()["value"])
    assert drawn.across == sorted(set(drawn.across))
    assert setting.parameters["fast"] == drawn.across[drawn.place[1]]
    for row, slow in enumerate(drawn.down):
        for column, fast in enumerate(drawn.across):
            value = drawn.values[row, column]
            if fast >= slow:
                assert math.isnan(value)
                continue
            expected = alone(result, Setting({"fast": fast, "slow": slow}, setting.exits))
            assert math.isnan(value) if expected is None else value == pytest.approx(expected)


def test_the_axes_of_a_map_are_those_whose_neighbours_fall_furthest(result):
    ground = Plateau(0.5, 0.1, 4, {"fast": 0.9, "slow": 0.4, "stop_loss_frac": 0.1})
    stopped = next(
        Setting(s.parameters, s.exits.replace(stop_loss_frac=0.03)) for s in [result.best_setting()]
    )
    drawn = parameter_map(result, setting=stopped, ground=ground, levels=3)
    assert (drawn.x, drawn.y) == ("stop_loss_frac", "slow")
    assert 0.03 in drawn.across


def test_one_number_gives_a_map_of_one_row_and_none_gives_no_map():
    one = search(market(), "rsi", method="grid", space={"window": [7, 14, 21]}, minimum_trades=1)
    drawn = parameter_map(one)
    assert (drawn.x, drawn.y, drawn.down) == ("window", "", [None])
    assert drawn.across == [7, 14, 21]
    assert np.isfinite(drawn.values).all()
    none = search(market(), "rsi", method="grid", space={"window": 14}, minimum_trades=1)
    assert parameter_map(none) is None
    assert plateau(none, none.best_setting()).neighbours == 0


def test_trials_round_the_winner_are_told_too(result):
    told = []
    plateau(result, result.best_setting(), told.append)
    assert len(told) == 1 + len(neighbours(result.plan.space, result.best_setting()))
    assert {row["study"] for row in told} == {result.study}


def test_bad_axes_are_refused_by_name(result):
    with pytest.raises(ConfigError, match=r"axes must be numbers searched, was 'fst'.*'fast'"):
        parameter_map(result, axes=("fst", "slow"))
    with pytest.raises(ConfigError, match="axes must be one or two different names"):
        parameter_map(result, axes=("fast", "fast"))
    with pytest.raises(ConfigError, match="levels must be at least 2, was 1"):
        parameter_map(result, levels=1)


def test_only_exits_in_use_are_dimensions():
    space = search(
        market(), "rsi", method="random", trials=1, workers=1, minimum_trades=1,
        exits=ExitSpace(stop=(0.01, 0.1), holding=(4, 90)),
    ).plan.space  # fmt: skip
    used = Setting({"window": 14, "oversold": 30.0, "overbought": 70.0}, ExitOptions())
    assert set(dimensions(space, used)) == {"window", "oversold", "overbought"}
    held = Setting(used.parameters, ExitOptions(max_holding_bars=9))
    assert set(dimensions(space, held)) - set(dimensions(space, used)) == {"max_holding_bars"}
    assert [s.exits.max_holding_bars for name, s in neighbours(space, held)][-2:] == [8, 10]


def test_the_same_ground_on_other_candles_is_another_study(result):
    other = plan_on(result.plan, [market()[0][:-3]], None)
    assert SearchResult(other, other.identity, result.trials, result.table).study != result.study
