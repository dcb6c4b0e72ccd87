"""Keys with two homes: which one counts, and that the other is announced."""

from __future__ import annotations

import pytest

from crypto_bot.config import Settings, load_settings
from crypto_bot.config.guide import Schedule
from crypto_bot.core.errors import ConfigError

NO_GPU = {"status": "no_gpu", "devices": []}


def loaded(**values: object) -> Settings:
    return load_settings(values, environ={})


def overruled(settings: Settings) -> list[str]:
    lines = settings.explain_inactive(gpu=NO_GPU, platform="linux")
    return [line for line in lines if "overruled" in line]


def test_nothing_given_means_the_defaults():
    assert Settings().schedule == Schedule(True, True, 24, True)


@pytest.mark.parametrize("outer", [True, False])
@pytest.mark.parametrize("inner", [True, False, None])
def test_the_nested_auto_retrain_wins_when_given(outer, inner):
    settings = loaded(ml_integration={"auto_retrain": outer, "training": {"auto_retrain": inner}})
    assert settings.ml_integration.schedule.auto_retrain is (outer if inner is None else inner)
    assert len(overruled(settings)) == (inner is not None and inner != outer)


def test_an_overruled_interval_is_announced():
    settings = loaded(
        ml_integration={"retrain_interval_hours": 24, "training": {"retrain_interval_hours": 6}}
    )
    assert settings.schedule.retrain_interval_hours == 6
    assert overruled(settings) == [
        "ml_integration.retrain_interval_hours: "
        "overruled by ml_integration.training.retrain_interval_hours 6"
    ]


def test_the_default_of_the_outer_home_is_no_disagreement():
    settings = loaded(ml_integration={"training": {"retrain_interval_hours": 6}})
    assert settings.schedule.retrain_interval_hours == 6
    assert overruled(settings) == []


def test_the_update_interval_counts_only_where_no_other_is_given():
    alone = loaded(model_update_interval_hours=12)
    assert alone.schedule.retrain_interval_hours == 12
    assert overruled(alone) == []
    beside = loaded(model_update_interval_hours=12, ml_integration={"retrain_interval_hours": 8})
    assert beside.schedule.retrain_interval_hours == 8
    assert overruled(beside) == [
        "model_update_interval_hours: overruled by ml_integration: models are retrained every 8 hours"
    ]


def test_either_switch_turns_learning_off():
    assert not loaded(learning_enabled=False).schedule.is_enabled
    assert not loaded(ml_integration={"enabled": False}).schedule.is_enabled


def test_publishing_has_one_home():
    settings = loaded(ml_integration={"training": {"publish_models": False}})
    assert not settings.schedule.publish_models
    with pytest.raises(ConfigError, match=r"ml_integration\.publish_models is not an option"):
        loaded(ml_integration={"publish_models": False})


def test_the_first_exchange_named_is_the_default_exchange():
    assert Settings().data.exchange == "binance"
    assert loaded(data_sources={"cex": ["kraken", "binance"]}).data.exchange == "kraken"
    both = loaded(data_sources={"cex": ["kraken"]}, data={"exchange": "coinbase"})
    assert both.data.exchange == "coinbase"


def test_options_of_a_program_follow_the_same_rules():
    assert Settings(model_update_interval_hours=12).schedule.retrain_interval_hours == 12


@pytest.mark.parametrize(
    ("use_gpu", "status", "device"),
    [(True, "available", "cuda"), (True, "no_gpu", "cpu"), (False, "available", "cpu")],
)
def test_the_training_device_is_what_is_wanted_and_there(use_gpu, status, device):
    settings = loaded(use_gpu=use_gpu, ml_integration={"training": {"device_type": "cuda"}})
    assert settings.training_device({"status": status}) == device
