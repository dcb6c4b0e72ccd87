"""The guide's two plots as PNG bytes; drawn on Agg, no window and no global state."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def confusion_png(matrix: npt.NDArray[Any], labels: list[int]) -> bytes:
    """Counts of truth (rows) against prediction (columns)."""
    figure, axes = _figure(8.0, 6.0)
    axes.imshow(matrix, cmap="Blues", vmin=0)  # as dark as the text assumes
    axes.set_xticks(range(len(labels)), [str(label) for label in labels])
    axes.set_yticks(range(len(labels)), [str(label) for label in labels])
    for row in range(len(labels)):
        for column in range(len(labels)):
            count = int(matrix[row, column])
            is_dark = count > matrix.max() / 2
            colour = "white" if is_dark else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=colour)
    axes.set_xlabel("Predicted")
    axes.set_ylabel("Actual")
    axes.set_title("Confusion Matrix")
    return _png(figure)


def importance_png(importance: list[tuple[str, float]]) -> bytes:
    """Features by their share of the forest's gain, largest on top."""
    figure, axes = _figure(12.0, 8.0)
    axes.barh([name for name, _ in importance], [value for _, value in importance])
    axes.invert_yaxis()
    axes.set_xlabel("importance")
    axes.set_ylabel("feature")
    axes.set_title("Feature Importance")
    return _png(figure)


def _figure(width: float, height: float) -> tuple[Figure, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="tight")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def _png(figure: Figure) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png")
    return content.getvalue()
