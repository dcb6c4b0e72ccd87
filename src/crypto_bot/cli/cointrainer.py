"""`cointrainer`: import candles, train, simulate and keep models (guide S1, the trainer's names)."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crypto_bot import __version__
from crypto_bot.backtest.command import CommandParser, Handler, run_command, shared_options
from crypto_bot.cli.completion import add_completion
from crypto_bot.cli.registry_parsers import add_doctor, add_registry_commands
from crypto_bot.cli.simulation_parsers import add_simulation_commands
from crypto_bot.cli.training_parsers import add_training_commands

_EXAMPLES = """examples:
  cointrainer csv-train --file btc.csv --symbol BTC/USDT --horizon 15 --hold 0.0015 --publish
  cointrainer backtest --file btc.csv --symbol BTC/USDT --from-registry
  cointrainer registry-list --symbol BTC/USDT
  cointrainer registry-smoke --symbol BTC/USDT

exit codes: 0 done, 1 failed, 2 bad usage or configuration, 3 the gate had refused what
should be promoted, 130 interrupted
"""


@dataclass(frozen=True)
class _Part:
    """A family of commands: who adds its options, and which module's table does the work."""

    add: Callable[[Any, Sequence[argparse.ArgumentParser]], None]
    module: str
    table: str


_PARTS = (
    _Part(add_training_commands, "crypto_bot.cli.training_commands", "TRAINING_COMMANDS"),
    _Part(add_simulation_commands, "crypto_bot.cli.simulation_commands", "SIMULATION_COMMANDS"),
    _Part(add_registry_commands, "crypto_bot.cli.registry_commands", "REGISTRY_COMMANDS"),
    _Part(add_doctor, "crypto_bot.backtest.observing", "OBSERVING_COMMANDS"),
)


class _Handlers(Mapping[str, Handler]):
    """Every command's handler; the module of a command is imported when it is asked for."""

    def __init__(self, owners: Mapping[str, _Part]) -> None:
        self._owners = owners

    def __getitem__(self, command: str) -> Handler:
        part = self._owners[command]
        table: Mapping[str, Handler] = getattr(importlib.import_module(part.module), part.table)
        return table[command]

    def __iter__(self) -> Iterator[str]:
        return iter(self._owners)

    def __len__(self) -> int:
        return len(self._owners)


def build_parser() -> argparse.ArgumentParser:
    """The trainer's command line."""
    return _build()[0]


def command_handlers() -> Mapping[str, Handler]:
    """What each command does, by its name."""
    return _Handlers(_build()[1])


def _build() -> tuple[argparse.ArgumentParser, dict[str, _Part]]:
    shared = shared_options()
    parser = CommandParser(
        prog="cointrainer",
        description="Import candles, train, simulate and judge models; keep them in a registry.",
        epilog=_EXAMPLES,
        parents=[shared],
    )
    parser.add_argument("--version", action="version", version=f"cointrainer {__version__}")
    add_completion(parser)
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", parser_class=CommandParser
    )
    owners: dict[str, _Part] = {}
    for part in _PARTS:
        part.add(commands, [shared])
        owners |= {name: part for name in commands.choices if name not in owners}
    return parser, owners


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser, owners = _build()
    return run_command(parser, arguments, lambda: _Handlers(owners))


if __name__ == "__main__":
    sys.exit(main())
