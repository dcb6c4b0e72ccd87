"""From a model's probabilities to an account: which position is wanted, and what it earned.

A position is decided at the close of a bar and filled at the open of the next one, by the engine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from crypto_bot.core import Bars, Signals
from crypto_bot.core.arrays import PerBar, PerRowClass
from crypto_bot.core.errors import ConfigError
from crypto_bot.core.timeframes import DAY_NS
from crypto_bot.engine import CostOptions, ExitOptions, Reentry, SignalExit, SizingOptions, simulate
from crypto_bot.engine.metrics import Metrics
from crypto_bot.orders import Context, OnBarStrategy, simulate_on_bar

SIMULATED = (
    "cagr",
    "sharpe",
    "sortino",
    "max_drawdown",
    "calmar",
    "turnover",
    "trades",
    "trades_per_day",
    "final_equity",
)
"""Names of the figures of an account, those of the original trainer."""
_EXITS = ExitOptions(signal_exit=SignalExit.FLAT, reentry=Reentry.WHILE_SIGNAL)
_STEP = 1e-9
"""A change of the wanted share smaller than this is none."""
_MOST_ADDED_TO = 0.95
"""A position that is held is added to up to this share: beyond it a gap could not be paid."""


class Position(StrEnum):
    """How large a position is."""

    GATED = "gated"
    """All or nothing: the likeliest class, opened above one probability, closed below another."""
    SIZED = "sized"
    """A share of the account that grows with the probability of the likeliest class."""


@dataclass(frozen=True)
class PositionRule:
    """What position a row of probabilities asks for.

    Attributes
    ----------
    position : gated or sized
    open_threshold : gated: the likeliest class opens above this probability
    close_threshold : gated: a position ends when its class falls below this; None: as to open
    """

    position: Position = Position.GATED
    open_threshold: float = 0.55
    close_threshold: float | None = None

    def __post_init__(self) -> None:
        close = self.open_threshold if self.close_threshold is None else self.close_threshold
        for name, value in (("open_thr", self.open_threshold), ("close_thr", close)):
            if not 0.0 <= value <= 1.0:
                raise ConfigError(f"{name} must be from 0 to 1, was {value}")
        if close > self.open_threshold:
            raise ConfigError(
                f"close_thr must be at most open_thr {self.open_threshold}, was {close}; "
                "what closes above where it opens never holds"
            )

    def wanted(
        self, classes: Sequence[int], probabilities: PerRowClass, *, allow_short: bool = True
    ) -> PerBar:
        """float64 (rows,): the share of the account to hold, -1 to +1.

        Parameters
        ----------
        classes : label of each column; of (0, 1) the 0 is down, of (-1, 0, 1) it is flat
        probabilities : float64 (rows, classes); a row with NaN asks for nothing

        Notes
        -----
        gated holds state: a position is kept while its class is at least as likely as
        `close_threshold`, unless the other side is the likeliest and above `open_threshold`.
        sized is side x clip(2 (p - 0.5), 0, 1) of the likeliest class, anew in each row.
        """
        sides = np.array([_side(label, classes) for label in classes], dtype=np.int64)
        known = np.ascontiguousarray(probabilities, dtype=np.float64)
        wanted: PerBar
        if self.position is Position.GATED:
            close = self.open_threshold if self.close_threshold is None else self.close_threshold
            wanted = _gated(known, sides, self.open_threshold, close, allow_short)
        else:
            wanted = _sized(known, sides)
        return wanted if allow_short else np.maximum(wanted, 0.0)


@dataclass(frozen=True, eq=False)
class Account:
    """What a stretch of candles made of the wanted positions, costs included.

    Attributes
    ----------
    time_ns : int64 (bars,)      closes
    equity : float64 (bars,)     marked at each close, quote
    held : float64 (bars,)       signed quantity held at each close, base
    metrics : Metrics            the engine's
    bars : Bars
    """

    bars: Bars
    equity: PerBar
    held: PerBar
    metrics: Metrics

    @property
    def figures(self) -> dict[str, float | int | None]:
        """`SIMULATED`: fractions and counts, None where undefined."""
        found = self.metrics
        span_ns = int(self.bars.close_time[-1]) - int(self.bars.open_time[0])
        return {
            "cagr": found.annual_return,
            "sharpe": found.sharpe,
            "sortino": found.sortino,
            "max_drawdown": found.max_drawdown,
            "calmar": found.calmar,
            "turnover": found.turnover,
            "trades": found.trades,
            "trades_per_day": found.trades * DAY_NS / span_ns,
            "final_equity": found.final_equity,
        }


def costs_of(base: CostOptions, *, fee_bps: float, slip_bps: float) -> CostOptions:
    """The configured costs with these basis points of notional a fill."""
    fee, slip = fee_bps / 1e4, slip_bps / 1e4
    return base.replace(taker_fee_frac=fee, maker_fee_frac=fee, slippage_frac=slip)


def trade_positions(
    bars: Bars, wanted: PerBar, rule: PositionRule, costs: CostOptions, sizing: SizingOptions
) -> Account:
    """Trade the wanted positions on the bars: decided at close t, filled at the open of t + 1.

    Parameters
    ----------
    wanted : float64 (bars,)    share of the account, -1 to +1

    Notes
    -----
    gated positions are the engine's own long, short and flat. A sized position is brought to its
    share of equity at the close by a market order whenever the wanted share changes; what is held
    is added to up to 95 % of equity, so that a gap at the open can be paid.
    """
    sizing = SizingOptions(initial_cash=sizing.initial_cash, allow_short=sizing.allow_short)
    found: Any
    if rule.position is Position.GATED:
        signals = Signals(np.sign(wanted).astype(np.int8), np.abs(wanted))
        found = simulate(bars, signals, costs=costs, exits=_EXITS, sizing=sizing)
    else:
        found = simulate_on_bar(bars, _Shares(wanted), costs=costs, sizing=sizing)
    return Account(bars, found.equity, found.position, found.metrics)


class _Shares(OnBarStrategy):
    """Holds a share of equity that is known for every bar."""

    waits_until_settled = False

    def __init__(self, wanted: PerBar) -> None:
        super().__init__()
        self._wanted = wanted.tolist()
        self._last = 0.0

    def on_bar(self, context: Context) -> None:
        share = self._wanted[context.index]
        if abs(share - self._last) < _STEP or context.is_ruined:
            return
        self._last = share
        held = context.position
        target = share * context.equity / context.close
        if share == 0.0:
            if held:
                context.close_position()
        elif held == 0.0:
            self._ask(context, target)(fraction=abs(share))
        elif held * target < 0.0:
            context.reverse(fraction=abs(share))
        elif abs(target) < abs(held):
            context.close_position(1.0 - target / held)
        else:
            most = min(abs(share), _MOST_ADDED_TO) * context.equity / context.close
            if most > abs(held):
                self._ask(context, target)(quantity=most - abs(held))

    @staticmethod
    def _ask(context: Context, target: float) -> Any:
        return context.buy if target > 0.0 else context.sell


def _side(label: int, classes: Sequence[int]) -> int:
    if -1 in classes:
        return label
    return 1 if label == 1 else -1


@njit(cache=True, nogil=True)
def _gated(  # type: ignore[no-untyped-def]
    probabilities: PerRowClass,
    sides: npt.NDArray[np.int64],
    open_threshold: float,
    close_threshold: float,
    allow_short: bool,
):
    rows, columns = probabilities.shape
    wanted = np.zeros(rows)
    held = -1
    for row in range(rows):
        best, is_known = 0, True
        for column in range(columns):
            is_known = is_known and np.isfinite(probabilities[row, column])
            if probabilities[row, column] > probabilities[row, best]:
                best = column
        if not is_known:
            held = -1
            continue
        if held >= 0 and probabilities[row, held] < close_threshold:
            held = -1
        side = sides[best]
        opens = side > 0 or (side < 0 and allow_short)
        if opens and probabilities[row, best] > open_threshold:
            held = best
        if held >= 0:
            wanted[row] = sides[held]
    return wanted


def _sized(probabilities: PerRowClass, sides: npt.NDArray[np.int64]) -> PerBar:
    is_known = np.asarray(np.isfinite(probabilities).all(axis=1), dtype=np.bool_)
    safe = np.where(is_known[:, np.newaxis], probabilities, 0.0)
    best = safe.argmax(axis=1)
    share = np.clip(2.0 * (safe[np.arange(len(safe)), best] - 0.5), 0.0, 1.0)
    found: PerBar = np.where(is_known, sides[best] * share, 0.0)
    return found


def rule_as_json(rule: PositionRule) -> Mapping[str, Any]:
    """The rule for a file or the journal."""
    return {
        "position": str(rule.position),
        "open_thr": rule.open_threshold,
        "close_thr": rule.close_threshold,
    }
