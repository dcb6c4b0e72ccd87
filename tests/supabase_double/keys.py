"""JSON web tokens (HS256) by the standard library, as the service signs and checks them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any


class BadToken(Exception):
    """What the service says of a token it refuses."""


def make_token(secret: str, **claims: Any) -> str:
    """A signed token with these claims."""
    head = _encoded({"alg": "HS256", "typ": "JWT"})
    body = f"{head}.{_encoded(claims)}"
    return f"{body}.{_signature(secret, body)}"


def make_key(secret: str, role: str, *, lives_s: float = 3_600.0) -> str:
    """A project key of a role; with a negative life it has expired."""
    now = int(time.time())
    return make_token(secret, iss="supabase", role=role, iat=now - 7_200, exp=int(now + lives_s))


def read_token(secret: str, token: str) -> dict[str, Any]:
    """The claims of a valid token, else BadToken in the service's words."""
    parts = token.split(".")
    try:
        head, claims = (json.loads(_decoded(part)) for part in parts[:2])
    except ValueError:
        raise BadToken("Invalid Compact JWS") from None
    if len(parts) != 3 or head.get("alg") != "HS256":
        raise BadToken("Invalid Compact JWS")
    if not hmac.compare_digest(parts[2], _signature(secret, f"{parts[0]}.{parts[1]}")):
        raise BadToken("signature verification failed")
    if claims.get("exp", float("inf")) <= time.time():
        raise BadToken('"exp" claim timestamp check failed')
    return claims


def _signature(secret: str, body: str) -> str:
    digest = hmac.new(secret.encode(), body.encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _encoded(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def _decoded(part: str) -> bytes:
    return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
