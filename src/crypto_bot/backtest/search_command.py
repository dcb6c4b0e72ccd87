"""`sweep` and `optimize --strategy`: arguments in, a leaderboard for people, files and JSON out."""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from crypto_bot.backtest.candles import DefaultPairs, Universe, describe, gather_candles
from crypto_bot.backtest.command import Result, say
from crypto_bot.backtest.searching import (
    Searched,
    SearchWish,
    place_of,
    results_place,
    search_folder,
    search_strategies,
    write_searched,
)
from crypto_bot.backtest.summary import SIMULATED, number, percent
from crypto_bot.backtest.sweeping import funding_note, rule_strategies
from crypto_bot.backtest.workbench import Workbench, open_workbench
from crypto_bot.core.errors import ConfigError, CryptoBotError
from crypto_bot.core.files import write_json
from crypto_bot.search.exits import exit_space
from crypto_bot.search.samplers import MOST_TRIALS
from crypto_bot.strategies.catalog import definition

SEARCH_ONLY = (
    "pairs", "timeframes", "data", "method", "trials", "seed", "objective", "exits", "space",
    "minimum_trades", "folds", "folder",
)  # fmt: skip
"""Options of `optimize` that say nothing about results stored before."""
_SHOWN = 10
_WIDTH = 70
"""Letters of a setting in the leaderboard."""
_SWEEP = {"method": "grid", "trials": 64, "timeframes": ["1h", "4h"]}
_OPTIMIZE = {"method": "tpe", "timeframes": ["1h"]}
_PAIRS = DefaultPairs(("BTC/USDT", "ETH/USDT", "SOL/USDC"))


def sweep(options: argparse.Namespace) -> tuple[int, Result]:
    """Search every strategy named, on every pair and timeframe."""
    return _search(options, options.strategies or rule_strategies(), _SWEEP)


def optimize_strategy(options: argparse.Namespace) -> tuple[int, Result]:
    """Search one strategy."""
    if options.cache_dir is not None:
        raise ConfigError("--cache-dir must go without --strategy: a search reads no result files")
    return _search(options, [options.strategy], _OPTIMIZE)


def refuse_search_options(options: argparse.Namespace) -> None:
    """Raise ConfigError where `optimize` without --strategy was given options of a search."""
    for name in SEARCH_ONLY:
        if getattr(options, name) is not None:
            flag = f"--{name.replace('_', '-')}"
            raise ConfigError(f"{flag} must go with --strategy NAME: it says what to search")


def _search(
    options: argparse.Namespace, strategies: Sequence[str], defaults: Mapping[str, Any]
) -> tuple[int, Result]:
    wish = _wish(options, strategies, defaults)
    with open_workbench(options.config, log="backtest", verbose=options.verbose) as bench:
        say(options, *bench.start_lines())
        universe = gather_candles(
            bench.settings,
            data=options.data,
            symbols=options.pairs or _PAIRS,
            timeframes=wish.timeframes,
        )
        say(options, describe(universe), *universe.notes, *funding_note(universe))
        wish = replace(wish, folder=search_folder(options.folder, universe.is_simulated))
        return _searched(options, bench, universe, wish)


def _wish(
    options: argparse.Namespace, strategies: Sequence[str], defaults: Mapping[str, Any]
) -> SearchWish:
    """What was asked for; refused before any candle is read where it cannot be done."""
    given = {
        name: getattr(options, name)
        for name in ("method", "trials", "objective", "seed", "minimum_trades", "folds")
    }
    known = {**defaults, **{name: value for name, value in given.items() if value is not None}}
    known["timeframes"] = tuple(dict.fromkeys(options.timeframes or defaults["timeframes"]))
    wish = SearchWish(strategies=tuple(dict.fromkeys(strategies)), **known)
    if options.exits is not None:
        wish = replace(wish, exits=tuple(options.exits))
    if options.space is not None:
        wish = replace(wish, space=read_space(options.space))
        if wish.method == "grid" and options.trials is None:
            wish = replace(wish, trials=None)
    _check(wish)
    return wish


def _check(wish: SearchWish) -> None:
    from crypto_bot.core.timeframes import timeframe_ns
    from crypto_bot.engine import ExitOptions
    from crypto_bot.search.samplers import make_sampler
    from crypto_bot.search.space import search_space
    from crypto_bot.search.study import check_objective, trials_of

    if wish.folds < 0:
        raise ConfigError(f"folds must be at least 0, was {wish.folds}")
    if wish.minimum_trades < 1:
        raise ConfigError(f"minimum_trades must be at least 1, was {wish.minimum_trades}")
    check_objective(wish.objective)
    for timeframe in wish.timeframes:
        timeframe_ns(timeframe)
    exits = exit_space(list(wish.exits), ExitOptions())
    for name in wish.strategies:
        definition(name)
        space = search_space(name, wish.space, exits)
        make_sampler(wish.method, space, trials_of(wish.method, space, wish.trials), wish.seed)


def _searched(
    options: argparse.Namespace, bench: Workbench, universe: Universe, wish: SearchWish
) -> tuple[int, Result]:
    run_id = _run(bench, universe, wish)
    try:
        found = search_strategies(
            universe, bench, wish, run_id, announce=lambda line: say(options, line)
        )
        head = {"run_id": run_id, "is_simulated": universe.is_simulated}
        summary = {**head, "pairs": list(universe.symbols), **found.summary()}
        files = write_searched(found, results_place(wish, found), summary)
    except CryptoBotError as error:
        bench.journal.finish_run(run_id, "failed", {"error": str(error)})
        raise
    summary["files"] = [str(path) for path in files]
    bench.journal.finish_run(run_id, "done", {"best": summary["best"]})
    say(options, *lines_of(found, universe), f"files in {files[-1].parent}")
    if options.output is not None:
        write_json(Path(options.output), summary)
        say(options, f"written: {options.output}")
    return 0, summary


def _run(bench: Workbench, universe: Universe, wish: SearchWish) -> str:
    """The unfinished run of this very wish on these candles, else a new one."""
    candles = hashlib.sha256("".join(b.fingerprint for b in universe.bars).encode()).hexdigest()
    config = {**bench.settings.model_dump(mode="json"), "search": str(wish)}
    for run in bench.journal.unfinished_runs("search"):
        if run.data_fingerprint == candles and run.config.get("search") == str(wish):
            bench.journal.resume_run(run.id)
            return run.id
    return bench.journal.start_run(
        "search", config, data_fingerprint=candles, is_simulated=universe.is_simulated
    )


def lines_of(found: Searched, universe: Universe) -> list[str]:
    """The leaderboard, the ground round the winner and the re-test, on one screen."""
    mark = SIMULATED if universe.is_simulated else ""
    name = found.wish.objective
    rows = list(found.leaderboard.head(_SHOWN).iter_rows(named=True))
    lines = [
        f"{mark}best settings by {name}, means over {len(universe.symbols)} pairs, in sample, "
        f"of {sum(len(result.trials) for result in found.results):,} tried:",
        f"  {'strategy':<20}{'bars':<5}{name:>13}{'return':>9}{'drawdown':>10}{'trades':>8}"
        f"{'plateau':>9}  setting",
        *(_line(row) for row in rows),
        f"{mark}winner    {place_of(found.winner)}: {_setting_words(rows[0])}",
        f"{mark}hold      {percent(rows[0]['buy_and_hold_return'])} on the same candles",
        *_ground_lines(found, mark),
        *_map_lines(found, mark),
    ]
    if found.walked is not None:
        lines += _walked_lines(found, mark)
    elif found.not_walked:
        lines.append(f"{mark}no walk-forward test: {found.not_walked}")
    return lines


def _line(row: Mapping[str, Any]) -> str:
    words = _setting_words(row)
    short = words if len(words) <= _WIDTH else words[: _WIDTH - 3] + "..."
    return (
        f"  {row['strategy']:<20}{row['timeframe']:<5}{number(row['value']):>13}"
        f"{percent(row['total_return']):>9}{percent(-row['max_drawdown']):>10}{row['trades']:>8}"
        f"{_share(row['plateau_mean']):>9}  {short}"
    )


def _setting_words(row: Mapping[str, Any]) -> str:
    """Everything that was searched, exits first: parameters of a long list are cut last."""
    exits = {n: v for n, v in json.loads(row["exits"]).items() if n in _EXIT_WORDS and v}
    words = [f"{_EXIT_WORDS[name]} {value:g}" for name, value in exits.items()]
    words += [f"{name}={value}" for name, value in json.loads(row["parameters"]).items()]
    return ", ".join(words)


def _share(frac: float | None) -> str:
    """A plateau's share; how far below nothing says only how near to nothing the best value is."""
    return "below 0" if frac is not None and frac < 0.0 else number(frac)


_EXIT_WORDS = {
    "stop_loss_frac": "stop",
    "take_profit_frac": "target",
    "trailing_stop_frac": "trailing",
    "max_holding_bars": "holding",
}


def _ground_lines(found: Searched, mark: str) -> list[str]:
    ground = found.ground
    if ground.mean_frac is None or ground.worst_frac is None:
        return [f"{mark}plateau   none: the best value is not above 0, or nothing can be moved"]
    return [
        f"{mark}plateau   {ground.neighbours} neighbours reach {_percent(ground.mean_frac)} of the "
        f"best value on average, {_percent(ground.worst_frac)} at worst (100 % is flat, 0 % or less "
        "a lonely peak)"
    ]


def _percent(frac: float) -> str:
    return "less than 0%" if frac < 0.0 else f"{frac:.0%}"


def _map_lines(found: Searched, mark: str) -> list[str]:
    """Where the map round the winner holds better settings, the search passed them over."""
    view = found.picture
    if view is None:
        return []
    better = view.values > view.values[view.place]
    if not better.any():
        return []
    row, column = np.unravel_index(np.nanargmax(view.values), view.values.shape)
    place = f"{view.x}={view.across[column]}" + (f", {view.y}={view.down[row]}" if view.y else "")
    return [
        f"{mark}map       {int(better.sum())} settings round the winner do better, up to "
        f"{number(float(view.values[row, column]))} at {place}: the search was coarse; take more "
        f"--trials{'' if found.wish.method == 'tpe' else ' or --method tpe'}"
    ]


def _walked_lines(found: Searched, mark: str) -> list[str]:
    walked = found.walked
    if walked is None:
        return []
    ours, held = walked.stitched, walked.holding
    lines = [
        f"{mark}unseen    searched anew {len(walked.windows)} times, each winner traded on what "
        f"came next: return {percent(ours.total_return)}, Sharpe {number(ours.sharpe)}, drawdown "
        f"{percent(-ours.max_drawdown)}, {ours.trades} trades",
        f"{mark}          holding the same stretch: return {percent(held.total_return)}, Sharpe "
        f"{number(held.sharpe)}, drawdown {percent(-held.max_drawdown)}",
    ]
    if found.chance is not None:
        lines.append(
            f"{mark}          random entries did as well in {found.chance.p_value:.0%} of "
            f"{found.chance.permutations} draws (mean return a stretch "
            f"{percent(found.chance.mean_random_return)})"
        )
    return lines


def read_space(words: Sequence[str]) -> dict[str, Any]:
    """What `--space` says: NAME=LOW:HIGH, NAME=LOW:HIGH:STEP, NAME=A,B,C or NAME=VALUE.

    >>> read_space(["fast=5:20", "slow=30:50:10", "channel=donchian"])
    {'fast': (5, 20), 'slow': range(30, 51, 10), 'channel': 'donchian'}
    """
    space: dict[str, Any] = {}
    for word in words:
        name, _, text = word.partition("=")
        if not name or not text:
            raise ConfigError(
                f"--space must be NAME=LOW:HIGH[:STEP], NAME=A,B,C or NAME=VALUE, was {word!r}"
            )
        space[name] = _span(word, text)
    return space


def _span(word: str, text: str) -> Any:
    if "," in text:
        return [_value(part) for part in text.split(",")]
    ends = [_value(part) for part in text.split(":")]
    if len(ends) == 1:
        return ends[0]
    if len(ends) > 3 or not all(type(end) in (int, float) for end in ends):
        raise ConfigError(f"--space must be NAME=LOW:HIGH[:STEP] in numbers, was {word!r}")
    if len(ends) == 2:
        return (ends[0], ends[1])
    low, high, step = ends
    if not step > 0 or high < low:
        raise ConfigError(f"--space must rise from LOW to HIGH by a STEP above 0, was {word!r}")
    if all(type(end) is int for end in ends):
        return range(low, high + 1, step)
    count = (high - low) / step + 1e-9
    if not count < MOST_TRIALS:
        raise ConfigError(f"--space must have at most {MOST_TRIALS:,} steps, was {word!r}")
    return [float(f"{low + index * step:.12g}") for index in range(int(count) + 1)]


def _value(text: str) -> Any:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
