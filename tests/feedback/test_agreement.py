"""Trade by trade: what is equal, what differs, and in which words."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from crypto_bot.core import TRADE
from crypto_bot.core.errors import DataError
from crypto_bot.feedback import compare_with_backtest


class Step(NamedTuple):
    symbol: str
    bar: int


def trades(*bars):
    records = np.zeros(len(bars), TRADE)
    for record, (entry, leave) in zip(records, bars, strict=True):
        record["entry_bar"], record["exit_bar"] = entry, leave
        record["entry_time"], record["exit_time"] = entry * 3600 * 10**9, leave * 3600 * 10**9
        record["direction"], record["quantity"], record["entry_price"] = 1, 2.5, 100.0
    return records


def compare(paper, backtest, *steps):
    return compare_with_backtest({"A/USDT": paper}, {"A/USDT": backtest}, interventions=steps)


def test_equal_trades_agree():
    agreement = compare(trades((1, 5), (7, -1)), trades((1, 5), (7, -1)))
    assert agreement.equal
    assert (agreement.matched, agreement.unexplained) == (2, 0)
    assert agreement.first_difference is None
    assert agreement.describe() == "paper equals backtest: 2 trades, every field the same"


def test_two_empty_sides_agree():
    assert compare(trades(), trades()).equal


@pytest.mark.parametrize("field", TRADE.names)
def test_the_last_bit_of_any_field_is_a_difference(field):
    ours, theirs = trades((1, 5)), trades((1, 5))
    value = ours[field][0]
    ours[field] = np.nextafter(value, np.inf) if ours[field].dtype.kind == "f" else value + 1
    agreement = compare(ours, theirs)
    assert not agreement.equal
    assert agreement.unexplained == (2 if field == "entry_bar" else 1)


def test_the_first_difference_is_told_in_words():
    ours = trades((1, 5), (7, 9))
    ours["exit_price"][1] = 99.0
    agreement = compare(ours, trades((1, 5), (7, 9)))
    assert (agreement.matched, agreement.changed) == (1, 1)
    assert agreement.first_difference == (
        "A/USDT long entered 1970-01-01T07:00:00Z (bar 7): exit_price is 99.0 in paper, "
        "0.0 in the backtest"
    )
    assert "differs from backtest in 1 trades beside 1 equal ones" in agreement.describe()


def test_trades_of_one_side_only_are_missing_or_extra():
    agreement = compare(trades((1, 5)), trades((7, 9)))
    assert (agreement.missing, agreement.extra, agreement.matched) == (1, 1, 0)
    assert agreement.first_difference == (
        "A/USDT long entered 1970-01-01T01:00:00Z (bar 1) is in paper and not in the backtest"
    )


def test_a_blocked_entry_explains_its_trade_and_those_after_it():
    backtest = trades((1, 5), (7, 9), (11, 13))
    later = trades((1, 5), (11, 13))
    later["quantity"][1] = 9.0
    agreement = compare(later, backtest, Step("A/USDT", 6))
    assert (agreement.missing, agreement.changed) == (1, 1)
    assert (agreement.explained_by_risk, agreement.unexplained) == (2, 0)


def test_a_difference_before_the_limit_stepped_in_is_not_explained():
    ours = trades((1, 5))
    ours["quantity"] = 1.0
    agreement = compare(ours, trades((1, 5), (7, 9)), Step("A/USDT", 6), Step("B/USDT", 0))
    assert agreement.unexplained == 1
    assert "quantity is 1.0 in paper" in agreement.first_difference


def test_a_forced_close_explains_the_trade_it_ended():
    agreement = compare(trades((1, 4)), trades((1, 9)), Step("A/USDT", 3))
    assert (agreement.changed, agreement.unexplained) == (1, 0)


def test_an_explained_difference_does_not_hide_an_unexplained_one():
    paper = {"A/USDT": trades(), "B/USDT": trades()}
    backtest = {"A/USDT": trades((1, 5)), "B/USDT": trades((8, 9))}
    agreement = compare_with_backtest(paper, backtest, interventions=[Step("A/USDT", 0)])
    assert agreement.first_difference.startswith("B/USDT")


def test_sides_of_different_symbols_or_records_are_refused():
    with pytest.raises(DataError, match=r"same symbols, only one had \['B/USDT'\]"):
        compare_with_backtest({"A/USDT": trades()}, {"A/USDT": trades(), "B/USDT": trades()})
    with pytest.raises(DataError, match="paper A/USDT must be TRADE records, was float64"):
        compare(np.zeros(3), trades())
