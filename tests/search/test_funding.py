"""Who searches a perpetual's settings pays its funding: sweeps, trials, walk-forward, baseline."""

from __future__ import annotations

import numpy as np
import pytest

from crypto_bot.core import FundingRates
from crypto_bot.core.errors import DataError
from crypto_bot.core.timeframes import HOUR_NS
from crypto_bot.engine import CostOptions, ExitOptions, exits_for, simulate, sweep
from crypto_bot.portfolio import portfolio_slots
from crypto_bot.search import search, sweep_incremental, walk_forward
from crypto_bot.search.walk_forward import hold
from crypto_bot.strategies import get_strategy
from search.markets import market

PERPETUAL, SPOT = BARS = market(2)
SPACE = {"fast": [5, 10], "slow": [30, 40]}


def rates(rate, later_hours=0):
    """Paid every eight hours on the first pair; the second is spot."""
    first, last = int(PERPETUAL.open_time[0]), int(PERPETUAL.close_time[-1])
    times = np.arange(first, last + later_hours * HOUR_NS, 8 * HOUR_NS)
    return {PERPETUAL.symbol: FundingRates(PERPETUAL.symbol, times, np.full(len(times), rate))}


def searched(funding=None):
    options = {"method": "grid", "space": SPACE, "funding": funding, "workers": 1}
    return search(list(BARS), "sma_cross", **options)


def test_a_trial_of_a_perpetual_pays_and_one_of_a_spot_market_does_not():
    paid, free = searched(rates(0.0004)), searched()
    assert paid.study != free.study
    for bars, is_same in ((PERPETUAL, False), (SPOT, True)):
        ends = [
            each.table.filter(each.table["symbol"] == bars.symbol)["final_equity"].to_list()
            for each in (paid, free)
        ]
        assert (ends[0] == ends[1]) is is_same


def test_a_sweep_pays_what_a_simulation_pays():
    strategy, due = get_strategy("sma_cross", fast=5, slow=30), rates(0.0004)
    swept = sweep([PERPETUAL], [strategy], funding=due).table
    result = simulate(
        PERPETUAL,
        strategy.signals_on(PERPETUAL),
        exits=exits_for(strategy, ExitOptions()),
        funding=due[PERPETUAL.symbol],
    )
    assert result.trades["financing_quote"].any()
    assert swept["final_equity"][0] == pytest.approx(result.metrics.final_equity, rel=1e-9)


def test_rates_under_another_name_are_refused_and_not_left_uncharged(tmp_path):
    mistyped = {"BTCUSDT": rates(0.0004)[PERPETUAL.symbol]}
    one = [PERPETUAL]
    for ask in (
        lambda: sweep(one, ["sma_cross"], funding=mistyped),
        lambda: sweep_incremental(one, ["sma_cross"], store=tmp_path, funding=mistyped),
        lambda: searched(mistyped),
        lambda: portfolio_slots(one, [get_strategy("sma_cross")], funding=mistyped),
    ):
        with pytest.raises(
            DataError, match=r"funding\['BTCUSDT'\] must be rates of BTCUSDT, was of"
        ):
            ask()


def test_kept_results_belong_to_the_payments_that_fall_on_the_candles(tmp_path):
    def swept(funding):
        return sweep_incremental(list(BARS), ["sma_cross"], store=tmp_path, funding=funding)

    assert len(swept(rates(0.0004)).computed) == 2
    assert len(swept(rates(0.0004)).computed) == 0
    assert len(swept(rates(0.0004, later_hours=400)).computed) == 0
    other = swept(rates(0.0005))
    assert other.changed == ((PERPETUAL.symbol, PERPETUAL.timeframe),)
    full = sweep(list(BARS), ["sma_cross"], funding=rates(0.0005)).table
    assert other.result.table.equals(full)


def test_the_winner_pays_when_tried_again_and_holding_pays_too():
    paid = walk_forward(searched(rates(0.002)), folds=2)
    free = walk_forward(searched(), folds=2)
    traded = [result for result in paid.results if result.bars.symbol == PERPETUAL.symbol]
    assert any(result.trades["financing_quote"].any() for result in traded)
    assert paid.holding.total_return < free.holding.total_return
    held = [
        hold(PERPETUAL, CostOptions(), 1_000.0, due).metrics.final_equity
        for due in (rates(0.002)[PERPETUAL.symbol], None)
    ]
    assert held[0] < held[1]
