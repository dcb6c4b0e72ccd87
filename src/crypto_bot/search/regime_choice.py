"""Which strategy in which regime: learned on each past window, applied to the next one only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
from numba import njit
from pydantic import Field

from crypto_bot.core import OHLCV, Bars, Signals
from crypto_bot.core.arrays import Index, PerBar, PerBarDirection
from crypto_bot.core.errors import ConfigError, DataError
from crypto_bot.core.options import Options
from crypto_bot.engine.options import CostOptions
from crypto_bot.engine.settling import settled_bars

if TYPE_CHECKING:
    from crypto_bot.strategies import Strategy

MOST_REGIMES = 64
"""More different labels than this are a measurement, not a regime."""
_UNKNOWN_BARS = 2
"""A side decided at a close earns from the next open to the one after: known two bars later."""


class RegimeChoiceOptions(Options):
    """How a strategy is chosen for each regime."""

    learn_bars: int = Field(
        default=8_640, ge=10, le=10_000_000, description="bars that a choice is learned on"
    )
    apply_bars: int = Field(
        default=2_016, ge=1, le=10_000_000, description="bars that it is applied to, those after"
    )
    learn_from_start: bool = Field(
        default=False, description="true: learn on everything so far, from learn_bars on"
    )
    minimum_bars: int = Field(
        default=100, ge=1, le=1_000_000, description="bars of the regime, else stand aside"
    )
    minimum_trades: int = Field(
        default=10, ge=0, le=100_000, description="entries in the regime, else not a candidate"
    )
    minimum_return_frac: float = Field(
        default=0.0, ge=-1, le=1, description="mean return a bar after costs must exceed this"
    )


class RegimeChoice(NamedTuple):
    """What was chosen for one regime in one window, and on what grounds."""

    window: int
    learned_from: int  # first bar learned on
    learned_until: int  # first bar no longer learned on
    applied_from: int
    applied_until: int  # first bar it is no longer applied to
    regime: int
    strategy: str  # '' stands aside
    candidate: int  # its place among the candidates; -1 stands aside
    bars: int  # of the regime in the learning window
    trades: int  # entries of the chosen one in it; 0 if none was chosen
    mean_return_frac: float  # a bar, after costs, of the chosen one; NaN if none was chosen


@dataclass(frozen=True, eq=False)
class RegimeChoices:
    """The result of `choose_by_regime`.

    Attributes
    ----------
    signals : Signals                  whole span: the chosen strategy's position at each close and
                                       its score there, 0 where it merely holds; no side before the
                                       first boundary. Run it with `signal_exit='flat'`
    chosen : int64 (bars,)             the chosen candidate's place; -1 stands aside
    choices : tuple of RegimeChoice    by window, then regime, of those met in its learning bars
    """

    signals: Signals
    chosen: Index
    choices: tuple[RegimeChoice, ...]

    @property
    def table(self) -> pl.DataFrame:
        """One row a choice."""
        return pl.DataFrame(list(self.choices), schema=_SCHEMA, orient="row")


_SCHEMA = {
    name: {"strategy": pl.String, "mean_return_frac": pl.Float64}.get(name, pl.Int64)
    for name in RegimeChoice._fields
}


def choose_by_regime(
    bars: Bars,
    candidates: Sequence[Strategy],
    labels: npt.NDArray[Any],
    *,
    options: RegimeChoiceOptions | None = None,
    costs: CostOptions | None = None,
    extra: Mapping[str, PerBar] | None = None,
) -> RegimeChoices:
    """Choose a strategy for every regime by walking forward.

    Parameters
    ----------
    bars : Bars
    candidates : sequence of Strategy    bound ones; earlier ones win ties
    labels : int or float (bars,)        regime code known at each close, such as a regime feature;
                                         NaN: none, which stands aside
    options, costs                       None: their defaults
    extra : name -> float64 (bars,)      columns that candidates need beyond candles

    Returns
    -------
    RegimeChoices

    Raises
    ------
    ConfigError    without candidates
    DataError      if labels do not fit the bars, are no whole numbers or too many different ones; if
                   the bars do not outlast `learn_bars`; if a candidate lacks data it needs

    Notes
    -----
    At the boundary b only what was known at the close of bar b - 1 counts: sides decided at bars
    b - learn_bars to b - 3, since a side earns from the next open to the one after. A change of
    position costs fee and slippage of what is traded, charged to the bar that decides it, in its
    regime. The best mean return a bar in a regime is taken if it exceeds `minimum_return_frac`,
    over at least `minimum_bars` bars and `minimum_trades` entries there. Altering bars, labels or
    columns after bar t changes no choice learned and no direction up to t. Costs of changing from
    one strategy to another are not foreseen by the choice; simulating the result charges them.
    """
    options = options or RegimeChoiceOptions()
    codes, regimes = _codes(bars, labels)
    if not candidates:
        raise ConfigError("candidates must hold at least one strategy, was empty")
    if len(bars) <= options.learn_bars:
        raise DataError(
            f"{bars.symbol} {bars.timeframe} must have more bars than learn_bars "
            f"({options.learn_bars}), had {len(bars)}"
        )
    positions, scores = _positions(bars, candidates, extra or {})
    earned = _earned(bars.open, positions, costs or CostOptions())
    chosen = np.full(len(bars), -1, np.int64)
    choices: list[RegimeChoice] = []
    for window, begin in enumerate(range(options.learn_bars, len(bars), options.apply_bars)):
        end = min(begin + options.apply_bars, len(bars))
        first = 0 if options.learn_from_start else begin - options.learn_bars
        learned = slice(first, max(first, begin - _UNKNOWN_BARS))
        sums = _sums(codes, positions, earned, learned.start, learned.stop, len(regimes))
        best, of_window = _best(candidates, regimes, sums, options)
        choices.extend(
            RegimeChoice(window, learned.start, learned.stop, begin, end, *each)
            for each in of_window
        )
        applied = codes[begin:end]
        chosen[begin:end] = np.where(applied >= 0, best[applied], -1)
    return RegimeChoices(_signals(chosen, positions, scores), chosen, tuple(choices))


def _codes(bars: Bars, labels: npt.NDArray[Any]) -> tuple[Index, Index]:
    """Each bar's place among the sorted regimes, -1 where it has none; and the regimes."""
    if labels.shape != (len(bars),) or labels.dtype.kind not in "iuf":
        raise DataError(
            f"labels must be int or float ({len(bars)},), one a bar, "
            f"was {labels.dtype} {labels.shape}"
        )
    is_known = ~np.isnan(labels)
    known = labels[is_known]
    odd = np.flatnonzero(is_known & (labels != np.rint(labels)))
    if odd.size or not np.isfinite(known).all():
        place = int(odd[0]) if odd.size else int(np.flatnonzero(np.isinf(labels))[0])
        raise DataError(f"labels must be whole numbers, was {labels[place]} at bar {place}")
    regimes, codes = np.unique(known.astype(np.int64), return_inverse=True)
    if len(regimes) > MOST_REGIMES:
        raise DataError(
            f"labels must be at most {MOST_REGIMES} different regimes, were {len(regimes)}"
        )
    places = np.full(len(bars), -1, np.int64)
    places[is_known] = codes
    return places, regimes.astype(np.int64)


def _positions(
    bars: Bars, candidates: Sequence[Strategy], extra: Mapping[str, PerBar]
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float64]]:
    """Position and score of every candidate: int8 and float64 (candidates, bars)."""
    from crypto_bot.features import compute_features

    columns: dict[str, PerBar] = {name: getattr(bars, name) for name in OHLCV} | dict(extra)
    read = dict.fromkeys(name for each in candidates for name in each.features())
    names = [name for name in read if name not in columns]
    if names:
        table = compute_features(bars, names)
        columns.update((name, table.column(name)) for name in names)
    positions = np.zeros((len(candidates), len(bars)), np.int8)
    scores = np.zeros((len(candidates), len(bars)))
    for row, each in enumerate(candidates):
        signals = each.signals(columns)
        settled = settled_bars(each.features(), bars.timeframe)
        positions[row, settled:] = signals.direction[settled:]
        scores[row] = signals.score
        if each.signal_exit == "opposite":
            _keep(positions[row])
    return positions, scores


@njit(cache=True, nogil=True)
def _keep(position: PerBarDirection) -> None:
    """Hold the last side through bars of direction 0, in place."""
    for i in range(1, len(position)):
        if position[i] == 0:
            position[i] = position[i - 1]


def _earned(
    open_: PerBar, positions: npt.NDArray[np.int8], costs: CostOptions
) -> npt.NDArray[np.float64]:
    """float64 (candidates, bars): return of the side decided at each close, less what it cost.

    From the next open to the one after; the last two bars, whose return is not known, have 0.
    """
    move = np.zeros(len(open_))
    move[:-_UNKNOWN_BARS] = open_[2:] / open_[1:-1] - 1.0
    changed = np.abs(np.diff(positions, axis=1, prepend=np.int8(0)))
    cost = costs.taker_fee_frac + costs.slippage_frac
    earned: npt.NDArray[np.float64] = positions * move - changed * cost
    return earned


@njit(cache=True, nogil=True)
def _sums(  # type: ignore[no-untyped-def]
    codes: Index,
    positions: npt.NDArray[np.int8],
    earned: npt.NDArray[np.float64],
    begin: int,
    end: int,
    regimes: int,
):
    """Bars of each regime, and every candidate's earnings and entries in it, in [begin, end)."""
    bars = np.zeros(regimes, np.int64)
    total = np.zeros((len(positions), regimes))
    entries = np.zeros((len(positions), regimes), np.int64)
    for i in range(begin, end):
        if codes[i] >= 0:
            bars[codes[i]] += 1
    for row in range(len(positions)):
        for i in range(begin, end):
            if codes[i] >= 0:
                now, before = positions[row, i], positions[row, i - 1] if i > 0 else 0
                total[row, codes[i]] += earned[row, i]
                entries[row, codes[i]] += 1 if now != 0 and now != before else 0
    return bars, total, entries


def _best(
    candidates: Sequence[Strategy],
    regimes: Index,
    sums: tuple[Index, npt.NDArray[np.float64], npt.NDArray[np.int64]],
    options: RegimeChoiceOptions,
) -> tuple[Index, list[tuple[int, str, int, int, int, float]]]:
    """The chosen candidate by regime, -1 for none, and the last fields of each `RegimeChoice`."""
    bars, total, entries = sums
    best = np.full(len(regimes), -1, np.int64)
    rows: list[tuple[int, str, int, int, int, float]] = []
    for place, regime in enumerate(regimes.tolist()):
        count = int(bars[place])
        mean = total[:, place] / max(count, 1)
        mean[entries[:, place] < options.minimum_trades] = -np.inf
        row = int(mean.argmax())
        if count == 0:  # not met yet: that it exists at all is only known later
            continue
        if count >= options.minimum_bars and mean[row] > options.minimum_return_frac:
            best[place] = row
            trades = int(entries[row, place])
            rows.append((regime, candidates[row].name, row, count, trades, float(mean[row])))
        else:
            rows.append((regime, "", -1, count, 0, np.nan))
    return best, rows


def _signals(
    chosen: Index, positions: npt.NDArray[np.int8], scores: npt.NDArray[np.float64]
) -> Signals:
    direction = np.zeros(len(chosen), np.int8)
    score = np.zeros(len(chosen))
    acts = np.flatnonzero(chosen >= 0)
    direction[acts] = positions[chosen[acts], acts]
    is_side = direction[acts] != 0
    score[acts[is_side]] = scores[chosen[acts[is_side]], acts[is_side]]
    return Signals(direction, score)
