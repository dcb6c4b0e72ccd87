"""How much a label tells, by hand."""

import numpy as np
import pytest

from crypto_bot.core.errors import ConfigError, DataError
from crypto_bot.core.timeframes import DAY_NS
from crypto_bot.labels import WeightOptions, average_uniqueness, time_decay


def test_uniqueness_by_hand():
    # Bars 1-2 and 2-4: bar 2 is shared. The third is alone.
    found = average_uniqueness(np.array([0, 1, 6]), np.array([2, 4, 7]), 9)
    assert found == pytest.approx([(1 + 1 / 2) / 2, (1 / 2 + 1 + 1) / 3, 1.0])


def test_a_label_alone_is_whole_and_copies_share():
    assert average_uniqueness(np.array([3]), np.array([9]), 10).tolist() == [1.0]
    assert average_uniqueness(np.full(4, 3), np.full(4, 9), 10) == pytest.approx([0.25] * 4)
    neighbours = average_uniqueness(np.arange(0, 50, 5), np.arange(5, 55, 5), 60)
    assert neighbours == pytest.approx([1.0] * 10)


def test_it_hangs_on_no_bar_after_the_labels_end():
    random = np.random.default_rng(0)
    decided = np.sort(random.integers(0, 80, 60))
    end = decided + random.integers(1, 15, 60)
    whole = average_uniqueness(decided, end, 100)
    for moment in (20, 50, 75):
        # What is known then: labels that have begun, those under way still without an end.
        begun = decided < moment
        seen = average_uniqueness(decided[begun], np.minimum(end[begun], moment), 100)
        done = end[begun] <= moment
        assert seen[done] == pytest.approx(whole[begun][done], rel=1e-12)


def test_a_half_life_halves():
    days = np.array([0, 10, 15, 20]) * DAY_NS
    assert time_decay(days, 10.0) == pytest.approx([0.25, 0.5, 0.5**0.5, 1.0])
    assert time_decay(days[:0], 10.0).tolist() == []


@pytest.mark.parametrize(("decided", "end"), [(4, 4), (-1, 3), (2, 9)])
def test_a_label_outside_the_bars_is_named(decided, end):
    with pytest.raises(DataError, match=f"was {end} after {decided} at row 1"):
        average_uniqueness(np.array([0, decided]), np.array([3, end]), 9)


def test_a_wrong_half_life_is_named():
    with pytest.raises(ConfigError, match="half_life_days must be greater than 0, was -3"):
        WeightOptions(half_life_days=-3)
