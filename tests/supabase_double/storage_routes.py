"""The Storage API of the double: which request does what, in the service's words."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote

from supabase_double.buckets import (
    LIST_CAP,
    LIST_V2_CAP,
    SORT_COLUMNS,
    Buckets,
    Refusal,
    Stored,
    Upload,
    file_row,
    invalid,
    moment,
    no_bucket,
    no_object,
    sorted_level,
)
from supabase_double.keys import BadToken, make_token, read_token

PREFIX = "/storage/v1/"


@dataclass
class Request:
    """One request, read whole."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    rest: str = ""
    is_anonymous: bool = False

    def json(self) -> dict[str, Any]:
        """The body as an object."""
        try:
            value = json.loads(self.body or b"{}")
        except ValueError:
            raise invalid("Body is not valid JSON") from None
        return value if isinstance(value, dict) else {}

    @property
    def bucket_and_key(self) -> tuple[str, str]:
        """The path after its route, decoded; '//' counts as one '/'."""
        bucket, _, key = self.rest.partition("/")
        return unquote(bucket), re.sub("/+", "/", unquote(key))


@dataclass
class Answer:
    """One response."""

    status: int
    body: bytes
    headers: dict[str, str]


def as_json(value: Any, status: int = 200, **headers: str) -> Answer:
    """A response of JSON."""
    content = {"content-type": "application/json; charset=utf-8", **headers}
    return Answer(status, json.dumps(value).encode(), content)


Work = Callable[[Request], Answer]
ROUTES: tuple[tuple[str, str, str], ...] = (
    ("POST", "bucket/?$", "create_bucket"),
    ("GET", "bucket/?$", "list_buckets"),
    ("GET", "bucket/(?P<rest>[^/]+)$", "get_bucket"),
    ("PUT", "bucket/(?P<rest>[^/]+)$", "update_bucket"),
    ("DELETE", "bucket/(?P<rest>[^/]+)$", "delete_bucket"),
    ("POST", "bucket/(?P<rest>[^/]+)/empty$", "empty_bucket"),
    ("POST", "object/list/(?P<rest>[^/]+)$", "list"),
    ("POST", "object/list-v2/(?P<rest>[^/]+)$", "list_v2"),
    ("POST", "object/move$", "move"),
    ("POST", "object/copy$", "copy"),
    ("POST", "object/sign/(?P<rest>[^/]+)$", "sign_many"),
    ("POST", "object/sign/(?P<rest>.+)$", "sign"),
    ("GET", "object/sign/(?P<rest>.+)$", "signed"),
    ("HEAD", "object/sign/(?P<rest>.+)$", "signed"),
    ("GET", "object/info/(?P<rest>.+)$", "info"),
    ("GET", "object/(?P<rest>.+)$", "download"),
    ("HEAD", "object/(?P<rest>.+)$", "download"),
    ("POST", "object/(?P<rest>.+)$", "upload"),
    ("PUT", "object/(?P<rest>.+)$", "update"),
    ("DELETE", "object/(?P<rest>[^/]+)$", "remove"),
)


def route_of(method: str, path: str) -> tuple[str, str]:
    """Name of the route and the rest of the path, ('', '') if there is none."""
    for wanted, pattern, name in ROUTES:
        match = re.match(pattern, path)
        if wanted == method and match:
            return name, match.groupdict().get("rest", "")
    return "", ""


class StorageRoutes:
    """Answers to the requests of one project."""

    def __init__(self, buckets: Buckets, secret: str) -> None:
        self._buckets = buckets
        self._secret = secret

    def answer(self, route: str, request: Request) -> Answer:
        """Authorize, work, and turn a refusal into its body."""
        try:
            if route != "signed":
                request.is_anonymous = self._is_anonymous(route, request)
            work: Work = getattr(self, f"_{route}")
            return work(request)
        except Refusal as refusal:
            return as_json(refusal.body, refusal.http_status)

    def _is_anonymous(self, route: str, request: Request) -> bool:
        if "authorization" not in request.headers:
            raise invalid("headers must have required property 'authorization'")
        try:
            claims = read_token(
                self._secret, request.headers["authorization"].removeprefix("Bearer ")
            )
        except BadToken as error:
            if str(error) == "Invalid Compact JWS" and route in ("download", "info"):
                raise no_bucket() from None
            raise Refusal("403", "Unauthorized", str(error), "AccessDenied") from None
        return claims.get("role") != "service_role"

    # Buckets.

    def _create_bucket(self, request: Request) -> Answer:
        self._writable(request)
        body = request.json()
        return as_json({"name": self._buckets.create(body.get("name", ""), body).name})

    def _list_buckets(self, request: Request) -> Answer:
        shown = [] if request.is_anonymous else list(self._buckets.by_name.values())
        return as_json([bucket.row() for bucket in shown])

    def _get_bucket(self, request: Request) -> Answer:
        if request.is_anonymous:
            raise no_bucket()
        return as_json(self._buckets.bucket(unquote(request.rest)).row())

    def _update_bucket(self, request: Request) -> Answer:
        self._writable(request)
        bucket, body = self._buckets.bucket(unquote(request.rest)), request.json()
        bucket.public = bool(body.get("public", bucket.public))
        bucket.size_limit = body.get("file_size_limit", bucket.size_limit)
        bucket.mime_types = body.get("allowed_mime_types", bucket.mime_types)
        return as_json({"message": "Successfully updated"})

    def _delete_bucket(self, request: Request) -> Answer:
        self._writable(request)
        bucket = self._buckets.bucket(unquote(request.rest))
        if bucket.objects:
            said = "The bucket you tried to delete is not empty"
            raise Refusal("409", "ResourceNotEmpty", said, "ResourceNotEmpty")
        del self._buckets.by_name[bucket.name]
        return as_json({"message": "Successfully deleted"})

    def _empty_bucket(self, request: Request) -> Answer:
        self._writable(request)
        self._buckets.bucket(unquote(request.rest)).objects.clear()
        return as_json(
            {"message": "Empty bucket has been queued. Completion may take up to an hour."}
        )

    # Objects.

    def _upload(self, request: Request) -> Answer:
        return self._stored(request, overwrite=request.headers.get("x-upsert") == "true")

    def _update(self, request: Request) -> Answer:
        return self._stored(request, overwrite=True)

    def _stored(self, request: Request, *, overwrite: bool) -> Answer:
        raw_key = unquote(request.rest.partition("/")[2])
        bucket, key = request.bucket_and_key
        if not raw_key or raw_key.endswith("/"):
            raise Refusal("400", "InvalidRequest", "No content provided", "InvalidRequest")
        self._buckets.bucket(bucket)
        self._writable(request)
        stored = self._buckets.put(bucket, key, parse_upload(request), overwrite=overwrite)
        return as_json({"Key": f"{bucket}/{raw_key}", "Id": stored.id})

    def _download(self, request: Request) -> Answer:
        bucket, key = request.bucket_and_key
        stored, content = self._visible(request, bucket, key)
        return whole_or_part(
            request, stored, content, {"cache-control": stored.upload.cache_control}
        )

    def _visible(self, request: Request, bucket: str, key: str) -> tuple[Stored, bytes]:
        self._buckets.bucket(bucket)
        if request.is_anonymous and not self._buckets.bucket(bucket).public:
            raise no_object()
        return self._buckets.read(bucket, key)

    def _info(self, request: Request) -> Answer:
        bucket, key = request.bucket_and_key
        self._buckets.bucket(bucket)
        if request.is_anonymous:
            raise no_object()
        stored = self._buckets.find(bucket, key)
        return as_json(
            {
                "id": stored.id,
                "name": key,
                "version": stored.version,
                "bucket_id": bucket,
                "size": len(stored.upload.content),
                "content_type": stored.upload.mimetype,
                "cache_control": stored.upload.cache_control,
                "etag": stored.etag,
                "metadata": stored.upload.metadata,
                "last_modified": moment(stored.updated_at),
                "created_at": moment(stored.created_at),
            }
        )

    def _list(self, request: Request) -> Answer:
        body = request.json()
        limit, offset = int(body.get("limit", 100)), int(body.get("offset", 0))
        by = body.get("sortBy") or {}
        column, order = by.get("column", "name"), by.get("order", "asc")
        if limit < 1:
            raise invalid("body/limit must be >= 1")
        if column not in SORT_COLUMNS:
            raise invalid("body/sortBy/column must be equal to one of the allowed values")
        if request.is_anonymous:
            return as_json([])
        search = body.get("search") or ""
        rows = self._buckets.level(unquote(request.rest), body.get("prefix", ""), search)
        return as_json(sorted_level(rows, column, order)[offset:][: min(limit, LIST_CAP)])

    def _list_v2(self, request: Request) -> Answer:
        body = request.json()
        limit = int(body.get("limit", LIST_V2_CAP))
        if limit < 1:
            raise invalid("body/limit must be >= 1")
        found = {} if request.is_anonymous else self._below(unquote(request.rest), body)
        after = [name for name in sorted(found) if name > (body.get("cursor") or "")]
        page = after[: min(limit, LIST_V2_CAP)]
        folders = [{"name": name, "key": name} for name in page if found[name] is None]
        objects = [
            {**file_row(name, stored), "key": name}
            for name in page
            if (stored := found[name]) is not None
        ]
        answer = {"hasNext": len(after) > len(page), "folders": folders, "objects": objects}
        return as_json(answer | ({"nextCursor": page[-1]} if answer["hasNext"] else {}))

    def _below(self, name: str, body: dict[str, Any]) -> dict[str, Stored | None]:
        prefix = body.get("prefix") or ""
        bucket = self._buckets.by_name.get(name)
        found: dict[str, Stored | None] = {}
        for key, stored in dict(bucket.objects if bucket else {}).items():
            if not key.startswith(prefix):
                continue
            first, slash, _ = key[len(prefix) :].partition("/")
            is_folder = bool(slash) and bool(body.get("with_delimiter"))
            found[prefix + first + slash if is_folder else key] = None if is_folder else stored
        return found

    def _remove(self, request: Request) -> Answer:
        keys = request.json().get("prefixes")
        if not keys:
            raise invalid("body/prefixes must NOT have fewer than 1 items")
        bucket = unquote(request.rest)
        gone = [] if request.is_anonymous else self._buckets.remove(bucket, keys)
        return as_json([{**file_row(key, stored), "bucket_id": bucket} for key, stored in gone])

    def _move(self, request: Request) -> Answer:
        bucket, source, target = self._source_and_target(request)
        self._buckets.move(bucket, source, target)
        return as_json({"message": "Successfully moved"})

    def _copy(self, request: Request) -> Answer:
        bucket, source, target = self._source_and_target(request)
        made = self._buckets.copy(bucket, source, target)
        return as_json({"Key": f"{bucket}/{target}", "Id": made.id, **file_row(target, made)})

    def _source_and_target(self, request: Request) -> tuple[str, str, str]:
        body = request.json()
        self._buckets.bucket(body["bucketId"])
        if request.is_anonymous:
            raise no_object()
        return body["bucketId"], body["sourceKey"], body["destinationKey"]

    # Signed addresses.

    def _sign(self, request: Request) -> Answer:
        bucket, key = request.bucket_and_key
        self._buckets.bucket(bucket)
        lives_s = lifetime(request)
        if request.is_anonymous:
            raise no_object()
        self._buckets.find(bucket, key)
        return as_json({"signedURL": self._signed_url(bucket, key, lives_s)})

    def _sign_many(self, request: Request) -> Answer:
        bucket, lives_s = unquote(request.rest), lifetime(request)
        objects = self._buckets.bucket(bucket).objects
        return as_json(
            [
                {
                    "path": key,
                    "error": None
                    if key in objects
                    else "Either the object does not exist or you do not have access to it",
                    "signedURL": self._signed_url(bucket, key, lives_s) if key in objects else None,
                }
                for key in request.json()["paths"]
            ]
        )

    def _signed_url(self, bucket: str, key: str, lives_s: int) -> str:
        now = int(time.time())
        token = make_token(self._secret, url=f"{bucket}/{key}", iat=now, exp=now + lives_s)
        return f"/object/sign/{bucket}/{key}?token={token}"

    def _signed(self, request: Request) -> Answer:
        bucket, key = request.bucket_and_key
        try:
            claims = read_token(self._secret, request.query.get("token", ""))
            if claims.get("url") != f"{bucket}/{key}":
                raise BadToken("signature verification failed")
        except BadToken as error:
            raise Refusal("400", "InvalidJWT", str(error), "InvalidJWT") from None
        stored, content = self._buckets.read(bucket, key)
        return whole_or_part(request, stored, content, {"expires": moment(claims["exp"])})

    def _writable(self, request: Request) -> None:
        if request.is_anonymous:
            said = "new row violates row-level security policy"
            raise Refusal("403", "Unauthorized", said, "AccessDenied")


def lifetime(request: Request) -> int:
    """Seconds a signed address lives."""
    seconds = int(request.json().get("expiresIn", 0))
    if seconds < 1:
        raise invalid("body/expiresIn must be >= 1")
    return seconds


def parse_upload(request: Request) -> Upload:
    """The multipart body: cacheControl, [metadata], file, in this order."""
    boundary = re.search(r'boundary="?([^";]+)', request.headers.get("content-type", ""))
    if boundary is None:
        raise Refusal("400", "InvalidRequest", "No content provided", "InvalidRequest")
    fields: dict[str, str] = {}
    for part in request.body.split(b"--" + boundary[1].encode())[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        name = re.search(rb' name="([^"]*)"', head)
        if name is None or name[1] != b"file":
            fields[name[1].decode() if name else ""] = content[:-2].decode()
            continue
        declared = fields.get("cacheControl", "")
        control = f"max-age={declared}" if declared else "no-cache"
        kind = re.search(rb"(?i)content-type: ([^\r\n]+)", head)
        mimetype = kind[1].decode() if kind else "application/octet-stream"
        return Upload(content[:-2], mimetype, control, json.loads(fields.get("metadata", "{}")))
    raise Refusal("400", "InvalidRequest", "No content provided", "InvalidRequest")


def whole_or_part(request: Request, stored: Stored, content: bytes, more: dict[str, str]) -> Answer:
    """A download: 200, 206 for a Range, 304 for a known etag."""
    headers = {
        "accept-ranges": "bytes",
        "content-type": stored.upload.mimetype,
        "etag": stored.etag,
        "last-modified": moment(stored.updated_at),
        "x-robots-tag": "none",
        **more,
    }
    if request.headers.get("if-none-match") == stored.etag:
        return Answer(304, b"", headers)
    wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
    if wanted is None:
        return Answer(200, content, headers)
    first, last = int(wanted[1]), int(wanted[2] or len(content) - 1)
    part = content[first : last + 1]
    headers["content-range"] = f"bytes {first}-{first + len(part) - 1}/{len(content)}"
    return Answer(206, part, headers)


def query_of(text: str) -> dict[str, str]:
    """The last value of each name of a query string."""
    return {name: values[-1] for name, values in parse_qs(text, keep_blank_values=True).items()}
