"""One Supabase project: its address and key, retries where they are safe, refusals in plain words."""

from __future__ import annotations

import base64
import ipaddress
import json
import logging
import os
import random
import re
import socket
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from pydantic import Field, SecretStr

from crypto_bot.core.errors import ConfigError, CryptoBotError, StorageError
from crypto_bot.core.options import Options
from crypto_bot.registry.objects import MissingObject

if TYPE_CHECKING:
    import httpx

_LOG = logging.getLogger(__name__)
_Answer = TypeVar("_Answer")
_HOST = re.compile(r"[A-Za-z0-9.\-\[\]:]+")
_KEY = re.compile(r"[\x21-\x7e]+")
_MOST_WORDS = 160
_JITTER = random.SystemRandom()


class SupabaseRefused(ConfigError, StorageError):  # noqa: N818 - a verdict
    """The project refuses this key or lacks this bucket: a setting is wrong, waiting mends nothing."""


class Taken(StorageError):  # noqa: N818 - a state
    """An object has this key already."""


class Unanswered(StorageError):  # noqa: N818 - a state
    """No answer to be relied on after every attempt: a write may have happened or not."""


class SupabaseRetries(Options):
    """How often a request that failed by the network or the server is sent again."""

    attempts: int = Field(default=6, ge=1, le=20, description="requests in all, the first included")
    first_wait_s: float = Field(default=0.25, ge=0, description="pause before the second; doubles")
    longest_wait_s: float = Field(
        default=30.0, ge=0, description="no pause is longer, whatever Retry-After asks for"
    )


@dataclass(frozen=True)
class Problem:
    """Why a request failed; `status` is what the server means, 0 where it did not answer."""

    status: int
    code: str
    message: str
    retry_after_s: float | None = None

    @property
    def may_pass(self) -> bool:
        """Whether the same request may succeed later."""
        return self.status == 0 or self.status == 429 or self.status >= 500


class SupabaseService:
    """Address, key and connections of one project; shared by threads, safe after a fork.

    Parameters
    ----------
    url : str                  'https://<project>.supabase.co', or the address of an own server
    key : SecretStr            service-role key; leaves this object in request headers only
    timeout_s : float          longest silence of the server, seconds
    client : httpx.Client      connections to use, closed by their owner; by default its own
    retries : SupabaseRetries  for answers that may be better a moment later
    wait : callable            pauses that many seconds

    Raises
    ------
    ConfigError    if url or key cannot be right
    """

    def __init__(
        self,
        url: str,
        key: SecretStr,
        *,
        timeout_s: float = 20.0,
        client: httpx.Client | None = None,
        retries: SupabaseRetries | None = None,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self.url = _checked_url(url)
        self.host = urlsplit(self.url).netloc
        self.timeout_s = timeout_s
        self._key = _checked_key(key)
        self._retries = SupabaseRetries() if retries is None else retries
        self._wait = wait
        self._client = client
        self._owner = os.getpid() if client is not None else 0

    @property
    def http(self) -> httpx.Client:
        """The connections; made on first use, and again in a forked process."""
        if self._client is None or self._owner != os.getpid():
            import httpx

            # Redirects are not followed: they would carry the key to another host.
            self._client = httpx.Client(timeout=self.timeout_s, follow_redirects=False)
            self._owner = os.getpid()
            weakref.finalize(self, self._client.close)
        return self._client

    @property
    def headers(self) -> dict[str, str]:
        """What proves who asks."""
        key = self._key.get_secret_value()
        return {"apiKey": key, "Authorization": f"Bearer {key}"}

    def close(self) -> None:
        """Free the connections; the next request makes new ones."""
        if self._client is not None and self._owner == os.getpid():
            self._client.close()
        self._client = None

    def ask(self, call: Callable[[], _Answer], doing: str) -> _Answer:
        """Run one request until it is answered, or raise why not.

        Parameters
        ----------
        call : callable    sends the request; sending it twice must do no harm
        doing : str        what is being done, for the message: 'reading a/b.json'

        Raises
        ------
        MissingObject      there is no such object
        Taken              there is one already
        SupabaseRefused    key or bucket is wrong
        Unanswered         network or server failed at every attempt
        StorageError       any other refusal
        """
        failures = _failures()
        attempt = 1
        while True:
            try:
                return call()
            except failures as error:
                problem = problem_of(error)
                if not problem.may_pass or attempt >= self._retries.attempts:
                    raise self._in_words(problem, doing, attempt) from error
            pause = self._pause(problem, attempt)
            _LOG.info("%s: %s; again in %.2f s", doing, self._cleaned(problem), pause)
            self._wait(pause)
            attempt += 1

    def _pause(self, problem: Problem, attempt: int) -> float:
        wanted = self._retries.first_wait_s * 2 ** (attempt - 1) * _JITTER.uniform(0.5, 1.5)
        return min(max(wanted, problem.retry_after_s or 0.0), self._retries.longest_wait_s)

    def _cleaned(self, problem: Problem) -> str:
        """The server's own words, short and without the key, should it ever repeat it."""
        text = problem.message.replace(self._key.get_secret_value(), "**********")
        text = " ".join(text.split())[:_MOST_WORDS]
        return f"{problem.status} {text}" if problem.status else text

    def _in_words(self, problem: Problem, doing: str, attempts: int) -> CryptoBotError:
        kind, rule = _rule(problem, self.host)
        said = self._cleaned(problem)
        tries = f" after {attempts} attempts" if attempts > 1 else ""
        must, _, way_out = rule.partition("; ")
        return kind(f"{doing} at {self.host}: {must}{tries} ({said}); {way_out}")


def _failures() -> tuple[type[Exception], ...]:
    """What a request can fail with; the last three are answers in another form than the service's."""
    import httpx
    from storage3.exceptions import StorageApiError

    return StorageApiError, httpx.HTTPError, KeyError, TypeError, ValueError


def problem_of(error: Exception) -> Problem:
    """What a failed request means."""
    import httpx
    from storage3.exceptions import StorageApiError

    if isinstance(error, StorageApiError):
        status = int(error.status) if str(error.status).isdecimal() else 0
        return Problem(status, str(error.code), str(error.message), _retry_after(error))
    if isinstance(error, httpx.HTTPStatusError):
        return problem_of_response(error.response)
    if isinstance(error, httpx.HTTPError):
        return Problem(0, *_network_words(error))
    return Problem(0, "garbled", f"{type(error).__name__} in reading the answer")


def problem_of_response(response: httpx.Response) -> Problem:
    """The refusal in a response that was read."""
    try:
        body = response.json()
        status = int(body.get("statusCode", response.status_code))
        code = str(body.get("error") or body.get("code") or "")
        message = str(body["message"])
    except (AttributeError, KeyError, TypeError, ValueError):
        status, code, message = response.status_code, "InternalError", response.text
    return Problem(status, code, message, _seconds(response.headers.get("retry-after")))


def _rule(problem: Problem, host: str) -> tuple[type[CryptoBotError], str]:
    """The error's class, and 'what must be; what to do'."""
    message, code = problem.message.lower(), problem.code.lower()
    if problem.status == 0:
        return Unanswered, _NETWORK.get(problem.code, _NETWORK["broken"])
    if "bucket not found" in (message, code):
        return SupabaseRefused, _NO_BUCKET
    for status, word, rule in _REFUSED:
        if problem.status == status and word in message:
            return SupabaseRefused, rule
    if problem.status == 404:
        return MissingObject, "the object must exist, did not; publish it, or ask for another"
    if problem.status == 409:
        return Taken, "the key must be free, was taken; it is never overwritten"
    if problem.status in _OTHER:
        return StorageError, _OTHER[problem.status]
    if problem.status == 429:
        return Unanswered, "the server must take requests, had too many; try again in a minute"
    if problem.status >= 500:
        return Unanswered, "the server must work, failed; try again, then look at its status page"
    if 300 <= problem.status < 400:
        return SupabaseRefused, f"{host} must be the project itself, redirects; set SUPABASE_URL"
    return StorageError, "the server must accept the request, refused it; see its words"


_NO_BUCKET = (
    "the bucket must exist and be seen by this key, was not found; create it (private) in the "
    "project's Storage page or set ml_integration.supabase.bucket, and check that "
    "SUPABASE_SERVICE_KEY is the service-role key"
)
_NETWORK = {
    "name": "the host name must be known, was not; check SUPABASE_URL and this machine's network",
    "refused": "the server must listen, refused the connection; check SUPABASE_URL and its port",
    "timeout": "the server must answer in time, did not; try again, or raise the timeout",
    "certificate": "the server must show a certificate that is trusted, did not; check SUPABASE_URL",
    "garbled": "the answer must be the service's, was not; check SUPABASE_URL for a proxy between",
    "broken": "the connection must last, broke; try again",
}
_REFUSED = (
    (401, "expired", "SUPABASE_SERVICE_KEY must be valid, has expired; make a new one"),
    (401, "", "SUPABASE_SERVICE_KEY must be a key of this project, is not; copy its service key"),
    (403, '"exp" claim', "SUPABASE_SERVICE_KEY must be valid, has expired; make a new one"),
    (
        403,
        "signature verification",
        "SUPABASE_SERVICE_KEY must be a key of this project, is another's; copy its service key",
    ),
    (
        403,
        "invalid compact jws",
        "SUPABASE_SERVICE_KEY must be a service key, is no key; copy it again, whole",
    ),
    (
        403,
        "row-level security",
        "SUPABASE_SERVICE_KEY must be the service-role key, may not write here; "
        "copy the service-role key, not the anon key",
    ),
    (403, "", "SUPABASE_SERVICE_KEY must be allowed this, is not; use the service-role key"),
)
_OTHER = {
    413: "the object must be within the size limit, was larger; raise the limit of bucket and project",
    415: "the bucket must allow this content type, does not; remove its allowed_mime_types",
}


def _network_words(error: httpx.HTTPError) -> tuple[str, str]:
    import httpx

    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in causes:
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    text = str(error) or type(error).__name__
    if isinstance(error, httpx.TimeoutException):
        return "timeout", text
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return "name", text
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return "refused", text
    if isinstance(error, httpx.ConnectError) and "certificate" in text.lower():
        return "certificate", text
    return "broken", text


def _retry_after(error: BaseException) -> float | None:
    import httpx

    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, httpx.HTTPStatusError):
            return _seconds(cause.response.headers.get("retry-after"))
        cause = cause.__cause__ or cause.__context__
    return None


def _seconds(text: str | None) -> float | None:
    return float(text) if text is not None and text.isdecimal() else None


def _checked_url(url: str) -> str:
    """The address without its last '/'; it is shown in no message, for it could carry a password."""
    parts = urlsplit(url.strip())
    if parts.scheme not in ("http", "https") or not _HOST.fullmatch(parts.netloc):
        raise ConfigError(
            "SUPABASE_URL must be http(s)://host without name and password, was not; "
            "copy the project URL from the project's settings"
        )
    if parts.query or parts.fragment:
        raise ConfigError("SUPABASE_URL must end with the host, had a query; remove it")
    if parts.scheme == "http" and not _is_near(parts.hostname or ""):
        _LOG.warning("SUPABASE_URL is http: the service key crosses the network unencrypted")
    return url.strip().rstrip("/")


def _is_near(host: str) -> bool:
    if host == "localhost" or ("." not in host and ":" not in host):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_private


def _checked_key(key: SecretStr) -> SecretStr:
    """Refuse what is certainly no service key; the anon key would see an empty store, not an error."""
    text = key.get_secret_value()
    if not _KEY.fullmatch(text):
        raise ConfigError(
            "SUPABASE_SERVICE_KEY must be one word of ASCII, was empty or held other characters; "
            "copy the service-role key again"
        )
    if text.startswith("sb_publishable_") or _role(text) == "anon":
        raise SupabaseRefused(
            "SUPABASE_SERVICE_KEY must be the service-role key, was the anon (publishable) key; "
            "row-level security hides the store from that one"
        )
    return key


def _role(key: str) -> Any:
    """The role a JSON web token claims, unverified; None for other keys."""
    parts = key.split(".")
    if len(parts) != 3:
        return None
    try:
        padded = parts[1] + "=" * (-len(parts[1]) % 4)
        claims = json.loads(base64.urlsafe_b64decode(padded))
    except ValueError:
        return None
    return claims.get("role") if isinstance(claims, dict) else None
