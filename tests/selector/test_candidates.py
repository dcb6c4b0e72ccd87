"""What a selector learns from: entries as strategies made them, with what was known, and no more."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from crypto_bot.core.errors import ConfigError, DataError
from crypto_bot.engine import CostOptions, ExitOptions, SizingOptions, simulate
from crypto_bot.features import REGIMES, classify_regimes, compute_features
from crypto_bot.market import SimulationOptions, simulate_market
from crypto_bot.portfolio import portfolio_slots
from crypto_bot.selector import SELECTOR_FEATURES, collect_candidates, trade_rows
from crypto_bot.selector.options import DIRECTED
from crypto_bot.strategies import get_strategy

NAMES = ("momentum_bot", "sma_cross", "mean_bot")
STRATEGIES = [get_strategy(name) for name in NAMES]
EXITS = ExitOptions(stop_loss_frac=0.03, take_profit_frac=0.06, max_holding_bars=60)
BARS = simulate_market(SimulationOptions(symbols=3, timeframe="1h", bars=2_000, seed=5))
START = int(BARS[0].open_time[500])


@pytest.fixture(scope="module")
def candidates():
    return collect_candidates(BARS, STRATEGIES, exits=EXITS, start_ns=START)


def test_every_entry_is_one_of_the_strategys_own_account(candidates):
    slots = portfolio_slots(BARS, STRATEGIES, exits=EXITS, start_ns=START)
    for number, slot in enumerate(slots):
        alone = simulate(slot.bars, slot.signals, exits=slot.exits, history=slot.history)
        assert candidates.trades[candidates.slot == number].tobytes() == alone.trades.tobytes()
    assert candidates.is_simulated
    assert len(candidates) > 300


def test_features_are_those_of_the_bar_that_closed_before_the_entry(candidates):
    names = candidates.feature_names
    by_symbol = {
        bars.symbol: (compute_features(bars, SELECTOR_FEATURES), classify_regimes(bars))
        for bars in BARS
    }
    for row in range(0, len(candidates), 7):
        slot = candidates.slots[candidates.slot[row]]
        trade = candidates.trades[row]
        entry = int(np.searchsorted(BARS[0].open_time, trade["entry_time"]))
        assert candidates.decided_at_ns[row] == BARS[0].close_time[entry - 1]
        table, regimes = by_symbol[slot.bars.symbol]
        for k, name in enumerate(SELECTOR_FEATURES):
            value = table.column(name)[entry - 1]
            if name in DIRECTED:
                value = (value - DIRECTED[name]) * trade["direction"]
            assert candidates.features[row, k] == value
        known = dict(zip(names, candidates.features[row], strict=True))
        assert known["side"] == trade["direction"]
        assert candidates.regime[row] == regimes[entry - 1]
        assert known[f"regime.{REGIMES[regimes[entry - 1]]}"] == 1.0
        assert known[f"strategy.{slot.name}"] == 1.0
        assert sum(known[f"strategy.{name}"] for name in NAMES) == 1.0


def test_nothing_known_at_a_decision_changes_with_later_bars(candidates):
    cut = int(BARS[0].open_time[1_400])
    bent = [
        replace(b, **{n: np.where(b.open_time < cut, getattr(b, n), 2 * getattr(b, n))
                      for n in ("open", "high", "low", "close", "volume")})
        for b in BARS
    ]  # fmt: skip
    other = collect_candidates(bent, STRATEGIES, exits=EXITS, start_ns=START)
    first, second = (each.decided_at_ns < cut for each in (candidates, other))
    np.testing.assert_array_equal(candidates.features[first], other.features[second])
    ended = (candidates.known_at_ns < cut)[first]
    assert ended.sum() > 100
    np.testing.assert_array_equal(
        candidates.trades["return_frac"][first][ended], other.trades["return_frac"][second][ended]
    )


def test_a_row_is_profitable_where_its_return_after_costs_is_above_zero(candidates):
    rows = trade_rows(candidates)
    dataset = rows.dataset
    assert set(np.unique(dataset.labels)) == {0, 1}
    np.testing.assert_array_equal(dataset.labels == 1, rows.returns > 0)
    free = CostOptions(taker_fee_frac=0, maker_fee_frac=0, slippage_frac=0)
    cheap = collect_candidates(BARS, STRATEGIES, exits=EXITS, costs=free, start_ns=START)
    assert trade_rows(cheap).dataset.labels.mean() > dataset.labels.mean()
    assert (dataset.label_end_ns > dataset.decided_at_ns).all()
    assert dataset.dropped == {"open": np.count_nonzero(candidates.known_at_ns < 0), "undefined": 0}


def test_a_label_ends_when_the_bar_of_the_exit_has_closed(candidates):
    rows = trade_rows(candidates).dataset
    closed = candidates.trades[candidates.known_at_ns >= 0]
    hour = BARS[0].interval_ns
    at_close = closed["exit_time"] == rows.label_end_ns
    at_open = closed["exit_time"] + hour == rows.label_end_ns
    assert (at_close | at_open).all()
    assert at_close.sum() > 20
    assert at_open.sum() > 20


def test_what_has_not_settled_is_unknown_and_does_not_teach():
    bars = [each[:900] for each in BARS]
    early = collect_candidates(bars, [get_strategy("sma_cross")])
    rows = trade_rows(early)
    assert rows.dataset.dropped["undefined"] > 0
    assert rows.dataset.bar_index.min() >= 479
    assert np.isfinite(rows.dataset.features).all()


def test_the_table_tells_each_entry_and_leaves_empty_what_is_not_known(candidates):
    table = candidates.table()
    still_open = table.filter(pl.col("exit_reason") == "open")
    assert len(table) == len(candidates)
    assert len(still_open) > 0
    for name in ("known_at_ns", "profitable", "return_after_costs"):
        assert still_open[name].null_count() == len(still_open)
    assert set(table["strategy"]) == set(NAMES)
    assert set(table["profitable"].drop_nulls()) == {0, 1}


def test_bad_input_is_named():
    with pytest.raises(ConfigError, match=r"named once each, repeated .*'sma_cross'"):
        collect_candidates(BARS, [get_strategy("sma_cross"), get_strategy("sma_cross")])
    with pytest.raises(ConfigError, match="none given"):
        collect_candidates(BARS, [])
    with pytest.raises(DataError, match="one timeframe"):
        collect_candidates([BARS[0], BARS[0]], STRATEGIES)
    with pytest.raises(DataError, match="must enter at least once"):
        collect_candidates([BARS[0][:30]], [get_strategy("momentum_bot")])
    with pytest.raises(ConfigError, match="rsi_banana"):
        collect_candidates(BARS, STRATEGIES, features=["rsi_banana"])
    with pytest.raises(ConfigError, match="obv"):
        collect_candidates(BARS, STRATEGIES, features=["obv"])
    sizing = SizingOptions(initial_cash=1.0)
    dear = CostOptions(minimum_notional_quote=10.0)
    with pytest.raises(DataError, match="must enter at least once"):
        collect_candidates(BARS, STRATEGIES, sizing=sizing, costs=dear)
