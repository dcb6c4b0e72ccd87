"""The selector's account beside those it must beat, on the same stretch, with the same costs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from crypto_bot.core.arrays import Mask, PerRow
from crypto_bot.core.orders import Signals
from crypto_bot.engine import CostOptions, ExitOptions, SignalExit, SizingOptions
from crypto_bot.engine.metrics import day_ends
from crypto_bot.portfolio import (
    PortfolioOptions,
    PortfolioResult,
    equal_parts,
    simulate_portfolio,
)
from crypto_bot.selector.candidates import Announce, Candidates
from crypto_bot.selector.entries import entry_slots
from crypto_bot.selector.walk import Selection
from crypto_bot.significance import BootstrapOptions, Interval, bootstrap_interval

SELECTOR, MIX, HOLD = "selector", "equal mix", "buy and hold"
_FEWEST_DAYS = 10
_ROTATIONS = 2_000


@dataclass(frozen=True, eq=False)
class Account:
    """One account of the comparison; `daily_returns` float64 (days,) of UTC days."""

    name: str
    result: PortfolioResult
    daily_returns: PerRow


@dataclass(frozen=True, eq=False)
class Comparison:
    """Accounts on the same out-of-sample stretch.

    Attributes
    ----------
    accounts : tuple of Account      selector, equal mix, each strategy alone, buy and hold
    difference : Interval or None    of the daily return, selector less equal mix; None for fewer
                                     than ten days
    luck : float or None             share of selections as long and as clustered, but at other
                                     times, whose entries earned as much a trade; None where all
                                     or none were taken
    entries, taken : int             decided in the stretch, and taken by the selector
    base_rate, mean_chance : float   share of the entries that earned something; what was foretold
    """

    accounts: tuple[Account, ...]
    difference: Interval | None
    luck: float | None
    entries: int
    taken: int
    base_rate: float
    mean_chance: float

    def account(self, name: str) -> Account:
        """By name. KeyError for another."""
        return {each.name: each for each in self.accounts}[name]

    def table(self) -> pl.DataFrame:
        """account, total_return, sharpe, max_drawdown, trades, win_rate, fees_quote: a row each."""
        columns = ("total_return", "sharpe", "max_drawdown", "trades", "win_rate", "fees_quote")
        rows: list[dict[str, Any]] = [
            {"account": each.name} | {name: getattr(each.result.metrics, name) for name in columns}
            for each in self.accounts
        ]
        return pl.DataFrame(rows, infer_schema_length=None)


def compare_selection(
    selection: Selection,
    *,
    costs: CostOptions | None = None,
    sizing: SizingOptions | None = None,
    limits: PortfolioOptions | None = None,
    bootstrap: BootstrapOptions | None = None,
    announce: Announce = lambda _line: None,
) -> Comparison:
    """Trade what was selected, everything, each strategy alone, and hold: one cash account each.

    Parameters
    ----------
    selection : from `select_out_of_sample`
    costs, sizing, limits    of every account alike. A whole account is cut into equal parts, one a
                             strategy and pair, `limits.max_open_positions` at most
    bootstrap : of the difference

    Notes
    -----
    All accounts begin flat at `selection.start_ns` and may only make entries decided from then on.
    The equal mix takes every entry, of competing ones the higher score of its strategy; the selector
    those it wants, of competing ones the higher expected return.
    """
    candidates = selection.candidates
    costs, sizing = costs or CostOptions(), sizing or SizingOptions()
    limits = limits or PortfolioOptions()
    own = _own_scores(candidates)
    chosen: dict[str, tuple[Mask, PerRow]] = {
        SELECTOR: (selection.is_taken, _rank(selection.expected)),
        MIX: (selection.is_tested, own),
    }
    for place, name in enumerate(candidates.strategies):
        chosen[name] = (selection.is_tested & (candidates.strategy == place), own)
    accounts = []
    for name, (is_chosen, score) in chosen.items():
        announce(f"account of {name}: {int(np.count_nonzero(is_chosen))} entries")
        slots = entry_slots(candidates, is_chosen, score, selection.start_ns)
        traded = [slot for slot in candidates.slots if name in (SELECTOR, MIX, slot.name)]
        parts = equal_parts(sizing, len(traded), limits)
        accounts.append(
            _account(name, simulate_portfolio(slots, costs=costs, sizing=parts, options=limits))
        )
    accounts.append(_held(candidates, selection.start_ns, costs, sizing))
    extra = accounts[0].daily_returns - accounts[1].daily_returns
    tested = selection.is_tested & (candidates.known_at_ns >= 0) & np.isfinite(selection.chance)
    returns = candidates.trades["return_frac"]
    return Comparison(
        accounts=tuple(accounts),
        difference=bootstrap_interval(extra, options=bootstrap)
        if len(extra) >= _FEWEST_DAYS
        else None,
        luck=rotation_p_value(returns[tested], selection.is_taken[tested]),
        entries=int(np.count_nonzero(selection.is_tested)),
        taken=int(np.count_nonzero(selection.is_taken)),
        base_rate=float(np.mean(returns[tested] > 0.0)),
        mean_chance=float(np.mean(selection.chance[tested])),
    )


def rotation_p_value(returns: PerRow, is_taken: Mask, *, seed: int = 42) -> float | None:
    """How often the same choices, moved in time, would have earned as much a trade.

    Parameters
    ----------
    returns : float64 (entries,)    in order of decision
    is_taken : bool (entries,)

    Returns
    -------
    float or None    (1 + rotations at least as good) / (1 + rotations); None where nothing or all was
                     taken

    Notes
    -----
    The choices are turned around the circle of entries, so that their number and their clustering stay,
    and so does every dependence among the returns. Every rotation, or 2,000 drawn by `seed`.
    """
    count, taken = len(returns), int(np.count_nonzero(is_taken))
    if taken in (0, count):
        return None
    shifts = np.arange(1, count)
    if len(shifts) > _ROTATIONS:
        shifts = np.random.default_rng(seed).choice(shifts, _ROTATIONS, replace=False)
    places = np.flatnonzero(is_taken)
    earned = np.array([returns[(places + shift) % count].sum() for shift in shifts.tolist()])
    own = float(returns[places].sum())
    return float((1 + np.count_nonzero(earned >= own)) / (1 + len(shifts)))


def _own_scores(candidates: Candidates) -> PerRow:
    """What each strategy itself said of its entry."""
    scores = np.zeros(len(candidates))
    for number, slot in enumerate(candidates.slots):
        rows = candidates.slot == number
        scores[rows] = slot.signals.score[candidates.trades["entry_bar"][rows] - 1]
    return scores


def _rank(expected: PerRow) -> PerRow:
    """Expected returns as scores in 0..1, in the same order."""
    known = np.nan_to_num(expected, nan=-np.inf)
    _, place = np.unique(known, return_inverse=True)
    found: PerRow = (place + 1.0) / (place.max() + 1.0)
    return found


def _account(name: str, result: PortfolioResult) -> Account:
    equity = result.equity[day_ends(result.times_ns)]
    before = np.concatenate(([result.equity[0] - result.gains[0].sum()], equity[:-1]))
    # An account that lost everything earns nothing more; it is not divided by.
    returns = np.divide(equity - before, before, out=np.zeros(len(equity)), where=before > 0.0)
    return Account(name, result, returns)


def _held(
    candidates: Candidates, start_ns: int, costs: CostOptions, sizing: SizingOptions
) -> Account:
    """Every symbol bought in equal parts at the second open and held."""
    none = np.zeros(len(candidates), np.bool_)
    slots = entry_slots(candidates, none, np.zeros(len(none)), start_ns)
    holding = ExitOptions(signal_exit=SignalExit.NEVER)
    held = [
        replace(
            slot,
            name=HOLD,
            exits=holding,
            signals=Signals(np.ones(len(slot.bars), np.int8), np.ones(len(slot.bars))),
        )
        for slot in slots
    ]
    parts = SizingOptions(fraction=1.0 / len(held), initial_cash=sizing.initial_cash)
    every = PortfolioOptions(max_open_positions=len(held))
    return _account(HOLD, simulate_portfolio(held, costs=costs, sizing=parts, options=every))
