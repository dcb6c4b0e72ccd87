"""The options of the commands of `cointrainer` that import candles and train; nothing heavy here."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from crypto_bot.cli.learning_options import add_device_options, add_label_options

_EXAMPLES = {
    "import-data": "cointrainer import-data supabase --table trade_logs --start 2026-01-01 "
    "--symbol XRPUSD --out xrp.parquet",
    "import-csv": "cointrainer import-csv --file btc.csv --out btc.parquet",
    "import-csv7": "cointrainer import-csv7 --file XRPUSD_1.csv --symbol XRPUSD --out data/xrpusd",
    "csv-train": "cointrainer csv-train --file btc.csv --symbol BTC/USDT --publish",
    "csv-train-batch": "cointrainer csv-train-batch --folder candles --glob '*-5m.parquet' --publish",
    "csv-train-aggregate": "cointrainer csv-train-aggregate --folder candles --glob '*-5m.parquet' "
    "--per-pair --cap-rows-per-pair 50000",
    "train": "cointrainer train regime --symbol BTCUSDT --horizon 15m --publish",
}
_CODES = "exit codes: 0 done, 1 failed, 2 bad usage or configuration, 130 interrupted"


def add_training_commands(commands: Any, parents: Sequence[argparse.ArgumentParser]) -> None:
    """Add every command that brings candles in or trains to the trainer's command line."""
    _import_data(_command(commands, parents, "import-data", "fetch a table of a data service"))
    _import_csv(
        _command(commands, parents, "import-csv", "check a candle file, write it as Parquet")
    )
    _import_csv7(
        _command(
            commands,
            parents,
            "import-csv7",
            "check a headerless file of ts, open, high, low, close, volume, trades; of any size",
        )
    )
    _csv_train(
        _command(
            commands, parents, "csv-train", "train a three-class LightGBM from one candle file"
        )
    )
    _batch(_command(commands, parents, "csv-train-batch", "train one model a file of a folder"))
    _aggregate(
        _command(
            commands, parents, "csv-train-aggregate", "train one model on all pairs of a folder"
        )
    )
    _regime(_command(commands, parents, "train", "train one symbol from the candle store"))


def _command(
    commands: Any, parents: Sequence[argparse.ArgumentParser], name: str, text: str
) -> argparse.ArgumentParser:
    epilog = f"example:\n  {_EXAMPLES[name]}\n\n{_CODES}"
    parser: argparse.ArgumentParser = commands.add_parser(
        name, parents=parents, help=text, description=text, epilog=epilog
    )
    return parser


def _import_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source", choices=("supabase",), help="the service; url and key as configured"
    )
    parser.add_argument("--table", default="trade_logs", help="default: trade_logs")
    parser.add_argument(
        "--start", metavar="TIME", help="rows from this time on: 2026-01-31 or with T12:00"
    )
    parser.add_argument("--end", metavar="TIME", help="rows before this time")
    parser.add_argument("--symbol", help="only rows of this symbol")
    parser.add_argument("--out", required=True, metavar="FILE", help="ends .parquet or .csv")


def _import_csv(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--file", required=True, help="CSV, CSV7, Parquet or feather")
    parser.add_argument("--out", required=True, metavar="FILE", help="ends .parquet")
    parser.add_argument("--symbol", help="default: as the file's columns or its name say")
    parser.add_argument("--timeframe", help="bar length if the file does not tell, such as 5m")


def _import_csv7(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--file", required=True, help="seven columns without a header")
    parser.add_argument("--symbol", default="XRPUSD", help="default: XRPUSD")
    parser.add_argument(
        "--out", required=True, metavar="PREFIX", help="PREFIX.normalized.csv and PREFIX.parquet"
    )
    parser.add_argument(
        "--timeframe", help="bar length if it is not the commonest step, such as 1m"
    )
    parser.add_argument(
        "--chunk-size",
        type=_at_least(1000),
        default=500_000,
        metavar="ROWS",
        help="rows in memory at a time, about (default: 500000)",
    )


def _csv_train(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--file", required=True, help="CSV, CSV7, Parquet or feather")
    parser.add_argument("--symbol", help="default: as the file's columns or its name say")
    parser.add_argument("--timeframe", help="bar length if the file does not tell, such as 5m")
    _training(parser)


def _batch(parser: argparse.ArgumentParser) -> None:
    _files(parser)
    parser.add_argument(
        "--symbol-from",
        choices=("filename", "parent", "fixed"),
        default="filename",
        help="what names the symbol: the file, its folder, or --symbol (default: filename)",
    )
    parser.add_argument("--symbol", help="of every file, with --symbol-from fixed")
    parser.add_argument(
        "--limit-rows", type=_at_least(1), metavar="ROWS", help="newest candles of a file to use"
    )
    _training(parser)


def _aggregate(parser: argparse.ArgumentParser) -> None:
    _files(parser)
    parser.add_argument(
        "--global-symbol", default="GLOBAL", help="name of the pooled model (default: GLOBAL)"
    )
    parser.add_argument(
        "--per-pair", action="store_true", help="also train a model of its own for each pair"
    )
    parser.add_argument(
        "--limit-rows-per-file", type=_at_least(1), metavar="ROWS", help="newest candles of a file"
    )
    parser.add_argument(
        "--cap-rows-per-pair",
        type=_at_least(1),
        metavar="ROWS",
        help="newest candles of a pair, all its files together",
    )
    parser.add_argument(
        "--max-total-rows",
        type=_at_least(1),
        metavar="ROWS",
        help="candles of all pairs together; the newest, from one common day on",
    )
    parser.add_argument(
        "--downsample-flat",
        action="store_true",
        help="teach with no more flat rows than the larger side has; never in rows that judge",
    )
    parser.add_argument(
        "--random-state", type=int, default=42, metavar="SEED", help="of all chance (default: 42)"
    )
    parser.add_argument("--federated", action="store_true", help="replaced by this command")
    parser.add_argument("--true-federated", action="store_true", help="replaced by this command")
    parser.add_argument("--swarm", action="store_true", help="replaced by this command")
    _training(parser)


def _regime(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("task", choices=("regime",), help="three classes: short, flat, long")
    parser.add_argument("--symbol", default="BTCUSDT", help="default: BTCUSDT")
    parser.add_argument(
        "--optuna", action="store_true", help="search the setting as models.search is configured"
    )
    parser.add_argument("--use-gpu", action="store_true", help="train on the GPU if there is one")
    replaced = "replaced by csv-train-aggregate"
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument("--federated", action="store_true", help=replaced)
    ways.add_argument("--true-federated", action="store_true", help=replaced)
    ways.add_argument("--swarm", action="store_true", help=replaced)
    parser.add_argument(
        "--horizon",
        default="15m",
        help="how far the label looks ahead, such as 15m (default) or 1h",
    )
    parser.add_argument("--publish", action="store_true", help="store the version in the registry")


def _files(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--folder", required=True, help="where the candle files are")
    parser.add_argument(
        "--glob", default="*.csv", metavar="PATTERN", help="names of files (default: *.csv)"
    )
    parser.add_argument("--recursive", action="store_true", help="look into subfolders, too")
    parser.add_argument("--timeframe", help="bar length if the files do not tell, such as 5m")


def _training(parser: argparse.ArgumentParser) -> None:
    """The options that every training from files shares."""
    add_label_options(parser)
    parser.add_argument("--publish", action="store_true", help="store the version in the registry")
    parser.add_argument("--outdir", default="local_models", help="default: local_models")
    parser.add_argument(
        "--write-predictions",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="write <symbol>_predictions.csv",
    )
    add_device_options(parser)
    parser.add_argument("--gpu-platform-id", type=int, help="OpenCL platform")
    parser.add_argument("--gpu-device-id", type=int, help="OpenCL device")
    parser.add_argument("--gpu-use-dp", action="store_true", help="double precision on the GPU")


def _at_least(least: int) -> Any:
    def whole_number(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"must be at least {least}, was {text}")
        return value

    return whole_number
