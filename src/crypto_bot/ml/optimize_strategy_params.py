"""The Bot v3.1 guide's `optimize_strategy_params`: a forest says where to look, backtests decide.

::

    python -m crypto_bot.ml.optimize_strategy_params --data candles.csv --strategy sma_cross \
        --param fast=2:50 --param slow=20,50,100 [--trials 64]
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crypto_bot.core.bars import Bars
from crypto_bot.core.errors import ConfigError, CryptoBotError, DataError
from crypto_bot.core.timeframes import iso_time

if TYPE_CHECKING:
    import pandas as pd

    from crypto_bot.search.space import Span

TRIALS = 64
FINALISTS = 5
METHOD = "forest"


@dataclass(frozen=True)
class Finalist:
    """A setting that was backtested on both stretches.

    parameters : complete, as the strategy's types have them
    searched, held_out : objective on the candles searched and on those kept apart; None: too few trades
    """

    parameters: dict[str, Any]
    searched: float | None
    held_out: float | None
    held_out_trades: int


@dataclass(frozen=True)
class Optimized:
    """What a search found.

    best : parameters of the first finalist
    finalists : first the best on the candles kept apart, those without enough trades there last
    trials : backtests made on the candles searched, repeats included
    holdout_start : UTC time from which candles were kept apart
    """

    best: dict[str, Any]
    finalists: tuple[Finalist, ...]
    trials: int
    objective: str
    holdout_start: str


def optimize_strategy_params(
    df: pd.DataFrame, param_grid: Mapping[str, Any] | Iterable[Mapping[str, Any]], **options: Any
) -> dict[str, Any]:
    """Find a strategy's parameters; the guide's signature and answer.

    Parameters
    ----------
    df : DataFrame    columns open, high, low, close, volume; datetime index of opening times
    param_grid : mapping name -> (low, high), range, list of values or one value; or the guide's list
        of settings, whose numbers span a range and whose other values are choices
    options : as for `optimize_parameters`: strategy, trials, seed, objective, ...

    Returns
    -------
    dict    the complete parameters of the best setting that was really backtested

    Raises
    ------
    ConfigError    unknown parameter, value outside its range, empty grid
    DataError      columns, index or too few trades
    """
    from crypto_bot.ml.feature_engineering import frame_bars

    return optimize_parameters(frame_bars(df), param_grid, **options).best


def optimize_parameters(
    bars: Bars,
    param_grid: Mapping[str, Any] | Iterable[Mapping[str, Any]],
    *,
    strategy: str = "sma_cross",
    objective: str = "total_return",
    trials: int = TRIALS,
    seed: int = 42,
    holdout_frac: float = 0.3,
    finalists: int = FINALISTS,
    minimum_trades: int = 5,
    method: str = METHOD,
) -> Optimized:
    """Search a strategy's parameters on the older candles, rank the best few on the newer ones.

    Parameters
    ----------
    strategy, objective, seed, minimum_trades, method    as for `crypto_bot.search.search`
    trials : backtests on the older candles, whatever the size of the grid
    holdout_frac : newest fraction of the time, never searched
    finalists : how many of the best are backtested on it

    Notes
    -----
    A finalist needs trades on the newer candles in proportion to their time; where none has enough,
    the order is that of the search. The first finalist is the best of several on the candles kept apart, so its figure there is a
    little too good; `search.walk_forward` asks what the search itself would have earned. Same
    candles, grid and seed give the same answer.
    """
    from crypto_bot.search import search, setting_of
    from crypto_bot.search.study import plan_on, values_of

    if not 0.0 < holdout_frac < 1.0:
        raise ConfigError(f"holdout_frac must lie between 0 and 1, was {holdout_frac}")
    if finalists < 1:
        raise ConfigError(f"finalists must be at least 1, was {finalists}")
    if len(bars) < 2:
        raise DataError(f"{bars.symbol} must have at least 2 bars, was {len(bars)}")
    span_ns = int(bars.close_time[-1]) - int(bars.open_time[0])
    cut_ns = int(bars.close_time[-1]) - int(span_ns * holdout_frac)
    found = search(
        bars.closed_by(cut_ns),
        strategy,
        method=method,
        trials=trials,
        objective=objective,
        seed=seed,
        space=_spans(param_grid),
        minimum_trades=minimum_trades,
    )
    found.best()  # names what is wrong where nothing traded enough
    leaders = list(found.leaderboard(finalists).iter_rows(named=True))
    settings = [setting_of(row) for row in leaders]
    # As many trades for its length as were asked of the longer stretch.
    share = holdout_frac / (1.0 - holdout_frac)
    fewest = max(1, math.ceil(minimum_trades * min(share, 1.0)))
    unseen_plan = replace(plan_on(found.plan, [bars], cut_ns), minimum_trades=fewest)
    tested = values_of(unseen_plan, settings)
    ranked = [
        Finalist(dict(setting.parameters), row["value"], unseen["value"], unseen["trades"])
        for setting, row, unseen in zip(
            settings, leaders, tested.iter_rows(named=True), strict=True
        )
    ]
    # Stable: equal ones keep the order of the search.
    ranked.sort(key=lambda each: (each.held_out is None, -(each.held_out or 0.0)))
    return Optimized(
        ranked[0].parameters, tuple(ranked), len(found.trials), objective, iso_time(cut_ns)
    )


def _spans(grid: Mapping[str, Any] | Iterable[Mapping[str, Any]]) -> dict[str, Span]:
    """The grid as spans of a search space; a list of settings spans what its settings reach."""
    if isinstance(grid, Mapping):
        if not grid:
            raise ConfigError("param_grid must name a parameter, was empty")
        return dict(grid)
    settings = list(grid)
    names = {name for setting in settings for name in setting}
    if not names or any(set(setting) != names for setting in settings):
        raise ConfigError(
            "param_grid must be a mapping or settings that name the same parameters, "
            f"was {settings[:2]!r}"
        )
    return {name: _span([setting[name] for setting in settings]) for name in sorted(names)}


def _span(values: Sequence[Any]) -> Span:
    is_number = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    return (min(values), max(values)) if is_number else list(dict.fromkeys(values))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the search; returns the exit code (0 done, 1 data refused, 2 bad usage)."""
    options = _parser().parse_args(arguments)
    try:
        _run(options)
    except CryptoBotError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m crypto_bot.ml.optimize_strategy_params")
    parser.add_argument(
        "--data", type=Path, required=True, help="candles: CSV, CSV7, Parquet or feather"
    )
    parser.add_argument("--symbol", help="such as BTC/USDT; default: as the file says")
    parser.add_argument("--timeframe", help="such as 5m; default: as the file says")
    parser.add_argument("--strategy", default="sma_cross", help="default: sma_cross")
    parser.add_argument(
        "--param",
        action="append",
        required=True,
        metavar="NAME=SPAN",
        help="low:high, or values with commas; once for each parameter",
    )
    parser.add_argument("--objective", default="total_return", help="default: total_return")
    parser.add_argument("--trials", type=int, default=TRIALS, help=f"default: {TRIALS}")
    parser.add_argument("--seed", type=int, default=42, help="default: 42")
    parser.add_argument(
        "--holdout", type=float, default=0.3, help="newest fraction, never searched (default: 0.3)"
    )
    return parser


def _run(options: argparse.Namespace) -> None:
    from crypto_bot.market import read_candles

    bars, _ = read_candles(options.data, symbol=options.symbol, timeframe=options.timeframe)
    found = optimize_parameters(
        bars,
        dict(_named(text) for text in options.param),
        strategy=options.strategy,
        objective=options.objective,
        trials=options.trials,
        seed=options.seed,
        holdout_frac=options.holdout,
    )
    mark = " SIMULATED" if bars.is_simulated else ""
    sys.stdout.write(
        f"{bars.symbol} {bars.timeframe}{mark}: {found.trials} backtests before "
        f"{found.holdout_start}, {len(found.finalists)} after it\n"
        f"{found.objective}: searched, kept apart, trades there, parameters\n"
    )
    for each in found.finalists:
        held_out = "too few" if each.held_out is None else f"{each.held_out:.4f}"
        sys.stdout.write(
            f"{each.searched:.4f}  {held_out}  {each.held_out_trades}  "
            f"{json.dumps(each.parameters)}\n"
        )


def _named(text: str) -> tuple[str, Any]:
    """`name=low:high` or `name=a,b,c`."""
    name, _, span = text.partition("=")
    if not name or not span:
        raise ConfigError(f"--param must look like fast=2:50 or fast=5,10, was {text!r}")
    if span.count(":") == 1:
        low, high = map(_value, span.split(":"))
        return name, (low, high)
    return name, [_value(part) for part in span.split(",")]


def _value(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text.lower(), text)


if __name__ == "__main__":
    sys.exit(main())
