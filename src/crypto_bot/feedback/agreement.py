"""Did the paper session trade what the backtest traded? Compared record by record, to the last digit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from crypto_bot.core.arrays import PerTrade
from crypto_bot.core.errors import DataError
from crypto_bot.core.orders import TRADE, ExitReason
from crypto_bot.core.timeframes import iso_time

_TIMES = {"entry_time", "exit_time"}


class Intervention(Protocol):
    """Something the risk limits did that a backtest knows nothing of."""

    @property
    def symbol(self) -> str: ...

    @property
    def bar(self) -> int:
        """Index of the bar at whose close it happened."""
        ...


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
    explained_by_risk : int           differences at or after the symbol's first intervention
    first_difference : str | None     in words; the first unexplained one where there is one
    """

    equal: bool
    matched: int
    changed: int
    missing: int
    extra: int
    explained_by_risk: int
    first_difference: str | None

    @property
    def unexplained(self) -> int:
        """Differences that no risk limit accounts for: a fault until shown otherwise."""
        return self.changed + self.missing + self.extra - self.explained_by_risk

    def describe(self) -> str:
        """One sentence for a person."""
        if self.equal:
            return f"paper equals backtest: {self.matched} trades, every field the same"
        differences = self.changed + self.missing + self.extra
        return (
            f"paper differs from backtest in {differences} trades beside {self.matched} equal ones, "
            f"{self.explained_by_risk} of them after a risk limit stepped in; "
            f"first: {self.first_difference}"
        )


@dataclass(frozen=True)
class _Difference:
    symbol: str
    entry_bar: int
    kind: str
    words: str
    is_explained: bool


def compare_with_backtest(
    paper: Mapping[str, PerTrade],
    backtest: Mapping[str, PerTrade],
    *,
    interventions: Sequence[Intervention] = (),
) -> Agreement:
    """Compare the trades of a paper session with those of the backtest of the same bars.

    Parameters
    ----------
    paper, backtest : symbol -> TRADE (trades,)   entry bars counted from the same first bar
    interventions : Sequence[Intervention]        what the limits blocked or closed

    Returns
    -------
    Agreement

    Raises
    ------
    DataError    if the symbols differ, or records are not of dtype TRADE

    Notes
    -----
    One symbol holds one position at a time, so a trade is known by its entry bar. Once a limit has
    stepped in, the symbol's account differs and so does the size of its later trades: differences
    from that bar on count as explained.
    """
    _check_sides(paper, backtest)
    first_step: dict[str, int] = {}
    for intervention in interventions:
        known = first_step.get(intervention.symbol, intervention.bar)
        first_step[intervention.symbol] = min(known, intervention.bar)
    matched, differences = 0, list[_Difference]()
    for symbol in backtest:
        since = first_step.get(symbol)
        equal, found = _compare_symbol(symbol, paper[symbol], backtest[symbol], since)
        matched += equal
        differences += found
    return _agreement(matched, differences)


def _agreement(matched: int, differences: list[_Difference]) -> Agreement:
    kinds = [difference.kind for difference in differences]
    first = min(differences, key=lambda found: (found.is_explained, found.entry_bar), default=None)
    return Agreement(
        equal=not differences,
        matched=matched,
        changed=kinds.count("changed"),
        missing=kinds.count("missing"),
        extra=kinds.count("extra"),
        explained_by_risk=sum(difference.is_explained for difference in differences),
        first_difference=None if first is None else first.words,
    )


def _compare_symbol(
    symbol: str, paper: PerTrade, backtest: PerTrade, first_step: int | None
) -> tuple[int, list[_Difference]]:
    ours = {int(trade["entry_bar"]): trade for trade in paper}
    theirs = {int(trade["entry_bar"]): trade for trade in backtest}
    matched, differences = 0, []
    for entry_bar in sorted(ours.keys() | theirs.keys()):
        kind, words = _difference(symbol, ours.get(entry_bar), theirs.get(entry_bar))
        if kind == "equal":
            matched += 1
            continue
        known = ours.get(entry_bar, theirs.get(entry_bar))
        explained = first_step is not None and first_step < _last_bar(known)
        differences.append(_Difference(symbol, entry_bar, kind, words, explained))
    return matched, differences


def _difference(symbol: str, ours: Any, theirs: Any) -> tuple[str, str]:
    if theirs is None:
        return "extra", f"{symbol} {_named(ours)} is in paper and not in the backtest"
    if ours is None:
        return "missing", f"{symbol} {_named(theirs)} is in the backtest and not in paper"
    for field in TRADE.names or ():
        if ours[field].tobytes() != theirs[field].tobytes():
            return "changed", (
                f"{symbol} {_named(theirs)}: {field} is {_shown(field, ours[field])} in paper, "
                f"{_shown(field, theirs[field])} in the backtest"
            )
    return "equal", ""


def _last_bar(trade: Any) -> float:
    """The last bar at whose close a step could still have changed this trade; none ends it open."""
    return float("inf") if trade["exit_bar"] < 0 else float(trade["exit_bar"])


def _named(trade: Any) -> str:
    side = "long" if trade["direction"] > 0 else "short"
    return f"{side} entered {iso_time(int(trade['entry_time']))} (bar {trade['entry_bar']})"


def _shown(field: str, value: Any) -> str:
    if field in _TIMES:
        return iso_time(int(value))
    return ExitReason(int(value)).name.lower() if field == "exit_reason" else repr(value.item())


def _check_sides(paper: Mapping[str, PerTrade], backtest: Mapping[str, PerTrade]) -> None:
    if set(paper) != set(backtest):
        raise DataError(
            f"paper and backtest must cover the same symbols, only one had "
            f"{sorted(set(paper) ^ set(backtest))}"
        )
    for side, trades in (("paper", paper), ("backtest", backtest)):
        for symbol, records in trades.items():
            if not isinstance(records, np.ndarray) or records.dtype != TRADE:
                raise DataError(
                    f"{side} {symbol} must be TRADE records, was {getattr(records, 'dtype', type(records).__name__)}"
                )
