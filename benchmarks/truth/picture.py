"""The power curve: how often the gate believed markets by the edge they carried."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

PICTURE = Path(__file__).resolve().parents[2] / "docs" / "images" / "power.png"


def power_png(outcomes: Sequence[dict[str, Any]]) -> bytes:
    """Share promoted, with its interval, over the ideal predictor's Sharpe ratio."""
    from benchmarks.truth.__main__ import market_rows
    from crypto_bot.report.drawing import blank_figure, png_bytes

    rows = [row for row in market_rows(outcomes) if row["unit"] == "share"]
    shares, lows, highs = ([row["value"] for row in rows[k::3]] for k in range(3))
    sharpes = sorted({one["ideal"] for one in outcomes})
    figure = blank_figure(7.0, 3.8)
    axes = figure.add_subplot()
    below = [share - low for share, low in zip(shares, lows, strict=True)]
    above = [high - share for share, high in zip(shares, highs, strict=True)]
    axes.errorbar(sharpes, shares, yerr=[below, above], marker="o", capsize=4, linewidth=1.8)
    axes.axhline(0.05, linestyle=":", color="grey")
    axes.axhline(0.8, linestyle=":", color="grey")
    axes.annotate("without an edge: at most 0.05", (4.05, 0.06), ha="right", color="grey")
    axes.annotate("ideal Sharpe ratio 3: at least 0.8", (-0.05, 0.81), color="grey")
    axes.set(
        xlabel="annual Sharpe ratio that the ideal predictor is made to earn, after costs",
        ylabel="share of markets promoted",
        xticks=sharpes,
        ylim=(-0.03, 1.05),
    )
    axes.set_title("What the gate believes (95 % intervals)", loc="left")
    return png_bytes(figure, is_simulated=True)
