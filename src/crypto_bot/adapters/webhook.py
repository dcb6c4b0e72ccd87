"""Webhooks: a signed POST of JSON, its time bounded, its answer's status all that is read."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping

from crypto_bot.operations import DeliveryFailed, Notice

EVENT, DELIVERY = "X-CryptoBot-Event", "X-CryptoBot-Delivery"
TIMESTAMP, SIGNATURE = "X-CryptoBot-Timestamp", "X-CryptoBot-Signature"
WORTH_ANOTHER_TRY = frozenset({408, 429})
"""Answers of the 400s that may change by themselves."""
LONGEST_RETRY_AFTER_S = 86_400.0


def sign_webhook(secret: str, timestamp: str, body: bytes) -> str:
    """`sha256=` and the HMAC-SHA256 (hex) of timestamp, a dot and the body.

    >>> sign_webhook("key", "0", b"{}")[:14]
    'sha256=7314351'
    """
    signed = hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256)
    return f"sha256={signed.hexdigest()}"


def verify_webhook(
    secret: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    now_s: float | None = None,
    tolerance_s: float = 300.0,
) -> bool:
    """Whether a post came from who knows `secret`, unchanged, and not too long ago.

    Parameters
    ----------
    headers : mapping    of the request; names in any case
    body : bytes         exactly as received
    now_s : float        Unix time; the machine's unless told
    tolerance_s : float  how far the post's own time may be from it, either way
    """
    given = {name.lower(): value for name, value in headers.items()}
    timestamp = given.get(TIMESTAMP.lower(), "")
    if not (timestamp.isascii() and timestamp.isdigit()) or len(timestamp) > 12:
        return False
    wanted = sign_webhook(secret, timestamp, body)
    signature = given.get(SIGNATURE.lower(), "").encode("latin-1", "replace")
    if not hmac.compare_digest(signature, wanted.encode()):
        return False
    return abs((time.time() if now_s is None else now_s) - int(timestamp)) <= tolerance_s


class WebhookChannel:
    """Posts notices to one URL.

    Parameters
    ----------
    url : str          http(s); a secret: it stands in no message
    secret : str       signs each post; None posts without a signature
    timeout_s : float  of a whole try, connecting included
    now_s : callable   Unix time

    Notes
    -----
    Redirects are not followed: whoever can redirect would get what is told. A 2xx is taken; 408, 429,
    5xx and a connection that fails are worth another try, every other answer is final.
    """

    name = "webhook"

    def __init__(
        self,
        url: str,
        secret: str | None = None,
        *,
        timeout_s: float = 10.0,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._url = url
        self._secret = secret
        self._timeout_s = timeout_s
        self._now_s = now_s

    def __repr__(self) -> str:
        return "WebhookChannel(...)"

    def deliver(self, notice: Notice) -> None:
        """Post it; DeliveryFailed unless the answer is a 2xx."""
        body = json.dumps(notice.model_dump(), sort_keys=True, allow_nan=False).encode()
        status, retry_after = asyncio.run(self._post(body, self._headers(notice, body)))
        if 200 <= status < 300:
            return
        is_final = not (status in WORTH_ANOTHER_TRY or status >= 500)
        told = "; redirects are not followed: set webhook_url to the last address"
        raise DeliveryFailed(
            f"webhook must answer 2xx, was {status}{told if 300 <= status < 400 else ''}",
            is_final=is_final,
            retry_after_s=_seconds(retry_after),
        )

    def _headers(self, notice: Notice, body: bytes) -> dict[str, str]:
        timestamp = str(int(self._now_s()))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "crypto-bot",
            EVENT: notice.event,
            DELIVERY: notice.event_id,
            TIMESTAMP: timestamp,
        }
        if self._secret:
            headers[SIGNATURE] = sign_webhook(self._secret, timestamp, body)
        return headers

    async def _post(self, body: bytes, headers: dict[str, str]) -> tuple[int, str | None]:
        import httpx

        try:
            async with (
                asyncio.timeout(self._timeout_s),
                httpx.AsyncClient(follow_redirects=False, timeout=self._timeout_s) as client,
                client.stream("POST", self._url, content=body, headers=headers) as answer,
            ):
                return answer.status_code, answer.headers.get("Retry-After")
        except TimeoutError:
            raise DeliveryFailed(
                f"webhook must answer within {self._timeout_s:g} s, did not"
            ) from None
        except (httpx.InvalidURL, httpx.UnsupportedProtocol):
            raise DeliveryFailed(
                "webhook_url must be an http(s) address, was not", is_final=True
            ) from None
        except httpx.HTTPError as error:
            raise DeliveryFailed(
                f"webhook must be reachable, was not: {type(error).__name__}"
            ) from None


def _seconds(retry_after: str | None) -> float | None:
    """A Retry-After in seconds; one that is a date is left to our own back-off."""
    if retry_after is None or not (retry_after.isascii() and retry_after.isdigit()):
        return None
    return min(float(retry_after), LONGEST_RETRY_AFTER_S)
