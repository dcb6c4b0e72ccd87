"""Labels on a strategy's own trades agree with the trades."""

import numpy as np
import pytest

from crypto_bot.core.errors import ConfigError
from crypto_bot.engine import CostOptions, ExitOptions, simulate
from crypto_bot.labels import MetaLabelOptions, meta_labels
from crypto_bot.strategies import get_strategy
from training.learnable_rows import market

CROSS = {"fast": 5, "slow": 20}


def test_each_entry_is_labelled_where_it_was_decided_by_what_it_earned():
    (bars,) = market(1)
    exits = ExitOptions(stop_loss_frac=0.01, take_profit_frac=0.02)
    options = MetaLabelOptions(strategy="sma_cross", parameters=CROSS, exits=exits)
    labels = meta_labels(bars, options)
    strategy = get_strategy("sma_cross", **CROSS)
    trades = simulate(
        bars, strategy.signals_on(bars), exits=exits.replace(signal_exit=strategy.signal_exit)
    ).trades
    late = trades["entry_bar"] - 1 >= strategy.history_bars("5m") - 1
    closed = trades[late & (trades["exit_bar"] >= 0)]
    rows = np.flatnonzero(labels.is_labelled)
    assert rows.tolist() == (closed["entry_bar"] - 1).tolist()
    assert labels.values[rows].tolist() == (closed["pnl_quote"] > 0).astype(int).tolist()
    assert labels.side[rows].tolist() == closed["direction"].tolist()
    assert labels.end_bar[rows].tolist() == closed["exit_bar"].tolist()
    assert min(labels.count(0), labels.count(1)) > 3
    assert {-1, 1} == set(labels.side[rows].tolist())


def test_a_trade_that_is_open_at_the_end_is_unlabelled():
    (bars,) = market(1)
    options = MetaLabelOptions(strategy="sma_cross", parameters=CROSS)
    whole = meta_labels(bars, options)
    row = int(np.flatnonzero(whole.is_labelled)[5])
    end = int(whole.end_bar[row])
    assert not meta_labels(bars[:end], options).is_labelled[row]
    assert meta_labels(bars[: end + 1], options).is_labelled[row]


def test_costs_decide_what_paid():
    (bars,) = market(1)
    free = CostOptions(taker_fee_frac=0, maker_fee_frac=0, slippage_frac=0)
    dear = CostOptions(taker_fee_frac=0.2)
    cheap = meta_labels(bars, MetaLabelOptions(parameters=CROSS, costs=free))
    assert cheap.count(1) > 5
    assert meta_labels(bars, MetaLabelOptions(parameters=CROSS, costs=dear)).count(1) == 0


def test_one_side_only_where_told():
    (bars,) = market(1)
    labels = meta_labels(bars, MetaLabelOptions(parameters=CROSS, allow_short=False))
    assert set(np.unique(labels.side)) == {0, 1}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strategy": "sma_cros"}, "strategy must be one of .*did you mean 'sma_cross'"),
        ({"parameters": {"fast": 50}}, "sma_cross.fast must be below slow"),
        ({"strategy": "model"}, r"meta\.strategy must need candles only, was 'model'"),
        ({"exits": {"reentry": "while_signal"}}, "exits.reentry must be new_signal"),
    ],
)
def test_a_primary_that_cannot_be_judged_is_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        MetaLabelOptions(**options)
