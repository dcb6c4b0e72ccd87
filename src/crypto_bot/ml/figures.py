"""The guide's plots as PNG bytes."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from crypto_bot.report.drawing import blank_figure, png_bytes, quiet_axes
from crypto_bot.report.palette import BLUE, ORANGE


def confusion_png(
    matrix: npt.NDArray[Any], labels: list[int], *, is_simulated: bool = False
) -> bytes:
    """Counts of truth (rows) against prediction (columns)."""
    figure = blank_figure(8.0, 6.0, dots=100)
    axes = figure.subplots()
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
    return png_bytes(figure, is_simulated=is_simulated)


def importance_png(importance: list[tuple[str, float]], *, is_simulated: bool = False) -> bytes:
    """Features by their share of the forest's gain, largest on top."""
    figure = blank_figure(12.0, 8.0, dots=100)
    axes = figure.subplots()
    axes.barh([name for name, _ in importance], [value for _, value in importance], color=BLUE)
    quiet_axes(axes)
    axes.invert_yaxis()
    axes.set_xlabel("importance")
    axes.set_ylabel("feature")
    axes.set_title("Feature Importance")
    return png_bytes(figure, is_simulated=is_simulated)


def history_png(history: dict[str, list[float]], *, is_simulated: bool = False) -> bytes:
    """Loss and accuracy of each epoch, on the rows that taught and on those that said when to stop."""
    figure = blank_figure(12.0, 5.0, dots=100)
    for each, name, title in zip(
        figure.subplots(1, 2), ("loss", "accuracy"), ("Model Loss", "Model Accuracy"), strict=True
    ):
        each.plot(history[name], color=BLUE, label="Train")
        each.plot(history[f"val_{name}"], color=ORANGE, label="Validation")
        each.set_xlabel("Epoch")
        each.set_ylabel(name.capitalize())
        each.set_title(title)
        each.legend(frameon=False)
        quiet_axes(each)
    return png_bytes(figure, is_simulated=is_simulated)
