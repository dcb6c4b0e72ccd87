"""The champion as a session trades it, with the version a rollback would bring back."""

from __future__ import annotations

from crypto_bot.backtest.live_evidence import Champion
from crypto_bot.backtest.recipes import card_exits
from crypto_bot.backtest.workbench import Workbench
from crypto_bot.core.timeframes import time_of
from crypto_bot.registry.champion_log import replay
from crypto_bot.trading import ModelDecisions


def champion_in_service(bench: Workbench, symbol: str, *, is_simulated: bool) -> Champion | None:
    """The model in service of `symbol` and, as its `previous`, the one before; None without one.

    Raises
    ------
    ModelError    if the files of either are damaged
    """
    registry = bench.registry_of(is_simulated)
    reign = replay(registry.history(symbol))
    if reign.champion is None:
        return None
    before = reign.before_champion()
    previous = None if before is None else _champion(bench, symbol, before, None, is_simulated)
    return _champion(bench, symbol, reign.champion, previous, is_simulated)


def _champion(
    bench: Workbench, symbol: str, version: str, previous: Champion | None, is_simulated: bool
) -> Champion:
    predictor, card = bench.registry_of(is_simulated).load(symbol, version)
    maker = ModelDecisions(
        predictor,
        threshold=card.thresholds["open"],
        allow_short=bench.sizing.allow_short,
        trained_until_ns=time_of(card.data_end),
        thresholds=card.thresholds,
    )
    return Champion(symbol, version, predictor, card, maker, card_exits(bench, card), previous)
