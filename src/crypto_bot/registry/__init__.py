"""What we trust, and why: immutable model versions and the log of which one is in service.

Comes in: a trained model's files and its `ModelCard`; later the gate's evidence.
Goes out: a verified `Predictor` with its card; the champion, its history, the ranking.

A version is visible once its manifest is, which is written last; it is never changed afterwards, and
every byte is checked against `manifest.json`, and that against trusted keys, before any of it is
parsed.
"""

from crypto_bot.registry.folder_store import FolderStore
from crypto_bot.registry.objects import Listed, MissingObject, ObjectStore
from crypto_bot.registry.opening import open_registry
from crypto_bot.registry.originals import (
    ORIGINAL_PREFIX,
    OriginalModel,
    OriginalPointer,
    load_original,
    read_pointer,
)
from crypto_bot.registry.port import Registry
from crypto_bot.registry.records import (
    ChampionEntry,
    RegistryLimits,
    SmokeResult,
    Stage,
    VersionDetails,
    VersionDiff,
    VersionSummary,
)
from crypto_bot.registry.registry import ModelRegistry
from crypto_bot.registry.signatures import KeyPair, Signer, new_key_pair

__all__ = [
    "ORIGINAL_PREFIX",
    "ChampionEntry",
    "FolderStore",
    "KeyPair",
    "Listed",
    "MissingObject",
    "ModelRegistry",
    "ObjectStore",
    "OriginalModel",
    "OriginalPointer",
    "Registry",
    "RegistryLimits",
    "Signer",
    "SmokeResult",
    "Stage",
    "VersionDetails",
    "VersionDiff",
    "VersionSummary",
    "load_original",
    "new_key_pair",
    "open_registry",
    "read_pointer",
]
