"""Turning points on a drawn chart, and hours on a calendar."""

from datetime import UTC, datetime

import numpy as np
import pytest

from crypto_bot.core.timeframes import DAY_NS, HOUR_NS
from crypto_bot.strategies import get_strategy
from strategies.markets import bars_of
from strategies.test_rules import NAN, constant, run


def turns(low, high=None, close=None, **parameters):
    low = np.asarray(low, float)
    high = low + 1 if high is None else np.asarray(high, float)
    columns = {"low": low, "high": high, "close": low + 0.5 if close is None else close}
    small = {"before_bars": 2, "confirm_bars": 2, "minimum_swing_frac": 0.0}
    return run("peaks_valleys", columns, **small | parameters)


def test_a_valley_is_traded_when_it_is_confirmed_and_a_peak_likewise():
    direction, _ = turns([12, 11, 10, 11, 12, 13, 12, 11, 10])
    assert direction == [0, 0, 0, 0, 1, 0, 0, -1, 0]


def test_confirmation_takes_as_many_bars_as_asked_for():
    chart = [13, 12, 11, 12, 13, 14, 15, 16]
    for confirm_bars in (1, 2, 3):
        direction, _ = turns(chart, confirm_bars=confirm_bars)
        assert np.flatnonzero(direction).tolist() == [2 + confirm_bars]


@pytest.mark.parametrize(
    ("low", "expected"),
    [
        ([12, 11, 10, 11, 12], 1),
        ([12, 11, 10, 10, 12], 0),
        ([12, 11, 10, 11, 10], 0),
        ([12, 10, 10, 11, 12], 0),
        ([9, 11, 10, 11, 12], 0),
        ([12, 11, 10, 9, 12], 0),
    ],
)
def test_a_valley_is_lower_than_every_neighbour(low, expected):
    assert turns(low)[0][-1] == expected


@pytest.mark.parametrize(
    ("high", "expected"), [([8, 9, 10, 9, 8], -1), ([8, 10, 10, 9, 8], 0), ([8, 9, 10, 9, 11], 0)]
)
def test_a_peak_is_higher_than_every_neighbour(high, expected):
    high = np.array(high, float)
    assert turns(np.full(5, 5.0), high=high, close=high - 0.5)[0][-1] == expected


def test_a_small_swing_is_no_turn():
    # From the high of 13 down to the low of 10: 30 % of the low.
    chart = [12, 11, 10, 11, 12]
    assert turns(chart, minimum_swing_frac=0.2)[0][-1] == 1
    assert turns([100, 99.9, 99.8, 99.9, 100], minimum_swing_frac=0.02)[0][-1] == 0
    assert turns(np.array(chart) * 1.0, high=np.full(5, 12.5), minimum_swing_frac=0.2)[0][-1] == 1
    assert turns(np.array(chart) + 90.0, minimum_swing_frac=0.05)[0][-1] == 0


def test_an_outside_bar_that_is_both_is_neither():
    assert turns([12, 11, 5, 11, 12], high=[13, 14, 20, 14, 13])[0] == [0] * 5


def test_its_score_is_the_share_of_the_swing_that_is_left():
    # The swing is from 13 to 10; the confirming close made up 1.5 of 3.
    close = [12.5, 11.5, 10.5, 11, 11.5]
    assert turns([12, 11, 10, 11, 11.2], close=close)[1][-1] == 0.5
    assert turns([12, 11, 10, 11, 12], close=[12.5, 11.5, 10.5, 11, 16])[1][-1] == 0


def clock_columns(hours, weekdays=0):
    return constant(len(hours), hour=hours, weekday=weekdays)


def test_time_of_day_wants_its_side_from_one_hour_to_the_other():
    hours = [12, 13, 17, 20, 21, 22, NAN]
    assert run("time_of_day", clock_columns(hours)) == (
        [0, 1, 1, 1, 0, 0, 0],
        [0, 1, 1, 1, 0, 0, 0],
    )
    assert run("time_of_day", clock_columns(hours), side="short")[0] == [0, -1, -1, -1, 0, 0, 0]


def test_hours_may_run_over_midnight_and_round_the_day():
    night = {"enter_hour": 22, "leave_hour": 3}
    assert run("time_of_day", clock_columns([21, 22, 23, 0, 2, 3]), **night)[0] == [
        0,
        1,
        1,
        1,
        1,
        0,
    ]
    for hour in (0, 7):
        always = {"enter_hour": hour, "leave_hour": hour}
        assert run("time_of_day", clock_columns([0, 6, 7, 23]), **always)[0] == [1, 1, 1, 1]


def test_weekdays_may_run_over_sunday():
    columns = clock_columns([14] * 8, [0, 1, 2, 3, 4, 5, 6, NAN])
    assert run("time_of_day", columns)[0] == [1, 1, 1, 1, 1, 0, 0, 0]
    weekend = {"first_weekday": 5, "last_weekday": 0}
    assert run("time_of_day", columns, **weekend)[0] == [1, 0, 0, 0, 0, 1, 1, 0]


def test_on_candles_the_moment_is_the_close():
    flat = np.full(7 * 24, 100.0)
    bars = bars_of(*[flat] * 5, timeframe="1h")
    direction = get_strategy("time_of_day").signals_on(bars).direction
    for opened, side in zip(bars.open_time.tolist(), direction.tolist(), strict=True):
        moment = datetime.fromtimestamp((opened + HOUR_NS) / 1e9, tz=UTC)
        assert side == (moment.weekday() < 5 and 13 <= moment.hour < 21)
    # The bar opened at noon closes at 13:00, so its order fills at the open of 13:00.
    noon = int(np.flatnonzero(bars.open_time % DAY_NS == 12 * HOUR_NS)[0])
    assert direction[noon - 1 : noon + 1].tolist() == [0, 1]
