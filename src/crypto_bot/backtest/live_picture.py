"""The picture of a session against its promise: score of the trades, alarms, drift of the features."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from crypto_bot.core.files import write_file
from crypto_bot.feedback import Look, ScoreTrack, WatchOptions, shift_word
from crypto_bot.feedback.remedies import Alarm
from crypto_bot.report.drawing import blank_figure, png_bytes, quiet_axes
from crypto_bot.report.palette import BLUE, GREY, ORANGE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FILE = "live_against_promise.png"
_MEAN_OF = 30
_DRAWN = 12
"""Features in the table, those that moved most surely."""


def write_live_picture(
    folder: Path,
    look: Look,
    alarms: Sequence[Alarm] = (),
    *,
    options: WatchOptions | None = None,
    is_simulated: bool = False,
) -> Path:
    """Write the picture into a run's folder; gives its path."""
    path = folder / FILE
    write_file(path, live_picture(look, alarms, options=options, is_simulated=is_simulated))
    return path


def live_picture(
    look: Look,
    alarms: Sequence[Alarm] = (),
    *,
    options: WatchOptions | None = None,
    is_simulated: bool = False,
) -> bytes:
    """PNG: score of each trade with alarms above, drift of the features below.

    Parameters
    ----------
    look : Look       the newest
    alarms : those to be marked, at the look that raised them
    """
    settings = WatchOptions() if options is None else options
    figure = blank_figure(9.0, 7.2)
    above, below = figure.subplots(2, 1, height_ratios=(3, 2.6))
    _draw_scores(above, look, alarms)
    _draw_drift(below, look, settings)
    found = sorted({finding.alarm_kind for finding in look.findings})
    figure.suptitle(
        "live against promise: " + (", ".join(found) or "as promised, or too little to tell"),
        fontsize=11,
    )
    return png_bytes(figure, is_simulated=is_simulated)


def _draw_scores(axes: Axes, look: Look, alarms: Sequence[Alarm]) -> None:
    axes.axhline(0.5, color=GREY, linewidth=1.0)
    axes.set_ylim(-0.03, 1.03)
    axes.set_ylabel("score of a trade")
    quiet_axes(axes)
    track = look.score
    if track is None or not len(track.scores):
        axes.text(0.5, 0.5, "no scored trade yet", ha="center", va="center", color=GREY)
        axes.set_xticks([])
        return
    times = track.time_ns.astype("datetime64[ns]")
    axes.plot(times, track.scores, ".", color=GREY, markersize=3, label="a trade")
    width = min(_MEAN_OF, len(times))
    mean = np.convolve(track.scores, np.full(width, 1.0 / width), "valid")
    label = f"mean of {width}; 0.5 is as promised"
    axes.plot(times[width - 1 :], mean, color=BLUE, linewidth=1.6, label=label)
    for number, place in enumerate(_first_falls(track)):
        name = "the detector sees a fall" if number == 0 else None
        axes.axvline(times[place], color=ORANGE, linewidth=1.2, label=name)
    _mark(axes, alarms)
    axes.legend(frameon=False, fontsize=8, ncols=4, loc="lower left", bbox_to_anchor=(0, 0.98))


def _first_falls(track: ScoreTrack) -> list[int]:
    """The first fall, and the first after each rise: a detector confirms what it saw many times."""
    found: list[int] = []
    for place in track.alarms:
        if not found or any(found[-1] < risen < place for risen in track.recoveries):
            found.append(place)
    return found


def _mark(axes: Axes, alarms: Sequence[Alarm]) -> None:
    """A triangle at the foot for each look that raised alarms."""
    raised = sorted({int(alarm.detail.get("time_ns", alarm.raised_at_ns)) for alarm in alarms})
    if raised:
        times = np.array(raised, np.int64).astype("datetime64[ns]")
        low = np.zeros(len(times))
        axes.plot(times, low, "^", color=ORANGE, markersize=8, clip_on=False, label="alarm")


def _draw_drift(axes: Axes, look: Look, options: WatchOptions) -> None:
    axes.axis("off")
    shifts = [*look.predictions, *look.features][:_DRAWN]
    if not shifts:
        axes.text(0.5, 0.5, "no feature to compare", ha="center", va="center", color=GREY)
        return
    number = "{:.3f}".format
    rows = [
        [
            shift.name,
            "" if shift.psi is None else number(shift.psi),
            "" if shift.ks is None else number(shift.ks),
            "" if shift.p_value is None else f"{shift.p_value:.2g}",
            f"{shift.effective_rows:.0f}",
            shift_word(shift, options),
        ]
        for shift in shifts
    ]
    heads = ["column", "PSI", "KS", "chance", "rows worth", ""]
    table = axes.table(
        rows, colLabels=heads, loc="upper center", cellLoc="left", edges="horizontal"
    )
    table.auto_set_font_size(False)
    table.set_fontsize(8)
    table.auto_set_column_width(list(range(len(heads))))
    for (row, column), cell in table.get_celld().items():
        cell.set_linewidth(0.3)
        if row and rows[row - 1][-1] == "drifted" and column == len(heads) - 1:
            cell.get_text().set_color(ORANGE)
