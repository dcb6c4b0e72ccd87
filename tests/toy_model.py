"""The smallest model a registry can keep: constant probabilities in a JSON file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from crypto_bot.core.models import ModelCard
from crypto_bot.registry import FolderStore, ModelRegistry

PASSED = {"promoted": True, "reason": "all checks hold"}


class ToyPredictor:
    def __init__(self, card: ModelCard, probabilities: list[float]) -> None:
        self.feature_names = card.feature_names
        self.classes = card.classes
        self.probabilities = probabilities

    def predict_proba(self, features: Any) -> Any:
        return np.tile(self.probabilities, (len(features), 1))


def load_toy(card: ModelCard, files: Mapping[str, bytes]) -> ToyPredictor:
    return ToyPredictor(card, json.loads(files["model.json"]))


def toy_files(up: float = 0.6, padding: int = 0) -> dict[str, bytes]:
    return {
        "model.json": json.dumps([round(1 - up, 6), up]).encode(),
        "scaler.json": b" " * padding + b"{}",
    }


def toy_card(symbol: str = "BTC/USDT", **changes: Any) -> ModelCard:
    values: dict[str, Any] = {
        "symbol": symbol,
        "timeframe": "5m",
        "model_type": "toy",
        "feature_names": ("rsi_14", "sma_ratio"),
        "feature_settled_bars": 100,
        "classes": (0, 1),
        "label": {"name": "next_n_up", "horizon_bars": 3, "hold_threshold": 0.0015},
        "data_fingerprint": "f" * 64,
        "data_start": "2024-01-01T00:00:00Z",
        "data_end": "2024-06-01T00:00:00Z",
        "rows": 1000,
    }
    return ModelCard(**{**values, **changes})


def toy_registry(root: Path, **options: Any) -> ModelRegistry:
    return ModelRegistry(FolderStore(root), load_model=load_toy, **options)
