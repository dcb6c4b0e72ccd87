"""`sweep` tries everything once, in order, and reports what `simulate` would."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest

from crypto_bot.core import Options, Signals
from crypto_bot.core.errors import ConfigError, DataError
from crypto_bot.engine import (
    METRICS,
    SWEEP_SCHEMA,
    CostOptions,
    ExitOptions,
    SignalExit,
    SizingOptions,
    exits_for,
    simulate,
    sweep,
)
from crypto_bot.strategies import get_strategy
from reference.engine_cases import random_bars

BARS = random_bars(11, 900, timeframe="1h", move=0.01, decimals=4)
OTHER = replace(random_bars(12, 700, timeframe="4h"), symbol="ETH/USDT", is_simulated=True)
GRID = [{"fast": fast, "slow": slow} for fast in (3, 5) for slow in (8, 13, 21)]
EXITS = (
    ExitOptions(),
    ExitOptions(stop_loss_frac=0.02, take_profit_frac=0.04, signal_exit=SignalExit.FLAT),
    ExitOptions(trailing_stop_frac=0.03, max_holding_bars=30, cooldown_bars=2),
)


class StubParameters(Options):
    shift: int = 1


DEFAULTS = StubParameters()


@dataclass(frozen=True)
class StubStrategy:
    """Follows the move of the last `shift` bars; counts nothing, remembers nothing."""

    parameters: StubParameters = DEFAULTS
    name: str = "stub"
    signal_exit: str = "flat"

    def features(self):
        return ("close",)

    def compared(self):
        return None

    def lookback_bars(self):
        return self.parameters.shift + 1

    def signals(self, columns):
        close, shift = columns["close"], self.parameters.shift
        direction = np.zeros(len(close), np.int8)
        direction[shift:] = np.sign(close[shift:] - close[:-shift])
        return Signals(direction, np.abs(direction).astype(np.float64))


def test_every_row_equals_simulate():
    costs = CostOptions(taker_fee_frac=0.0005)
    sizing = SizingOptions(allow_short=False, fraction=0.5)
    strategies = ["sma_cross", StubStrategy(StubParameters(shift=3))]
    result = sweep(
        [BARS, OTHER],
        strategies,
        grids={"sma_cross": GRID},
        exits=EXITS,
        costs=costs,
        sizing=sizing,
    )
    assert result.skipped == ()
    assert result.table.schema == SWEEP_SCHEMA
    assert len(result.table) == 2 * (len(GRID) + 1) * len(EXITS)
    rows = result.table.iter_rows(named=True)
    for bars in (BARS, OTHER):
        for strategy in [*(get_strategy("sma_cross", **p) for p in GRID), strategies[1]]:
            own = strategy.signals({"close": bars.close}) if strategy.name == "stub" else None
            wanted = own or strategy.signals_on(bars)
            for given in EXITS:
                exits = exits_for(strategy, given)
                row = next(rows)
                assert (row["symbol"], row["timeframe"]) == (bars.symbol, bars.timeframe)
                assert row["is_simulated"] is bars.is_simulated
                assert row["strategy"] == strategy.name
                assert json.loads(row["parameters"]) == strategy.parameters.model_dump()
                assert row["stop_loss_frac"] == given.stop_loss_frac
                assert row["max_holding_bars"] == given.max_holding_bars
                assert row["signal_exit"] == exits.signal_exit.value
                slow = simulate(bars, wanted, costs=costs, exits=exits, sizing=sizing).metrics
                for name in METRICS:
                    assert row[name] == pytest.approx(getattr(slow, name), rel=1e-9, abs=1e-9)


def test_an_exit_without_signal_exit_takes_the_strategys():
    cross = get_strategy("sma_cross")
    assert exits_for(cross, ExitOptions()).signal_exit is SignalExit.OPPOSITE
    chosen = ExitOptions(signal_exit=SignalExit.NEVER)
    assert exits_for(cross, chosen) is chosen


def test_neither_workers_nor_chunks_change_anything(monkeypatch):
    told = []
    one = sweep([BARS], ["sma_cross"], grids={"sma_cross": GRID}, exits=EXITS, workers=1)
    monkeypatch.setattr(sys.modules["crypto_bot.engine.sweep"], "_CHUNK_SETTINGS", 2)
    four = sweep(
        [BARS],
        ["sma_cross"],
        grids={"sma_cross": GRID},
        exits=EXITS,
        workers=4,
        on_trial=told.append,
    )
    assert four.table.equals(one.table)
    assert told == list(one.table.iter_rows(named=True))


def test_each_feature_is_computed_once(monkeypatch):
    import crypto_bot.features as features

    asked, real = [], features.compute_features

    def counting(bars, names, **room):
        asked.extend(names)
        return real(bars, names, **room)

    monkeypatch.setattr(features, "compute_features", counting)
    sweep([BARS], ["sma_cross"], grids={"sma_cross": GRID}, exits=EXITS)
    assert sorted(asked) == sorted({f"sma_{n}" for n in (3, 5, 8, 13, 21)})


def test_start_counts_only_later_bars_with_features_warm():
    cross = get_strategy("sma_cross", fast=5, slow=21)
    first = 400
    result = sweep([BARS], [cross], start_ns=int(BARS.open_time[first]))
    whole = cross.signals_on(BARS)
    tail = Signals(whole.direction[first:].copy(), whole.score[first:].copy())
    slow = simulate(BARS[first:], tail, exits=exits_for(cross, ExitOptions())).metrics
    row = result.table.row(0, named=True)
    assert {name: row[name] for name in METRICS} == pytest.approx(
        {name: getattr(slow, name) for name in METRICS}, rel=1e-9
    )


def test_what_cannot_be_tried_is_listed_with_its_reason():
    short = BARS[:15]
    result = sweep([short], ["sma_cross"], grids={"sma_cross": GRID})
    reasons = {json.loads(trial.parameters)["slow"]: trial.reason for trial in result.skipped}
    assert set(reasons) == {21}
    assert "must have at least" in reasons[21]
    assert len(result.table) == 4
    late = sweep([BARS], [StubStrategy()], start_ns=int(BARS.close_time[-1]))
    assert len(late.table) == 0
    assert "must have a bar to trade" in late.skipped[0].reason
    unlearned = sweep([BARS], ["model"])
    assert "needs a model's predictions: columns p_up" in unlearned.skipped[0].reason


def test_a_strategy_whose_directions_do_not_fit_is_skipped():
    class Short(StubStrategy):
        def signals(self, columns):
            return Signals(np.zeros(3, np.int8), np.zeros(3))

    assert "direction must be int8 (900,)" in sweep([BARS], [Short()]).skipped[0].reason


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bars": [], "strategies": ["rsi"]}, r"1\.\.10000000 settings, was 0 \(0 bars"),
        ({"strategies": []}, r"was 0 \(1 bars x 0 strategies"),
        ({"strategies": ["rsi"], "exits": []}, r"was 0 .* x 0 exits"),
        ({"strategies": ["rsi"], "grids": {"rsi": []}}, r"grids\['rsi'\] must hold at least one"),
        ({"strategies": ["rsi"], "grids": {"rsj": [{}]}}, r"grids\['rsj'\].*did you mean 'rsi'"),
        (
            {"strategies": [StubStrategy()] * 1_000, "exits": [ExitOptions()] * 10_001},
            "was 10001000",
        ),
        ({"strategies": ["sma_crosss"]}, "did you mean"),
        (
            {"strategies": ["rsi"], "sizing": SizingOptions(method="risk_to_stop")},
            "stop_loss_frac must be set",
        ),
    ],
)
def test_impossible_sweeps_are_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        sweep(**{"bars": [BARS], **arguments})


class Endless(Sequence):
    """A thousand million settings of which none may be built."""

    def __len__(self):
        return 10**9

    def __getitem__(self, place):
        raise AssertionError("a setting was built")


@pytest.mark.parametrize(
    "arguments",
    [
        {"strategies": ["rsi"], "grids": {"rsi": Endless()}},
        {"strategies": ["rsi"], "exits": Endless()},
    ],
)
def test_a_thousand_million_settings_are_refused_before_one_is_built(arguments):
    with pytest.raises(ConfigError, match=r"1\.\.10000000 settings, was 1000000000 \("):
        sweep([BARS], **arguments)


def test_best_is_the_best_row_with_enough_trades():
    result = sweep([BARS], ["sma_cross"], grids={"sma_cross": GRID}, exits=EXITS)
    table = result.table
    assert result.best()["sharpe"] == table["sharpe"].max()
    assert result.best("max_drawdown")["max_drawdown"] == table["max_drawdown"].min()
    most = int(table["trades"].max())
    assert result.best("total_return", minimum_trades=most)["trades"] == most
    with pytest.raises(DataError, match=r"must hold a row with sharpe and >= 100000 trades"):
        result.best(minimum_trades=100_000)
    with pytest.raises(ConfigError, match=r"metric must be a field of Metrics.*'sharpe'"):
        result.best("sharp")


def test_one_of_anything_needs_no_list():
    one = sweep(BARS, "sma_cross", exits=ExitOptions(stop_loss_frac=0.02)).table
    assert one.equals(sweep([BARS], ["sma_cross"], exits=[ExitOptions(stop_loss_frac=0.02)]).table)
    assert sweep(BARS, StubStrategy()).table.equals(sweep([BARS], [StubStrategy()]).table)
