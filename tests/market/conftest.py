"""Candles shared by the tests of this stage."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crypto_bot.core import Bars
from crypto_bot.market import BarStore, SimulationOptions, simulate_market


@pytest.fixture(scope="session")
def simulated() -> Bars:
    """Two and a half months of 5m candles with outages, marked SIMULATED."""
    options = SimulationOptions(seed=7, symbols=1, bars=21_000, outages_per_year=20)
    return simulate_market(options)[0]


@pytest.fixture(scope="session")
def bars(simulated: Bars) -> Bars:
    """The same candles passed off as real ones."""
    return replace(simulated, is_simulated=False)


@pytest.fixture
def store(tmp_path) -> BarStore:
    return BarStore(tmp_path / "store")
