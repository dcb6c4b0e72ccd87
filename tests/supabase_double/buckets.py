"""Buckets and objects of the double: what the service keeps, and its rules of names and lists."""

from __future__ import annotations

import hashlib
import re
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from supabase_double.faults import Faults

LIST_CAP, LIST_V2_CAP = 1_500, 1_000
GLOBAL_LIMIT = 50 * 2**20
SORT_COLUMNS = ("name", "created_at", "updated_at", "last_accessed_at")
_KEY = re.compile(r"[\w/!\-.*'() &$@=;:+,?]+", re.ASCII)
_BUCKET = re.compile(r"[\w!\-.*'() &$@=;:+,?]{1,100}", re.ASCII)


class Refusal(Exception):
    """An error of the service: `status` is what the body says; HTTP says 400, or 500 for 500."""

    def __init__(self, status: str, error: str, message: str, code: str) -> None:
        super().__init__(message)
        self.body = {"statusCode": status, "error": error, "message": message, "code": code}
        self.http_status = int(status) if status in ("429", "500") else 400


def invalid(message: str) -> Refusal:
    """A request that breaks the schema."""
    return Refusal("400", "Error", message, "InvalidRequest")


def duplicate(code: str) -> Refusal:
    """Something of that name is there."""
    return Refusal("409", "Duplicate", "The resource already exists", code)


def no_object() -> Refusal:
    """Nothing of that name is there."""
    return Refusal("404", "not_found", "Object not found", "NoSuchKey")


def no_bucket() -> Refusal:
    """No bucket of that name is there."""
    return Refusal("404", "Bucket not found", "Bucket not found", "NoSuchBucket")


@dataclass(frozen=True)
class Upload:
    """What an upload carries."""

    content: bytes
    mimetype: str
    cache_control: str
    metadata: dict[str, Any]


@dataclass
class Stored:
    """An object."""

    upload: Upload
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    version: str = field(default_factory=lambda: str(uuid.uuid4()))
    created_at: float = field(default_factory=time.time)
    updated_at: float = field(default_factory=time.time)
    stale: bytes | None = None
    stale_reads: int = 0
    errors: list[int] = field(default_factory=list)

    @property
    def etag(self) -> str:
        """Quoted md5, as the file backend gives it."""
        return f'"{hashlib.md5(self.upload.content).hexdigest()}"'


@dataclass
class Bucket:
    """A bucket and its objects by key."""

    name: str
    public: bool = False
    size_limit: int | None = None
    mime_types: list[str] | None = None
    objects: dict[str, Stored] = field(default_factory=dict)
    made_at: float = field(default_factory=time.time)

    def row(self) -> dict[str, Any]:
        """As the service shows it."""
        return {
            "id": self.name,
            "name": self.name,
            "owner": "",
            "public": self.public,
            "created_at": moment(self.made_at),
            "updated_at": moment(self.made_at),
            "file_size_limit": self.size_limit,
            "allowed_mime_types": self.mime_types,
            "type": "STANDARD",
        }


class Buckets:
    """All buckets of the double, safe for threads."""

    def __init__(self, faults: Faults, global_limit: int = GLOBAL_LIMIT) -> None:
        self.faults = faults
        self.global_limit = global_limit
        self.lock = threading.RLock()
        self.by_name: dict[str, Bucket] = {}
        self._arrived: dict[str, threading.Barrier] = {}

    def create(self, name: str, options: dict[str, Any]) -> Bucket:
        """A new bucket."""
        if not isinstance(name, str) or not _BUCKET.fullmatch(name) or name != name.strip():
            raise Refusal("400", "Invalid Input", "Bucket name invalid", "InvalidBucketName")
        limit = options.get("file_size_limit")
        if limit is not None and limit > self.global_limit:
            raise too_large()
        with self.lock:
            if name in self.by_name:
                raise duplicate("BucketAlreadyExists")
            made = Bucket(
                name, bool(options.get("public")), limit, options.get("allowed_mime_types")
            )
            self.by_name[name] = made
            return made

    def bucket(self, name: str) -> Bucket:
        """The bucket of that name."""
        with self.lock:
            if name not in self.by_name:
                raise no_bucket()
            return self.by_name[name]

    def put(self, name: str, key: str, upload: Upload, *, overwrite: bool) -> Stored:
        """Store an object; the test for a duplicate comes before the size, as in the service."""
        bucket = self.bucket(name)
        check_key(key)
        with self.lock:
            if key in bucket.objects and not overwrite:
                raise duplicate("KeyAlreadyExists")
        self._check(bucket, upload)
        if self.faults.racy_create:
            self._meet(f"{name}/{key}")
        with self.lock:
            old = bucket.objects.get(key)
            if old is not None and not overwrite and not self.faults.racy_create:
                raise duplicate("KeyAlreadyExists")
            stored = Stored(upload)
            if old is not None:
                stored.id, stored.created_at = old.id, old.created_at
                stored.stale, stored.stale_reads = old.upload.content, self.faults.stale_reads
                stored.errors = list(self.faults.overwrite_errors)
            bucket.objects[key] = stored
            return stored

    def find(self, name: str, key: str) -> Stored:
        """An object."""
        bucket = self.bucket(name)
        with self.lock:
            if key not in bucket.objects:
                raise no_object()
            return bucket.objects[key]

    def read(self, name: str, key: str) -> tuple[Stored, bytes]:
        """An object and the bytes a reader gets: for a while the old ones, or an error."""
        stored = self.find(name, key)
        with self.lock:
            if stored.errors:
                status = stored.errors.pop(0)
                if status == 404:
                    raise Refusal("404", "not_found", "Not found", "NoSuchKey")
                raise Refusal("500", "Internal", "Internal Server Error", "InternalError")
            if stored.stale_reads > 0 and stored.stale is not None:
                stored.stale_reads -= 1
                return stored, stored.stale
            return stored, stored.upload.content

    def move(self, name: str, source: str, target: str) -> None:
        """Give an object another key; one transaction, the only atomic claim there is."""
        bucket = self.bucket(name)
        check_key(target)
        with self.lock:
            if source not in bucket.objects:
                raise no_object()
            if target in bucket.objects and self.faults.atomic_move:
                raise duplicate("ResourceAlreadyExists")
            bucket.objects[target] = replace(bucket.objects.pop(source), updated_at=time.time())

    def copy(self, name: str, source: str, target: str) -> Stored:
        """A second object of the same bytes; the test for a duplicate protects nobody."""
        stored = self.find(name, source)
        bucket = self.bucket(name)
        check_key(target)
        with self.lock:
            if target in bucket.objects:
                raise duplicate("KeyAlreadyExists")
        if self.faults.racy_create:
            self._meet(f"{name}/{target}")
        with self.lock:
            bucket.objects[target] = Stored(stored.upload)
            return bucket.objects[target]

    def remove(self, name: str, keys: list[str]) -> list[tuple[str, Stored]]:
        """Delete objects; what was deleted. A missing bucket has none."""
        with self.lock:
            bucket = self.by_name.get(name)
            if bucket is None:
                return []
            found = [key for key in dict.fromkeys(keys) if key in bucket.objects]
            return [(key, bucket.objects.pop(key)) for key in found]

    def level(self, name: str, prefix: str, search: str) -> list[dict[str, Any]]:
        """Files and folders directly below a folder, unsorted."""
        folder = prefix.strip("/") + "/" if prefix.strip("/") else ""
        with self.lock:
            bucket = self.by_name.get(name)
            objects = dict(bucket.objects) if bucket is not None else {}
        rows: dict[str, dict[str, Any]] = {}
        for key, stored in objects.items():
            if not key.startswith(folder):
                continue
            first, slash, _ = key[len(folder) :].partition("/")
            if first.lower().startswith(search.lower()):
                rows[first + slash] = folder_row(first) if slash else file_row(first, stored)
        return list(rows.values())

    def _check(self, bucket: Bucket, upload: Upload) -> None:
        plain = upload.mimetype.partition(";")[0]
        if bucket.mime_types is not None and plain not in bucket.mime_types:
            said = f"mime type {plain} is not supported"
            raise Refusal("415", "invalid_mime_type", said, "InvalidMimeType")
        if len(upload.content) > min(bucket.size_limit or self.global_limit, self.global_limit):
            raise too_large()

    def _meet(self, key: str) -> None:
        """Wait a moment for a second writer of the same key, so that both have passed the test."""
        if self.faults.racy_wait_s <= 0.0:
            return
        with self.lock:
            barrier = self._arrived.setdefault(key, threading.Barrier(2))
        with suppress(threading.BrokenBarrierError):
            barrier.wait(self.faults.racy_wait_s)
        with self.lock:
            if barrier.broken:
                self._arrived.pop(key, None)


def too_large() -> Refusal:
    """Above the limit of the bucket or of all."""
    said = "The object exceeded the maximum allowed size"
    return Refusal("413", "Payload too large", said, "EntityTooLarge")


def check_key(key: str) -> None:
    """The service's rule for keys."""
    if not _KEY.fullmatch(key):
        raise Refusal("400", "InvalidKey", f"Invalid key: {key}", "InvalidKey")


def sorted_level(rows: list[dict[str, Any]], column: str, order: str) -> list[dict[str, Any]]:
    """Sorted as the service does: names without regard to case."""
    return sorted(
        rows, key=lambda row: (str(row[column] or "").lower(), row["name"]), reverse=order == "desc"
    )


def moment(seconds: float) -> str:
    """A time as the service writes it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def file_row(name: str, stored: Stored) -> dict[str, Any]:
    """An object in a list."""
    size = len(stored.upload.content)
    return {
        "name": name,
        "id": stored.id,
        "updated_at": moment(stored.updated_at),
        "created_at": moment(stored.created_at),
        "last_accessed_at": moment(stored.created_at),
        "metadata": {
            "eTag": stored.etag,
            "size": size,
            "mimetype": stored.upload.mimetype,
            "cacheControl": stored.upload.cache_control,
            "lastModified": moment(stored.updated_at),
            "contentLength": size,
            "httpStatusCode": 200,
        },
    }


def folder_row(name: str) -> dict[str, Any]:
    """A folder in a list."""
    blank = ("id", "updated_at", "created_at", "last_accessed_at", "metadata")
    return {"name": name, **dict.fromkeys(blank)}
