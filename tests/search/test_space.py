"""Every sample is a valid setting, of the declared types, and conditional parts only where used."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_bot.core.errors import ConfigError, DataError
from crypto_bot.engine import ExitOptions
from crypto_bot.search import ExitSpace, exit_space, search_space
from crypto_bot.search.samplers import GridSampler, OptunaSampler, RandomSampler, grid_settings
from crypto_bot.strategies import get_strategy, list_strategies

ALONE = [name for name in list_strategies() if not get_strategy(name).needs]
ALL_EXITS = exit_space(["stop", "target", "trailing", "holding"], ExitOptions())


def check_types(setting, name):
    """Types as declared: whole numbers stay whole, choices stay choices; pairs stay in order."""
    bound = get_strategy(name, **setting.parameters)
    for field, info in type(bound.parameters).model_fields.items():
        value = setting.parameters[field]
        if info.annotation in (int, float, bool):
            assert type(value) is info.annotation, field
    for low, high in bound.parameters.below:
        assert setting.parameters[low] < setting.parameters[high]


@pytest.mark.parametrize("name", ALONE)
@given(seed=st.integers(0, 10**6))
@settings(deadline=None, derandomize=True, max_examples=6)
def test_a_random_sample_is_a_valid_setting_of_the_declared_types(name, seed):
    space = search_space(name, exits=ALL_EXITS)
    for suggestion in RandomSampler(space, seed).ask(0, 8):
        check_types(suggestion.setting, name)


@pytest.mark.parametrize("name", ["sma_cross", "trend_bot"])
@pytest.mark.parametrize("is_front", [False, True])
def test_a_learning_sampler_never_suggests_an_invalid_setting(name, is_front):
    sampler = OptunaSampler(search_space(name, exits=ALL_EXITS), 3, is_front=is_front)
    for batch in range(4):
        asked = sampler.ask(batch, 16)
        for suggestion in asked:
            check_types(suggestion.setting, name)
        values = [s.setting.parameters["slow"] / 7.0 for s in asked]
        sampler.tell(asked, [(v, -v) if is_front else (v,) for v in values])


def test_a_distance_is_drawn_only_for_an_exit_that_is_used():
    space = search_space("rsi", exits=exit_space(["stop", "holding"], ExitOptions()))
    asked = OptunaSampler(space, 1, is_front=False).ask(0, 40)
    for suggestion in asked:
        exits, raw = suggestion.setting.exits, suggestion.raw
        assert ("stop" in raw) == raw["stop used"] == (exits.stop_loss_frac is not None)
        assert ("holding" in raw) == raw["holding used"] == (exits.max_holding_bars is not None)
        assert exits.take_profit_frac is None
    assert {s.raw["stop used"] for s in asked} == {True, False}
    assert (
        type(next(s for s in asked if s.raw["holding used"]).setting.exits.max_holding_bars) is int
    )


def test_the_larger_of_a_pair_is_drawn_above_the_smaller_and_reaches_both_ends():
    space = search_space("sma_cross", {"fast": (10, 14), "slow": (12, 16)})
    pairs = {
        (s.setting.parameters["fast"], s.setting.parameters["slow"])
        for s in RandomSampler(space, 5).ask(0, 400)
    }
    assert pairs == {(f, s) for f in range(10, 15) for s in range(12, 17) if f < s}


def test_a_space_names_what_is_searched_and_the_rest_keeps_its_default():
    space = search_space("trend_bot", {"fast": [2, 4], "channel": "donchian", "adx_min": (10, 20)})
    for suggestion in RandomSampler(space, 0).ask(0, 30):
        values = suggestion.setting.parameters
        assert values["fast"] in (2, 4)
        assert values["channel"] == "donchian"
        assert 10 <= values["adx_min"] <= 20
        assert values["slow"] == 10
    assert [axis.name for axis in space.searched] == ["fast", "adx_min"]


def test_a_bound_strategy_gives_the_values_that_are_not_searched():
    space = search_space(get_strategy("sma_cross", fast=7), {"slow": (20, 30)})
    assert {s.setting.parameters["fast"] for s in RandomSampler(space, 0).ask(0, 5)} == {7}


@pytest.mark.parametrize(
    ("name", "space", "message"),
    [
        ("sma_cros", None, r"did you mean 'sma_cross'"),
        ("rsi", {"windw": 3}, r"space\.windw must be a parameter of rsi; did you mean 'window'"),
        ("rsi", {"window": (1, 20)}, r"space\.window must lie in 2\.\.100 for rsi, was 1"),
        ("rsi", {"window": (20, 10)}, r"space\.window must rise from low to high, was 20\.\.10"),
        ("rsi", {"window": []}, r"space\.window must hold at least one value, was empty"),
        ("rsi", {"window": [10, 10.5]}, r"space\.window must be whole numbers, was 10\.5"),
        ("rsi", {"window": True}, r"space\.window must lie in 2\.\.100 for rsi, was True"),
        ("rsi", {"window": range(2, 10**12)}, r"space\.window must lie in 2\.\.100"),
        ("rsi", {"window": float("nan")}, r"space\.window must lie in 2\.\.100 for rsi, was nan"),
        ("trend_bot", {"channel": "kelt"}, r"space\.channel must be among none, donchian"),
        ("sma_cross", {"slow": [5]}, r"space\.fast must leave a value below slow, was 10 at least"),
    ],
)  # fmt: skip
def test_a_bad_space_is_refused_by_name(name, space, message):
    with pytest.raises(ConfigError, match=message):
        search_space(name, space)


def test_a_strategy_that_needs_more_than_candles_is_refused():
    with pytest.raises(DataError, match="model needs a model's predictions"):
        search_space("model")


def test_bad_exits_are_refused_by_name():
    with pytest.raises(ConfigError, match=r"exits must be among none, stop.*did you mean 'stop'"):
        exit_space(["stopp"], ExitOptions())
    with pytest.raises(ConfigError, match="exits must be none or names of exits, was none stop"):
        exit_space(["none", "stop"], ExitOptions())
    with pytest.raises(
        ConfigError, match=r"exits\.stop must rise from low to high, was 0.2\.\.0.1"
    ):
        ExitSpace(stop=(0.2, 0.1))
    with pytest.raises(ConfigError, match="stop_loss_frac must be less than 1, was 2"):
        ExitSpace(stop=(0.1, 2.0))


def test_a_grid_crosses_the_values_that_are_named_and_leaves_out_those_out_of_order():
    space = search_space("sma_cross", {"fast": [5, 10, 20], "slow": range(10, 31, 10)})
    pairs = [(s.parameters["fast"], s.parameters["slow"]) for s in grid_settings(space, 100)]
    assert pairs == [(f, s) for f in (5, 10, 20) for s in (10, 20, 30) if f < s]


def test_a_grid_of_ranges_takes_as_many_levels_as_there_is_room_for():
    space = search_space("sma_cross", {"fast": (5, 50), "slow": (60, 200)})
    grid = grid_settings(space, 100)
    assert 64 <= len(grid) <= 100
    assert {5, 50} < {s.parameters["fast"] for s in grid}
    whole = grid_settings(search_space("trend_bot", exits=ALL_EXITS), 300)
    assert 256 <= len(whole) <= 300
    assert len({s.exits for s in whole}) == 4**4


def test_a_grid_with_exits_holds_every_combination_once():
    exits = ExitSpace(stop=(0.01, 0.04), target=(0.02, 0.08), levels=3)
    space = search_space("rsi", {"window": [7, 14]}, exits)
    grid = grid_settings(space, 1_000)
    assert len(grid) == len({s.key for s in grid}) == 2 * 4 * 4
    assert {s.exits.stop_loss_frac for s in grid} == {None, 0.01, 0.02, 0.04}


def test_a_grid_that_is_too_large_is_refused_with_its_size_before_it_is_built():
    space = search_space(
        "trend_bot",
        {"fast": range(2, 51), "slow": range(3, 201), "window": range(5, 51),
         "volume_bars": range(5, 101), "channel_bars": range(5, 101)},
    )  # fmt: skip
    with pytest.raises(
        ConfigError,
        match=r"grid must have at most 1,000,000 settings \(trials\), was 4,113,027,072 "
        r"\(fast 49 x slow 198 x window 46 x volume_bars 96 x channel_bars 96\); name fewer",
    ):
        grid_settings(space, 1_000_000)
    with pytest.raises(
        ConfigError, match=r"at most 3 settings \(trials\), was 4 \(fast 2 x slow 2\)"
    ):
        grid_settings(search_space("sma_cross", {"fast": (2, 9), "slow": (10, 99)}), 3)


def test_a_grid_is_given_batch_by_batch_without_gap_or_overlap():
    sampler = GridSampler(list(range(2_500)))
    parts = [s.setting for b in range(3) for s in sampler.ask(b, 1024)]
    assert parts == list(range(2_500))
