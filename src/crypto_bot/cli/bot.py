"""`crypto-bot`: one door to the commands of the workbench."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence

from crypto_bot.backtest.command import CommandParser, Handler, run_command, shared_options
from crypto_bot.core.errors import nearest

_COMMANDS = {
    "integrated": ("setup", "integrated", "backtest-only", "ml-training", "validate"),
    "backtest": ("run", "continuous", "portfolio", "select", "sweep", "view", "optimize"),
    "observing": ("status", "doctor", "retrain"),
}
_HELP = """usage: crypto-bot COMMAND [options]

  setup, integrated, backtest-only, ml-training, validate   the integrated system
  run, continuous, portfolio, sweep, view, optimize         backtests without learning
  select                                                    learn which strategy to take
  status                                                    what runs, serves and waits
  doctor                                                    is everything here that is needed
  retrain                                                   ask the running loop for a training now

`crypto-bot COMMAND --help` explains one; `crypto-bot --print-completion bash` (zsh, tcsh, fish) prints
the shell's completion. Example: crypto-bot integrated --once --data ./candles
"""
_EXAMPLES = """examples:
  crypto-bot status
  crypto-bot doctor --offline
  crypto-bot doctor --json
  crypto-bot retrain

exit codes: 0 done, 1 a check failed, 2 bad usage or configuration
"""


def build_parser() -> argparse.ArgumentParser:
    """The commands beside a running loop; the others have parsers of their own."""
    shared = shared_options()
    parser = CommandParser(
        prog="crypto-bot",
        description="See how the system does.",
        epilog=_EXAMPLES,
        parents=[shared],
    )
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", parser_class=CommandParser
    )
    commands.add_parser(
        "status",
        parents=[shared],
        help="what runs, serves and waits, on one screen",
        epilog="example: crypto-bot status --json",
    )
    doctor = commands.add_parser(
        "doctor",
        parents=[shared],
        help="check configuration, exchange, registry, GPU and more; say what mends it",
        epilog="example: crypto-bot doctor --offline",
    )
    doctor.add_argument("--offline", action="store_true", help="ask no network")
    doctor.add_argument(
        "--timeout", type=float, default=20.0, metavar="SECONDS", help="of one check (default: 20)"
    )
    retrain = commands.add_parser(
        "retrain",
        parents=[shared],
        help="ask the running loop, or its next start, for a training now",
        epilog="example: crypto-bot retrain --reason 'new pairs'",
    )
    retrain.add_argument(
        "--reason", default="asked for by hand", metavar="TEXT", help="kept in the journal"
    )
    return parser


def _handlers() -> Mapping[str, Handler]:
    from crypto_bot.backtest.observing import OBSERVING_COMMANDS

    return OBSERVING_COMMANDS


def completion_parser() -> argparse.ArgumentParser:
    """Every command of every part as one command line, for the shell's completion."""
    from crypto_bot.backtest.cli import build_parser as backtest
    from crypto_bot.backtest.integrated_cli import build_parser as integrated
    from crypto_bot.cli.completion import joined_parser

    return joined_parser("crypto-bot", "The workbench.", [integrated(), backtest(), build_parser()])


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; hands the line to the module that owns the command."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    known = [name for names in _COMMANDS.values() for name in names]
    if not words or words[0] in {"-h", "--help"}:
        print(_HELP, end="")
        return 0 if words else 2
    if words[0] == "--version":
        from crypto_bot import __version__

        print(f"crypto-bot {__version__}")
        return 0
    if words[0].startswith("--print-completion"):
        completion_parser().parse_args(words)
    if not any(word in known for word in words):
        return _no_command(words, known)
    if any(word in _COMMANDS["observing"] for word in words):
        return run_command(build_parser(), words, _handlers)
    if any(word in _COMMANDS["backtest"] for word in words):
        from crypto_bot.backtest.cli import main as backtest

        return backtest(words)
    from crypto_bot.backtest.integrated_cli import main as integrated

    return integrated(words)


def _no_command(words: Sequence[str], known: Sequence[str]) -> int:
    """Name what was given for a command, and the nearest one; the exit code."""
    given = [word for word in words if not word.startswith("-")] or list(words)
    word = next((word for word in given if nearest(word, known)), given[0])
    print(
        f"error: invalid choice: {word!r} is no command of crypto-bot{nearest(word, known)}\n"
        f"choose from {', '.join(known)}",
        file=sys.stderr,
    )
    return 2


if __name__ == "__main__":
    sys.exit(main())
