"""An entry of a share of its size: whole, it is the fill rule itself; less, it is that share."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_bot.engine import CostOptions, ExitOptions, SizingOptions
from crypto_bot.engine.matching import advance, decide, open_account
from crypto_bot.engine.rules import Known, matching_rules
from crypto_bot.engine.shrinking import advance_shrunk, shrunk_rules

METHODS = (
    "percent_of_equity",
    "fixed_quote",
    "risk_to_stop",
    "fixed_quantity",
    "half_kelly",
    "volatility_target",
)


def bars_of(seed, count=40):
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, count)))
    opens = np.concatenate(([100.0], close[:-1])) * np.exp(rng.normal(0, 0.002, count))
    high, low = np.maximum(opens, close) * 1.004, np.minimum(opens, close) * 0.996
    return list(zip(opens.tolist(), high.tolist(), low.tolist(), close.tolist(), strict=True))


def rules_of(method, costs=None):
    sizing = SizingOptions(method=method, quote=3_000, quantity=5, fraction=0.7, leverage=2)
    return matching_rules(
        costs or CostOptions(), ExitOptions(stop_loss_frac=0.02), sizing, has_funding=True
    )


@given(seed=st.integers(0, 99), method=st.sampled_from(METHODS))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_a_whole_share_is_the_fill_rule_to_the_last_bit(seed, method):
    rules, rng = rules_of(method), np.random.default_rng(seed)
    one = other = open_account(10_000.0)
    known = Known(100.0, 1.0, 0.5, 1_000.0)
    for index, bar in enumerate(bars_of(seed)):
        one, events = advance(one, index, *bar, 0.0001, 0.0, False, rules)
        other, same = advance_shrunk(other, index, *bar, 0.0001, 0.0, 1.0, shrunk_rules(rules, 1.0))
        assert (other, same) == (one, events)
        one = other = decide(one, int(rng.integers(-1, 2)), 1.0, known, rules)


@pytest.mark.parametrize("method", METHODS)
def test_every_way_of_sizing_is_scaled(method):
    rules = rules_of(method, CostOptions(taker_fee_frac=0.001))
    account = decide(open_account(10_000.0), 1, 1.0, Known(100.0, 1.0, 0.5, 1_000.0), rules)
    bar = (100.0, 101.0, 99.5, 100.0)
    whole, _ = advance(account, 0, *bar, 0.0, 0.0, False, rules)
    third, events = advance_shrunk(account, 0, *bar, 0.0, 0.0, 0.3, shrunk_rules(rules, 0.3))
    assert third.quantity == pytest.approx(0.3 * whole.quantity, rel=1e-12)
    assert events.entry_open.fee == pytest.approx(0.3 * (whole.entry_fee), rel=1e-12)
    assert third.cash == pytest.approx(
        10_000 - third.quantity * third.entry_price - third.entry_fee
    )


def test_the_venues_smallest_order_holds_for_the_smaller_size():
    rules = rules_of("fixed_quote", CostOptions(minimum_notional_quote=2_000))
    account = decide(open_account(10_000.0), 1, 1.0, Known(100.0, 0.0, 0.0, 0.0), rules)
    after, events = advance_shrunk(
        account, 0, 100.0, 101.0, 99.5, 100.0, 0.0, 0.0, 0.5, shrunk_rules(rules, 0.5)
    )
    assert (after.quantity, after.refused_entries, events.entry_open.quantity) == (0.0, 1, 0.0)
