"""The options of a search on a command line; nothing heavy is imported for them."""

from __future__ import annotations

import argparse

SWEEP_EXAMPLE = """example:
  python -m crypto_bot.backtest.cli sweep --pairs BTC/USDT ETH/USDT --timeframes 1h 4h --method random

Finished trials are kept: the same command after an interruption goes on where it stopped.
exit codes: 0 done, 1 failed (no setting traded enough, candles missing), 2 bad usage
"""
OPTIMIZE_EXAMPLE = """examples:
  python -m crypto_bot.backtest.cli optimize --output best.json
  python -m crypto_bot.backtest.cli optimize --strategy sma_cross --trials 200 --exits stop target
  python -m crypto_bot.backtest.cli optimize --strategy sma_cross --method grid --space fast=5:20:5 slow=30:90:10

Without --strategy: filters and ranks stored results. With it: searches that strategy's settings.
Finished trials are kept: the same command after an interruption goes on where it stopped.
exit codes: 0 done, 1 failed (no setting traded enough, candles missing), 2 bad usage
"""


def add_search_options(parser: argparse.ArgumentParser, *, method: str, trials: str) -> None:
    """Add what a search can be told; absent ones are None, so that a command knows what was said."""
    default_timeframes = "1h 4h" if method == "grid" else "1h"
    parser.add_argument(
        "--pairs",
        nargs="+",
        metavar="PAIR",
        help="one setting for all of them; default: those of BTC/USDT ETH/USDT SOL/USDC that have candles",
    )
    parser.add_argument(
        "--timeframes", nargs="+", metavar="TF", help=f"default: {default_timeframes}"
    )
    parser.add_argument("--data", metavar="FOLDER", help="import candles from here first")
    parser.add_argument(
        "--method", metavar="NAME", help=f"grid, random, tpe, nsga2 or forest; default: {method}"
    )
    parser.add_argument(
        "--trials",
        type=int,
        metavar="N",
        help=f"settings to try a strategy and timeframe; default: {trials}",
    )
    parser.add_argument("--seed", type=int, metavar="N", help="same seed, same trials; default: 42")
    parser.add_argument("--objective", metavar="METRIC", help="what is maximised; default: sharpe")
    parser.add_argument(
        "--exits",
        nargs="+",
        metavar="NAME",
        help="exits to search: stop target trailing holding, or none; default: stop target",
    )
    parser.add_argument(
        "--space",
        nargs="+",
        metavar="NAME=SPAN",
        help="parameters to search, LOW:HIGH, LOW:HIGH:STEP, A,B,C or one value; default: all in "
        "their declared ranges",
    )
    parser.add_argument(
        "--minimum-trades",
        type=int,
        metavar="N",
        help="closed trades a pair below which a setting counts for nothing; default: 5",
    )
    parser.add_argument(
        "--folds",
        type=int,
        metavar="N",
        help="windows of the walk-forward re-test of the winner, 0: none; default: 4",
    )
    parser.add_argument(
        "--folder", metavar="FOLDER", help="where trials and results are kept; default: out/opt"
    )
