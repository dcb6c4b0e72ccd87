"""Live against promise: intervals that cover what chance gives, verdicts in words."""

from __future__ import annotations

import numpy as np
import pytest

from crypto_bot.core import TRADE, Bars
from crypto_bot.core.errors import DataError
from crypto_bot.feedback import (
    ExpectationOptions,
    Standing,
    compare_with_expectation,
    entry_slippage,
)


def trades(returns):
    records = np.zeros(len(returns), TRADE)
    records["return_frac"] = returns
    records["exit_bar"] = 1
    return records


def normal(count, mean, seed):
    return np.random.default_rng(seed).normal(mean, 0.02, count)


def by_name(report):
    return {found.name: found for found in report.comparisons}


def test_trades_from_the_promised_distribution_are_inside():
    report = compare_with_expectation(trades(normal(80, 0.004, 1)), trades(normal(400, 0.004, 2)))
    assert {found.standing for found in report.comparisons} == {Standing.INSIDE}
    assert not report.is_disappointing
    assert "as validation promised: live" in by_name(report)["expectancy_frac"].verdict


def test_a_lost_edge_is_below_and_said_in_words():
    report = compare_with_expectation(trades(normal(80, -0.01, 1)), trades(normal(400, 0.004, 2)))
    found = by_name(report)["expectancy_frac"]
    assert found.standing is Standing.BELOW
    assert report.is_disappointing
    assert found.verdict.startswith("expectancy_frac: worse than validation promised: live -0.0")
    assert "range" in found.verdict


def test_the_interval_covers_chance_as_often_as_it_says():
    promised = normal(2000, 0.0, 3)
    options = ExpectationOptions(confidence=0.9, resamples=300)
    inside = 0
    for seed in range(200):
        report = compare_with_expectation(
            trades(normal(40, float(promised.mean()), 100 + seed)),
            trades(promised),
            options=options,
        )
        inside += by_name(report)["expectancy_frac"].standing is Standing.INSIDE
    assert 168 <= inside <= 192  # 180 expected, +- 3 standard deviations


def test_the_same_comparison_gives_the_same_numbers():
    first, second = (
        compare_with_expectation(trades(normal(30, 0, 1)), trades(normal(90, 0, 2)))
        for _ in range(2)
    )
    assert first == second


def test_too_few_trades_give_no_verdict():
    few = compare_with_expectation(trades(normal(9, -1, 1)), trades(normal(400, 0.004, 2)))
    assert {found.standing for found in few.comparisons} == {Standing.UNKNOWN}
    assert "too few live trades to say, 9 of at least 10" in few.comparisons[0].verdict
    assert not few.is_known
    assert not few.is_disappointing
    thin = compare_with_expectation(trades(normal(90, -1, 1)), trades(normal(29, 0.004, 2)))
    assert "too few out-of-sample trades to say, 29 of at least 30" in thin.comparisons[0].verdict


def test_no_trades_at_all_give_no_verdict():
    report = compare_with_expectation(trades([]), trades([]))
    assert [found.live for found in report.comparisons] == [None, None, None]


def test_open_trades_are_left_out():
    live = trades([0.01] * 12)
    live["exit_bar"][:4] = -1
    assert compare_with_expectation(live, live).live_trades == 8


def test_equal_returns_have_no_sharpe():
    report = compare_with_expectation(trades([0.01] * 20), trades([0.01] * 40))
    found = by_name(report)["sharpe_per_trade"]
    assert (found.live, found.standing) == (None, Standing.UNKNOWN)
    assert by_name(report)["expectancy_frac"].standing is Standing.INSIDE


def test_slippage_above_the_assumed_one_is_worse():
    live, promised = trades(normal(40, 0, 1)), trades(normal(90, 0, 2))
    report = compare_with_expectation(
        live, promised, live_slippage=np.full(40, 0.002), assumed_slippage_frac=0.001
    )
    found = by_name(report)["slippage_frac"]
    assert found.is_worse
    assert found.verdict == (
        "slippage_frac: more than the backtest assumed: live 0.002, assumed 0.001, "
        "allowed up to 0.0015"
    )
    fine = compare_with_expectation(
        live, promised, live_slippage=np.full(40, 0.001), assumed_slippage_frac=0.001
    )
    assert not by_name(fine)["slippage_frac"].is_worse


def test_slippage_needs_both_of_its_arguments():
    with pytest.raises(DataError, match="must be given together, one was"):
        compare_with_expectation(trades([]), trades([]), assumed_slippage_frac=0.001)


def test_slippage_is_measured_from_the_open_in_the_direction_of_the_trade():
    price = np.full(3, 100.0)
    bars = Bars("A/USDT", "1h", np.arange(3) * 3600 * 10**9, *[price] * 4, price)
    records = trades([0.0, 0.0])
    records["entry_bar"], records["direction"] = [1, 2], [1, -1]
    records["entry_price"] = [100.1, 99.9]
    assert entry_slippage(records, bars) == pytest.approx([0.001, 0.001])
