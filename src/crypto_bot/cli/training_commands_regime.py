"""`cointrainer train regime`: one symbol of the candle store, with the trainer's three classes."""

from __future__ import annotations

import argparse

from crypto_bot.backtest.command import Result, say
from crypto_bot.backtest.per_symbol import train_symbols
from crypto_bot.backtest.recipes import (
    AnyRecipe,
    SearchRecipe,
    feature_names,
    nested_options,
    pooled_recipe,
)
from crypto_bot.backtest.workbench import Workbench, open_workbench
from crypto_bot.cli.training_commands_aggregate import refuse_replaced
from crypto_bot.config import Settings, load_settings
from crypto_bot.core.errors import ConfigError
from crypto_bot.core.timeframes import MINUTE_NS, timeframe_ns
from crypto_bot.market import pair_symbol


def train_regime(options: argparse.Namespace) -> tuple[int, Result]:
    """Train one symbol as `ml-training` does, on the trainer's label, or search its setting."""
    refuse_replaced(options)
    settings = _settings(options)
    symbol = pair_symbol(options.symbol)

    def recipe(bench: Workbench, name: str) -> AnyRecipe:
        if options.optuna:
            return SearchRecipe(name, nested_options(bench), feature_names(bench))
        return pooled_recipe(bench, name, "lightgbm")

    with open_workbench(settings, log="integrated_backtest", verbose=options.verbose) as bench:
        say(options, *bench.start_lines(), *_notes(options, bench))
        (result,) = train_symbols(
            bench,
            [symbol],
            data=None,
            announce=lambda line: say(options, line),
            recipe_of=recipe,
        )
    return int(result["error"] is not None), result


def _notes(options: argparse.Namespace, bench: Workbench) -> list[str]:
    notes = []
    if options.use_gpu and bench.gpu["status"] != "available":
        notes.append("--use-gpu: no GPU was found here; training on the CPU")
    if options.optuna:
        search = bench.settings.models.search
        notes.append(
            f"--optuna: {search.trials} settings a stretch as models.search says; its horizons "
            f"({', '.join(map(str, search.horizon_bars))} bars) stand in for --horizon"
        )
    return notes


def _settings(options: argparse.Namespace) -> Settings:
    return load_settings(
        options.config,
        overrides={
            "ml_integration.features.horizon_minutes": _minutes(options.horizon),
            "ml_integration.training.publish_models": options.publish,
            "models.label": "three_class",
            **({"use_gpu": True} if options.use_gpu else {}),
            "ml_integration.training.device_type": "gpu" if options.use_gpu else "cpu",
        },
    )


def _minutes(horizon: str) -> float:
    """Of '15m', '1h' or '15', which are minutes."""
    if horizon.isdecimal():
        return float(horizon)
    try:
        return timeframe_ns(horizon) / MINUTE_NS
    except ConfigError as error:
        raise ConfigError(f"--horizon must be a time such as 15m or 1h, was {horizon!r}") from error
