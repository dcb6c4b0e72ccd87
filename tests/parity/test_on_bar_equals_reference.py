"""Every order kind, mixed at random: the compiled step does what the plain twin does."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_bot.core.orders import ExitReason
from crypto_bot.engine import CostOptions, ExitOptions, SizingOptions, conditions_of, matching_rules
from crypto_bot.features import compute_features
from crypto_bot.orders import OrderAccount, OrderKind, OrderStatus, simulate_on_bar
from crypto_bot.orders.records import WORDS
from reference.engine_cases import finer_bars, funding_every_eight_hours, random_bars
from reference.order_scripts import Scripted, plain_book, script_of


@st.composite
def accounts(draw):
    fee = st.sampled_from([0.0, 0.001, 0.01])
    costs = CostOptions(
        taker_fee_frac=draw(fee),
        maker_fee_frac=draw(fee),
        slippage_frac=draw(st.sampled_from([0.0, 0.001, 0.02])),
        slippage_atr_mult=draw(st.sampled_from([0.0, 0.0, 0.1])),
        slippage_volume_mult=draw(st.sampled_from([0.0, 0.0, 0.02])),
        borrow_rate_annual_frac=draw(st.sampled_from([0.0, 0.5])),
        quantity_step=draw(st.sampled_from([0.0, 0.25])),
        minimum_quantity=draw(st.sampled_from([0.0, 0.5])),
        minimum_notional_quote=draw(st.sampled_from([0.0, 60.0])),
    )
    leverage = draw(st.sampled_from([1.0, 1.0, 4.0, 25.0]))
    margin = draw(st.sampled_from([None, 0.02, 0.2])) if leverage > 1 else None
    sizing = SizingOptions(
        leverage=leverage,
        maintenance_margin_frac=margin,
        allow_short=draw(st.sampled_from([True, True, False])),
        initial_cash=1_000.0,
    )
    return costs, sizing


def assert_conserved(result):
    """Cash and position at every close are the initial cash, the fills and what was paid."""
    fills, close = result.fills, result.bars.close
    spent, held = np.zeros(len(close)), np.zeros(len(close))
    np.add.at(spent, fills["bar"], fills["quantity"] * fills["price"] + fills["fee"])
    np.add.at(held, fills["bar"], fills["quantity"])
    traded = np.abs(fills["quantity"] * fills["price"]).sum()
    near = {"rtol": 1e-9, "atol": 1e-9 * (1_000 + 1e-6 * traded)}
    cash = 1_000.0 - np.cumsum(spent) - result.financing
    np.testing.assert_allclose(result.cash, cash, **near)
    np.testing.assert_allclose(result.position, np.cumsum(held), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(result.equity, result.cash + result.position * close, **near)
    # Profit and loss, fees and financing of the trades are all that the account gained.
    gained = result.trades["pnl_quote"].sum()
    np.testing.assert_allclose(1_000.0 + gained, result.equity[-1], **near)
    np.testing.assert_allclose(result.trades["fees_quote"].sum(), fills["fee"].sum(), **near)
    paid = result.trades["financing_quote"].sum()
    np.testing.assert_allclose(paid, result.financing[-1], **near)


def assert_twins(result, book):
    """The same fills in the same order, the same ends of orders, the same curves."""
    ours = [
        (
            int(fill["bar"]),
            bool(fill["is_at_open"]),
            int(fill["order_id"]),
            ExitReason(int(fill["reason"])).name.lower(),
        )
        for fill in result.fills
    ]
    theirs = [(bar, at_open, number, why) for bar, at_open, *_, why, number in book.fills]
    assert ours == theirs
    for place, name in ((2, "quantity"), (3, "price"), (4, "fee")):
        wanted = [fill[place] for fill in book.fills]
        np.testing.assert_allclose(result.fills[name], wanted, rtol=1e-9, atol=1e-12, err_msg=name)
    scale = 1_000.0 + np.abs(book.equity).max()
    np.testing.assert_allclose(result.equity, book.equity, rtol=1e-9, atol=1e-9 * scale)
    np.testing.assert_allclose(result.position, book.position, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(result.financing[-1], book.paid, rtol=1e-9, atol=1e-9)
    log = result.order_log()
    assert [(each.status.name.lower(), each.reason) for each in log] == [
        (ticket.status, ticket.why) for ticket in book.orders
    ]
    assert result.refused_orders == book.refused


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.003, 0.02, 0.08]),
    accounts(),
    st.booleans(),
    st.sampled_from([0.0, 0.0005, -0.02]),
    st.sampled_from([0.4, 0.9]),
)
def test_every_order_does_what_the_plain_twin_does(seed, move, account, has_finer, rate, calm):
    costs, sizing = account
    bars = random_bars(seed, 70, move=move)
    finer = finer_bars(bars, seed) if has_finer else None
    funding = funding_every_eight_hours(bars, rate) if rate else None
    atr = compute_features(bars, ("atr_14",)).column("atr_14").tolist()
    script = script_of(seed, bars, atr, calm=calm)
    options = {"costs": costs, "sizing": sizing}
    result = simulate_on_bar(bars, Scripted(script), funding=funding, finer=finer, **options)
    conditions = conditions_of(bars, costs, ExitOptions(), sizing, funding=funding)
    rules = matching_rules(costs, ExitOptions(), sizing, has_funding=funding is not None)
    margin = rules.maintenance_margin_frac
    book = plain_book(bars, script, conditions, atr, finer, costs, sizing, margin)
    assert_twins(result, book)
    assert_conserved(result)
    account = OrderAccount(bars.symbol, bars.timeframe, Scripted(script), **options)
    for bar, due in zip(bars, conditions.funding_due.tolist(), strict=True):
        account.on_bar(bar, funding_due=due, finer=finer)
    assert account.fills.tobytes() == result.fills.tobytes()
    assert account.orders.tobytes() == result.orders.tobytes()
    assert account.equity.tobytes() == result.equity.tobytes()


def test_the_scripts_meet_every_kind_of_order_fill_and_end():
    met = set()
    costs = CostOptions(minimum_notional_quote=60.0, minimum_quantity=0.5, quantity_step=0.25)
    for seed in range(60):
        bars = random_bars(seed, 120, move=(0.02, 0.08)[seed % 2])
        atr = compute_features(bars, ("atr_14",)).column("atr_14").tolist()
        sizing = SizingOptions(
            initial_cash=1_000.0,
            leverage=(1.0, 20.0)[seed % 3 == 0],
            maintenance_margin_frac=(None, 0.01)[seed % 3 == 0],
            allow_short=seed % 4 > 0,
        )
        averaged = costs.replace(slippage_atr_mult=(0.0, 0.1)[seed % 2])
        result = simulate_on_bar(
            bars, Scripted(script_of(seed, bars, atr)), costs=averaged, sizing=sizing
        )
        met |= {("exit", int(reason)) for reason in result.fills["reason"]}
        for order in result.order_log():
            met |= {("ended", order.status), ("because", order.reason)}
            met |= {("filled", order.kind)} if order.quantity else set()
    wanted = {("exit", reason) for reason in ExitReason if reason is not ExitReason.TIME}
    wanted |= {("ended", status) for status in OrderStatus}
    wanted |= {("because", word) for word in WORDS.values()}
    wanted |= {("filled", kind) for kind in OrderKind}
    assert wanted <= met
