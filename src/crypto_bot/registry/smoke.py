"""The smoke test of a store: what goes in is listed, comes back equal, and is taken away again."""

from __future__ import annotations

import os
import time
import uuid

from crypto_bot.core.errors import StorageError
from crypto_bot.registry.objects import STAGING, ObjectStore
from crypto_bot.registry.records import SmokeResult

SMOKE_FILE = "__smoke__.bin"
_SIZE_BYTES = 1024


def smoke_test(store: ObjectStore, symbol: str, slug: str) -> SmokeResult:
    """Store, list, fetch and remove a small object: proof that the store works.

    Raises StorageError where it does not, or where what came back differs.
    """
    started = time.perf_counter()
    folder = f"{STAGING}/{slug}-{uuid.uuid4().hex}"
    key, content = f"{folder}/{SMOKE_FILE}", os.urandom(_SIZE_BYTES)
    is_new = store.put_new(key, content)
    try:
        listed = [each.name for each in store.entries(folder)]
        fetched = store.get(key, _SIZE_BYTES)
    finally:
        store.remove([key])
    if not is_new or listed != [SMOKE_FILE] or fetched != content or store.entries(folder):
        raise StorageError(f"{store.where}/{key} must come back as written and go, did not")
    return SmokeResult(symbol, key, len(content), time.perf_counter() - started)
