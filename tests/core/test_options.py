"""Options name the wrong field by its path, say the rule and the nearest known name."""

from __future__ import annotations

import pytest
from pydantic import Field

from crypto_bot.core.errors import ConfigError
from crypto_bot.core.options import Options


class Costs(Options):
    taker_fee: float = Field(0.001, ge=0, le=1)


class Engine(Options):
    costs: Costs = Costs()


def test_an_unknown_name_is_refused_with_path_and_nearest():
    with pytest.raises(
        ConfigError, match=r"costs.taker_fe is not an option of Costs; did you mean 'taker_fee'\?"
    ):
        Engine(costs={"taker_fe": 0.1})


def test_a_value_outside_its_range_is_refused_with_the_value():
    with pytest.raises(ConfigError, match="taker_fee must be less than or equal to 1, was 2"):
        Costs(taker_fee=2)


def test_a_wrong_type_is_refused_with_the_path_of_the_file():
    with pytest.raises(ConfigError, match=r"engine.costs.taker_fee must be a valid number"):
        Engine.from_mapping({"costs": {"taker_fee": "cheap"}}, path="engine")


def test_infinity_is_no_number_here():
    with pytest.raises(ConfigError, match="taker_fee must be a finite number"):
        Costs(taker_fee=float("inf"))


def test_a_changed_copy_is_checked_too():
    with pytest.raises(ConfigError, match="taker_fee"):
        Costs().replace(taker_fee=-1)
    assert Costs().replace(taker_fee=0.5).taker_fee == 0.5


def test_options_cannot_be_changed_in_place():
    with pytest.raises(Exception, match="frozen"):
        Costs().taker_fee = 0.2
