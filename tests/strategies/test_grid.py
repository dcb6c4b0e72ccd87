"""Parameter grids are deterministic, valid and start with the defaults."""

import pytest

from crypto_bot.core.errors import ConfigError
from crypto_bot.strategies import get_strategy, list_strategies, parameter_grid


@pytest.mark.parametrize("name", list_strategies())
@pytest.mark.parametrize("size", [1, 2, 24, 100])
def test_a_grid_has_its_size_and_only_valid_different_sets(name, size):
    grid = parameter_grid(name, size)
    assert grid[0] == get_strategy(name).parameters.model_dump()
    assert len(grid) == size
    assert len({get_strategy(name, **values) for values in grid}) == size
    assert grid == parameter_grid(name, size)


@pytest.mark.parametrize("name", list_strategies())
def test_every_parameter_is_varied(name):
    grid = parameter_grid(name, 64)
    kept = type(get_strategy(name).parameters).data_choices
    for parameter in grid[0]:
        assert (len({values[parameter] for values in grid}) > 1) == (parameter not in kept)


@pytest.mark.parametrize("name", list_strategies())
def test_a_grid_asks_for_no_other_data_than_the_defaults(name):
    needs = get_strategy(name).needs
    assert all(get_strategy(name, **values).needs == needs for values in parameter_grid(name, 24))


def test_a_thousand_crosses_form_a_lattice_of_few_averages():
    grid = parameter_grid("sma_cross", 1024)
    assert len({values["fast"] for values in grid}) <= 40
    assert len({values["slow"] for values in grid}) <= 70


def test_impossible_sizes_are_refused():
    with pytest.raises(ConfigError, match="size must be at least 1, was 0"):
        parameter_grid("rsi", 0)
    with pytest.raises(ConfigError, match=r"size must be at most \d+ for model, was 100000"):
        parameter_grid("model", 100_000)
    with pytest.raises(ConfigError, match="did you mean 'rsi'"):
        parameter_grid("rsii", 3)
