"""A model for each symbol: train them, and hold what they predict against a backtest of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from crypto_bot.backtest.candles import Universe, gather_candles, stored_candles
from crypto_bot.backtest.external_trainer import external_recipe, is_external
from crypto_bot.backtest.hold_outs import spend_hold_out
from crypto_bot.backtest.learning import learn
from crypto_bot.backtest.recipes import AnyRecipe, symbol_recipe
from crypto_bot.backtest.summary import number, percent
from crypto_bot.backtest.turn import hold_out_start
from crypto_bot.backtest.unseen import (
    ChosenModel,
    Stretch,
    choose_model,
    given_stretch,
    judge_model,
    stored_stretch,
)
from crypto_bot.backtest.workbench import Workbench
from crypto_bot.core.errors import ConfigError, CryptoBotError, DataError
from crypto_bot.core.timeframes import Clock, SystemClock, iso_time
from crypto_bot.market import BarStore

if TYPE_CHECKING:
    import pandas as pd

_LOG = logging.getLogger(__name__)
TRAINING, VALIDATION = "ml-training", "validation"
"""Kinds of run in the journal."""
Announce = Callable[[str], None]
RecipeOf = Callable[[Workbench, str], AnyRecipe]


def train_symbols(
    bench: Workbench,
    symbols: Sequence[str] | None,
    *,
    data: str | None,
    announce: Announce,
    recipe_of: RecipeOf = symbol_recipe,
) -> list[dict[str, Any]]:
    """Train, judge and publish one model a symbol: the first configured kind, on the configured label.

    Parameters
    ----------
    symbols : sequence | None    None: every symbol of `data`, else of the store
    data : str | None            candles to import first
    recipe_of                    (workbench, symbol) -> what is learned; where
                                 ml_integration.cointrainer_path names another program, that trains

    Returns
    -------
    list of dict    per symbol, JSON-ready: symbol, version (None: not published), promoted, reason,
                    metrics (out of sample), error (None, or why this symbol has no model)

    Raises
    ------
    ConfigError    learning is switched off

    Notes
    -----
    A model learns from candles up to the symbol's own hold-out, the last `validation.holdout_frac`
    of its window; `validate_symbols` judges it on the rest. One symbol's failure stops no other. A
    run that was killed is taken up under its id, and what it published is found again.
    """
    if not bench.settings.schedule.is_enabled:
        raise ConfigError(
            "learning_enabled and ml_integration.enabled must be true to train, one was false"
        )
    chosen = _prepared(bench, symbols, data, announce)
    kinds = [] if recipe_of is symbol_recipe else [recipe_of(bench, name).name for name in chosen]
    own = {"recipes": kinds} if kinds else {}
    run_id = start_or_resume(bench, TRAINING, symbols=list(chosen), **own)
    results = [_trained(bench, symbol, run_id, announce, recipe_of) for symbol in chosen]
    status = "done" if any(result["error"] is None for result in results) else "failed"
    bench.journal.finish_run(run_id, status, {"models": results})
    return results


def validate_symbols(
    bench: Workbench,
    symbols: Sequence[str] | None,
    *,
    data: str | None,
    announce: Announce,
    clock: Clock | None = None,
) -> list[dict[str, Any]]:
    """Predict what the symbols' models never saw, trade it with costs, and judge it.

    The model of a symbol is its champion, else its newest candidate, else those of GLOBAL. It
    predicts every stored bar that opens after the last candle it learned from.

    Returns
    -------
    list of dict    per symbol, JSON-ready: valid, symbol, version, model, total_predictions,
                    signal_distribution {buy, sell, hold}, avg_confidence (mean probability of the
                    likeliest class), backtest_performance (every metric of the engine, and pnl),
                    gate {promoted, reason}, checks, consistency, start, end, is_simulated, notes,
                    validation_timestamp, error; or valid False, symbol, error, validation_timestamp

    Notes
    -----
    `valid` says that the numbers can be relied on, `gate.promoted` that they are good. It is True
    if and only if there is a prediction and every claim of `consistency` holds:

    probabilities      every prediction is finite, in 0..1, and sums to 1 over the classes
    never_seen         every predicted bar opens at or after the end of the training candles
    trades_follow      every backtested trade has the side that was predicted one bar before its entry
    live_agrees        the last 100 bars, decided one by one from the feature stream as a live process
                       does, give the decisions that were backtested, bit for bit
    """
    chosen = _prepared(bench, symbols, data, announce)
    clock = SystemClock() if clock is None else clock
    run_id = bench.journal.start_run(VALIDATION, bench.settings)
    results = [_validated(bench, run_id, symbol, clock, announce) for symbol in chosen]
    bench.journal.finish_run(run_id, "done", {"validations": results})
    return results


def validate_frame(
    bench: Workbench, symbol: str, frame: pd.DataFrame, *, clock: Clock | None = None
) -> dict[str, Any]:
    """`validate_symbols` on features that the caller has computed, such as `create_features(df)`.

    Parameters
    ----------
    frame : DataFrame    open high low close volume and the model's features, indexed by open time;
                         rows up to the end of the model's training candles are left out;
                         `attrs["is_simulated"]` chooses the registry of simulated markets

    Notes
    -----
    `live_agrees` is not claimed here: how the features were made is not known.
    """
    clock = SystemClock() if clock is None else clock
    try:
        attributes = getattr(frame, "attrs", {})
        is_simulated = bool(attributes.get("is_simulated", not bench.registry.symbols()))
        model = choose_model(bench.registry_of(is_simulated), symbol)
        stretch = given_stretch(frame, symbol, model)
        run_id = bench.journal.start_run(VALIDATION, bench.settings)
        result = _judged(bench, run_id, symbol, model, stretch, clock)
        bench.journal.finish_run(run_id, "done", {"validations": [result]})
        return result
    except CryptoBotError as error:
        return _refused(symbol, error, clock)


def _judged(
    bench: Workbench, run_id: str, symbol: str, model: ChosenModel, stretch: Stretch, clock: Clock
) -> dict[str, Any]:
    spend_hold_out(bench, run_id, symbol, model.version, stretch.bars[stretch.first :])
    return judge_model(bench, symbol, model, stretch, clock)


def _prepared(
    bench: Workbench, symbols: Sequence[str] | None, data: str | None, announce: Announce
) -> tuple[str, ...]:
    """Have candles in the store (imported, downloaded or simulated); the symbols to work on."""
    found: Universe | None = None
    if data is not None or symbols is None:
        found = gather_candles(bench.settings, data=data)
    elif not BarStore(bench.settings.data.store_folder).catalog():
        try:
            found = gather_candles(bench.settings, symbols=symbols)
        except DataError as error:
            _LOG.info("%s", error)  # said again for the symbol it is about
    if found is not None:
        for note in found.notes:
            announce(note)
    if symbols is None and found is not None:
        return found.symbols
    return tuple(dict.fromkeys(symbols or ()))


def start_or_resume(bench: Workbench, kind: str, **identity: Any) -> str:
    """The run that was killed at exactly this work, taken up again, else a new one."""
    wanted = {"fingerprint": bench.settings.fingerprint, **identity}
    for run in bench.journal.unfinished_runs(kind):
        if all(run.config.get(name) == value for name, value in wanted.items()):
            bench.journal.resume_run(run.id)
            return run.id
    return bench.journal.start_run(kind, {**wanted, "settings": bench.settings})


def _trained(
    bench: Workbench, symbol: str, run_id: str, announce: Announce, recipe_of: RecipeOf
) -> dict[str, Any]:
    result: dict[str, Any] = {
        "symbol": symbol,
        "version": None,
        "promoted": False,
        "reason": None,
        "metrics": {},
        "error": None,
    }
    try:
        universe = stored_candles(bench.settings, [symbol])
        learned = learn(
            bench,
            universe.bars,
            external_recipe(bench, universe.bars[0])
            if is_external(bench.settings) and recipe_of is symbol_recipe
            else recipe_of(bench, symbol),
            run_id=run_id,
            start_ns=universe.start_ns,
            end_ns=hold_out_start(universe, bench.settings.validation.holdout_frac),
            funding=universe.funding,
        )
    except CryptoBotError as error:
        announce(f"{symbol}: not trained: {error}")
        return {**result, "error": str(error)}
    mark = "SIMULATED " if universe.is_simulated else ""
    announce(f"{mark}{symbol}: {learned.version or 'not published'}: {learned.verdict.reason}")
    return {
        **result,
        "version": learned.version,
        "promoted": learned.promoted and learned.version is not None,
        "reason": learned.verdict.reason,
        "metrics": dict(learned.card.metrics),
    }


def _validated(
    bench: Workbench, run_id: str, symbol: str, clock: Clock, announce: Announce
) -> dict[str, Any]:
    try:
        universe = stored_candles(bench.settings, [symbol])
        model = choose_model(bench.registry_of(universe.is_simulated), symbol)
        bars = universe.at(model.card.timeframe)[0]
        stretch = stored_stretch(bars, model, universe.funding.get(symbol))
        result = _judged(bench, run_id, symbol, model, stretch, clock)
    except CryptoBotError as error:
        announce(f"{symbol}: not valid: {error}")
        return _refused(symbol, error, clock)
    for line in _lines(result):
        announce(line)
    return result


def _refused(symbol: str, error: CryptoBotError, clock: Clock) -> dict[str, Any]:
    return {
        "valid": False,
        "symbol": symbol,
        "error": str(error),
        "validation_timestamp": iso_time(clock.now_ns()),
    }


def _lines(result: dict[str, Any]) -> list[str]:
    mark = "SIMULATED " if result["is_simulated"] else ""
    signals, performance = result["signal_distribution"], result["backtest_performance"]
    return [
        f"{mark}{result['symbol']}: {'valid' if result['valid'] else 'NOT VALID'}: "
        f"{result['model']} on {result['start'][:10]} to {result['end'][:10]}, never seen",
        f"  {result['total_predictions']} predictions: {signals['buy']} buy, {signals['sell']} sell, "
        f"{signals['hold']} hold; mean confidence {number(result['avg_confidence'])}",
        f"  backtest: Sharpe {number(performance['sharpe'])}, return {percent(performance['pnl'])}, "
        f"drawdown {percent(-performance['max_drawdown'])}, {performance['trades']} trades, "
        f"holding {percent(performance['buy_and_hold_return'])}",
        f"  gate: {result['gate']['reason']}",
        *([f"  inconsistent: {result['error']}"] if result["error"] else []),
    ]
