"""`python -m crypto_bot.backtest.cli`: backtests without learning (guide S1)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence

from crypto_bot.backtest.command import CommandParser, Handler, run_command, shared_options
from crypto_bot.backtest.search_options import (
    OPTIMIZE_EXAMPLE,
    SWEEP_EXAMPLE,
    add_search_options,
)

_EXAMPLES = """examples:
  python -m crypto_bot.backtest.cli run --pairs BTC/USDT ETH/USDT --strategies trend_bot --timeframes 1h
  python -m crypto_bot.backtest.cli portfolio --strategies trend_bot rsi --timeframes 1h
  python -m crypto_bot.backtest.cli view
  python -m crypto_bot.backtest.cli sweep --timeframes 1h
  python -m crypto_bot.backtest.cli optimize --strategy sma_cross --trials 200

exit codes: 0 done, 1 failed, 2 bad usage or configuration
"""


def build_parser() -> argparse.ArgumentParser:
    """The command line of S1's backtest module."""
    shared = shared_options()
    parser = CommandParser(
        prog="python -m crypto_bot.backtest.cli",
        description="Run, repeat, view and rank backtests.",
        epilog=_EXAMPLES,
        parents=[shared],
    )
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", parser_class=CommandParser
    )
    run = commands.add_parser(
        "run", parents=[shared], help="backtest strategies on pairs and timeframes"
    )
    run.add_argument("--output", metavar="FILE", help="write all results as JSON")
    continuous = commands.add_parser(
        "continuous", parents=[shared], help="repeat `run` every refresh interval until stopped"
    )
    continuous.add_argument("--once", action="store_true", help="one cycle, then end")
    for command in (run, continuous):
        command.add_argument(
            "--pairs",
            nargs="+",
            metavar="PAIR",
            help="default: those of BTC/USDT ETH/USDT SOL/USDC that have candles",
        )
        command.add_argument(
            "--strategies",
            nargs="+",
            metavar="NAME",
            default=["trend_bot", "momentum_bot"],
            help="default: trend_bot momentum_bot",
        )
        command.add_argument(
            "--timeframes", nargs="+", metavar="TF", default=["1h", "4h"], help="default: 1h 4h"
        )
        command.add_argument("--data", metavar="FOLDER", help="import candles from here first")
    portfolio = commands.add_parser(
        "portfolio",
        parents=[shared],
        help="strategies and pairs on one cash account",
        epilog="example: crypto-bot portfolio --strategies trend_bot rsi --timeframes 1h",
    )
    portfolio.add_argument("--pairs", nargs="+", metavar="PAIR", help="default: every stored pair")
    portfolio.add_argument(
        "--strategies",
        nargs="+",
        metavar="NAME",
        default=["trend_bot", "momentum_bot"],
        help="default: trend_bot momentum_bot",
    )
    portfolio.add_argument(
        "--timeframes", nargs="+", metavar="TF", default=["1h"], help="default: 1h"
    )
    portfolio.add_argument("--data", metavar="FOLDER", help="import candles from here first")
    portfolio.add_argument(
        "--output", metavar="FOLDER", help="where the files go; default: out/portfolio/<time>"
    )
    sweep = commands.add_parser(
        "sweep",
        parents=[shared],
        help="search the settings of many strategies, re-test the winner",
        epilog=SWEEP_EXAMPLE,
    )
    sweep.add_argument(
        "--strategies",
        nargs="+",
        metavar="NAME",
        help="default: every strategy that needs candles only",
    )
    add_search_options(sweep, method="grid", trials="64")
    view = commands.add_parser("view", parents=[shared], help="summarise the newest result files")
    view.add_argument("--strategy", metavar="NAME", help="only this strategy")
    optimize = commands.add_parser(
        "optimize",
        parents=[shared],
        help="filter and rank stored results, or search one strategy's settings",
        epilog=OPTIMIZE_EXAMPLE,
    )
    optimize.add_argument("--strategy", metavar="NAME", help="search the settings of this strategy")
    add_search_options(optimize, method="tpe", trials="256, of a grid of --space all")
    for command in (sweep, optimize):
        command.add_argument("--output", metavar="FILE", help="write the result as JSON")
    for command in (view, optimize):
        command.add_argument(
            "--cache-dir", metavar="FOLDER", help="default: results_cache_dir of the configuration"
        )
    return parser


def _handlers() -> Mapping[str, Handler]:
    from crypto_bot.backtest.commands import BACKTEST_COMMANDS

    return BACKTEST_COMMANDS


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run_command(build_parser(), arguments, _handlers)


if __name__ == "__main__":
    sys.exit(main())
