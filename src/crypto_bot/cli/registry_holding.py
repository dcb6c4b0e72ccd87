"""Which of the two registries a command means."""

from __future__ import annotations

from crypto_bot.backtest.workbench import open_registries
from crypto_bot.config import Settings
from crypto_bot.registry import ModelRegistry


def registry_holding(settings: Settings, symbol: str) -> ModelRegistry:
    """The registry of real candles' models where it holds the symbol, else that of simulated ones."""
    real, simulated = open_registries(settings)
    return simulated if not real.versions(symbol) and simulated.versions(symbol) else real
