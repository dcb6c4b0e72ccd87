"""PNG files of a search: the map round the winner, the front, and what it earned unseen."""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from crypto_bot.backtest.searching import Searched, place_of
from crypto_bot.report.drawing import blank_figure, png_bytes, quiet_axes
from crypto_bot.report.palette import BLUE, DIVERGING, GREY, ORANGE
from crypto_bot.search import ParameterMap
from crypto_bot.search.exits import changed_exits

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WRITTEN_CELLS = 200
_EMPTY = "#d9dade"
_NARROWEST = 5.6
_LETTERS_AN_INCH = 12
"""Of the title: a map of few columns must not cut it off."""
_COLOURED = 0.9
"""Share of a map's cells within the colours' ends."""


def map_png(searched: Searched, *, is_simulated: bool) -> bytes:
    """The objective over two parameters, all else, exits included, as in the winner."""
    view = searched.picture
    if view is None:
        raise ValueError("picture must be drawn first")
    width = max(1.9 + 0.62 * len(view.across), _NARROWEST)
    figure = blank_figure(width, 1.9 + 0.42 * max(len(view.down), 3))
    axes = figure.subplots()
    largest = colour_limit(view.values)
    image = axes.imshow(
        view.values, cmap=_colours(), vmin=-largest, vmax=largest, aspect="auto", origin="lower"
    )
    axes.set_xticks(range(len(view.across)), [_short(value) for value in view.across])
    axes.set_yticks(range(len(view.down)), [_short(value) for value in view.down])
    _write_cells(axes, view, largest)
    row, column = view.place
    axes.add_patch(_ring(column, row))
    axes.set_xlabel(view.x)
    axes.set_ylabel(view.y)
    axes.tick_params(length=0, labelsize=8)
    axes.spines[:].set_visible(False)
    name = searched.winner.plan.objective
    bar = figure.colorbar(image, ax=axes, label=name, shrink=0.85, pad=0.02, extend="both")
    bar.outline.set_visible(False)
    title = f"{place_of(searched.winner)}: {name} round the winner (ringed), in sample"
    room = int(_LETTERS_AN_INCH * (width - 0.8))
    axes.set_title(
        "\n".join(fill(line, room) for line in (title, _rest(view))), fontsize=10, loc="left"
    )
    return png_bytes(figure, is_simulated=is_simulated)


def colour_limit(values: npt.NDArray[np.float64]) -> float:
    """Where the colours end: the size of nine tenths of the values, so that the rest keep theirs."""
    sizes = np.abs(values[np.isfinite(values)])
    return max(float(np.quantile(sizes, _COLOURED)), 1e-9) if sizes.size else 1e-9


def front_png(searched: Searched, *, is_simulated: bool) -> bytes:
    """Return against drawdown of every setting tried, the front marked."""
    tried = searched.winner.trials.filter("is_enough")
    front = searched.winner.front()
    figure = blank_figure(7.2, 4.8)
    axes = figure.subplots()
    axes.plot(100 * tried["max_drawdown"], 100 * tried["total_return"], linestyle="none",
              marker=".", color=GREY, alpha=0.6, label=f"{len(tried)} settings with enough trades")  # fmt: skip
    axes.plot(100 * front["max_drawdown"], 100 * front["total_return"], marker="o", markersize=5,
              color=BLUE, linewidth=1.2, label="no other is better in both")  # fmt: skip
    axes.axhline(0.0, color=GREY, linewidth=0.8)
    axes.set_xlabel("deepest drawdown, % (mean over the pairs)")
    axes.set_ylabel("return, % (mean over the pairs)")
    axes.legend(frameon=False, fontsize=9)
    axes.set_title(f"{place_of(searched.winner)}: return against drawdown, in sample", fontsize=11)
    quiet_axes(axes)
    return png_bytes(figure, is_simulated=is_simulated)


def walk_png(searched: Searched, *, is_simulated: bool) -> bytes:
    """What the searched settings earned on candles no search had seen, beside holding."""
    walked = searched.walked
    if walked is None:
        raise ValueError("walked must be there")
    figure = blank_figure(9.0, 4.6)
    axes = figure.subplots()
    for stretch, name, colour in (
        (walked.stitched, "the search, each stretch unseen", BLUE),
        (walked.holding, "buy and hold", ORANGE),
    ):
        times = stretch.time_ns.astype("datetime64[ns]")
        label = f"{name}: {stretch.total_return:+.1%}"
        axes.plot(times, stretch.growth, color=colour, linewidth=1.3, label=label)
    axes.axhline(1.0, color=GREY, linewidth=0.8)
    for window in walked.windows[1:]:
        moment: Any = np.datetime64(window.start_ns, "ns")
        axes.axvline(moment, color=GREY, linewidth=0.8, linestyle=":")
    axes.set_ylabel("growth of 1, costs included")
    axes.legend(frameon=False, fontsize=9, loc="best")
    title = f"{place_of(searched.winner)}: searched anew at each dotted line, traded to the next"
    axes.set_title(f"{title}{_chance(searched)}", fontsize=11, loc="left")
    figure.autofmt_xdate(rotation=0, ha="center")
    quiet_axes(axes)
    return png_bytes(figure, is_simulated=is_simulated)


def _chance(searched: Searched) -> str:
    if searched.chance is None:
        return ""
    found = searched.chance
    return f"\n{found.p_value:.0%} of {found.permutations} random traders did as well"


def _colours() -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    colours = LinearSegmentedColormap.from_list("gains", list(DIVERGING))
    return colours.with_extremes(bad=_EMPTY)


def _ring(column: int, row: int) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor="black", linewidth=2)


def _write_cells(axes: Axes, view: ParameterMap, largest: float) -> None:
    if view.values.size > _WRITTEN_CELLS:
        return
    for row, column in np.ndindex(*view.values.shape):
        value = view.values[row, column]
        if np.isfinite(value):
            colour = "white" if abs(value) > 0.75 * largest else "black"
            axes.text(column, row, f"{value:.2f}" if abs(value) < 10 else f"{value:.0f}",
                      ha="center", va="center", fontsize=7, color=colour)  # fmt: skip


def _rest(view: ParameterMap) -> str:
    """Everything that is the same all over the map."""
    values = {**view.setting.parameters, **changed_exits(view.setting.exits)}
    rest = [f"{n} {_short(v)}" for n, v in values.items() if n not in (view.x, view.y)]
    grey = "grey: not a valid setting, or too few trades"
    return f"{', '.join(rest)}; {grey}" if rest else grey


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else "" if value is None else str(value)
