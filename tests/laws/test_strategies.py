"""Laws of every strategy; a new one enrols itself through `list_strategies`."""

from functools import cache
from itertools import combinations
from typing import Literal, get_args, get_origin

import numpy as np
import pytest

from crypto_bot.core import OHLCV
from crypto_bot.core.errors import DataError
from crypto_bot.features import feature
from crypto_bot.strategies import (
    EXTRA_COLUMNS,
    StrategyParameters,
    get_strategy,
    list_strategies,
    parameter_grid,
    strategy,
)
from crypto_bot.strategies.base import REGIMES, Strategy, enrolled, whole_score
from crypto_bot.strategies.needs import needed_columns
from strategies.markets import bars_of, columns_of, extra_columns, random_bars

NAMES = list_strategies()
BARS = 5_000
TIMEFRAME = "1h"
"""Long enough that features of a day have settled well within these bars."""


def edges(name):
    """Every parameter at either end of its range, the others as they are, where that is allowed."""
    definition = enrolled()[name]
    defaults = definition.parameters().model_dump()
    for parameter, field in definition.parameters.model_fields.items():
        bounds = [rule.ge for rule in field.metadata if hasattr(rule, "ge")]
        bounds += [rule.le for rule in field.metadata if hasattr(rule, "le")]
        for bound in bounds:
            values = defaults | {parameter: type(defaults[parameter])(bound)}
            if all(values[low] < values[high] for low, high in definition.parameters.below):
                yield values


def data_choices(name):
    """The defaults with each other choice of what data to use."""
    parameters = enrolled()[name].parameters
    for parameter in parameters.data_choices:
        annotation = parameters.model_fields[parameter].annotation
        for choice in get_args(annotation) if get_origin(annotation) is Literal else ():
            if choice != parameters.model_fields[parameter].default:
                yield parameters().model_dump() | {parameter: choice}


def variants(name):
    sets = [*parameter_grid(name, 6), *edges(name), *data_choices(name)]
    return [get_strategy(name, **values) for values in sets]


ALL = [
    pytest.param(one, id=f"{name}-{i}") for name in NAMES for i, one in enumerate(variants(name))
]


@cache
def market():
    """One market and every feature that any enrolled strategy reads, computed once."""
    bars = random_bars(BARS, seed=3, timeframe=TIMEFRAME)
    names = [name for case in ALL for name in case.values[0].features()]
    return bars, columns_of(bars, names) | extra_columns(bars.close)


def read_names(one):
    return (*one.features(), *one.prices, *needed_columns(one.needs))


def extra_of(one, columns, rows=slice(None)):
    """The columns of `one.needs`, for `signals_on`."""
    return {name: columns[name][rows].copy() for name in needed_columns(one.needs)}


def same(left, right):
    return np.array_equal(left.direction, right.direction) and np.array_equal(
        left.score, right.score
    )


def tail_agrees(one, columns):
    """Signals on any tail equal those on the whole from `lookback_bars()` on."""
    whole = one.signals(columns)
    for start in (1, 17, 2_000, BARS - one.lookback_bars()):
        tail = one.signals({name: columns[name][start:] for name in read_names(one)})
        first = one.lookback_bars() - 1
        if not np.array_equal(tail.direction[first:], whole.direction[start + first :]):
            return False
        if not np.array_equal(tail.score[first:], whole.score[start + first :]):
            return False
    return True


def past_is_untouched(one, columns):
    """Altering every column after bar t changes no signal up to t."""
    whole = one.signals(columns)
    rng = np.random.default_rng(8)
    for last in (0, 300, 2_500, BARS - 2):
        altered = {}
        for name in read_names(one):
            altered[name] = columns[name].copy()
            altered[name][last + 1 :] = rng.permutation(columns[name])[last + 1 :]
        changed = one.signals(altered)
        until = slice(0, last + 1)
        if not np.array_equal(changed.direction[until], whole.direction[until]):
            return False
        if not np.array_equal(changed.score[until], whole.score[until]):
            return False
    return True


@pytest.mark.parametrize("one", ALL)
def test_signals_on_a_tail_equal_those_on_the_whole(one):
    assert tail_agrees(one, market()[1])


@pytest.mark.parametrize("one", ALL)
def test_as_many_bars_as_it_declares_give_its_last_signal(one):
    """As a live session asks; at bars where something is wanted, or has just ceased to be."""
    columns, reach = market()[1], one.lookback_bars()
    whole = one.signals(columns)
    turns = np.flatnonzero(np.diff(whole.direction)) + 1
    later = np.concatenate((turns, turns[turns + 7 < BARS] + 7))
    later = later[later >= reach]
    for last in np.random.default_rng(6).permutation(later)[:40]:
        window = slice(last + 1 - reach, last + 1)
        signals = one.signals({name: columns[name][window] for name in read_names(one)})
        assert signals.direction[-1] == whole.direction[last]
        assert signals.score[-1] == whole.score[last]


@pytest.mark.parametrize("one", ALL)
def test_the_future_changes_nothing(one):
    assert past_is_untouched(one, market()[1])


@pytest.mark.parametrize("one", ALL)
def test_direction_and_score_have_their_types_and_ranges(one):
    signals = one.signals(market()[1])
    assert signals.direction.dtype == np.int8
    assert signals.score.dtype == np.float64
    assert signals.direction.shape == signals.score.shape == (BARS,)
    assert set(np.unique(signals.direction)) <= {-1, 0, 1}
    assert np.isfinite(signals.score).all()
    assert ((signals.score >= 0) & (signals.score <= 1)).all()
    assert (signals.score[signals.direction == 0] == 0).all()
    assert same(signals, one.signals(market()[1]))


@pytest.mark.parametrize("one", ALL)
def test_a_missing_number_gives_no_side(one):
    columns = market()[1]
    rng = np.random.default_rng(4)
    for name in (*one.features(), *needed_columns(one.needs)):
        holes = rng.choice(BARS, 200, replace=False)
        broken = {key: columns[key].copy() for key in read_names(one)}
        broken[name][holes] = np.nan
        assert (one.signals(broken).direction[holes] == 0).all(), name


@pytest.mark.parametrize("one", ALL)
def test_it_writes_to_no_column_and_takes_any_length(one):
    columns = {name: market()[1][name].copy() for name in read_names(one)}
    for values in columns.values():
        values.flags.writeable = False
    one.signals(columns)
    for length in (0, 1, 2):
        short = {name: values[:length] for name, values in columns.items()}
        assert len(one.signals(short).direction) == length


@pytest.mark.parametrize("name", NAMES)
def test_its_declaration_is_complete(name):
    one = get_strategy(name)
    assert one.summary.endswith(".")
    assert "Data:" in enrolled()[name].function.__doc__
    assert "Mended:" in enrolled()[name].function.__doc__
    assert set(one.regime) <= set(REGIMES)
    assert one.regime
    assert one.signal_exit in ("flat", "opposite")
    assert one.lookback_bars() >= 1
    for parameter, field in type(one.parameters).model_fields.items():
        assert field.description, parameter
        assert not field.is_required(), parameter


@pytest.mark.parametrize("one", ALL)
def test_every_feature_it_reads_exists_and_settles(one):
    assert all(feature(name, TIMEFRAME).settled_bars is not None for name in one.features())
    assert one.history_bars(TIMEFRAME) >= one.lookback_bars()


@pytest.mark.parametrize("name", NAMES)
def test_signals_from_a_late_start_equal_those_from_the_beginning(name):
    """From candles, not from columns: the features have forgotten their start by then."""
    bars, columns = market()
    one = get_strategy(name)
    start = 700
    settled = one.history_bars(TIMEFRAME)
    assert settled < BARS - start - 500
    late = one.signals_on(bars[start:], extra_of(one, columns, slice(start, None)))
    whole = one.signals_on(bars, extra_of(one, columns))
    assert np.array_equal(late.direction[settled:], whole.direction[start + settled :])
    assert np.allclose(late.score[settled:], whole.score[start + settled :], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_later_candles_change_no_earlier_signal(name):
    bars, columns = market()
    other = random_bars(BARS, seed=99)
    later = extra_columns(other.close, seed=98)
    one = get_strategy(name)
    last = 3_000
    mixed = bars_of(
        *(np.concatenate((getattr(bars, key)[:last], getattr(other, key)[last:])) for key in OHLCV),
        timeframe=TIMEFRAME,
    )
    extra = extra_of(one, columns)
    for key, values in extra.items():
        values[last:] = later[key][last:]
    whole, changed = one.signals_on(bars, extra_of(one, columns)), one.signals_on(mixed, extra)
    assert np.array_equal(whole.direction[:last], changed.direction[:last])
    assert np.array_equal(whole.score[:last], changed.score[:last])


def test_every_column_that_can_be_needed_is_in_the_market_of_these_laws():
    assert set(EXTRA_COLUMNS) <= set(extra_columns(np.ones(60)))


@pytest.mark.parametrize("one", [case for case in ALL if case.values[0].needs])
def test_without_its_data_it_is_refused_by_name(one):
    columns = market()[1]
    for missing in needed_columns(one.needs):
        others = {name: columns[name] for name in read_names(one) if name != missing}
        with pytest.raises(DataError, match=rf"{one.name} needs .* columns .*{missing}"):
            one.signals(others)
    with pytest.raises(DataError, match=f"{one.name} needs .*signals_on\\(bars, extra="):
        one.signals_on(market()[0])


@pytest.mark.parametrize("name", NAMES)
def test_it_really_trades(name):
    direction = get_strategy(name).signals(market()[1]).direction
    entries = np.count_nonzero((direction[1:] != 0) & (direction[1:] != direction[:-1]))
    assert entries >= 5
    assert (direction == 1).any()
    assert np.count_nonzero(direction == 1) < 0.8 * BARS, "long on almost every bar"


@pytest.mark.parametrize(("left", "right"), list(combinations(NAMES, 2)))
def test_no_two_strategies_have_the_same_signals(left, right):
    columns = market()[1]
    one, other = (get_strategy(name).signals(columns).direction for name in (left, right))
    assert np.mean(one != other) > 0.01


@pytest.mark.parametrize("name", NAMES)
def test_its_numbers_change_with_its_parameters(name):
    columns = market()[1]
    grid = parameter_grid(name, 6)
    seen = {get_strategy(name, **values).signals(columns).direction.tobytes() for values in grid}
    assert len(seen) >= 4


class PeekingParameters(StrategyParameters):
    def features(self):
        return ("return_1",)


def peeking(columns, parameters):
    """Know the next bar."""
    following = np.append(columns["return_1"][1:], 0.0)
    return whole_score(np.sign(np.nan_to_num(following)).astype(np.int8))


def remembering(columns, parameters):
    """Compare with the mean of everything so far: where the data begin matters."""
    values = np.nan_to_num(columns["return_1"])
    mean = np.cumsum(values) / np.arange(1, len(values) + 1)
    return whole_score((values > mean).astype(np.int8))


def unlisted(function):
    return Strategy(
        name=function.__name__,
        regime=("trending",),
        parameters=PeekingParameters(),
        signal_exit="flat",
        prices=(),
        predictions=(),
        function=function,
    )


def test_the_laws_catch_a_strategy_that_peeks_or_remembers_for_ever():
    columns = columns_of(market()[0], ["return_1"])
    assert not past_is_untouched(unlisted(peeking), columns)
    assert past_is_untouched(unlisted(remembering), columns)
    assert not tail_agrees(unlisted(remembering), columns)


def test_a_new_strategy_is_enrolled_in_these_laws():
    enrol = strategy(
        "peeking", parameters=PeekingParameters, regime=("trending",), signal_exit="flat"
    )
    try:
        enrol(peeking)
        assert "peeking" in list_strategies()
    finally:
        enrolled().pop("peeking", None)
