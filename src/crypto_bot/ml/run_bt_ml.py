"""The Bot v3.1 guide's step 5: the model traded by `MLStrategy` in Backtrader.

::

    python -m crypto_bot.ml.run_bt_ml --data candles.csv [--symbol BTC/USDT] [--timeframe 5m]

Needs the extra: pip install 'crypto-bot[backtrader]'.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from crypto_bot.core import Bars, ModelCard
from crypto_bot.core.errors import ConfigError, CryptoBotError, DataError
from crypto_bot.core.files import write_file
from crypto_bot.core.timeframes import iso_time, time_of

if TYPE_CHECKING:
    import pandas as pd

    from crypto_bot.adapters.backtrader_run import BacktraderResult

MODEL_FILE = "rf_model.npz"


def run_bt_ml(
    candles: Bars | pd.DataFrame,
    *,
    output_folder: Path | str = "ml",
    model_path: Path | str | None = None,
    symbol: str | None = None,
    cash: float = 100_000.0,
    commission: float = 0.001,
    slippage: float = 0.001,
    all_bars: bool = False,
    **parameters: Any,
) -> BacktraderResult:
    """Trade the model on these candles, print the guide's figures and write its files.

    Parameters
    ----------
    candles : Bars, or a DataFrame as `create_features` takes it
    output_folder : where ml_strategy_backtest.png, predictions.csv and predictions.png go
    model_path : as for `MLStrategy`; None: rf_model.npz in the output folder. A file of that name
        that does not exist is trained first, on these candles
    symbol : the candles' symbol and whose champion of a registry; None: as the candles say
    cash : quote; commission, slippage : fractions
    all_bars : False: only bars after those the model learned from are traded; True: all, which
        says nothing about the model's worth
    parameters : further params of `MLStrategy`, such as prediction_threshold=0.55

    Returns
    -------
    BacktraderResult    with `strategy.predictions`, `strategy.trades_info` and the analyzers

    Raises
    ------
    MissingExtra    without Backtrader
    DataError       too few candles, or none after those the model learned from
    ModelError      the model cannot be trusted
    ConfigError     a parameter out of range or unknown
    StorageError    the output folder cannot be written

    Notes
    -----
    The bars before the traded ones settle the features. Of a model trained here the newest 30 % of
    the rows, which it was tested on, are traded. The working folder is never changed.
    """
    from crypto_bot.adapters.backtrader_ml import MLStrategy
    from crypto_bot.adapters.backtrader_models import load_model
    from crypto_bot.adapters.backtrader_report import summary_lines
    from crypto_bot.adapters.backtrader_run import run_backtrader, standard_analyzers
    from crypto_bot.engine import CostOptions

    known: Any = MLStrategy.params
    _check_names(parameters, known._getkeys())
    bars, folder = _bars(candles, symbol), Path(output_folder)
    place = folder / MODEL_FILE if model_path is None else Path(model_path)
    if not place.exists() and place.name == MODEL_FILE:
        _train(bars, place.parent)
    predictor, card = load_model(place, bars.symbol, parameters.pop("scaler_path", None))
    first = 0 if all_bars else _first_unseen(bars, card)
    _say_span(bars, first, card)
    traded = bars[first:]
    _say(f"Starting Portfolio Value: {cash:.2f}")
    result = run_backtrader(
        MLStrategy,
        traded,
        cash=cash,
        costs=CostOptions(
            taker_fee_frac=commission, maker_fee_frac=commission, slippage_frac=slippage
        ),
        parameters={"predictor": predictor, "history": bars[:first], **parameters},
        analyzers=standard_analyzers(traded),
    )
    for line in summary_lines(result):
        _say(line)
    _write(folder, result)
    return result


run_ml_strategy = run_bt_ml
"""The guide's name of the runner."""


def _check_names(parameters: dict[str, Any], known: Sequence[str]) -> None:
    given_elsewhere = ("model_path", "symbol", "predictor", "history")
    for name in parameters:
        if name not in known or name in given_elsewhere:
            names = ", ".join(each for each in known if each not in given_elsewhere)
            raise ConfigError(f"parameters must be among {names}, had {name!r}")


def _bars(candles: Bars | pd.DataFrame, symbol: str | None) -> Bars:
    from crypto_bot.ml.feature_engineering import frame_bars

    if isinstance(candles, Bars):
        return candles if symbol is None else replace(candles, symbol=symbol)
    bars = frame_bars(candles)
    if symbol is None and "symbol" in candles.columns:
        symbol = str(candles["symbol"].iloc[0])
    is_simulated = bool(candles.attrs.get("is_simulated", False))
    return replace(bars, symbol=symbol or bars.symbol, is_simulated=is_simulated)


def _features(bars: Bars) -> pd.DataFrame:
    from crypto_bot.ml.feature_engineering import create_features

    frame = bars.to_pandas().assign(symbol=bars.symbol)
    frame.attrs["is_simulated"] = bars.is_simulated
    return create_features(frame)


def _train(bars: Bars, folder: Path) -> None:
    from crypto_bot.ml.train_model import train_ml_model

    _say("Model not found. Training model first...")
    train_ml_model(_features(bars), output_folder=folder)


def _first_unseen(bars: Bars, card: ModelCard) -> int:
    """The first bar whose close the model may be asked about without having learned from it.

    After the last training candle and as far as its label looked; of the guide's own model on the
    candles it was made from, the first of the rows it was tested on.
    """
    start, end = time_of(card.data_start), time_of(card.data_end)
    horizon = int(card.label.get("horizon_bars", 0))
    unseen_ns = end + (horizon + 1) * bars.interval_ns
    split = [card.options.get(name) for name in ("train", "purged", "test")]
    counts = [each for each in split if isinstance(each, int)]
    if len(counts) == len(split) and start <= int(bars.open_time[-1]):
        index: Any = _features(bars).index
        times = index.as_unit("ns").asi8
        rows = times[(times >= start) & (times <= end)]
        if len(rows) == sum(counts):
            unseen_ns = int(rows[-counts[-1]])
    first = int(np.searchsorted(bars.open_time, unseen_ns))
    if first == len(bars):
        raise DataError(
            f"candles must reach past what the model learned from (until {card.data_end}), ended "
            f"at {iso_time(int(bars.close_time[-1]))}; give newer ones, or trade all with --all-bars"
        )
    return first


def _say_span(bars: Bars, first: int, card: ModelCard) -> None:
    mark = "SIMULATED " if bars.is_simulated else ""
    _say(
        f"{bars.symbol} {bars.timeframe}: {len(bars) - first} {mark}bars traded from "
        f"{iso_time(int(bars.open_time[first]))}, {first} before them settle the features"
    )
    if first == 0 and int(bars.open_time[0]) <= time_of(card.data_end):
        _say("Warning: the model learned from some of these bars: the results flatter it.")


def _write(folder: Path, result: BacktraderResult) -> None:
    from crypto_bot.adapters.backtrader_report import predictions_csv
    from crypto_bot.ml.run_figures import backtest_png, predictions_png

    predictions = result.strategy.predictions
    threshold, is_simulated = result.strategy.p.prediction_threshold, result.bars.is_simulated
    write_file(folder / "ml_strategy_backtest.png", backtest_png(result))
    write_file(folder / "predictions.csv", predictions_csv(predictions))
    picture = predictions_png(predictions, threshold, is_simulated=is_simulated)
    write_file(folder / "predictions.png", picture)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the step; returns the exit code (0 done, 1 refused or extra missing, 2 bad usage)."""
    options = _parser().parse_args(arguments)
    try:
        _run(options)
    except CryptoBotError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m crypto_bot.ml.run_bt_ml")
    add = parser.add_argument
    add("--data", type=Path, required=True, help="candles: CSV, CSV7, Parquet or feather")
    add("--symbol", help="such as BTC/USDT; default: as the file says")
    add("--timeframe", help="such as 5m; default: as the file says")
    add("--output", type=Path, default=Path("ml"), help="folder (default: ml)")
    add("--model-path", type=Path, help="model file, its folder or a registry (default: of output)")
    add("--cash", type=float, default=100_000.0, help="at the start, quote (default: 100000)")
    add("--commission", type=float, default=0.001, help="fraction (default: 0.001)")
    add("--slippage", type=float, default=0.001, help="fraction (default: 0.001)")
    add("--threshold", type=float, default=0.6, help="of the probability (default: 0.6)")
    add("--position-size", type=float, default=1.0, help="percent of the portfolio (default: 1)")
    add("--stop-loss", type=float, default=0.02, help="fraction of the fill (default: 0.02)")
    add("--take-profit", type=float, default=0.04, help="fraction of the fill (default: 0.04)")
    add("--allow-short", action="store_true", help="sell short where a fall is likely")
    add("--all-bars", action="store_true", help="trade also the bars the model learned from")
    add("--verbose", "-v", action="store_true", help="print every order and trade")
    return parser


def _run(options: argparse.Namespace) -> None:
    from crypto_bot.market import read_candles

    if options.verbose:
        logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    # First, so that a missing extra is told before any work is done.
    import crypto_bot.adapters.backtrader_package  # noqa: F401

    bars, _ = read_candles(options.data, symbol=options.symbol, timeframe=options.timeframe)
    run_bt_ml(
        bars,
        output_folder=options.output,
        model_path=options.model_path,
        cash=options.cash,
        commission=options.commission,
        slippage=options.slippage,
        all_bars=options.all_bars,
        prediction_threshold=options.threshold,
        position_size=options.position_size,
        stop_loss_pct=options.stop_loss,
        take_profit_pct=options.take_profit,
        allow_short=options.allow_short,
    )
    _say(f"Wrote {options.output}/ml_strategy_backtest.png, predictions.csv and predictions.png")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
