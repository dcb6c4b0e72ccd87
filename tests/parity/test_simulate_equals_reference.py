"""One meaning, three implementations: the plain twin, `simulate`, and the fast path of `sweep`."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_bot.core import TRADE
from crypto_bot.engine import CostOptions, ExitOptions, SizingOptions, conditions_of, simulate
from crypto_bot.engine.blocks import prepare_market, prepare_marks
from crypto_bot.engine.events import walk_events
from crypto_bot.engine.matching import matching_rules
from crypto_bot.engine.metrics import METRICS, metric_columns
from crypto_bot.engine.sides import empty_sides, pack_directions
from crypto_bot.engine.sweep_kernel import tally_sides
from crypto_bot.engine.walk import walk
from reference.engine_cases import (
    finer_bars,
    funding_every_eight_hours,
    markets,
    option_sets,
    random_bars,
    random_direction,
    rich_option_sets,
    signals,
)
from reference.engine_reference import reference_backtest

CLOSE = {"rel": 1e-9, "abs": 1e-9}


@settings(max_examples=300, deadline=None, derandomize=True)
@given(markets(), option_sets())
def test_simulate_equals_the_plain_twin(market, options):
    bars, direction = market
    costs, exits, sizing = options
    result = simulate(bars, signals(direction), costs=costs, exits=exits, sizing=sizing)
    account, metrics = reference_backtest(bars, direction, costs, exits, sizing)

    assert len(result.trades) == len(account.trades)
    for ours, twin in zip(result.trades, account.trades, strict=True):
        assert set(twin) == set(TRADE.names)
        for name in TRADE.names:
            assert ours[name] == pytest.approx(twin[name], **CLOSE), name
    np.testing.assert_allclose(result.equity, account.equity, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(result.position, account.position, rtol=1e-9, atol=1e-9)
    assert result.refused_entries == account.refused
    assert set(metrics) == set(METRICS)
    assert_same_metrics(asdict(result.metrics), metrics)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(markets(), rich_option_sets(), st.booleans(), st.sampled_from([0.0, 0.0003, -0.01]))
def test_every_rule_of_simulate_equals_the_plain_twin(market, options, has_finer, rate):
    bars, direction = market
    costs, exits, sizing = options
    funding = funding_every_eight_hours(bars, rate) if rate else None
    finer = finer_bars(bars) if has_finer else None
    result = simulate(
        bars,
        signals(direction),
        costs=costs,
        exits=exits,
        sizing=sizing,
        funding=funding,
        finer=finer,
    )
    conditions = conditions_of(bars, costs, exits, sizing)
    known = list(zip(*(column.tolist() for column in conditions[2:]), strict=True))
    payments = [] if funding is None else list(zip(funding.time_ns, funding.rate, strict=True))
    account, metrics = reference_backtest(
        bars, direction, costs, exits, sizing, known, payments, finer
    )
    assert len(result.trades) == len(account.trades)
    for ours, twin in zip(result.trades, account.trades, strict=True):
        for name in TRADE.names:
            assert ours[name] == pytest.approx(twin[name], **CLOSE), name
    np.testing.assert_allclose(result.equity, account.equity, rtol=1e-9, atol=1e-8)
    assert result.refused_entries == account.refused
    assert (result.ambiguous_exits, result.resolved_exits) == (account.ambiguous, account.resolved)
    assert_same_metrics(asdict(result.metrics), metrics)
    assert_conserved(result)


def assert_conserved(result):
    """Cash + value = equity at each close; what was earned less fees and financing is the change."""
    trades, bars = result.trades, result.bars
    cash, paid = result.sizing.initial_cash, 0.0
    moves = np.zeros(len(bars))
    np.add.at(
        moves,
        result.fills["bar"],
        -result.fills["quantity"] * result.fills["price"] - result.fills["fee"],
    )
    paid = trades["financing_quote"].sum()
    final = cash + moves.sum() - paid + result.position[-1] * bars.close[-1]
    assert result.equity[-1] == pytest.approx(final, rel=1e-9, abs=1e-8)
    assert result.equity[-1] - cash == pytest.approx(trades["pnl_quote"].sum(), rel=1e-9, abs=1e-7)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(markets(most=300), option_sets(), st.integers(0, 2**32 - 1))
def test_the_sweep_kernel_equals_simulate(market, options, seed):
    bars, direction = market
    costs, exits, sizing = options
    columns = [direction, random_direction(seed, len(bars))]
    assert_kernel_equals_simulate(bars, columns, costs, exits, sizing)


@pytest.mark.parametrize("seed", range(6))
def test_the_sweep_kernel_equals_simulate_over_many_blocks_and_days(seed):
    rng = np.random.default_rng(seed)
    bars = random_bars(seed, 5_000, timeframe="5m", move=0.003, decimals=4, outages=0.002)
    runs = [3.0, 40.0, 400.0, 4_000.0]
    columns = [random_direction(seed * 10 + i, 5_000, mean_run=run) for i, run in enumerate(runs)]
    for _ in range(8):
        costs, exits, sizing = draw_options(rng)
        assert_kernel_equals_simulate(bars, columns, costs, exits, sizing)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(markets(most=300), option_sets())
def test_from_event_to_event_is_bar_by_bar_to_the_last_bit(market, options):
    assert_events_equal_bars(*market, *options)


@pytest.mark.parametrize("seed", range(4))
def test_from_event_to_event_is_bar_by_bar_over_many_blocks(seed):
    rng = np.random.default_rng(100 + seed)
    bars = random_bars(seed, 5_000, timeframe="5m", move=0.003, decimals=4, outages=0.002)
    for run in (2.0, 30.0, 700.0):
        assert_events_equal_bars(
            bars, random_direction(seed, 5_000, mean_run=run), *draw_options(rng)
        )


@pytest.mark.parametrize("distance", [0.004, 0.008, 0.015])
def test_a_trailing_stop_remembers_the_peak_of_every_bar_it_passes_over(distance):
    exits = ExitOptions(trailing_stop_frac=distance, reentry="while_signal", signal_exit="opposite")
    for seed in range(6):
        bars = random_bars(seed, 6_000, timeframe="5m", move=0.001, decimals=4, outages=0.0)
        direction = random_direction(seed, len(bars), mean_run=300.0)
        assert_events_equal_bars(bars, direction, CostOptions(), exits, SizingOptions())


def assert_events_equal_bars(bars, direction, costs, exits, sizing):
    rules = matching_rules(costs, exits, sizing)
    cash, wanted = sizing.initial_cash, signals(direction)
    fast = walk_events(bars, wanted.direction, rules, cash)
    slow = walk(bars, wanted, conditions_of(bars, costs, exits, sizing), rules, cash)
    for name, ours, theirs in zip(fast._fields, fast, slow, strict=True):
        assert np.asarray(ours).tobytes() == np.asarray(theirs).tobytes(), name


def assert_kernel_equals_simulate(bars, columns, costs, exits, sizing):
    sides = empty_sides(len(columns), len(bars))
    for row, direction in enumerate(columns):
        assert pack_directions(direction, sides.up[row], sides.down[row])
    rules = matching_rules(costs, exits, sizing)
    tallies = tally_sides(
        prepare_market(bars), prepare_marks(bars), sides, sizing.initial_cash, rules
    )
    fast = metric_columns(tallies, bars, sizing.initial_cash)
    for row, direction in enumerate(columns):
        slow = simulate(bars, signals(direction), costs=costs, exits=exits, sizing=sizing)
        values = {name: column[row] for name, column in fast.items()}
        assert_same_metrics(
            {name: None if np.isnan(value) else value for name, value in values.items()},
            asdict(slow.metrics),
        )


def assert_same_metrics(ours, twin):
    for name in METRICS:
        if twin[name] is None or ours[name] is None:
            assert ours[name] is twin[name], (name, ours[name], twin[name])
        else:
            assert ours[name] == pytest.approx(twin[name], **CLOSE), name


def draw_options(rng):
    """Options of one long market: no hypothesis, so that each market is compiled and built once."""
    from crypto_bot.engine import CostOptions, ExitOptions, Reentry, SignalExit, SizingOptions

    maybe = lambda values: None if rng.random() < 0.4 else float(rng.choice(values))  # noqa: E731
    exits = ExitOptions(
        stop_loss_frac=maybe([0.004, 0.03]),
        take_profit_frac=maybe([0.006, 0.05]),
        trailing_stop_frac=maybe([0.005, 0.04]),
        max_holding_bars=None if rng.random() < 0.5 else int(rng.integers(1, 300)),
        cooldown_bars=int(rng.integers(0, 3)),
        signal_exit=SignalExit(rng.choice(list(SignalExit))),
        reentry=Reentry(rng.choice(list(Reentry))),
    )
    fee = float(rng.choice([0.0, 0.0005]))
    costs = CostOptions(taker_fee_frac=fee, maker_fee_frac=fee / 2, slippage_frac=fee)
    return costs, exits, SizingOptions(allow_short=bool(rng.random() < 0.7))
