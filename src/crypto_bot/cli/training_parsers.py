"""The options of the commands that train and import; nothing is imported for them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

_CSV_TRAIN = "example: cointrainer csv-train --file btc.csv --symbol BTC/USDT --publish"


def add_training_commands(commands: Any, parents: Sequence[argparse.ArgumentParser]) -> None:
    """Add every command that trains to the trainer's command line."""
    parser = commands.add_parser(
        "csv-train",
        parents=parents,
        help="train a three-class LightGBM from one candle file",
        epilog=_CSV_TRAIN,
    )
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
