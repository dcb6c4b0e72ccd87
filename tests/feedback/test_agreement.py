"""Trade by trade: what is equal, what differs, and in which words."""

from __future__ import annotations

import numpy as np
import pytest

from crypto_bot.core import TRADE
from crypto_bot.core.errors import DataError
from crypto_bot.feedback import compare_with_backtest


def trades(*bars):
    records = np.zeros(len(bars), TRADE)
    for record, (entry, leave) in zip(records, bars, strict=True):
        record["entry_bar"], record["exit_bar"] = entry, leave
        record["entry_time"], record["exit_time"] = entry * 3600 * 10**9, leave * 3600 * 10**9
        record["direction"], record["quantity"], record["entry_price"] = 1, 2.5, 100.0
    return records


def compare(paper, backtest, under_limits=None):
    limited = None if under_limits is None else {"A/USDT": under_limits}
    return compare_with_backtest({"A/USDT": paper}, {"A/USDT": backtest}, under_limits=limited)


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


def test_what_vanishes_under_the_same_interventions_is_explained():
    limited = trades((1, 5), (11, 13))
    limited["quantity"][1] = 9.0
    agreement = compare(limited.copy(), trades((1, 5), (7, 9), (11, 13)), limited)
    assert (agreement.missing, agreement.changed) == (1, 1)
    assert (agreement.explained_by_risk, agreement.unexplained) == (2, 0)
    assert "(bar 7) is in the backtest and not in paper" in agreement.first_difference
    assert "under the same interventions every trade is equal" in agreement.describe()


def test_a_fault_after_a_limit_stepped_in_is_not_explained():
    backtest, limited = trades((1, 5), (7, 9), (11, 13)), trades((1, 5), (11, 13))
    paper = limited.copy()
    paper["exit_price"][1] = np.nextafter(0.0, 1.0)
    agreement = compare(paper, backtest, limited)
    assert (agreement.explained_by_risk, agreement.unexplained) == (1, 1)
    assert "(bar 11): exit_price" in agreement.first_difference
    assert "1 differ without a risk limit to explain them" in agreement.describe()


def test_an_intervention_that_was_not_obeyed_is_unexplained():
    agreement = compare(trades((1, 5)), trades((1, 5)), trades())
    assert agreement.equal
    assert agreement.unexplained == 1
    assert "differ without a risk limit" in agreement.describe()


def test_an_explained_difference_does_not_hide_an_unexplained_one():
    paper = {"A/USDT": trades(), "B/USDT": trades()}
    backtest = {"A/USDT": trades((1, 5)), "B/USDT": trades((8, 9))}
    limited = {"A/USDT": trades(), "B/USDT": trades((8, 9))}
    agreement = compare_with_backtest(paper, backtest, under_limits=limited)
    assert agreement.first_difference.startswith("B/USDT")


def test_sides_of_different_symbols_or_records_are_refused():
    with pytest.raises(DataError, match=r"same symbols, only one had \['B/USDT'\]"):
        compare_with_backtest({"A/USDT": trades()}, {"A/USDT": trades(), "B/USDT": trades()})
    with pytest.raises(DataError, match=r"backtest under limits must cover the same symbols"):
        compare_with_backtest({"A/USDT": trades()}, {"A/USDT": trades()}, under_limits={})
    with pytest.raises(DataError, match="paper A/USDT must be TRADE records, was float64"):
        compare(np.zeros(3), trades())
