"""The champion as a session trades it, with the version a rollback would bring back."""

from __future__ import annotations

from dataclasses import replace

from crypto_bot.backtest.live_evidence import Champion
from crypto_bot.backtest.recipes import card_exits
from crypto_bot.backtest.workbench import Workbench
from crypto_bot.core.timeframes import time_of
from crypto_bot.trading import ModelDecisions


def champion_in_service(bench: Workbench, symbol: str, *, is_simulated: bool) -> Champion | None:
    """The model in service of `symbol` and, as its `previous`, the one before; None without one.

    Raises
    ------
    ModelError    if the files of either are damaged
    """
    registry = bench.registry_of(is_simulated)
    version, before = registry.champion(symbol), registry.previous(symbol)
    if version is None:
        return None
    found = load_champion(bench, symbol, version, is_simulated=is_simulated)
    if before is None:
        return found
    return replace(found, previous=load_champion(bench, symbol, before, is_simulated=is_simulated))


def load_champion(bench: Workbench, symbol: str, version: str, *, is_simulated: bool) -> Champion:
    """A version as it trades: verified, with its own threshold and exits."""
    predictor, card = bench.registry_of(is_simulated).load(symbol, version)
    maker = ModelDecisions(
        predictor,
        threshold=card.thresholds["open"],
        allow_short=bench.sizing.allow_short,
        trained_until_ns=time_of(card.data_end),
        thresholds=card.thresholds,
    )
    return Champion(symbol, version, predictor, card, maker, card_exits(bench, card))
