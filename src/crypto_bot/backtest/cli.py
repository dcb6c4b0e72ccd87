"""`python -m crypto_bot.backtest.cli`: backtests without learning (guide S1)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from crypto_bot.backtest.command import (
    CommandParser,
    Handler,
    run_command,
    shared_options,
    show_examples,
)
from crypto_bot.backtest.search_options import (
    OPTIMIZE_EXAMPLE,
    SWEEP_EXAMPLE,
    add_search_options,
)

_EXAMPLES = """examples:
  python -m crypto_bot.backtest.cli run --pairs BTC/USDT ETH/USDT --strategies trend_bot --timeframes 1h
  python -m crypto_bot.backtest.cli portfolio --strategies trend_bot rsi --timeframes 1h
  python -m crypto_bot.backtest.cli select --strategies trend_bot mean_bot rsi --timeframe 1h
  python -m crypto_bot.backtest.cli view
  python -m crypto_bot.backtest.cli sweep --timeframes 1h
  python -m crypto_bot.backtest.cli optimize --strategy sma_cross --trials 200

exit codes: 0 done, 1 failed, 2 bad usage or configuration
"""
_LINES = {
    "run": "run --pairs BTC/USDT --strategies trend_bot --timeframes 1h",
    "continuous": "continuous --once --pairs BTC/USDT",
    "view": "view --strategy trend_bot",
}


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
    for add in (
        *(_add_run, _add_continuous, _add_portfolio, _add_select),
        *(_add_sweep, _add_view, _add_optimize),
    ):
        add(commands, shared)
    show_examples(commands, parser.prog, _LINES)
    return parser


def _add_run(commands: Any, shared: argparse.ArgumentParser) -> None:
    run = commands.add_parser(
        "run", parents=[shared], help="backtest strategies on pairs and timeframes"
    )
    run.add_argument("--output", metavar="FILE", help="write all results as JSON")
    _add_tried(run, "those of BTC/USDT ETH/USDT SOL/USDC that have candles", ["1h", "4h"])


def _add_continuous(commands: Any, shared: argparse.ArgumentParser) -> None:
    continuous = commands.add_parser(
        "continuous", parents=[shared], help="repeat `run` every refresh interval until stopped"
    )
    continuous.add_argument("--once", action="store_true", help="one cycle, then end")
    _add_tried(continuous, "those of BTC/USDT ETH/USDT SOL/USDC that have candles", ["1h", "4h"])


def _add_portfolio(commands: Any, shared: argparse.ArgumentParser) -> None:
    portfolio = commands.add_parser(
        "portfolio",
        parents=[shared],
        help="strategies and pairs on one cash account",
        epilog="example: python -m crypto_bot.backtest.cli portfolio --strategies trend_bot rsi",
    )
    _add_tried(portfolio, "every stored pair", ["1h"])
    portfolio.add_argument(
        "--output", metavar="FOLDER", help="where the files go; default: out/portfolio/<time>"
    )


def _add_select(commands: Any, shared: argparse.ArgumentParser) -> None:
    select = commands.add_parser(
        "select",
        parents=[shared],
        help="learn from trades which strategy's entries to take, tested out of sample",
        epilog="example: python -m crypto_bot.backtest.cli select --strategies trend_bot mean_bot rsi",
    )
    strategies = ["trend_bot", "momentum_bot", "mean_bot"]
    select.add_argument("--pairs", nargs="+", metavar="PAIR", help="default: every stored pair")
    select.add_argument(
        "--strategies",
        nargs="+",
        metavar="NAME",
        default=strategies,
        help=f"candidates; default: {' '.join(strategies)}",
    )
    select.add_argument("--timeframe", metavar="TF", default="1h", help="default: 1h")
    select.add_argument("--data", metavar="FOLDER", help="import candles from here first")
    select.add_argument(
        "--folds", type=int, metavar="N", default=5, help="stretches judged in turn; default: 5"
    )
    select.add_argument(
        "--margin",
        type=float,
        metavar="FRACTION",
        default=0.0,
        help="take entries expected to earn more than this after costs; default: 0",
    )
    select.add_argument(
        "--chance",
        type=float,
        metavar="FRACTION",
        default=0.0,
        help="and whose chance of profit is above this; default: 0",
    )
    select.add_argument(
        "--output", metavar="FOLDER", help="where the files go; default: out/select/<time>"
    )


def _add_tried(command: argparse.ArgumentParser, pairs: str, timeframes: list[str]) -> None:
    """What is traded, and on which candles."""
    strategies = ["trend_bot", "momentum_bot"]
    command.add_argument("--pairs", nargs="+", metavar="PAIR", help=f"default: {pairs}")
    command.add_argument(
        "--strategies",
        nargs="+",
        metavar="NAME",
        default=strategies,
        help=f"default: {' '.join(strategies)}",
    )
    command.add_argument(
        "--timeframes",
        nargs="+",
        metavar="TF",
        default=timeframes,
        help=f"default: {' '.join(timeframes)}",
    )
    command.add_argument("--data", metavar="FOLDER", help="import candles from here first")


def _add_sweep(commands: Any, shared: argparse.ArgumentParser) -> None:
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
    _add_output(sweep)


def _add_view(commands: Any, shared: argparse.ArgumentParser) -> None:
    view = commands.add_parser("view", parents=[shared], help="summarise the newest result files")
    view.add_argument("--strategy", metavar="NAME", help="only this strategy")
    _add_cache(view)


def _add_optimize(commands: Any, shared: argparse.ArgumentParser) -> None:
    optimize = commands.add_parser(
        "optimize",
        parents=[shared],
        help="filter and rank stored results, or search one strategy's settings",
        epilog=OPTIMIZE_EXAMPLE,
    )
    optimize.add_argument("--strategy", metavar="NAME", help="search the settings of this strategy")
    add_search_options(optimize, method="tpe", trials="256, of a grid of --space all")
    _add_output(optimize)
    _add_cache(optimize)


def _add_output(command: argparse.ArgumentParser) -> None:
    command.add_argument("--output", metavar="FILE", help="write the result as JSON")


def _add_cache(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--cache-dir", metavar="FOLDER", help="default: results_cache_dir of the configuration"
    )


def _handlers() -> Mapping[str, Handler]:
    from crypto_bot.backtest.commands import BACKTEST_COMMANDS

    return BACKTEST_COMMANDS


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run_command(build_parser(), arguments, _handlers)


if __name__ == "__main__":
    sys.exit(main())
