"""Opening a registry by its address."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from crypto_bot.core.errors import ConfigError
from crypto_bot.registry.folder_store import FolderStore
from crypto_bot.registry.registry import ModelRegistry
from crypto_bot.registry.signatures import Signer


def open_registry(
    where: str | Path, *, trusted_keys: Sequence[str] = (), signer: Signer | None = None
) -> ModelRegistry:
    """Open the registry in a folder, by path or file:// address; nothing is created before a publish.

    Raises
    ------
    ConfigError    for an address of another kind: `backtest.workbench.open_registries` opens what
                   the configuration names

    Examples
    --------
    >>> open_registry("models").symbols()
    []
    """
    return ModelRegistry(FolderStore(_folder(where)), trusted_keys=trusted_keys, signer=signer)


def _folder(where: str | Path) -> Path:
    text = str(where)
    scheme = text.partition("://")[0] if "://" in text else ""
    if scheme == "":
        return Path(where)
    if scheme != "file":
        # The address may carry a key: only its scheme is shown.
        raise ConfigError(
            f"registry must be a folder or file:// address, was {scheme}://...; "
            "a Supabase bucket is named in the configuration: registry.store, ml_integration.supabase"
        )
    parts = urlsplit(text)
    if parts.netloc not in ("", "localhost"):
        raise ConfigError(f"registry must be on this machine, was on {parts.netloc!r}")
    return Path(url2pathname(parts.path))
