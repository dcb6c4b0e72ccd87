"""Who trades the hold-out, and what the same trader did before it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from crypto_bot.backtest.candles import Universe
from crypto_bot.backtest.examined import Learned
from crypto_bot.backtest.rehearsal import Trader
from crypto_bot.backtest.serving import load_champion
from crypto_bot.backtest.workbench import Workbench
from crypto_bot.core import TRADE
from crypto_bot.core.arrays import PerTrade
from crypto_bot.engine import ExitOptions
from crypto_bot.strategies import get_strategy
from crypto_bot.trading import ModelDecisions, StrategyDecisions, TradedSymbol, expected_trades
from crypto_bot.training.cards import POOLED


def model_trader(bench: Workbench, learned: Learned, exits: ExitOptions) -> Trader:
    """The promoted model, read back from the registry: what trades is what was verified."""
    registry = bench.registry_of(learned.dataset.is_simulated)
    predictor, card = registry.load(learned.recipe.symbol, learned.version)
    maker = ModelDecisions(
        predictor,
        threshold=learned.recipe.threshold,
        allow_short=bench.sizing.allow_short,
        trained_until_ns=int(learned.dataset.label_end_ns.max()),
        thresholds=card.thresholds,
    )
    why = learned.verdict.reason
    symbols = learned.dataset.symbols
    return Trader(
        learned.recipe.name, card.timeframe, maker, exits, True, why, symbols, learned.version
    )


def champion_trader(bench: Workbench, universe: Universe, hold_out_ns: int) -> Trader | None:
    """The pooled champion of an earlier turn; None where there is none that has not seen the hold-out.

    It may trade only what it cannot remember: its candles must end before the hold-out begins.
    """
    registry = bench.registry_of(universe.is_simulated)
    version = registry.champion(POOLED)
    if version is None:
        return None
    served = load_champion(bench, POOLED, version, is_simulated=universe.is_simulated)
    trained_until_ns = served.maker.trained_until_ns
    if served.card.timeframe != universe.timeframe or (trained_until_ns or 0) > hold_out_ns:
        return None
    why = f"nothing new was promoted; champion {version} of an earlier turn trades"
    return Trader(
        f"{served.card.model_type} {version}",
        served.card.timeframe,
        served.maker,
        served.exits,
        True,
        why,
        version=version,
    )


def best_strategy_trader(
    bench: Workbench, setting: Mapping[str, Any], learned: Sequence[Learned]
) -> Trader:
    """The best-ranked strategy setting of the development stretch."""
    parameters = json.loads(setting["parameters"])
    strategy = get_strategy(setting["strategy"], **parameters)
    exits = bench.exits.replace(
        stop_loss_frac=setting["stop_loss_frac"], take_profit_frac=setting["take_profit_frac"]
    )
    words = ", ".join(f"{name} {value}" for name, value in parameters.items())
    why = "no model was promoted" if learned else "no model was trained"
    return Trader(
        f"{strategy.name} ({words}) at {setting['timeframe']}",
        setting["timeframe"],
        StrategyDecisions(strategy),
        exits,
        is_model=False,
        why=f"{why}; the best strategy of the sweep trades instead",
    )


def development_trades(
    bench: Workbench,
    universe: Universe,
    trader: Trader,
    learned: Sequence[Learned],
    end_ns: int,
) -> PerTrade:
    """What the trader did before the hold-out: out of sample for a model, in sample for a strategy."""
    if trader.is_model:
        chosen = [model for model in learned if model.recipe.name == trader.name]
        found = [result.trades for model in chosen for result in model.results]
        return np.concatenate([np.empty(0, TRADE), *found])
    stretches = []
    for bars in universe.at(trader.timeframe):
        known = bars.closed_by(end_ns)
        window = known.between(universe.start_ns, None)
        if len(window):
            history = known.between(None, universe.start_ns)
            stretches.append(TradedSymbol(window, trader.maker, history))
    trades = expected_trades(stretches, costs=bench.costs, exits=trader.exits, sizing=bench.sizing)
    return np.concatenate([np.empty(0, TRADE), *trades.values()])
