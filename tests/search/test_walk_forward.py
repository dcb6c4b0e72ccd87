"""The walk-forward test: only the past is searched, and accounts add up from window to window."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crypto_bot.core.errors import ConfigError, DataError
from crypto_bot.engine import CostOptions, ExitOptions, SizingOptions, exits_for, simulate, sweep
from crypto_bot.search import exit_space, search, walk_forward
from crypto_bot.search.walk_forward import hold
from crypto_bot.strategies import get_strategy
from search.markets import market

OPTIONS = {"method": "random", "trials": 16, "minimum_trades": 1, "workers": 1}


def searched(bars=None, **options):
    exits = exit_space(["stop"], ExitOptions())
    return search(bars or market(), "sma_cross", exits=exits, **{**OPTIONS, **options})


def test_what_comes_later_changes_nothing_before():
    bars = market()[0]
    cut = len(bars) * 3 // 4
    crash = bars.close.copy()
    crash[cut:] *= np.linspace(1.0, 0.2, len(bars) - cut)
    spoiled = replace(
        bars,
        open=np.where(np.arange(len(bars)) < cut, bars.open, crash),
        high=np.where(np.arange(len(bars)) < cut, bars.high, crash),
        low=np.where(np.arange(len(bars)) < cut, bars.low, crash),
        close=crash,
    )
    ours, other = (walk_forward(searched([b]), folds=3) for b in (bars, spoiled))
    for mine, its in zip(ours.windows[:2], other.windows[:2], strict=True):
        assert mine.setting == its.setting
        assert np.array_equal(mine.results[0].equity, its.results[0].equity)
    assert ours.windows[2].setting == other.windows[2].setting
    assert not np.array_equal(ours.windows[2].results[0].equity, other.windows[2].results[0].equity)


@pytest.mark.parametrize("mode", ["expanding", "rolling"])
def test_every_window_trades_the_winner_of_its_past(mode):
    bars = market()[0]
    result = searched()
    walked = walk_forward(result, folds=3, mode=mode)
    piece = (int(bars.close_time[-1]) - int(bars.open_time[0])) // 4
    for number, window in enumerate(walked.windows, start=1):
        start = int(bars.open_time[0]) + number * piece
        assert window.start_ns == start
        past = bars.closed_by(start)
        first = int(bars.open_time[0]) if mode == "expanding" else start - piece
        alone = search(past, "sma_cross", exits=result.plan.space.exits, start_ns=first, **OPTIONS)
        assert window.setting == alone.best_setting()
        assert window.past_value == alone.best()["value"]
        assert int(past.close_time[-1]) <= window.results[0].bars.open_time[0]


def test_a_window_is_traded_as_a_sweep_would_trade_it():
    walked = walk_forward(searched(), folds=2)
    window = walked.windows[0]
    seen = market()[0].closed_by(window.end_ns)
    table = sweep(
        [seen], ["sma_cross"], grids={"sma_cross": [window.setting.parameters]},
        exits=[window.setting.exits], start_ns=window.start_ns, workers=1,
    ).table  # fmt: skip
    metrics = window.results[0].metrics
    assert metrics.total_return == pytest.approx(table["total_return"][0], abs=1e-12)
    assert metrics.trades == table["trades"][0]


def test_an_account_is_carried_from_window_to_window_with_positions_sold():
    costs = CostOptions(taker_fee_frac=0.002, slippage_frac=0.003)
    walked = walk_forward(searched(costs=costs), folds=4)
    cash, sold_something = 100_000.0, False
    for window in walked.windows:
        (result,) = window.results
        assert result.sizing.initial_cash == pytest.approx(cash)
        cash, quantity, close = result.equity[-1], result.position[-1], result.bars.close[-1]
        if quantity:
            price = close * (1 - 0.003 * np.sign(quantity))
            cash += quantity * (price - close) - abs(quantity) * price * 0.002
            sold_something = True
    assert sold_something
    assert walked.stitched.growth[-1] == pytest.approx(cash / 100_000.0)
    assert walked.stitched.total_return == pytest.approx(cash / 100_000.0 - 1.0)
    assert walked.stitched.trades == sum(len(r.trades) for r in walked.results)


def test_one_symbol_s_stretch_has_the_metrics_of_the_engine():
    bars = market()[0]
    walked = walk_forward(searched(), folds=1)
    held = hold(bars.between(walked.windows[0].start_ns, None), CostOptions(), 100_000.0)
    for name in ("total_return", "sharpe", "max_drawdown"):
        ours, engine = getattr(walked.holding, name), getattr(held.metrics, name)
        assert ours == pytest.approx(engine, rel=1e-9), name


def test_several_symbols_are_one_curve_their_mean():
    bars = market(2)
    late = [bars[0], bars[1][: len(bars[1]) - 50]]
    walked = walk_forward(searched(late), folds=2)
    ends = [w.results for w in walked.windows]
    assert [len(results) for results in ends] == [2, 2]
    assert walked.stitched.time_ns[-1] == bars[0].close_time[-1]
    assert len(walked.stitched.growth) == len(bars[0].between(walked.windows[0].start_ns, None))
    assert walked.stitched.growth[0] == pytest.approx(1.0)


def test_a_past_without_enough_trades_is_followed_by_none():
    walked = walk_forward(searched(minimum_trades=9_999), folds=2)
    assert [window.setting for window in walked.windows] == [None, None]
    assert walked.results == ()
    assert walked.stitched.total_return == 0.0
    assert walked.stitched.trades == 0
    assert walked.windows[0].summary()["parameters"] is None


def test_the_pasts_are_kept_and_read_again(tmp_path):
    first = walk_forward(searched(), folds=2, store=tmp_path)
    assert len(list((tmp_path / "studies").iterdir())) == 2
    told = []
    again = walk_forward(searched(), folds=2, store=tmp_path, on_trial=told.append)
    assert [w.study for w in again.windows] == [w.study for w in first.windows]
    assert again.stitched.summary() == first.stitched.summary()
    assert {row["study"] for row in told} == {w.study for w in first.windows}


def test_signals_before_a_feature_has_settled_are_not_traded():
    bars = market()[0][:400]
    space = {"fast": [100], "slow": [250]}
    walked = walk_forward(searched([bars], space=space, minimum_trades=1), folds=1)
    settled = get_strategy("sma_cross", fast=100, slow=250)
    whole = simulate(
        bars, settled.signals_on(bars), exits=exits_for(settled), sizing=SizingOptions()
    )
    assert whole.metrics.trades >= 0
    for window in walked.windows:
        for result in window.results:
            assert result.trades["entry_time"].min(initial=2**62) > bars.open_time[249]


def test_bad_folds_and_modes_are_refused():
    result = searched()
    with pytest.raises(ConfigError, match="folds must be at least 1, was 0"):
        walk_forward(result, folds=0)
    with pytest.raises(ConfigError, match="mode must be one of expanding, rolling, was 'sliding'"):
        walk_forward(result, mode="sliding")
    with pytest.raises(DataError, match=r"candles must span \d+ bars for 5000 folds, spanned 1440"):
        walk_forward(result, folds=5_000)
