"""Data beyond candles: named when missing, checked when given, laid beside bars without look-ahead."""

import re

import numpy as np
import pytest

from crypto_bot.core import Signals
from crypto_bot.core.errors import ConfigError, DataError
from crypto_bot.engine import sweep
from crypto_bot.strategies import (
    EXTRA_COLUMNS,
    StrategyParameters,
    get_strategy,
    known_at_close,
    list_strategies,
    strategy,
)
from crypto_bot.strategies.base import enrolled, whole_score
from crypto_bot.strategies.needs import GAS, ORDER_BOOK, needed_columns
from crypto_bot.trading import StrategyDecisions
from strategies.markets import random_bars

BARS = random_bars(60, seed=1)
TEXT = (
    "leaning needs an order book and the price of gas: columns best_bid, best_ask, bid_size, "
    "ask_size, gas_gwei per bar; give them to signals(columns) or to signals_on(bars, extra=...)"
)


class LeaningParameters(StrategyParameters):
    def features(self):
        return ("sma_3",)

    def needs(self):
        return (ORDER_BOOK, GAS)


def leaning(columns, parameters):
    """Go with the larger side of the book."""
    return whole_score(np.sign(columns["bid_size"] - columns["ask_size"]).astype(np.int8))


@pytest.fixture
def one():
    enrol = strategy(
        "leaning", parameters=LeaningParameters, regime=("sideways",), signal_exit="flat"
    )
    enrol(leaning)
    yield get_strategy("leaning")
    enrolled().pop("leaning", None)


def book(length=60):
    columns = {name: np.ones(length) for name in (*ORDER_BOOK.columns, *GAS.columns)}
    return columns | {"bid_size": np.arange(length) % 3.0}


def test_given_its_data_a_strategy_runs_on_candles(one):
    signals = one.signals_on(BARS, extra=book())
    assert isinstance(signals, Signals)
    assert signals.direction[:4].tolist() == [-1, 0, 1, -1]
    columns = {"sma_3": np.ones(60), **book()}
    assert np.array_equal(one.signals(columns).direction, signals.direction)


def test_without_its_data_it_is_refused_by_name(one):
    missing_one = book()
    del missing_one["gas_gwei"]
    with pytest.raises(DataError, match=f"^{re.escape(TEXT)}$"):
        one.signals_on(BARS)
    with pytest.raises(DataError, match=re.escape(TEXT)):
        one.signals_on(BARS, extra=missing_one)
    with pytest.raises(DataError, match=re.escape(TEXT)):
        one.signals({"sma_3": np.ones(60), **missing_one})


def test_a_sweep_lists_it_with_that_reason_and_goes_on(one):
    result = sweep([BARS], [one, "sma_cross"], workers=1)
    assert [(trial.strategy, trial.reason) for trial in result.skipped] == [("leaning", TEXT)]
    assert result.table["strategy"].to_list() == ["sma_cross"]


def test_a_paper_session_refuses_it(one):
    with pytest.raises(DataError, match=re.escape(TEXT)):
        StrategyDecisions(one)


def test_data_that_do_not_fit_are_refused(one):
    with pytest.raises(
        DataError, match=r"extra\['bid_size'\] must be float64 \(60,\) .* was float64 \(59,\)"
    ):
        one.signals_on(BARS, extra=book() | {"bid_size": np.ones(59)})
    with pytest.raises(DataError, match=r"extra\['bid_size'\] must be float64 .* was int64"):
        one.signals_on(BARS, extra=book() | {"bid_size": np.ones(60, np.int64)})
    with pytest.raises(DataError, match=r"extra\['gas_gwei'\] must hold a finite number"):
        one.signals_on(BARS, extra=book() | {"gas_gwei": np.full(60, np.nan)})
    with pytest.raises(
        ConfigError, match=r"extra must hold only what leaning needs .* did you mean 'best_bid'"
    ):
        one.signals_on(BARS, extra=book() | {"best_bit": np.ones(60)})
    with pytest.raises(ConfigError, match=r"what rsi needs \(nothing\), was 'gas_gwei'"):
        get_strategy("rsi").signals_on(BARS, extra={"gas_gwei": np.ones(60)})


@pytest.mark.parametrize("name", list_strategies())
def test_every_needed_column_is_explained(name):
    assert set(needed_columns(get_strategy(name).needs)) <= set(EXTRA_COLUMNS)


MINUTE = 60 * 10**9


def test_a_value_is_used_from_the_close_it_is_known_at():
    closes = BARS.close_time
    times = np.array([closes[2] - 1, closes[4], closes[5] + 1])
    found = known_at_close(BARS, times, np.array([1.0, 2.0, 3.0]))
    nan = np.nan
    assert np.array_equal(found[:8], [nan, nan, 1, 1, 2, 2, 3, 3], equal_nan=True)


def test_a_value_that_is_too_old_is_not_used():
    times = BARS.close_time[:1]
    found = known_at_close(BARS, times, np.array([7.0]), oldest_ns=10 * MINUTE)
    assert np.array_equal(found[:4], [7, 7, 7, np.nan], equal_nan=True)
    assert np.isnan(known_at_close(BARS, times[:0], np.empty(0), oldest_ns=1)).all()


def test_times_that_are_unsorted_or_too_few_are_refused():
    with pytest.raises(DataError, match="time_ns must increase, was 1 at row 1; sort it"):
        known_at_close(BARS, np.array([2, 1]), np.ones(2))
    with pytest.raises(DataError, match=r"values must be one a time \(2,\), were \(3,\)"):
        known_at_close(BARS, np.array([1, 2]), np.ones(3))
