"""`SupabaseStore`: the registry's objects in a bucket of Supabase Storage.

Neither `x-upsert: false` nor `copy` of that service is atomic, `move` is: a new object is uploaded
below `tmp/` under a name that nobody else knows and then moved to its key. Whoever moves first has
it. A move whose answer got lost is settled by looking who lies at the key.
"""

from __future__ import annotations

import hashlib
import logging
import math
import re
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from crypto_bot.adapters.supabase_problems import Taken, Unanswered, refusal_in
from crypto_bot.adapters.supabase_service import SupabaseRetries, SupabaseService
from crypto_bot.core.errors import ConfigError, ModelError, StorageError
from crypto_bot.registry.latest import LATEST
from crypto_bot.registry.objects import (
    MOST_ENTRIES,
    STAGING,
    Listed,
    MissingObject,
    check_key,
)

if TYPE_CHECKING:
    import httpx
    from storage3 import SyncStorageClient

_LOG = logging.getLogger(__name__)
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_PAGE = 1_000
_REMOVED_AT_ONCE = 200
_BUCKET_SEEN_S = 30.0
_FOREVER = "31536000"
_SLOWEST_BYTES_S = 10_000
_TYPES = {".json": "application/json", ".txt": "text/plain;charset=UTF-8"}
_BINARY = "application/octet-stream"
_PLACEHOLDER = ".emptyFolderPlaceholder"
"""What the service's own page leaves in a folder made by hand."""


class SupabaseStore:
    """Objects of the registry in one bucket; implements `registry.ObjectStore`.

    Parameters
    ----------
    url : str                  project URL
    key : SecretStr            service-role key; appears in no message, log or repr
    bucket : str               an existing bucket, private
    prefix : str               folder of this store inside the bucket; '' is the bucket itself
    timeout_s : float          longest silence of the server, seconds
    courtesy : str or None     folder of the bucket where each `<SLUG>/LATEST.json` is written a second
                               time: where readers of the original trainer look
    client : httpx.Client      connections to use, closed by their owner
    retries : SupabaseRetries  for network faults, 429 and 5xx; no other refusal is asked again
    wait : callable            pauses that many seconds

    Raises
    ------
    ConfigError    url, key, bucket or prefix cannot be right; before any request

    Notes
    -----
    Every method raises SupabaseRefused (a ConfigError and a StorageError) for a wrong key or bucket
    and StorageError where the service fails at every attempt. The bucket is looked for once, before
    the first request, and again where a list is empty: that is the answer for a missing one, too.
    """

    def __init__(
        self,
        url: str,
        key: SecretStr,
        bucket: str,
        prefix: str = "",
        *,
        timeout_s: float = 20.0,
        courtesy: str | None = None,
        client: httpx.Client | None = None,
        retries: SupabaseRetries | None = None,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        if not _BUCKET.fullmatch(bucket):
            raise ConfigError(
                f"bucket must be letters, digits, '.', '_' and '-', was {bucket!r}; "
                "set ml_integration.supabase.bucket"
            )
        self._bucket = bucket
        self._prefix = prefix and check_key(prefix.rstrip("/")) + "/"
        self._courtesy = courtesy and check_key(courtesy.rstrip("/")) + "/"
        self._service = SupabaseService(
            url, key, timeout_s=timeout_s, client=client, retries=retries, wait=wait
        )
        self._seen_at = -math.inf

    @property
    def where(self) -> str:
        """Host, bucket and folder, for people."""
        return f"supabase {self._service.host}/{self._bucket}/{self._prefix}".rstrip("/")

    def __repr__(self) -> str:
        return f"SupabaseStore({self.where!r})"

    def close(self) -> None:
        """Free the connections; the next call makes new ones."""
        self._service.close()

    def put_new(self, key: str, content: bytes) -> bool:
        """Create an object, all or nothing; False when another writer's object has the key.

        Raises StorageError where the service does not say what happened, also not when asked again:
        the object is then there whole, or not at all.
        """
        target = self._path(key)
        self._find_bucket()
        claim = uuid.uuid4().hex
        marks = {"claim": claim, "sha256": hashlib.sha256(content).hexdigest()}
        parked = self._park(key, content, marks)
        try:
            self._service.ask(lambda: self._files.move(parked, target), f"claiming {key}")
        except (Taken, MissingObject, Unanswered) as error:
            return self._settled(parked, key, marks, error)
        return True

    def get(self, key: str, most_bytes: int) -> bytes:
        """The bytes of an object, never more than `most_bytes` of them in memory.

        Raises MissingObject if there is none, ModelError if it is larger.
        """
        path = self._path(key)
        self._find_bucket()
        try:
            return self._service.ask(
                lambda: self._download(path, key, most_bytes), f"reading {key}"
            )
        except MissingObject as error:
            raise MissingObject(f"{self.where}/{key} must exist, was missing") from error

    def entries(self, prefix: str) -> list[Listed]:
        """Entries directly below 'a/b' ('' is the root), by name; empty where there is nothing."""
        folder = self._folder(prefix)
        self._find_bucket()
        found: dict[str, Listed] = {}
        offset = 0
        while True:
            rows = self._list(folder, {"limit": _PAGE, "offset": offset})
            for row in rows:
                found[row["name"]] = _listed(row)
            offset += len(rows)
            if len(rows) < _PAGE:
                break
            if offset > MOST_ENTRIES:
                raise StorageError(
                    f"{self.where}/{prefix} must hold at most {MOST_ENTRIES} entries, held more"
                )
        return [found[name] for name in sorted(found) if name != _PLACEHOLDER]

    def last(self, prefix: str) -> str | None:
        """The greatest name of an object directly below, or None; one request."""
        folder = self._folder(prefix)
        self._find_bucket()
        order = {"column": "name", "order": "desc"}
        rows = self._list(folder, {"limit": 1, "sortBy": order})
        if not rows:
            return None
        newest = _listed(rows[0])
        if not newest.is_folder and newest.name != _PLACEHOLDER:
            return newest.name
        names = [entry.name for entry in self.entries(prefix) if not entry.is_folder]
        return max(names, default=None)

    def put_copy(self, key: str, content: bytes) -> None:
        """Replace a courtesy copy; readers may see the old one for a minute, or none for a moment."""
        paths = self._copies(key)
        self._find_bucket()
        options: Any = {
            "content-type": _content_type(key),
            "cache-control": "0",
            "upsert": "true",
            "metadata": {"sha256": hashlib.sha256(content).hexdigest()},
        }
        for path in paths:

            def call(path: str = path) -> object:
                return self._files.upload(path, content, dict(options))  # type: ignore[arg-type]

            self._service.ask(call, f"writing {key}")

    def remove(self, keys: Sequence[str]) -> None:
        """Delete objects; absent ones are no error."""
        paths = [path for key in keys for path in self._copies(key)]
        self._find_bucket()
        self._remove(paths)

    def sweep(self, *, older_than_s: float) -> int:
        """Delete what killed writers left below tmp/ and give how many; ages by the server's clock."""
        self._find_bucket()
        folder = f"{self._prefix}{STAGING}"
        left: list[str] = []
        parked = self.entries(STAGING)
        # The service's clock tells whole seconds: what is a moment old must not seem unborn.
        before_ns = int((self._service.server_time_s() + 1.0 - older_than_s) * 1e9)

        def is_old(entry: Listed) -> bool:
            return entry.changed_at_ns is not None and entry.changed_at_ns <= before_ns

        for entry in parked:
            inner = self.entries(f"{STAGING}/{entry.name}") if entry.is_folder else ()
            left += [f"{folder}/{entry.name}/{one.name}" for one in inner if is_old(one)]
            if is_old(entry):
                left.append(f"{folder}/{entry.name}")
        return self._remove(left)

    @property
    def _client(self) -> SyncStorageClient:
        """The service's own client, speaking through our connections."""
        from storage3 import SyncStorageClient

        address = f"{self._service.url}/storage/v1/"
        return SyncStorageClient(address, self._service.headers, http_client=self._service.http)

    @property
    def _files(self) -> Any:
        return self._client.from_(self._bucket)

    def _find_bucket(self, within_s: float = math.inf) -> None:
        """Look unless it was seen so recently: a list of a missing bucket is empty, no error."""
        if time.monotonic() - self._seen_at < within_s:
            return
        from pydantic import ValidationError

        def call() -> None:
            # A bucket made by SQL may lack what the client wants to see; it is there all the same.
            with suppress(ValidationError):
                if self._client.get_bucket(self._bucket).public:
                    _LOG.warning("%s is public: anyone can read the models in it", self.where)

        self._service.ask(call, f"looking for bucket {self._bucket!r}")
        self._seen_at = time.monotonic()

    def _park(self, key: str, content: bytes, marks: dict[str, str]) -> str:
        """Upload below tmp/, each attempt under a name of its own: no two can meet."""
        parked = ""
        options: Any = {
            "content-type": _content_type(key),
            "cache-control": _FOREVER,
            "x-upsert": "false",
            "metadata": marks,
        }

        def call() -> str:
            nonlocal parked
            parked = f"{self._prefix}{STAGING}/{uuid.uuid4().hex}"
            self._files.upload(parked, content, dict(options))
            return parked

        return self._service.ask(call, f"uploading {key} ({len(content)} bytes)")

    def _settled(self, parked: str, key: str, marks: dict[str, str], error: StorageError) -> bool:
        """Who has the key after a move that was refused or not answered."""
        try:
            # First of all: without its source a move that is still on its way can no longer succeed.
            was_parked = bool(self._remove([parked]))
            found = self._marks(key)
        except Unanswered as silence:
            raise Unanswered(
                f"{silence}; whether {key} was written is not known, and it is whole if it was"
            ) from error
        if found is None:
            if isinstance(error, Taken):
                return False
            raise error
        if "claim" in found:
            return bool(found["claim"] == marks["claim"])
        # A server that keeps no metadata: only this call could take the parked object away.
        return not was_parked and self._sha256(key) == marks["sha256"]

    def _marks(self, key: str) -> dict[str, Any] | None:
        """User metadata of an object, None where there is no object."""
        path = self._path(key)
        try:
            found = self._service.ask(lambda: self._files.info(path), f"looking at {key}")
        except MissingObject:
            return None
        marks = found.get("metadata")
        return marks if isinstance(marks, dict) else {}

    def _sha256(self, key: str) -> str:
        path = self._path(key)

        def call() -> str:
            with self._stream(path) as response:
                digest = hashlib.sha256()
                for chunk in response.iter_bytes():
                    digest.update(chunk)
                return digest.hexdigest()

        return self._service.ask(call, f"reading {key}")

    def _download(self, path: str, key: str, most_bytes: int) -> bytes:
        import httpx

        started, content = time.monotonic(), bytearray()
        with self._stream(path) as response:
            _check_size(int(response.headers.get("content-length", 0)), most_bytes, key)
            for chunk in response.iter_bytes():
                content += chunk
                _check_size(len(content), most_bytes, key)
                patience = self._service.timeout_s + len(content) / _SLOWEST_BYTES_S
                if time.monotonic() - started > patience:
                    raise httpx.ReadTimeout(f"slower than {_SLOWEST_BYTES_S} bytes a second")
        return bytes(content)

    @contextmanager
    def _stream(self, path: str) -> Iterator[httpx.Response]:
        """An answered download whose body is not read yet; its length is what is announced."""
        headers = {**self._service.headers, "Accept-Encoding": "identity"}
        address = f"{self._service.url}/storage/v1/object/{self._bucket}/{path}"
        with self._service.http.stream("GET", address, headers=headers) as response:
            if response.status_code != 200:
                response.read()
                raise refusal_in(response)
            yield response

    def _list(self, folder: str, options: dict[str, Any]) -> list[dict[str, Any]]:
        def call() -> list[dict[str, Any]]:
            rows = self._files.list(folder, dict(options))
            if not isinstance(rows, list) or not all("name" in row for row in rows):
                raise TypeError("a list must be of entries")
            return rows

        rows = self._service.ask(call, f"listing {folder or 'the bucket'}")
        if not rows:
            self._find_bucket(_BUCKET_SEEN_S)
        return rows

    def _remove(self, paths: Sequence[str]) -> int:
        """Delete and count what was there."""
        removed = 0
        for first in range(0, len(paths), _REMOVED_AT_ONCE):
            batch = list(paths[first : first + _REMOVED_AT_ONCE])

            def call(batch: list[str] = batch) -> int:
                return len(self._files.remove(batch))

            removed += self._service.ask(call, f"removing {batch[0]} and {len(batch) - 1} more")
        return removed

    def _path(self, key: str) -> str:
        return self._prefix + check_key(key)

    def _folder(self, prefix: str) -> str:
        return (self._path(prefix) if prefix else self._prefix).rstrip("/")

    def _copies(self, key: str) -> list[str]:
        """Where an object lies; the pointer of a symbol lies at a second place as well."""
        paths = [self._path(key)]
        if self._courtesy and re.fullmatch(rf"[^/]+/{LATEST}", key):
            paths.append(self._courtesy + key)
        return paths


def _check_size(size: int, most_bytes: int, key: str) -> None:
    if size > most_bytes:
        raise ModelError(f"{key} must have at most {most_bytes} bytes, was {size} or more")


def _content_type(key: str) -> str:
    return _TYPES.get(key[key.rfind(".") :], _BINARY)


def _listed(row: dict[str, Any]) -> Listed:
    """A row of a list; folders have no id."""
    if row.get("id") is None:
        return Listed(row["name"], is_folder=True)
    changed = row.get("updated_at") or row.get("created_at")
    size = (row.get("metadata") or {}).get("size")
    at_ns = None if changed is None else int(datetime.fromisoformat(changed).timestamp() * 1e9)
    return Listed(row["name"], False, size, at_ns)
