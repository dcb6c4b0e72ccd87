"""Did the paper session trade what the backtest traded? Compared record by record, to the last digit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from crypto_bot.core.arrays import PerTrade
from crypto_bot.core.errors import DataError
from crypto_bot.core.orders import TRADE, ExitReason
from crypto_bot.core.timeframes import iso_time

_TIMES = {"entry_time", "exit_time"}


@dataclass(frozen=True)
class Agreement:
    """Outcome of a trade-by-trade comparison.

    Attributes
    ----------
    equal : bool                      every record of every symbol is the same, bit for bit
    matched : int                     trades in both, every field the same
    changed : int                     same symbol and entry bar, another field differs
    missing : int                     in the backtest only
    extra : int                       in the paper session only
    explained_by_risk : int           of these differences, those that vanish once the backtest is
                                      traded under the session's own interventions
    unexplained : int                 differences from the backtest under the interventions: a fault
                                      until shown otherwise
    first_difference : str | None     in words; the first unexplained one where there is one
    """

    equal: bool
    matched: int
    changed: int
    missing: int
    extra: int
    explained_by_risk: int
    unexplained: int
    first_difference: str | None

    def describe(self) -> str:
        """One sentence for a person."""
        differences = self.changed + self.missing + self.extra
        if self.unexplained:
            return (
                f"paper differs from backtest in {differences} trades beside {self.matched} equal "
                f"ones, {self.unexplained} differ without a risk limit to explain them; "
                f"first: {self.first_difference}"
            )
        if self.equal:
            return f"paper equals backtest: {self.matched} trades, every field the same"
        return (
            f"paper differs from backtest in {differences} trades beside {self.matched} equal ones, "
            "all because of what the risk limits did: under the same interventions every trade is "
            f"equal; first: {self.first_difference}"
        )


class _Difference(NamedTuple):
    kind: str
    words: str


_Place: TypeAlias = tuple[int, str]
"""Entry bar and symbol."""


def compare_with_backtest(
    paper: Mapping[str, PerTrade],
    backtest: Mapping[str, PerTrade],
    *,
    under_limits: Mapping[str, PerTrade] | None = None,
) -> Agreement:
    """Compare the trades of a paper session with those of the backtest of the same bars.

    Parameters
    ----------
    paper, backtest : symbol -> TRADE (trades,)   entry bars counted from the same first bar
    under_limits : symbol -> TRADE (trades,)      the backtest traded under the session's
                                                  interventions (`expected_trades`); None: there
                                                  were none, so any difference is unexplained

    Returns
    -------
    Agreement

    Raises
    ------
    DataError    if the symbols differ, or records are not of dtype TRADE

    Notes
    -----
    One symbol holds one position at a time, so a trade is known by its entry bar.
    """
    _check_sides("backtest", paper, backtest)
    matched, differences = _compared(paper, backtest)
    unexplained = differences
    if under_limits is not None:
        _check_sides("backtest under limits", paper, under_limits)
        _, unexplained = _compared(paper, under_limits)
    kinds = [found.kind for found in differences.values()]
    shown = unexplained or differences
    return Agreement(
        equal=not differences,
        matched=matched,
        changed=kinds.count("changed"),
        missing=kinds.count("missing"),
        extra=kinds.count("extra"),
        explained_by_risk=len(differences.keys() - unexplained.keys()),
        unexplained=len(unexplained),
        first_difference=shown[min(shown)].words if shown else None,
    )


def _compared(
    paper: Mapping[str, PerTrade], backtest: Mapping[str, PerTrade]
) -> tuple[int, dict[_Place, _Difference]]:
    """Number of equal trades, and what differs by place."""
    matched, differences = 0, dict[_Place, _Difference]()
    for symbol in backtest:
        ours = {int(trade["entry_bar"]): trade for trade in paper[symbol]}
        theirs = {int(trade["entry_bar"]): trade for trade in backtest[symbol]}
        for entry_bar in ours.keys() | theirs.keys():
            found = _difference(symbol, ours.get(entry_bar), theirs.get(entry_bar))
            if found is None:
                matched += 1
            else:
                differences[entry_bar, symbol] = found
    return matched, differences


def _difference(symbol: str, ours: Any, theirs: Any) -> _Difference | None:
    if theirs is None:
        return _Difference("extra", f"{symbol} {_named(ours)} is in paper and not in the backtest")
    if ours is None:
        return _Difference(
            "missing", f"{symbol} {_named(theirs)} is in the backtest and not in paper"
        )
    for field in TRADE.names or ():
        if ours[field].tobytes() != theirs[field].tobytes():
            return _Difference(
                "changed",
                f"{symbol} {_named(theirs)}: {field} is {_shown(field, ours[field])} in paper, "
                f"{_shown(field, theirs[field])} in the backtest",
            )
    return None


def _named(trade: Any) -> str:
    side = "long" if trade["direction"] > 0 else "short"
    return f"{side} entered {iso_time(int(trade['entry_time']))} (bar {trade['entry_bar']})"


def _shown(field: str, value: Any) -> str:
    if field in _TIMES:
        return iso_time(int(value))
    return ExitReason(int(value)).name.lower() if field == "exit_reason" else repr(value.item())


def _check_sides(
    other: str, paper: Mapping[str, PerTrade], backtest: Mapping[str, PerTrade]
) -> None:
    if set(paper) != set(backtest):
        raise DataError(
            f"paper and {other} must cover the same symbols, only one had "
            f"{sorted(set(paper) ^ set(backtest))}"
        )
    for side, trades in (("paper", paper), (other, backtest)):
        for symbol, records in trades.items():
            if not isinstance(records, np.ndarray) or records.dtype != TRADE:
                raise DataError(
                    f"{side} {symbol} must be TRADE records, was {getattr(records, 'dtype', type(records).__name__)}"
                )
