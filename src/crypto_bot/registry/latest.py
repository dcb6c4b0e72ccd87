"""LATEST.json: a courtesy copy for programs that read the original trainer's pointer.

We write it after the champion log and never read it.
"""

from __future__ import annotations

from typing import Any

from crypto_bot.core.models import ModelCard
from crypto_bot.core.timeframes import MINUTE_NS, timeframe_ns
from crypto_bot.registry.records import Manifest
from crypto_bot.registry.version_files import CARD

LATEST = "LATEST.json"
_SCHEMA_VERSION = "1"


def latest_record(key_folder: str, card: ModelCard, manifest: Manifest) -> dict[str, Any]:
    """The original trainer's pointer fields for one version."""
    models = {name: file for name, file in manifest.files.items() if name != CARD}
    name = max(models, key=lambda key: (models[key].size, key))
    return {
        "key": f"{key_folder}/{name}",
        "schema_version": _SCHEMA_VERSION,
        "feature_list": list(card.feature_names),
        "label_order": list(card.classes),
        "horizon": horizon_text(card),
        "thresholds": _thresholds(card),
        "symbol": card.symbol,
        "hash": f"sha256:{models[name].sha256}",
    }


def horizon_text(card: ModelCard) -> str | None:
    """The label's horizon as '15m', from minutes or from bars of the timeframe; None if unknown."""
    minutes = card.label.get("horizon_minutes")
    if minutes is None and isinstance(card.label.get("horizon_bars"), int):
        minutes = card.label["horizon_bars"] * timeframe_ns(card.timeframe) / MINUTE_NS
    return f"{minutes:g}m" if _is_number(minutes) else None


def _thresholds(card: ModelCard) -> dict[str, float]:
    hold: Any = card.label.get("hold_threshold")
    named = {"hold": float(hold)} if _is_number(hold) else {}
    return {**named, **card.thresholds}


def _is_number(value: object) -> bool:
    """Labels of a card are free: another publisher may have written anything."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)
