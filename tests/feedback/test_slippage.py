"""Slippage of our own fills: signed, of market orders only, and honest about its source."""

from __future__ import annotations

import numpy as np
import pytest

from crypto_bot.core.orders import Fill, Side
from crypto_bot.engine import CostOptions, ExitOptions
from crypto_bot.feedback import measured_slippage
from crypto_bot.journal import Journal
from crypto_bot.trading import ModelDecisions, PaperOptions, PaperSession
from paper_markets import NO_LIMITS, ModelLike, priced, traded

BARS = priced("A/USDT", [100.0, 101.0, 102.0, 103.0, 104.0])


def fill(bar, price, side=Side.BUY, reason="entry", *, late_ns=0, symbol="A/USDT"):
    at = int(BARS.open_time[bar]) + late_ns
    return Fill(f"{bar}-{price}-{side}", symbol, side, 1.0, price, 0.0, at, reason)


def test_dearer_buys_and_cheaper_sales_are_positive():
    fills = [fill(1, 101.0 * 1.002), fill(2, 102.0 * 0.996, Side.SELL, "signal", late_ns=10)]
    found = measured_slippage(fills, {"A/USDT": BARS}, source="broker")
    assert found.frac == pytest.approx(0.003)
    assert found.median_frac == pytest.approx(0.003)
    assert found.standard_error == pytest.approx(np.std([0.002, 0.004], ddof=1) / np.sqrt(2))
    assert found.by_symbol["A/USDT"].fills == 2
    assert not found.is_usable


def test_stops_targets_and_unknown_bars_are_left_out():
    fills = [
        fill(1, 90.0, Side.SELL, "stop"),
        fill(1, 120.0, Side.SELL, "target"),
        fill(4, 104.0, late_ns=BARS.interval_ns),
        fill(0, 100.0, late_ns=-1),
        fill(2, 102.0, symbol="B/USDT"),
    ]
    assert measured_slippage(fills, {"A/USDT": BARS}, source="broker") is None


def test_better_than_the_open_is_shown_and_charged_as_nothing():
    found = measured_slippage([fill(1, 100.0)] * 40, {"A/USDT": BARS}, source="broker")
    assert found.frac < 0.0
    assert found.charged_frac == 0.0
    assert found.is_usable


def test_paper_fills_echo_the_assumption_and_say_so():
    options = PaperOptions(
        costs=CostOptions(slippage_frac=0.0007),
        exits=ExitOptions(stop_loss_frac=0.05),
        limits=NO_LIMITS,
    )
    market = traded("A/USDT", 900, 3, ModelDecisions(ModelLike(), threshold=0.5))
    with Journal("sqlite://") as journal:
        run_id = journal.start_run("paper", {})
        PaperSession([market], options=options, journal=journal, run_id=run_id).run()
        found = measured_slippage(journal.fills(run_id), {"A/USDT": market.bars}, source="paper")
    assert found.is_usable
    assert found.frac == pytest.approx(0.0007, rel=1e-6)
    assert found.standard_error < 1e-9
    words = found.describe(0.001)
    assert "only echo the costs.slippage_frac of their own run" in words
    assert "0.00070" in words
    assert "instead of costs.slippage_frac 0.001" in words


def test_too_few_fills_are_said_and_not_used():
    words = measured_slippage([fill(1, 101.0)], {"A/USDT": BARS}, source="broker").describe(0.001)
    assert "not used, it takes 30: costs.slippage_frac 0.001" in words
    assert "measured on fills of a broker" in words
