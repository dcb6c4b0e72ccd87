"""A stored model's way of learning: what makes two ways the same, and what a card keeps of one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crypto_bot.backtest.recipes import Recipe
from crypto_bot.backtest.retraining import ROW_WEIGHTS, is_same_way, recipe_of
from crypto_bot.engine import SignalExit
from crypto_bot.labels import NextUpOptions, WeightOptions
from crypto_bot.training import LogisticOptions, LogisticTrainer
from crypto_bot.tuning import ModelSetting
from toy_model import toy_card

WEIGHTS = WeightOptions(uniqueness=False, half_life_days=30)


def fixed(**changes):
    trainer = LogisticTrainer(LogisticOptions(C=0.02))
    recipe = Recipe("BTC/USDT", trainer, NextUpOptions(horizon_bars=12), 0.6, ("rsi_14",))
    return replace(recipe, **changes)


def searched(open_share=0.25, threshold=0.62):
    setting = ModelSetting(
        model="logistic", parameters={"C": 0.02}, label="next_up", horizon_bars=12,
        open_share=open_share, signal_exit=SignalExit.FLAT,
    )  # fmt: skip
    return fixed(trainer=setting.trainer(), threshold=threshold, setting=setting)


def card_of(recipe, **options):
    return toy_card(
        model_type="logistic", feature_names=recipe.feature_names,
        label={"kind": "next_up", "horizon_bars": 12}, thresholds={"open": recipe.threshold},
        options={**recipe.trainer.options.model_dump(), "device": "cpu", **options},
    )  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"threshold": 0.7},
        {"weights": WEIGHTS},
        {"labels": NextUpOptions(horizon_bars=6)},
        {"signal_exit": SignalExit.OPPOSITE},
        {"feature_names": ("rsi_14", "return_1")},
        {"trainer": LogisticTrainer(LogisticOptions(C=0.03))},
    ],
)
def test_whatever_changes_the_trades_is_another_way(change):
    assert is_same_way(fixed(), fixed())
    assert not is_same_way(fixed(), fixed(**change))


def test_a_searched_threshold_may_move_the_share_of_decisions_it_lets_through_may_not():
    assert is_same_way(searched(threshold=0.62), searched(threshold=0.6))
    assert not is_same_way(searched(0.25), searched(0.75))
    assert not is_same_way(searched(0.25), fixed())


def test_a_card_says_how_the_rows_counted():
    assert is_same_way(recipe_of(card_of(fixed())), fixed())
    kept = {ROW_WEIGHTS: WEIGHTS.model_dump(mode="json")}
    found = recipe_of(card_of(fixed(), **kept))
    assert found.weights == WEIGHTS
    assert is_same_way(found, fixed(weights=WEIGHTS))


def test_a_card_that_does_not_say_enough_gives_no_recipe():
    assert recipe_of(toy_card(model_type="toy", thresholds={"open": 0.6})) is None
    assert recipe_of(toy_card(model_type="logistic")) is None
