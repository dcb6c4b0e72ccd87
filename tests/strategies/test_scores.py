"""What may be done to scores afterwards."""

import numpy as np
import pytest

from crypto_bot.core import Signals
from crypto_bot.core.errors import DataError
from crypto_bot.strategies.scores import blend_with_model, fuse, scale_by_volatility

NAN = np.nan


def signals(direction, score):
    return Signals(np.array(direction, np.int8), np.array(score, float))


def told(found):
    assert found.direction.dtype == np.int8
    return found.direction.tolist(), found.score.round(9).tolist()


def test_a_score_grows_and_falls_with_volatility_within_bounds():
    given = signals([1, -1, 1, 1, 0], [0.4, 0.4, 0.4, 0.9, 0])
    fast, slow = np.array([2.0, 0.5, 3, 3, 1]), np.array([2.0, 1, 1, 2, 1])
    assert told(scale_by_volatility(given, fast, slow)) == ([1, -1, 1, 1, 0], [0.4, 0.2, 0.6, 1, 0])
    assert told(scale_by_volatility(given, fast, slow, most=1.0))[1] == [0.4, 0.2, 0.4, 0.9, 0]


@pytest.mark.parametrize(("fast", "slow"), [(NAN, 1), (1, NAN), (1, 0), (0, 1)])
def test_a_missing_volatility_drops_the_signal(fast, slow):
    found = scale_by_volatility(signals([1], [0.5]), np.array([fast]), np.array([slow]))
    assert told(found) == ([0], [0])


def test_a_model_is_blended_in_by_its_probability_of_that_side():
    given = signals([1, -1, 1, 0], [0.4, 0.4, 0.4, 0])
    p_up, p_down = np.array([0.8, 0.8, NAN, 0.9]), np.array([0.2, 0.2, NAN, 0.1])
    assert told(blend_with_model(given, p_up, p_down)) == ([1, -1, 1, 0], [0.6, 0.3, 0.4, 0])
    assert told(blend_with_model(given, p_up, p_down, weight=0.0))[1] == [0.4, 0.4, 0.4, 0]
    assert told(blend_with_model(given, p_up, p_down, weight=1.0))[1] == [0.8, 0.2, 0.4, 0]


def test_the_side_with_most_weight_wins_with_its_mean_score():
    three = [signals([1, 1, 1, 0], [0.9, 0.9, 0.9, 0])]
    three += [signals([1, -1, 0, 0], [0.6, 0.6, 0, 0])]
    three += [signals([-1, 0, 0, 1], [0.3, 0, 0, 0.3])]
    assert told(fuse(three)) == ([1, 0, 0, 0], [0.5, 0, 0, 0])
    assert told(fuse(three, [3, 1, 1])) == ([1, 1, 1, 0], [0.66, 0.54, 0.54, 0])
    assert told(fuse(three, [0, 0, 1])) == ([-1, 0, 0, 1], [0.3, 0, 0, 0.3])


def test_what_cannot_be_joined_is_refused():
    one = signals([1], [1])
    for weights in ([1.0, 1.0], [0.0], [-1.0]):
        with pytest.raises(DataError, match=r"weights must be one >= 0 for each .* for 1"):
            fuse([one], weights)
    with pytest.raises(DataError, match="weights must be one >= 0"):
        fuse([])
    with pytest.raises(DataError, match=r"columns must be of one length, were \[1, 2\]"):
        fuse([one, signals([1, 1], [1, 1])])
    with pytest.raises(DataError, match=r"columns must be of one length, were \[1, 3\]"):
        scale_by_volatility(one, np.ones(3), np.ones(3))
    with pytest.raises(DataError, match=r"columns must be of one length, were \[1, 3\]"):
        blend_with_model(one, np.ones(1), np.ones(3))
