"""A backtest told what limits and interventions did: the same step, with those decisions changed."""

from __future__ import annotations

from collections.abc import Mapping

from crypto_bot.core.arrays import PerTrade
from crypto_bot.core.bars import Bars
from crypto_bot.core.orders import ExitReason, Signals
from crypto_bot.engine.ledger import fill_rows, round_trips
from crypto_bot.engine.matching import (
    AccountState,
    advance,
    decide,
    open_account,
)
from crypto_bot.engine.rules import Conditions, Known, MatchingRules
from crypto_bot.engine.shrinking import advance_shrunk, shrunk_rules
from crypto_bot.trading.recording import Intervention, Step


def replay_with_steps(
    bars: Bars,
    signals: Signals,
    rules: MatchingRules,
    conditions: Conditions,
    cash: float,
    steps: Mapping[int, Intervention],
) -> PerTrade:
    """Trade the signals as `simulate` does, except where a limit stepped in.

    Parameters
    ----------
    bars : Bars                at least one
    signals : Signals          one a bar
    rules : MatchingRules
    conditions : Conditions    what `simulate` knows of each bar
    cash : float               what the account opens with
    steps : bar -> Intervention    what was done to the decision at the close of that bar

    Returns
    -------
    TRADE (trades,)    those of `simulate` when there is no step

    Notes
    -----
    A blocked entry leaves the exit of a reversal and counts the signal as used; a close sends what
    is held to the market at the next open, reason SIGNAL; a shrunk entry has its share of the size
    the rules give it there; after a missed close nothing is sent, stops and targets rest. It shares only the matching step with the
    paper session: neither its broker, its clock, its features nor its journal.
    """
    account, rows, frac = open_account(cash), [], 1.0
    prices = zip(bars.open, bars.high, bars.low, bars.close, strict=True)
    wanted = zip(signals.direction.tolist(), signals.score.tolist(), strict=True)
    due = zip(conditions.funding_due, conditions.borrow_due, strict=True)
    known = zip(bars.close, *conditions[2:], strict=True)
    every = enumerate(zip(prices, wanted, due, known, strict=True))
    for index, (price, (direction, score), owed, about) in every:
        if frac == 1.0:
            account, events = advance(account, index, *price, *owed, False, rules)
        else:
            smaller = shrunk_rules(rules, frac)
            account, events = advance_shrunk(account, index, *price, *owed, frac, smaller)
        rows += fill_rows(index, events)
        account = decide(account, direction, score, Known(*about), rules)
        step = steps.get(index)
        frac = 1.0 if step is None else step.frac
        if step is not None:
            account = _changed(account, step.step)
    return round_trips(
        rows, bars.open_time, bars.close_time, float(bars.close[-1]), account.financing
    )


def _changed(account: AccountState, step: Step) -> AccountState:
    if step is Step.BLOCKED_ENTRY:
        return account._replace(pending_entry=0)
    if step is Step.MISSED:
        return account._replace(pending_exit=0, pending_entry=0)
    if step is Step.SHRUNK:
        return account
    return account._replace(pending_exit=int(ExitReason.SIGNAL), pending_entry=0)
