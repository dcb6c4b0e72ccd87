"""How every PNG is begun and ended: without a display or global state, SIMULATED told across it."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

from crypto_bot.report.palette import GREY

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def blank_figure(width: float, height: float, *, dots: int = 110) -> Figure:
    """An empty figure of this size, inches of so many dots."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=dots, layout="constrained")


def png_bytes(figure: Figure, *, is_simulated: bool) -> bytes:
    """The figure as PNG, marked where it was made from an invented market."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    if is_simulated:
        place: dict[str, Any] = {"ha": "center", "va": "center", "rotation": 24}
        figure.text(0.5, 0.5, "SIMULATED", fontsize=46, color=GREY, alpha=0.28, **place)
    out = BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(out, format="png")
    return out.getvalue()


def quiet_axes(axes: Axes) -> None:
    """A faint grid behind the data and no frame above or to the right."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)


def class_name(label: int) -> str:
    """A class as people call it; a label that has no such name as `class 7`."""
    return {1: "up (+1)", 0: "0", -1: "down (-1)"}.get(label, f"class {label:+d}")
