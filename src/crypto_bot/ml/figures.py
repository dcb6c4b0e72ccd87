"""The guide's plots as PNG bytes; drawn on Agg, no window and no global state."""

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


def history_png(history: dict[str, list[float]]) -> bytes:
    """Loss and accuracy of each epoch, on the rows that taught and on those that said when to stop."""
    figure, axes = _figure(12.0, 5.0, columns=2)
    for each, name, title in zip(
        axes, ("loss", "accuracy"), ("Model Loss", "Model Accuracy"), strict=True
    ):
        each.plot(history[name], label="Train")
        each.plot(history[f"val_{name}"], label="Validation")
        each.set_xlabel("Epoch")
        each.set_ylabel(name.capitalize())
        each.set_title(title)
        each.legend()
    return _png(figure)


def _figure(width: float, height: float, columns: int = 1) -> tuple[Figure, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="tight")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(1, columns)


def _png(figure: Figure) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png")
    return content.getvalue()
