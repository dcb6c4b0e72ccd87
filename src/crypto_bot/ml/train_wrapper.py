"""The Bot v3.1 guide's step 3: candles from a file, features, training, summary.

::

    python -m crypto_bot.ml.train_wrapper --data candles.csv [--symbol BTC/USDT] [--timeframe 5m]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from crypto_bot.core.errors import CryptoBotError
from crypto_bot.market import read_candles
from crypto_bot.ml.feature_engineering import create_features
from crypto_bot.ml.train_model import train_ml_model


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the step; returns the exit code (0 done, 1 data refused, 2 bad usage)."""
    options = _parser().parse_args(arguments)
    try:
        _train(options)
    except CryptoBotError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m crypto_bot.ml.train_wrapper")
    parser.add_argument(
        "--data", type=Path, required=True, help="candles: CSV, CSV7, Parquet or feather"
    )
    parser.add_argument("--symbol", help="such as BTC/USDT; default: as the file says")
    parser.add_argument("--timeframe", help="such as 5m; default: as the file says")
    parser.add_argument("--output", type=Path, default=Path("ml"), help="folder (default: ml)")
    parser.add_argument(
        "--test-size", type=float, default=0.3, help="newest fraction (default: 0.3)"
    )
    return parser


def _train(options: argparse.Namespace) -> None:
    bars, _ = read_candles(options.data, symbol=options.symbol, timeframe=options.timeframe)
    sys.stdout.write(f"{bars.symbol} {bars.timeframe}: {len(bars)} bars from {options.data}\n")
    sys.stdout.write("Creating features...\n")
    frame = bars.to_pandas().assign(symbol=bars.symbol)
    frame.attrs["is_simulated"] = bars.is_simulated
    features = create_features(frame)
    train_ml_model(features, test_size=options.test_size, output_folder=options.output)
    sys.stdout.write(f"Wrote {options.output}/training_summary.txt and the model beside it\n")


if __name__ == "__main__":
    sys.exit(main())
