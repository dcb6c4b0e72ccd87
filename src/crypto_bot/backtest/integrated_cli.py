"""`python -m crypto_bot.backtest.integrated_cli`: the integrated system's commands (guide S1)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence

from crypto_bot.backtest.command import (
    CommandParser,
    Handler,
    run_command,
    shared_options,
    show_examples,
)

_EXAMPLES = """examples:
  python -m crypto_bot.backtest.integrated_cli setup
  python -m crypto_bot.backtest.integrated_cli integrated --once --data ../my-candles
  python -m crypto_bot.backtest.integrated_cli validate --symbols BTC/USDT --json

exit codes: 0 done (also when nothing was promoted), 1 failed, 2 bad usage or configuration,
3 nothing promoted and --require-promotion given
"""
_LINES = {
    "setup": "setup",
    "integrated": "integrated --once --data ../my-candles",
    "backtest-only": "backtest-only --symbols BTC/USDT",
    "ml-training": "ml-training --symbols BTC/USDT ETH/USDT",
    "validate": "validate --symbols BTC/USDT --json",
}


def build_parser() -> argparse.ArgumentParser:
    """The command line of S1, with its options accepted before or after the command."""
    shared = shared_options()
    parser = CommandParser(
        prog="python -m crypto_bot.backtest.integrated_cli",
        description="Backtests, training, gate, registry and paper trading as one loop.",
        epilog=_EXAMPLES,
        parents=[shared],
    )
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", parser_class=CommandParser
    )
    commands.add_parser(
        "setup", parents=[shared], help="make the folders and a configuration template"
    )
    integrated = commands.add_parser(
        "integrated", parents=[shared], help="the whole loop; repeats until stopped unless --once"
    )
    integrated.add_argument("--once", action="store_true", help="one turn of the loop, then end")
    integrated.add_argument(
        "--require-promotion", action="store_true", help="exit 3 when the gate promotes nothing"
    )
    only = commands.add_parser(
        "backtest-only", parents=[shared], help="every strategy on every pair, no learning"
    )
    training = commands.add_parser(
        "ml-training", parents=[shared], help="train, validate and judge a model per symbol"
    )
    validate = commands.add_parser(
        "validate", parents=[shared], help="compare a published model's predictions with a backtest"
    )
    training.add_argument(
        "--symbols", nargs="+", metavar="SYMBOL", help="default: every stored pair"
    )
    validate.add_argument(
        "--symbols",
        nargs="+",
        metavar="SYMBOL",
        default=["BTC/USDT", "ETH/USDT"],
        help="default: BTC/USDT ETH/USDT",
    )
    for command in (integrated, only, training, validate):
        command.add_argument(
            "--data",
            metavar="FOLDER",
            help="import candles from here first (Parquet, CSV, CSV7, feather)",
        )
    for command in (integrated, only):
        command.add_argument(
            "--symbols", nargs="+", metavar="SYMBOL", help="restrict to these pairs"
        )
    show_examples(commands, parser.prog, _LINES)
    return parser


def _handlers() -> Mapping[str, Handler]:
    from crypto_bot.backtest.commands import INTEGRATED_COMMANDS

    return INTEGRATED_COMMANDS


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run_command(build_parser(), arguments, _handlers)


if __name__ == "__main__":
    sys.exit(main())
