"""The options of the commands that look into the registry; nothing is imported for them."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import Any


def add_registry_commands(commands: Any, parents: Sequence[argparse.ArgumentParser]) -> None:
    """Add every command of the registry to the trainer's command line."""
    symbol = os.environ.get("CT_SYMBOL", "XRPUSD")
    for name, text in (
        ("registry-list", "published versions of a symbol, best first, with their metrics"),
        ("registry-smoke", "write, list, read and remove a test file in the registry"),
    ):
        command = commands.add_parser(
            name,
            parents=parents,
            help=text,
            epilog=f"example: cointrainer {name} --symbol BTC/USDT",
        )
        command.add_argument("--symbol", default=symbol, help="default: $CT_SYMBOL or XRPUSD")
