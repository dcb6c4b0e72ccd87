"""One measured figure, its target with its direction, and whether it holds."""

from __future__ import annotations

from typing import Any


def row(
    name: str,
    value: float,
    unit: str = "",
    *,
    at_most: float | None = None,
    at_least: float | None = None,
    needs: bool = True,
) -> dict[str, Any]:
    """A row of the results; `needs` is what must be true besides, such as equal answers."""
    target, holds = None, None
    if at_most is not None:
        target, holds = f"<= {at_most:,.4g}", bool(value <= at_most and needs)
    elif at_least is not None:
        target, holds = f">= {at_least:,.4g}", bool(value >= at_least and needs)
    return {"name": name, "value": float(value), "unit": unit, "target": target, "holds": holds}


def claim(name: str, is_true: bool) -> dict[str, Any]:
    """A row that is true or false."""
    return {
        "name": name,
        "value": float(is_true),
        "unit": "0/1",
        "target": "1",
        "holds": bool(is_true),
    }
