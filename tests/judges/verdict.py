"""Trades in one form for all judges, ours among them, and the comparison to one part in a billion."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from crypto_bot.core import Bars, Signals
from crypto_bot.engine import simulate
from judges.settings import Setting

TOLERANCE = 1e-9


class Trip(NamedTuple):
    """One round trip; exit_bar -1 while it is open, then marked at the last close."""

    entry_bar: int
    exit_bar: int
    direction: int
    quantity: float
    entry_price: float
    exit_price: float
    fees: float


class Verdict(NamedTuple):
    """What one engine made of a setting."""

    trips: list[Trip]
    final_equity: float
    equity: np.ndarray | None = None
    """At every close, where the engine shows it; NaN where it does not."""


def ours(bars: Bars, direction: np.ndarray, setting: Setting) -> Verdict:
    """What `simulate` makes of it."""
    result = simulate(
        bars,
        Signals(direction, np.abs(direction).astype(np.float64)),
        costs=setting.costs,
        exits=setting.exits,
        sizing=setting.sizing,
    )
    columns = ("entry_bar", "exit_bar", "direction", "quantity")
    columns += ("entry_price", "exit_price", "fees_quote")
    trips = [Trip(*row) for row in zip(*(result.trades[c].tolist() for c in columns), strict=True)]
    return Verdict(trips, float(result.equity[-1]), result.equity)


def paired(fills: list[tuple[int, float, float, float]], last_close: float) -> list[Trip]:
    """Round trips of fills (bar, signed quantity, price, fee), one position at a time."""
    trips = []
    for place in range(0, len(fills), 2):
        bar, quantity, price, fee = fills[place]
        out = fills[place + 1] if place + 1 < len(fills) else (-1, -quantity, last_close, 0.0)
        assert out[1] == -quantity, f"an exit of {out[1]} against a position of {quantity}"
        side = 1 if quantity > 0 else -1
        trips.append(Trip(bar, out[0], side, abs(quantity), price, out[2], fee + out[3]))
    return trips


def assert_agree(one: Verdict, other: Verdict, at_least: int = 10) -> None:
    """Trade by trade the same, and the same money at the end and at every close shown."""
    assert len(one.trips) >= at_least, f"{len(one.trips)} trades prove little"
    for number, (a, b) in enumerate(zip(one.trips, other.trips, strict=False)):
        assert a[:3] == b[:3], f"trade {number}: {a} against {b}"
        for name in Trip._fields[3:]:
            near = np.isclose(getattr(a, name), getattr(b, name), rtol=TOLERANCE, atol=0)
            assert near, f"trade {number}, {name}: {a} against {b}"
    assert len(one.trips) == len(other.trips)
    np.testing.assert_allclose(one.final_equity, other.final_equity, rtol=TOLERANCE)
    if one.equity is not None and other.equity is not None:
        shown = ~np.isnan(other.equity)
        np.testing.assert_allclose(one.equity[shown], other.equity[shown], rtol=TOLERANCE)
