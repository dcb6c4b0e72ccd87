"""The options of the commands that simulate and search; nothing is imported for them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from crypto_bot.cli.learning_options import add_device_options, add_label_options

_EXAMPLES = {
    "backtest": "cointrainer backtest --file btc.csv --symbol BTC/USDT --from-registry",
    "optimize": "cointrainer optimize --file btc.csv --symbol BTC/USDT --n-trials 30 "
    "--val-len 2000 --gap 50",
    "autobacktest": "cointrainer autobacktest --file btc.csv --symbol BTC/USDT --once",
}
_ABOUT = {
    "backtest": "trade a stored model on a file of candles; seen and unseen candles told apart",
    "optimize": "search horizon, hold, threshold and position; judge the winner on unseen candles",
    "autobacktest": "train and trade anew whenever a file of candles has changed",
}


def add_simulation_commands(commands: Any, parents: Sequence[argparse.ArgumentParser]) -> None:
    """Add every command that simulates to the trainer's command line."""
    for add in (_add_backtest, _add_optimize, _add_autobacktest):
        add(commands, parents)


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
    parser.add_argument("--file", required=True, help="CSV, CSV7, Parquet or feather")
    parser.add_argument("--symbol", required=True, help="such as BTC/USDT")
    parser.add_argument("--timeframe", help="bar length if the file does not tell, such as 5m")
    return parser


def _add_costs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--fee-bps", type=float, default=2.0, help="fee of a fill, 0.01 %% of its value; default: 2"
    )
    parser.add_argument(
        "--slip-bps",
        type=float,
        default=0.0,
        help="price of a fill is worse by so many 0.01 %%; default: 0",
    )


def _add_open_threshold(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--open-thr",
        type=float,
        default=0.55,
        help="open above this probability of the likeliest class (default: 0.55)",
    )


def _add_backtest(commands: Any, parents: Sequence[argparse.ArgumentParser]) -> None:
    parser = _command(commands, parents, "backtest")
    parser.add_argument("--model", metavar="FILE", help="a model that csv-train wrote")
    parser.add_argument(
        "--from-registry",
        nargs="?",
        const="champion",
        metavar="VERSION",
        help="a version of the registry; without one the champion, else the newest candidate",
    )
    _add_open_threshold(parser)
    parser.add_argument(
        "--close-thr",
        type=float,
        help="gated: close below this probability of the held class (default: as --open-thr)",
    )
    _add_costs(parser)
    parser.add_argument(
        "--position",
        choices=("gated", "sized"),
        default="gated",
        help="gated: all or nothing; sized: a share that grows with the probability",
    )
    parser.add_argument("--start", metavar="TIME", help="first candle, such as 2026-01-31 (UTC)")
    parser.add_argument("--end", metavar="TIME", help="candles before this")
    parser.add_argument("--outdir", default="out/backtests", help="default: out/backtests")


def _add_optimize(commands: Any, parents: Sequence[argparse.ArgumentParser]) -> None:
    parser = _command(commands, parents, "optimize")
    parser.add_argument(
        "--n-trials", type=int, default=100, help="settings tried; 0: the grid (default: 100)"
    )
    parser.add_argument(
        "--grid", action="store_true", help="try the whole grid instead of searching"
    )
    parser.add_argument(
        "--folds", type=int, default=4, help="purged stretches a setting trades (default: 4)"
    )
    parser.add_argument(
        "--val-len", type=int, default=100_000, help="bars of a stretch (default: 100000)"
    )
    parser.add_argument(
        "--gap", type=int, default=500, help="bars left out before a stretch (default: 500)"
    )
    parser.add_argument(
        "--limit-rows", type=int, default=800_000, help="newest bars used (default: 800000)"
    )
    _add_costs(parser)
    add_device_options(parser)
    parser.add_argument("--seed", type=int, default=42, help="same seed, same trials (default: 42)")
    parser.add_argument(
        "--storage",
        metavar="WHERE",
        help="file or sqlite:/// address that keeps the trials (default: in --outdir)",
    )
    parser.add_argument(
        "--study-name", metavar="NAME", help="default: named after candles and options"
    )
    parser.add_argument("--outdir", default="out/opt", help="default: out/opt")
    parser.add_argument(
        "--publish-best",
        action="store_true",
        help="store the winner as a version; the gate decides whether it serves",
    )


def _add_autobacktest(commands: Any, parents: Sequence[argparse.ArgumentParser]) -> None:
    parser = _command(commands, parents, "autobacktest")
    add_label_options(parser)
    _add_open_threshold(parser)
    parser.add_argument(
        "--interval-sec",
        type=float,
        default=900,
        metavar="SECONDS",
        help="how often the file is looked at (default: 900)",
    )
    parser.add_argument(
        "--limit-rows",
        type=lambda text: int(float(text)),
        default=1_000_000,
        help="newest bars used (default: 1e6)",
    )
    _add_costs(parser)
    add_device_options(parser)
    parser.add_argument("--publish", action="store_true", help="store each version")
    parser.add_argument("--once", action="store_true", help="look at the file once, then end")
    parser.add_argument("--outdir", default="out/autobacktest", help="default: out/autobacktest")
