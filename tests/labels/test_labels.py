"""Values checked by hand, ties, gaps and real time."""

import numpy as np
import pytest

from crypto_bot.core import Bars
from crypto_bot.core.errors import ConfigError
from crypto_bot.core.timeframes import DAY_NS, MINUTE_NS, timeframe_ns
from crypto_bot.labels import (
    UNLABELLED,
    LabelOptions,
    NextUpOptions,
    ThreeClassOptions,
    label_options,
    make_labels,
    next_n_up_labels,
    three_class_labels,
)


def bars_of(close, timeframe="5m", missing=()):
    """Bars with these closes; `missing` positions are outages."""
    close = np.asarray(close, dtype=float)
    interval = timeframe_ns(timeframe)
    rows = [row for row in range(len(close)) if row not in missing]
    price = close[rows]
    open_time = 20_000 * DAY_NS + interval * np.array(rows, dtype=np.int64)
    volume = np.ones(len(rows))
    return Bars("BTC/USDT", timeframe, open_time, price, price, price, price, volume)


def test_next_up_by_hand():
    labels = next_n_up_labels(bars_of([10, 11, 12, 11, 11, 13]), NextUpOptions(horizon_bars=2))
    # 10->12 up, 11->11 tie, 12->11 down, 11->13 up, and two bars without a future.
    assert labels.values.tolist() == [1, 0, 0, 1, UNLABELLED, UNLABELLED]
    assert labels.end_bar.tolist() == [2, 3, 4, 5, -1, -1]
    assert labels.is_labelled.tolist() == [True] * 4 + [False] * 2
    assert (labels.classes, labels.count(1), labels.count(0), len(labels)) == ((0, 1), 2, 2, 6)


def test_three_classes_by_hand():
    close = [100, 100, 100, 100.2, 99.8, 100.1, 100.2]
    labels = three_class_labels(bars_of(close), ThreeClassOptions())
    # 15 minutes are three bars: +0.2 % long, -0.2 % short, +0.1 % flat, 0 flat.
    assert labels.values.tolist() == [1, -1, 0, 0, UNLABELLED, UNLABELLED, UNLABELLED]
    assert labels.classes == (-1, 0, 1)


def test_the_default_horizon_is_five_bars():
    assert next_n_up_labels(bars_of(range(1, 11))).end_bar.tolist() == [5, 6, 7, 8, 9] + [-1] * 5


@pytest.mark.parametrize("start", [100.0, 0.2, 64_000.0, 0.00001])
@pytest.mark.parametrize("side", [-1, 1])
def test_a_move_of_exactly_the_threshold_is_flat(start, side):
    options = ThreeClassOptions(horizon_minutes=5, hold_threshold=0.0015)
    close = [start, start * (1 + side * 0.0015), start * (1 + side * 0.001501)]
    assert three_class_labels(bars_of(close), options).values[0] == 0
    assert three_class_labels(bars_of(close[::2]), options).values[0] == side


def test_an_equal_close_is_not_up():
    labels = next_n_up_labels(bars_of([7.0] * 8))
    assert labels.values[labels.is_labelled].tolist() == [0, 0, 0]


def test_the_last_bars_are_unlabelled_and_never_called_down():
    """A NaN future compares False, so the guide's code called its last five rows 'down'."""
    labels = next_n_up_labels(bars_of(np.linspace(1, 2, 50)))
    assert labels.values[:-5].tolist() == [1] * 45
    assert labels.values[-5:].tolist() == [UNLABELLED] * 5
    assert not labels.is_labelled[-5:].any()


def test_the_label_starts_at_its_own_bar():
    """A label one horizon later than its features describes another move (the guide's LSTM)."""
    close = np.full(30, 10.0)
    close[20:] = 11.0
    labels = next_n_up_labels(bars_of(close))
    assert np.flatnonzero(labels.values == 1).tolist() == [15, 16, 17, 18, 19]


def test_a_horizon_never_jumps_over_an_outage():
    labels = next_n_up_labels(
        bars_of([1, 2, 3, 4, 5, 6, 7], missing=(4,)), NextUpOptions(horizon_bars=2)
    )
    # Positions 0 1 2 3 5 6 remain: 2 would be decided by 4, which never existed; 3 is by 5.
    assert labels.end_bar.tolist() == [2, 3, -1, 4, -1, -1]
    assert labels.values.tolist() == [1, 1, UNLABELLED, 1, UNLABELLED, UNLABELLED]


def test_end_time_is_the_close_of_the_deciding_bar():
    bars = bars_of(range(1, 9), missing=(3,))
    labels = next_n_up_labels(bars, NextUpOptions(horizon_bars=2))
    known = labels.is_labelled
    assert (labels.end_time_ns[known] == bars.close_time[labels.end_bar[known]]).all()
    assert (labels.end_time_ns[known] - bars.close_time[known] == 10 * MINUTE_NS).all()
    assert (labels.end_time_ns[~known] == -1).all()


@pytest.mark.parametrize(
    ("timeframe", "minutes", "horizon_bars", "effective"),
    [("1m", 15, 15, 15), ("5m", 15, 3, 15), ("5m", 16, 4, 20), ("1h", 15, 1, 60), ("30s", 1, 2, 1)],
)
def test_a_horizon_in_minutes_is_rounded_up_to_whole_bars(
    timeframe, minutes, horizon_bars, effective
):
    bars = bars_of(np.linspace(1, 2, 40), timeframe)
    labels = three_class_labels(bars, ThreeClassOptions(horizon_minutes=minutes))
    assert labels.end_bar[0] == horizon_bars
    assert labels.definition == {
        "name": "three_class",
        "kind": "three_class",
        "horizon_minutes": minutes,
        "effective_horizon_minutes": effective,
        "horizon_bars": horizon_bars,
        "hold_threshold": 0.0015,
        "timeframe": timeframe,
    }


def test_the_next_up_definition_says_what_was_asked():
    definition = next_n_up_labels(bars_of([1, 2, 3], "1h")).definition
    assert definition["name"] == "next_5_up"
    assert (definition["horizon_minutes"], definition["effective_horizon_minutes"]) == (300, 300)
    assert definition["hold_threshold"] == 0.0


def test_bars_shorter_than_the_horizon_have_no_labels():
    for count in (1, 5):
        labels = next_n_up_labels(bars_of(range(1, count + 1)))
        assert not labels.is_labelled.any()
        assert len(labels) == count


def test_the_kind_follows_the_type_of_the_options():
    bars = bars_of([100, 100, 100, 103])
    assert make_labels(bars, ThreeClassOptions()).classes == (-1, 0, 1)
    assert make_labels(bars, NextUpOptions()).classes == (0, 1)


def test_options_of_no_kind_are_refused():
    with pytest.raises(
        ConfigError, match="options must be one of MetaLabelOptions, NextUpOptions, ThreeClass"
    ):
        make_labels(bars_of([1, 2]), LabelOptions())


def test_a_wrong_option_is_named():
    with pytest.raises(ConfigError, match="horizon_bars must be greater than or equal to 1, was 0"):
        NextUpOptions(horizon_bars=0)
    with pytest.raises(ConfigError, match="hold_threshold must be greater than or equal to 0"):
        ThreeClassOptions(hold_threshold=-0.1)
    with pytest.raises(ConfigError, match="did you mean 'horizon_minutes'"):
        ThreeClassOptions(horizon_minute=3)


def test_labels_cannot_be_written_to():
    labels = next_n_up_labels(bars_of(range(1, 9)))
    with pytest.raises(ValueError, match="read-only"):
        labels.values[0] = 1


@pytest.mark.parametrize(
    ("definition", "message"),
    [
        ({"kind": "three_clas"}, "label.kind must be one of meta, .*was three_clas; did you mean"),
        ({"name": "next_5_up"}, "label.kind must be one of meta, next_up, .*was None"),
        ({"kind": "three_class"}, "label must hold horizon_minutes, hold_threshold of ThreeClass"),
        ({"kind": "next_up", "horizon_bars": 0}, "label.horizon_bars must be greater than"),
    ],
)
def test_a_definition_that_cannot_be_read_back_is_named(definition, message):
    with pytest.raises(ConfigError, match=message):
        label_options(definition)
