"""An entry of a share of its usual size: the fill rule's own steps with a smaller size."""

from __future__ import annotations

import math

from numba import njit

from crypto_bot.engine.account import AccountState, BarEvents, FillEvent
from crypto_bot.engine.matching import (
    NO_REASON,
    enter_at_open,
    exit_at_open,
    mark_account,
    pay_financing,
    protect,
)
from crypto_bot.engine.rules import MatchingRules


def shrunk_rules(rules: MatchingRules, frac: float) -> MatchingRules:
    """The rules with the sizes that do not hang on the account scaled; give them `advance_shrunk`."""
    return rules._replace(quote=rules.quote * frac, quantity=rules.quantity * frac)


@njit(cache=True, nogil=True)
def advance_shrunk(
    state: AccountState,
    index: int,
    open_: float,
    high: float,
    low: float,
    close: float,
    funding_due: float,
    borrow_due: float,
    frac: float,
    rules: MatchingRules,
) -> tuple[AccountState, BarEvents]:
    """`advance` of a bar whose pending entry has `frac` of the size the rules would give it.

    Parameters
    ----------
    state, index, prices, dues : as for `advance`
    frac : float             0..1; 1 is `advance` to the last bit
    rules : MatchingRules    from `shrunk_rules`

    Returns
    -------
    AccountState, BarEvents    marked at the close; what was filled, in order

    Notes
    -----
    Every sizing method is homogeneous in what the account can pay and what it asks for; both are
    multiplied. Steps, minimum quantity and minimum value of the venue hold for the smaller size.
    """
    if rules.uses_finance:
        state = pay_financing(state, open_, funding_due, borrow_due)
    state, exit_open = exit_at_open(state, open_, rules)
    state, entry_open = enter_at_open(state, index, open_, state.cash * frac, math.inf, rules)
    state, exit_inside, is_at_open, levels, is_ambiguous = protect(
        state, index, open_, high, low, False, rules
    )
    if is_at_open:
        exit_open, exit_inside = exit_inside, FillEvent(0.0, 0.0, 0.0, NO_REASON, 0.0)
    state = mark_account(state, close)
    return state, BarEvents(exit_open, entry_open, exit_inside, levels, is_ambiguous)
