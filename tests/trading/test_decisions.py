"""Decisions bar by bar equal the signals on the whole, and refuse features they do not know."""

from __future__ import annotations

import numpy as np
import pytest

from crypto_bot.core.errors import ConfigError, DataError, ModelError
from crypto_bot.features import compute_features
from crypto_bot.strategies import get_strategy
from crypto_bot.trading import (
    ModelDecisions,
    PaperSession,
    StrategyDecisions,
    TradedSymbol,
    expected_signals,
)
from paper_markets import ModelLike, Scripted, market


def one_by_one(maker, bars, values):
    own = maker.started(maker.feature_names)
    return [own.decide(row, bar) for row, bar in zip(values, bars, strict=True)]


@pytest.mark.parametrize("classes", [(-1, 0, 1), (0, 1)])
def test_a_model_decides_bar_by_bar_as_on_the_whole(classes):
    bars = market("BTC/USDT", 300, 1)
    maker = ModelDecisions(ModelLike(classes), threshold=0.5)
    table = compute_features(bars, maker.feature_names)
    whole = maker.signals({name: table.column(name) for name in table.names})
    steps = one_by_one(maker, bars, table.values)
    assert [direction for direction, _ in steps] == whole.direction.tolist()
    assert [score for _, score in steps] == whole.score.tolist()
    assert set(whole.direction.tolist()) == {-1, 0, 1}


def test_a_row_with_a_nan_feature_gives_no_side():
    maker = ModelDecisions(ModelLike(), threshold=0.3)
    values = np.full(len(maker.feature_names), 0.01)
    assert maker.decide(values, None)[0] != 0
    values[3] = np.nan
    assert maker.decide(values, None) == (0, 0.0)


def test_a_model_that_may_not_short_gives_no_side_below():
    maker = ModelDecisions(ModelLike(), threshold=0.3, allow_short=False)
    bars = market("BTC/USDT", 300, 1)
    table = compute_features(bars, maker.feature_names)
    directions = {direction for direction, _ in one_by_one(maker, bars, table.values)}
    assert directions == {0, 1}


def test_a_model_refuses_features_in_another_order():
    maker = ModelDecisions(ModelLike())
    swapped = (*maker.feature_names[1::-1], *maker.feature_names[2:])
    with pytest.raises(ModelError, match="features must be the model's 23 in order"):
        maker.started(swapped)
    with pytest.raises(ModelError, match="lacked"):
        maker.started(maker.feature_names[:-1])


def test_a_strategy_refuses_features_it_does_not_read():
    with pytest.raises(DataError, match="features must be sma_cross's"):
        StrategyDecisions(get_strategy("sma_cross")).started(("sma_30", "sma_10"))


def test_a_strategy_on_predictions_needs_a_model():
    with pytest.raises(
        ConfigError, match="was model, which needs p_up, p_down; use ModelDecisions"
    ):
        StrategyDecisions(get_strategy("model"))


def test_memories_of_two_symbols_are_apart():
    maker = StrategyDecisions(get_strategy("mean_bot"))
    values = np.ones(len(maker.feature_names))
    first, second = maker.started(maker.feature_names), maker.started(maker.feature_names)
    bar = next(iter(market("BTC/USDT", 2, 1)))
    for _ in range(200):
        first.decide(values, bar)
    assert first is not second
    assert (first._end, second._end, maker._end) == (first._end, 0, 0)


def test_features_that_never_settle_are_refused():
    class OnBalance(Scripted):
        feature_names = ("obv",)

    with pytest.raises(ConfigError, match="obv never forgets its first bar"):
        PaperSession([TradedSymbol(market("BTC/USDT", 20, 1), OnBalance([0] * 20))])


def test_signals_before_features_settle_are_none():
    bars = market("BTC/USDT", 600, 2)
    signals = expected_signals(TradedSymbol(bars, StrategyDecisions(get_strategy("ema_cross"))))
    settled = get_strategy("ema_cross").history_bars() - 1
    assert not signals.direction[:settled].any()
    assert signals.direction[settled:].any()
