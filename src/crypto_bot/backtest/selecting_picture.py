"""The picture of a selection: its account beside the others, and what choosing added day by day."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from crypto_bot.backtest.shared_account import quote_of, shown_places
from crypto_bot.backtest.summary import number
from crypto_bot.report.drawing import blank_figure, png_bytes, quiet_axes
from crypto_bot.report.palette import BLUE, GREY, ORANGE, SERIES
from crypto_bot.selector import HOLD, MIX, SELECTOR, Account, Comparison, Selection

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDE = 8.0
_DRAWN = 4
"""Strategies drawn by name, those of the most trades; the table has all."""


def picture(selection: Selection, comparison: Comparison) -> bytes:
    """Equity of every account above, the daily difference to the equal mix added up below."""
    figure = blank_figure(9.0, 6.4)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    _draw_accounts(above, comparison)
    above.set_ylabel(f"equity, {quote_of(selection.candidates.slots)}")
    if _is_wide(comparison):
        above.set_yscale("log")
    above.yaxis.set_major_formatter("{x:,.0f}")
    above.yaxis.set_minor_formatter("")
    _draw_difference(below, comparison)
    found = comparison.account(SELECTOR).result.metrics
    mixed = comparison.account(MIX).result.metrics
    figure.suptitle(
        f"{comparison.taken} of {comparison.entries} entries taken, out of sample: Sharpe "
        f"{number(found.sharpe)}, of all entries {number(mixed.sharpe)}",
        fontsize=11,
    )
    for axes in (above, below):
        # Above the curves, never on them.
        axes.legend(frameon=False, fontsize=8, ncols=4, loc="lower left", bbox_to_anchor=(0, 0.98))
        quiet_axes(axes)
    return png_bytes(figure, is_simulated=selection.candidates.is_simulated)


def _draw_accounts(axes: Axes, comparison: Comparison) -> None:
    named = {SELECTOR: ("black", 1.6), MIX: (BLUE, 1.4), HOLD: (GREY, 1.0)}
    alone = [each for each in comparison.accounts if each.name not in named]
    ranked = sorted(alone, key=lambda each: -each.result.metrics.trades)[:_DRAWN]
    colours = [colour for colour in SERIES if colour not in (BLUE, GREY)]
    styles = named | {
        each.name: (colour, 0.8) for each, colour in zip(ranked, colours, strict=False)
    }
    for name, (colour, width) in styles.items():
        account = comparison.account(name)
        places = shown_places(account.result.equity)
        axes.plot(
            account.result.times_ns[places].astype("datetime64[ns]"),
            account.result.equity[places],
            color=colour,
            linewidth=width,
            label=f"{name} {account.result.metrics.total_return:+.1%}",
            zorder=3 if name == SELECTOR else 2,
        )


def _is_wide(comparison: Comparison) -> bool:
    """Whether one scale would press all but the largest account flat."""
    curves = [each.result.equity for each in comparison.accounts]
    lowest = min(float(curve.min()) for curve in curves)
    return 0.0 < lowest < max(float(curve.max()) for curve in curves) / _WIDE


def _draw_difference(axes: Axes, comparison: Comparison) -> None:
    found = comparison.account(SELECTOR)
    extra = found.daily_returns - comparison.account(MIX).daily_returns
    axes.plot(
        _days(found), np.cumsum(extra) * 100.0, color=ORANGE, linewidth=1.2, label=_told(comparison)
    )
    axes.axhline(0.0, color=GREY, linewidth=0.8)
    axes.set_ylabel("added up, percent")


def _told(comparison: Comparison) -> str:
    text = "daily return of the selector less that of the equal mix"
    found = comparison.difference
    if found is None:
        return text
    return f"{text}: {found.estimate:+.3%}, 95 % interval {found.low:+.3%} to {found.high:+.3%}"


def _days(account: Account) -> npt.NDArray[np.datetime64]:
    """The end of each UTC day, the last one at the last close."""
    last = account.result.times_ns[-1].astype("datetime64[ns]")
    back = np.arange(len(account.daily_returns))[::-1]
    found: npt.NDArray[np.datetime64] = last - back * np.timedelta64(1, "D")
    return found
