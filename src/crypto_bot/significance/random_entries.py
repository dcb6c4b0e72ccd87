"""Would chance have done as well? Traders of the same activity who enter at random moments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit
from pydantic import Field

from crypto_bot.core.arrays import Index, PerBar, PerBarDirection
from crypto_bot.core.options import Options
from crypto_bot.core.orders import Signals
from crypto_bot.engine import (
    UNASKED,
    AccountState,
    BacktestResult,
    ExitOptions,
    MatchingRules,
    SignalExit,
    SizingMethod,
    SizingOptions,
    advance,
    decide,
    is_plain,
    matching_rules,
    open_account,
    simulate,
)

_EXITS = ExitOptions(signal_exit=SignalExit.FLAT)


class RandomEntryOptions(Options):
    """How the random traders are dealt."""

    permutations: int = Field(default=200, ge=20, le=100_000, description="random traders")
    seed: int = Field(default=42, ge=0, description="same seed, same traders")


@dataclass(frozen=True)
class RandomEntry:
    """How often chance does as well. Returns are means over symbols of the total return."""

    p_value: float
    total_return: float
    mean_random_return: float
    permutations: int


def random_entry_p_value(
    results: BacktestResult | Sequence[BacktestResult],
    options: RandomEntryOptions | None = None,
) -> RandomEntry | None:
    """Compare with traders of the same activity who enter at random moments.

    Each random trader makes, on the same bars of each symbol, the same number of trades with the
    same sides and holding lengths, sizing and costs, at random moments, through the same engine.

    Returns
    -------
    RandomEntry    p_value = (1 + traders with at least this return) / (1 + traders); None if
                   nothing was traded

    Notes
    -----
    The random traders leave by time alone: stops and targets of the original are part of its
    holding lengths. A trade still open at the end counts with the bars it was held. Two trades are
    one flat close apart wherever the bars allow it. Sizing by the distance of a stop becomes the
    same share of equity.
    """
    options = RandomEntryOptions() if options is None else options
    several = [results] if isinstance(results, BacktestResult) else list(results)
    traded = [result for result in several if len(result.trades)]
    if not traded:
        return None
    random = np.random.default_rng(options.seed)
    chance = np.zeros(options.permutations)
    for result in traded:
        chance += _random_returns(result, options.permutations, random)
    chance /= len(traded)
    real = float(np.mean([result.metrics.total_return for result in traded]))
    as_good = int(np.count_nonzero(chance >= real))
    return RandomEntry(
        p_value=(1 + as_good) / (1 + options.permutations),
        total_return=real,
        mean_random_return=float(chance.mean()),
        permutations=options.permutations,
    )


class Schedule(NamedTuple):
    """When a random trader wants what: from the close `starts[k]`, for `lengths[k]` closes."""

    starts: Index
    lengths: Index
    sides: npt.NDArray[np.int8]


def random_schedule(result: BacktestResult, random: np.random.Generator) -> Schedule:
    """The result's trades in another order at other moments, in time order, never overlapping.

    A position held from the open of bar e to that of bar x is wanted at the closes e - 1 .. x - 2.
    """
    bars, trades = len(result.bars), result.trades
    last = np.where(trades["exit_bar"] < 0, bars, trades["exit_bar"])
    lengths = np.maximum(last - trades["entry_bar"], 1)
    order = random.permutation(len(trades))
    lengths, sides = lengths[order], trades["direction"][order]
    usable = bars - 1
    gap = 1 if lengths.sum() + len(trades) - 1 <= usable else 0
    free = max(usable - int(lengths.sum()) - gap * (len(trades) - 1), 0)
    # Every way of dealing the free bars into the stretches between trades is equally likely.
    places = np.sort(random.choice(free + len(trades), len(trades), replace=False))
    slack = places - np.arange(len(trades))
    starts = slack + np.concatenate(([0], np.cumsum(lengths[:-1] + gap)))
    return Schedule(starts, lengths, sides)


def schedule_direction(schedule: Schedule, bars: int) -> PerBarDirection:
    """The schedule as the direction wanted at each close, int8 (bars,)."""
    steps = np.zeros(bars + 1, np.int8)
    np.add.at(steps, np.minimum(schedule.starts, bars), schedule.sides)
    np.subtract.at(steps, np.minimum(schedule.starts + schedule.lengths, bars), schedule.sides)
    return np.cumsum(steps[:-1], dtype=np.int8)


def simulate_schedule(result: BacktestResult, schedule: Schedule) -> BacktestResult:
    """One random trader through `simulate`, bar by bar, with the costs and sizing of `result`."""
    direction = schedule_direction(schedule, len(result.bars))
    return simulate(
        result.bars,
        Signals(direction, np.abs(direction).astype(np.float64)),
        costs=result.costs,
        exits=_EXITS,
        sizing=_without_stop(result),
        funding=result.funding,
    )


def _random_returns(result: BacktestResult, count: int, random: np.random.Generator) -> PerBar:
    """Total returns of that many random traders; equal to `simulate_schedule`, without idle bars."""
    bars, sizing = result.bars, _without_stop(result)
    rules = matching_rules(result.costs, _EXITS, sizing, has_funding=result.funding is not None)
    if not is_plain(rules):
        runs = (simulate_schedule(result, random_schedule(result, random)) for _ in range(count))
        return np.array([run.equity[-1] for run in runs]) / sizing.initial_cash - 1.0
    prices = (bars.open, bars.high, bars.low, bars.close)
    account = open_account(sizing.initial_cash)
    equity = [
        _final_equity(*prices, *random_schedule(result, random), account, rules)
        for _ in range(count)
    ]
    return np.array(equity) / sizing.initial_cash - 1.0


@njit(cache=True, nogil=True)
def _final_equity(
    open_: PerBar,
    high: PerBar,
    low: PerBar,
    close: PerBar,
    starts: Index,
    lengths: Index,
    sides: npt.NDArray[np.int8],
    state: AccountState,
    rules: MatchingRules,
) -> float:
    """Visit only the bars at which something is filled: without stops no other bar changes cash.

    Ruin of a short between two visits goes unseen until the next.
    """
    bars, reached = len(close), -1
    for k in range(len(starts)):
        end = starts[k] + lengths[k]
        is_followed = k + 1 < len(starts) and starts[k + 1] == end
        for closing in range(2):
            if closing and is_followed:
                continue
            t = end if closing else starts[k]
            if t + 1 >= bars:
                continue
            state = decide(state, 0 if closing else sides[k], 1.0, UNASKED, rules)
            t += 1
            price = (open_[t], high[t], low[t], close[t])
            state, _ = advance(state, t, *price, 0.0, 0.0, False, rules)
            reached = t
    if reached < bars - 1:
        t = bars - 1
        price = (open_[t], high[t], low[t], close[t])
        state, _ = advance(state, t, *price, 0.0, 0.0, False, rules)
    return state.equity


def _without_stop(result: BacktestResult) -> SizingOptions:
    """Sizing by the distance of a stop, for a trader who has none: the same share of equity."""
    sizing, exits = result.sizing, result.exits
    if sizing.method is not SizingMethod.RISK_TO_STOP:
        return sizing
    if exits.stop_loss_atr is None and exits.stop_loss_frac is not None:
        fraction = min(sizing.risk_frac / exits.stop_loss_frac, 1.0)
    else:
        fraction = _mean_share(result)
    return sizing.replace(method=SizingMethod.PERCENT_OF_EQUITY, fraction=fraction)


def _mean_share(result: BacktestResult) -> float:
    """Mean notional of the entries as a share of equity, at most 1."""
    trades = result.trades
    if len(trades) == 0:
        return 1.0
    notional = trades["quantity"] * trades["entry_price"]
    shares = notional / result.equity[trades["entry_bar"]]
    return float(min(max(shares.mean(), 1e-6), 1.0))
