"""Trades, streams and samples with a known truth."""

from __future__ import annotations

import numpy as np

from crypto_bot.core import TRADE
from crypto_bot.core.timeframes import DAY_NS, MINUTE_NS
from crypto_bot.feedback import Sample

FIRST_NS = 20_000 * DAY_NS
STEP_NS = 5 * MINUTE_NS


def trades(returns, direction=1):
    """Closed trades, one an hour."""
    found = np.zeros(len(returns), TRADE)
    found["return_frac"] = returns
    found["direction"] = direction
    found["exit_time"] = FIRST_NS + np.arange(len(returns)) * 12 * STEP_NS
    return found


def drawn(mean, count, seed=1):
    return trades(np.random.default_rng(seed).normal(mean, 0.01, count))


def dependent(rng, count, columns, memory):
    """AR(1) columns of variance 1."""
    noise = rng.normal(size=(count, columns)) * np.sqrt(1 - memory**2)
    values = np.empty((count, columns))
    values[0] = rng.normal(size=columns)
    for row in range(1, count):
        values[row] = memory * values[row - 1] + noise[row]
    return values


def sample(values, first=0):
    values = np.asarray(values, np.float64).reshape(len(values), -1)
    return Sample(FIRST_NS + (first + np.arange(len(values))) * STEP_NS, values)


def split(values, live):
    """The last `live` rows as the session, those before as reference."""
    cut = len(values) - live
    return sample(values[:cut]), sample(values[cut:], cut)
