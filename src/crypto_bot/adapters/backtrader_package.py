"""Backtrader itself, or the line that installs it.

Backtrader is licensed under the GPL-3.0. It is an optional extra, never a dependency: nothing of it
is copied or shipped here, and only the `adapters/backtrader_*.py` files meet it, through this one.
Who passes on a program that joins the two has the GPL's terms to keep.
"""

from __future__ import annotations

from crypto_bot.core.errors import MissingExtra

try:
    import backtrader as bt
except ModuleNotFoundError as error:
    if error.name != "backtrader":
        raise
    raise MissingExtra("backtrader", "backtrader") from error

__all__ = ["bt"]
