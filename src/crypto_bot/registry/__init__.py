"""What we trust, and why: immutable model versions and the log of which one is in service.

Comes in: a trained model's files and its `ModelCard`; later the gate's evidence.
Goes out: a verified `Predictor` with its card; the champion, its history, the ranking.

A folder version is complete the moment it is visible (written beside, then renamed), is never
changed afterwards, and every byte is checked against `manifest.json` before any of it is parsed.
"""

from crypto_bot.registry.folder import FolderRegistry, open_registry
from crypto_bot.registry.port import Registry
from crypto_bot.registry.records import (
    ChampionEntry,
    RegistryLimits,
    SmokeResult,
    Stage,
    VersionDetails,
    VersionSummary,
)

__all__ = [
    "ChampionEntry",
    "FolderRegistry",
    "Registry",
    "RegistryLimits",
    "SmokeResult",
    "Stage",
    "VersionDetails",
    "VersionSummary",
    "open_registry",
]
