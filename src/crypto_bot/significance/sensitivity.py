"""Where the result comes from, and how little would have to change for it to go."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from crypto_bot.core.arrays import Mask, PerRow
from crypto_bot.core.errors import ConfigError, DataError
from crypto_bot.core.timeframes import DAY_NS, DAYS_PER_YEAR
from crypto_bot.engine import BacktestResult, simulate

_NO_DEVIATION = 1e-12
COST_MULTIPLES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)
"""Of the costs that a backtest was run with."""

_COSTS = (
    "taker_fee_frac",
    "maker_fee_frac",
    "slippage_frac",
    "slippage_atr_mult",
    "slippage_volume_mult",
)


@dataclass(frozen=True)
class RegimeShare:
    """What one regime gave.

    Attributes
    ----------
    label : int                  as given; `REGIMES[label]` for those of `classify_regimes`
    share_of_time : float        fraction of the bars
    trades : int                 entered on a decision made in it
    total_return : float         compounded over its bars; all regimes' compound to the result's
    sharpe : float | None        mean / deviation of its bars' returns, annual; None if undefined
    """

    label: int
    share_of_time: float
    trades: int
    total_return: float
    sharpe: float | None


@dataclass(frozen=True)
class CostRow:
    """A backtest repeated at `multiple` times its fees and slippage."""

    multiple: float
    total_return: float
    sharpe: float | None
    max_drawdown: float
    trades: int


@dataclass(frozen=True)
class Neighbourhood:
    """A setting beside those one step away in one parameter.

    Attributes
    ----------
    chosen : float               its figure
    lowest, median : float       of the neighbours' figures
    neighbours : int             settings one step away that were tried
    steepest : str               the parameter whose step costs the most
    """

    chosen: float
    lowest: float
    median: float
    neighbours: int
    steepest: str


def regime_breakdown(
    result: BacktestResult, labels: npt.NDArray[np.integer[Any]]
) -> tuple[RegimeShare, ...]:
    """Split a result by the regime that was known when each bar's position was decided.

    Parameters
    ----------
    labels : integer (bars,)    known at each bar's close, such as `classify_regimes(result.bars)`

    Returns
    -------
    tuple of RegimeShare    by label, ascending

    Raises
    ------
    DataError    if there is not one label a bar

    Notes
    -----
    A bar belongs to the label of the bar before it, the first bar to its own: what a position earns
    in a bar was decided before the bar opened.
    """
    bars = len(result.bars)
    if labels.shape != (bars,):
        raise DataError(f"labels must be one a bar, {bars}, was {labels.shape}")
    known = np.concatenate((labels[:1], labels[:-1]))
    before = np.concatenate(([result.sizing.initial_cash], result.equity[:-1]))
    growth = np.ones(bars)
    np.divide(result.equity, before, out=growth, where=before > 0.0)
    entered = known[result.trades["entry_bar"]]
    bars_a_year = DAYS_PER_YEAR * DAY_NS / result.bars.interval_ns
    return tuple(
        _share(int(label), known == label, growth, int((entered == label).sum()), bars_a_year)
        for label in np.unique(known)
    )


def _share(label: int, is_in: Mask, growth: PerRow, trades: int, bars_a_year: float) -> RegimeShare:
    returns = growth[is_in] - 1.0
    deviation = float(returns.std(ddof=1)) if len(returns) > 1 else 0.0
    has_sharpe = deviation > _NO_DEVIATION
    return RegimeShare(
        label=label,
        share_of_time=float(is_in.mean()),
        trades=trades,
        total_return=float(np.prod(growth[is_in]) - 1.0),
        sharpe=float(returns.mean()) / deviation * math.sqrt(bars_a_year) if has_sharpe else None,
    )


def cost_sensitivity(
    result: BacktestResult, multiples: Sequence[float] = COST_MULTIPLES
) -> tuple[CostRow, ...]:
    """Repeat a backtest at multiples of its fees and slippage; funding and borrowing stay.

    Raises ConfigError if a multiple is negative, or so large that a fee leaves its bounds.
    """
    rows = []
    for multiple in multiples:
        if not (math.isfinite(multiple) and multiple >= 0.0):
            raise ConfigError(f"multiples must be finite and >= 0, was {multiple}")
        costs = result.costs.replace(
            **{name: getattr(result.costs, name) * multiple for name in _COSTS}
        )
        metrics = simulate(
            result.bars,
            result.signals,
            costs=costs,
            exits=result.exits,
            sizing=result.sizing,
            funding=result.funding,
        ).metrics
        rows.append(
            CostRow(
                multiple=float(multiple),
                total_return=metrics.total_return,
                sharpe=metrics.sharpe,
                max_drawdown=metrics.max_drawdown,
                trades=metrics.trades,
            )
        )
    return tuple(rows)


def parameter_sensitivity(
    settings: Sequence[Mapping[str, Any]], figures: Sequence[float], chosen: int
) -> Neighbourhood | None:
    """How the figure of a chosen setting changes among the tried settings next to it.

    Parameters
    ----------
    settings : parameters of each trial, the same names in all
    figures : one a trial, larger is better; trials without a finite figure are left out
    chosen : number of the chosen trial

    Returns
    -------
    Neighbourhood    None if no setting one step away was tried

    Raises
    ------
    DataError    if the lengths or names differ, or the chosen trial has no figure

    Notes
    -----
    A neighbour differs in one parameter only, by one step among the values tried: next in order for
    numbers, any other value for the rest.
    """
    _check_settings(settings, figures, chosen)
    here = settings[chosen]
    found = []
    for setting, figure in zip(settings, figures, strict=True):
        differing = [name for name in here if setting[name] != here[name]]
        if len(differing) == 1 and math.isfinite(figure):
            name = differing[0]
            values = {each[name] for each in settings}
            if _is_next(here[name], setting[name], values):
                found.append((float(figure), name))
    if not found:
        return None
    lowest, steepest = min(found)
    return Neighbourhood(
        chosen=float(figures[chosen]),
        lowest=lowest,
        median=float(np.median([figure for figure, _ in found])),
        neighbours=len(found),
        steepest=steepest,
    )


def _check_settings(
    settings: Sequence[Mapping[str, Any]], figures: Sequence[float], chosen: int
) -> None:
    if len(settings) != len(figures) or not 0 <= chosen < len(settings):
        raise DataError(
            f"figures must be one a setting and chosen one of them, was {len(settings)} settings, "
            f"{len(figures)} figures, chosen {chosen}"
        )
    odd = [k for k, setting in enumerate(settings) if setting.keys() != settings[chosen].keys()]
    if odd:
        raise DataError(f"settings must name the same parameters, trial {odd[0]} does not")
    if not math.isfinite(figures[chosen]):
        raise DataError(f"the chosen trial must have a figure, was {figures[chosen]}")


def _is_next(here: Any, there: Any, values: set[Any]) -> bool:
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return True
    ordered = sorted(values)
    return abs(ordered.index(here) - ordered.index(there)) == 1
