"""`sweep_signals`: given directions, judged as `simulate` judges each of them."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest

from crypto_bot.core.errors import ConfigError, DataError
from crypto_bot.engine import (
    METRICS,
    SIGNAL_SWEEP_SCHEMA,
    CostOptions,
    ExitOptions,
    SignalExit,
    SizingOptions,
    simulate,
    sweep_signals,
)
from reference.engine_cases import (
    funding_every_eight_hours,
    random_bars,
    random_direction,
    signals,
)

BARS = random_bars(3, 1_101, timeframe="1h", move=0.006, decimals=3)
RUNS = (1.5, 6.0, 80.0, 2_000.0)
DIRECTIONS = np.stack([random_direction(i, len(BARS), mean_run=run) for i, run in enumerate(RUNS)])
EXITS = (
    ExitOptions(),
    ExitOptions(stop_loss_frac=0.02, take_profit_frac=0.03, signal_exit=SignalExit.OPPOSITE),
    ExitOptions(trailing_stop_atr=2.5, max_holding_bars=40),
)


def assert_rows_equal_simulate(table, bars, directions, exits, **options):
    assert table.schema == SIGNAL_SWEEP_SCHEMA
    rows = table.iter_rows(named=True)
    for setting, direction in enumerate(directions):
        for chosen in exits:
            row = next(rows)
            assert row["setting"] == setting
            assert row["trailing_stop_atr"] == chosen.trailing_stop_atr
            assert row["signal_exit"] == (chosen.signal_exit or SignalExit.FLAT).value
            twin = simulate(bars, signals(direction), exits=chosen, **options)
            for name, value in asdict(twin.metrics).items():
                close = None if value is None else pytest.approx(value, rel=1e-9, abs=1e-9)
                assert row[name] == close, (setting, name)
    assert next(rows, None) is None


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"costs": CostOptions(taker_fee_frac=0.0, maker_fee_frac=0.0, slippage_frac=0.0)},
        {"sizing": SizingOptions(method="fixed_quote", allow_short=False)},
        {"sizing": SizingOptions(leverage=3.0)},
        {"funding": funding_every_eight_hours(BARS, 0.0005)},
    ],
    ids=["default", "free", "fixed quote", "leverage", "funding"],
)
def test_every_row_equals_simulate(options):
    table = sweep_signals(BARS, DIRECTIONS, exits=EXITS, **options)
    assert_rows_equal_simulate(table, BARS, DIRECTIONS, EXITS, **options)


@pytest.mark.parametrize("length", [1, 2, 7, 8, 63, 64, 65, 128])
def test_few_bars_are_enough(length):
    bars, directions = BARS[:length], np.ascontiguousarray(DIRECTIONS[:, -length:])
    table = sweep_signals(bars, directions)
    assert_rows_equal_simulate(table, bars, directions, [ExitOptions()])


def test_history_settles_what_exits_read():
    bars, history = BARS[300:], BARS[:300]
    directions = np.ascontiguousarray(DIRECTIONS[:, 300:])
    table = sweep_signals(bars, directions, exits=EXITS, history=history)
    assert_rows_equal_simulate(table, bars, directions, EXITS, history=history)


def test_neither_workers_nor_the_layout_change_anything():
    many = np.concatenate([DIRECTIONS] * 20)
    one = sweep_signals(BARS, many, workers=1)
    assert sweep_signals(BARS, np.asfortranarray(many), workers=3).equals(one)


@pytest.mark.parametrize("seed", range(3))
def test_a_wrong_direction_is_found_wherever_it_is(seed):
    rng = np.random.default_rng(seed)
    for wrong in (2, -2, 127, -128):
        directions, bar = DIRECTIONS.copy(), int(rng.integers(len(BARS)))
        directions[2, bar] = wrong
        with pytest.raises(DataError, match=rf"-1, 0 or \+1, was {wrong} at bar {bar}$"):
            sweep_signals(BARS, directions)


@pytest.mark.parametrize(
    ("directions", "message"),
    [
        (DIRECTIONS.astype(float), r"must be int8 \(settings, 1101\) like bars, was float64"),
        (np.full((2, 1_101), np.nan), r"must be int8 .* was float64 \(2, 1101\)"),
        (DIRECTIONS[:, :-1], r"was int8 \(4, 1100\)"),
        (DIRECTIONS[0], r"was int8 \(1101,\)"),
        ([[1, 0]], "must be a numpy array, was list"),
    ],
)
def test_directions_that_do_not_fit_are_refused(directions, message):
    with pytest.raises(DataError, match=message):
        sweep_signals(BARS, directions)


def test_a_sweep_of_nothing_or_of_too_much_is_refused_with_its_size():
    with pytest.raises(ConfigError, match=r"1\.\.10000000 settings, was 0 \(0 directions"):
        sweep_signals(BARS, DIRECTIONS[:0])
    with pytest.raises(ConfigError, match=r"was 0 \(4 directions x 0 exits"):
        sweep_signals(BARS, DIRECTIONS, exits=[])
    endless = np.lib.stride_tricks.as_strided(
        DIRECTIONS, (10**9, len(BARS)), (0, 1), writeable=False
    )
    with pytest.raises(ConfigError, match=r"was 1000000000 \(1000000000 directions x 1 exits"):
        sweep_signals(BARS, endless)
    with pytest.raises(DataError, match="must hold at least one bar, was 0"):
        sweep_signals(BARS[:0], DIRECTIONS[:, :0])


def test_the_table_names_every_metric():
    assert set(METRICS) <= set(SIGNAL_SWEEP_SCHEMA.names())
