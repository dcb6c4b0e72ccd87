"""The options of the commands that look into the registry; nothing is imported for them."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import Any

_VERSION = "20261121T120000.000000Z-1a2b3c4d"
_EXAMPLES = {
    "registry-list": "cointrainer registry-list --symbol BTC/USDT",
    "registry-smoke": "cointrainer registry-smoke --symbol BTC/USDT",
    "registry-pointer": "cointrainer registry-pointer --symbol BTC/USDT",
    "show": "cointrainer show --symbol BTC/USDT --lineage",
    "promote": f"cointrainer promote {_VERSION} --symbol BTC/USDT",
    "rollback": "cointrainer rollback --symbol BTC/USDT --reason 'drawdown on Monday'",
    "retire": f"cointrainer retire {_VERSION} --symbol BTC/USDT",
    "shadow": f"cointrainer shadow {_VERSION} --symbol BTC/USDT",
    "diff": f"cointrainer diff {_VERSION} 20261122T120000.000000Z-5e6f7a8b --symbol BTC/USDT",
    "prune": "cointrainer prune --symbol BTC/USDT --keep 10",
    "keys": "cointrainer keys new --file ~/signing.key",
}
_ABOUT = {
    "registry-list": "published versions of a symbol, best first, with their metrics",
    "registry-smoke": "write, list, read and remove a test file in the registry",
    "registry-pointer": "print LATEST.json and the champion of the log; say when they differ",
    "show": "all that is known of a version: card, gate, files, history, lineage",
    "promote": "put a version into service by hand",
    "rollback": "put the champion before the present one back into service",
    "retire": "take a version out of use for ever",
    "shadow": "let a version run beside the champion",
    "diff": "how a version differs from another",
    "prune": "remove all but the newest versions; what serves or served stays",
    "keys": "make a key that signs versions, or show the public part of the present one",
}


def add_registry_commands(commands: Any, parents: Sequence[argparse.ArgumentParser]) -> None:
    """Add every command of the registry to the trainer's command line."""
    made = {name: _command(commands, parents, name) for name in _EXAMPLES}
    for name, command in made.items():
        if name != "keys":
            _add_symbol(command)
    _add_versions(made)
    _add_decisions(made)
    made["prune"].add_argument(
        "--keep",
        type=int,
        metavar="N",
        help="how many; default: registry.versions_kept of the configuration",
    )
    _add_keys(made["keys"])


def add_doctor(commands: Any, parents: Sequence[argparse.ArgumentParser]) -> None:
    """Add `doctor`, the same as that of `crypto-bot`."""
    about = "check configuration, exchange, registry, GPU and more; say what mends it"
    parser = commands.add_parser(
        "doctor",
        parents=parents,
        help=about,
        description=about,
        epilog="example: cointrainer doctor --offline",
    )
    parser.add_argument("--offline", action="store_true", help="ask no network")
    parser.add_argument(
        "--timeout", type=float, default=20.0, metavar="SECONDS", help="of one check (default: 20)"
    )


def _command(
    commands: Any, parents: Sequence[argparse.ArgumentParser], name: str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        parents=parents,
        help=_ABOUT[name],
        description=_ABOUT[name],
        epilog=f"example: {_EXAMPLES[name]}",
    )
    return parser


def _add_symbol(command: argparse.ArgumentParser) -> None:
    symbol = os.environ.get("CT_SYMBOL", "XRPUSD")
    command.add_argument("--symbol", default=symbol, help="default: $CT_SYMBOL or XRPUSD")


def _add_versions(made: dict[str, argparse.ArgumentParser]) -> None:
    made["show"].add_argument("version", nargs="?", metavar="VERSION", help="default: the champion")
    made["show"].add_argument(
        "--lineage", action="store_true", help="from the candles' hash to the orders that used it"
    )
    for name in ("promote", "retire", "shadow"):
        made[name].add_argument("version", metavar="VERSION", help="as registry-list prints it")
    made["diff"].add_argument("first", metavar="A", help="a version")
    made["diff"].add_argument("second", metavar="B", help="the version it is compared with")


def _add_decisions(made: dict[str, argparse.ArgumentParser]) -> None:
    for name in ("promote", "rollback", "retire", "shadow"):
        made[name].add_argument(
            "--reason", metavar="TEXT", help="why, kept in the log and in the journal"
        )
    made["promote"].add_argument(
        "--force",
        action="store_true",
        help="although the gate said no: a person's decision; needs --reason",
    )
    made["promote"].add_argument(
        "--yes", action="store_true", help="do not ask before a forced promotion"
    )


def _add_keys(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "action",
        choices=("new", "show"),
        metavar="ACTION",
        help="new: make a key pair; show: the public part of the present one",
    )
    parser.add_argument(
        "--file",
        metavar="FILE",
        help="new: write the private key there, never over a file; show: read it from there",
    )
