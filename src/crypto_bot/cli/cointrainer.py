"""`cointrainer`: train from candle files and look into the registry (guide S1, the trainer's names)."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence

from crypto_bot import __version__
from crypto_bot.backtest.command import CommandParser, Handler, run_command, shared_options

_EXAMPLES = """examples:
  cointrainer csv-train --file btc.csv --symbol BTC/USDT --horizon 15 --hold 0.0015 --publish
  cointrainer registry-list --symbol BTC/USDT
  cointrainer registry-smoke --symbol BTC/USDT

exit codes: 0 done, 1 failed, 2 bad usage or configuration
"""


def build_parser() -> argparse.ArgumentParser:
    """The trainer's command line: the commands of this version."""
    shared = shared_options()
    parser = CommandParser(
        prog="cointrainer",
        description="Train models from candle files; list and test the model registry.",
        epilog=_EXAMPLES,
        parents=[shared],
    )
    parser.add_argument("--version", action="version", version=f"cointrainer {__version__}")
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", parser_class=CommandParser
    )
    symbol = os.environ.get("CT_SYMBOL", "XRPUSD")
    for name, text in (
        ("registry-list", "published versions of a symbol, best first, with their metrics"),
        ("registry-smoke", "write, list, read and remove a test file in the registry"),
    ):
        command = commands.add_parser(name, parents=[shared], help=text)
        command.add_argument("--symbol", default=symbol, help="default: $CT_SYMBOL or XRPUSD")
    _add_csv_train(
        commands.add_parser(
            "csv-train", parents=[shared], help="train a three-class LightGBM from one candle file"
        )
    )
    return parser


def _add_csv_train(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--file", required=True, help="CSV, CSV7, Parquet or feather")
    parser.add_argument("--symbol", help="default: as the file's columns or its name say")
    parser.add_argument("--timeframe", help="bar length if the file does not tell, such as 5m")
    parser.add_argument(
        "--horizon",
        type=float,
        default=15,
        metavar="MINUTES",
        help="how far the label looks ahead (default: 15)",
    )
    parser.add_argument(
        "--hold",
        type=float,
        default=0.0015,
        metavar="FRACTION",
        help="returns within +-hold are 'flat' (default: 0.0015)",
    )
    parser.add_argument("--publish", action="store_true", help="store the version in the registry")
    parser.add_argument("--outdir", default="local_models", help="default: local_models")
    parser.add_argument(
        "--write-predictions",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="write <symbol>_predictions.csv",
    )
    parser.add_argument(
        "--device-type",
        choices=("cpu", "gpu", "cuda"),
        default="gpu",
        help="default: gpu; falls back to cpu and says so",
    )
    parser.add_argument("--gpu-platform-id", type=int, help="OpenCL platform")
    parser.add_argument("--gpu-device-id", type=int, help="OpenCL device")
    parser.add_argument("--gpu-use-dp", action="store_true", help="double precision on the GPU")
    parser.add_argument("--max-bin", type=int, default=63, help="LightGBM max_bin (default: 63)")
    parser.add_argument("--n-jobs", type=int, default=0, help="threads; 0 = all (default)")


def _handlers() -> Mapping[str, Handler]:
    from crypto_bot.cli.trainer_commands import TRAINER_COMMANDS

    return TRAINER_COMMANDS


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run_command(build_parser(), arguments, _handlers)


if __name__ == "__main__":
    sys.exit(main())
