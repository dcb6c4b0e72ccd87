"""A model that says yes to every bet trades exactly as the primary; one that says no, never."""

from itertools import pairwise

import numpy as np
import pytest

from crypto_bot.core.errors import ConfigError, DataError
from crypto_bot.engine import ExitOptions, exits_for, simulate
from crypto_bot.strategies import get_strategy
from strategies.markets import random_bars

BARS = random_bars(3000, seed=5)
STOPS = {"stop_loss_frac": 0.01, "max_holding_bars": 30}


def meta(primary, p_up, **parameters):
    p_up = np.full(len(BARS), p_up) if np.isscalar(p_up) else p_up
    chosen = get_strategy("meta", strategy=primary, **parameters)
    return chosen, chosen.signals_on(BARS, {"p_up": p_up})


@pytest.mark.parametrize(
    ("primary", "exits"),
    [
        ("sma_cross", {}),
        ("sma_cross", STOPS),
        ("mean_revert", {}),
        ("mean_revert", STOPS),
        ("breakout_bot", {}),
        ("trend_bot", {}),
    ],
)
def test_a_model_that_is_always_sure_trades_as_the_primary(primary, exits):
    one = get_strategy(primary)
    chosen, signals = meta(primary, 1.0, bet_bars=1000)
    wanted = one.signals_on(BARS)
    results = [
        simulate(BARS, each, exits=exits_for(trader, ExitOptions(**exits)))
        for trader, each in ((one, wanted), (chosen, signals))
    ]
    assert len(results[0].trades) > 3
    assert results[0].trades.tobytes() == results[1].trades.tobytes()


def test_a_bet_that_is_left_ends_the_one_before_it():
    """Even where the primary knows no other exit than the opposite side."""
    wanted = get_strategy("breakout_bot").signals_on(BARS).direction
    turns = np.flatnonzero(wanted)
    turns = turns[np.diff(wanted[turns], prepend=0) != 0]
    p_up = np.full(len(BARS), 0.9)
    p_up[turns[1]] = 0.1
    chosen, signals = meta("breakout_bot", p_up)
    assert (signals.direction[turns[0] : turns[1]] == wanted[turns[0]]).all()
    assert not signals.direction[turns[1] : turns[2]].any()
    trades = simulate(BARS, signals, exits=exits_for(chosen)).trades
    assert trades["exit_bar"][0] == turns[1] + 1
    assert trades["entry_bar"][1] == turns[2] + 1


def test_a_model_that_is_never_sure_trades_nothing():
    for p_up in (0.0, 0.5):
        assert not meta("sma_cross", p_up)[1].direction.any()


def test_a_bet_is_decided_at_its_first_bar_and_kept_while_the_primary_wants_it():
    wanted = get_strategy("sma_cross").signals_on(BARS).direction
    begins = np.flatnonzero((np.diff(wanted, prepend=0) != 0) & (wanted != 0))
    p_up = np.full(len(BARS), 0.1)
    p_up[begins[2]] = 0.9
    direction = meta("sma_cross", p_up)[1].direction
    assert np.flatnonzero(direction).tolist() == list(range(begins[2], begins[3]))
    p_up[:], p_up[begins[2]] = 0.9, 0.1
    direction = meta("sma_cross", p_up)[1].direction
    assert not direction[begins[2] : begins[3]].any()
    assert np.array_equal(
        np.delete(direction, np.r_[begins[2] : begins[3]]),
        np.delete(wanted, np.r_[begins[2] : begins[3]]),
    )


def test_a_missing_prediction_ends_the_bet_and_its_age_too():
    wanted = get_strategy("sma_cross").signals_on(BARS).direction
    begins = np.flatnonzero((np.diff(wanted, prepend=0) != 0) & (wanted != 0))
    first, end = next((a, b) for a, b in pairwise(begins) if b - a > 12)
    p_up = np.full(len(BARS), 0.9)
    p_up[first + 5] = np.nan
    direction = meta("sma_cross", p_up)[1].direction[first:end]
    assert np.flatnonzero(direction).tolist() == [0, 1, 2, 3, 4]
    aged = meta("sma_cross", 0.9, bet_bars=3)[1].direction[first:end]
    assert np.flatnonzero(aged).tolist() == [0, 1, 2]


def test_what_cannot_be_a_primary_is_refused():
    with pytest.raises(ConfigError, match=r"meta\.strategy must need candles only, was 'model'"):
        get_strategy("meta", strategy="model")
    with pytest.raises(ConfigError, match="strategy must be one of"):
        get_strategy("meta", strategy="sma_cros")
    with pytest.raises(DataError, match="meta needs a model's predictions: columns p_up per bar"):
        get_strategy("meta").signals_on(BARS)
    with pytest.raises(ConfigError, match=r"sma_cross\.fast must be below slow"):
        get_strategy("meta", parameters={"fast": 50})
    with pytest.raises(ConfigError, match=r"meta\.parameters must be a valid tuple, was 7"):
        get_strategy("meta", parameters=7)
