"""One Supabase project: its address and key, retries where they are safe, refusals in plain words."""

from __future__ import annotations

import base64
import ipaddress
import json
import logging
import os
import random
import re
import ssl
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from pydantic import Field, SecretStr

from crypto_bot.adapters.supabase_problems import (
    Problem,
    SupabaseRefused,
    possible_failures,
    problem_of,
    rule_of,
)
from crypto_bot.core.errors import ConfigError, CryptoBotError
from crypto_bot.core.options import Options

if TYPE_CHECKING:
    import httpx

_LOG = logging.getLogger(__name__)
_Answer = TypeVar("_Answer")
_HOST = re.compile(r"[A-Za-z0-9.\-\[\]:]+")
_KEY = re.compile(r"[\x21-\x7e]+")
_MOST_WORDS = 160
_JITTER = random.SystemRandom()


class SupabaseRetries(Options):
    """How often a request that failed by the network or the server is sent again."""

    attempts: int = Field(default=6, ge=1, le=20, description="requests in all, the first included")
    first_wait_s: float = Field(default=0.25, ge=0, description="pause before the second; doubles")
    longest_wait_s: float = Field(
        default=30.0, ge=0, description="no pause is longer, whatever Retry-After asks for"
    )


class _ServerClock:
    """How far the service's clock is ahead of this machine's."""

    ahead_s = 0.0

    def note(self, response: httpx.Response) -> None:
        """Read the answer's Date."""
        stamp = response.headers.get("date")
        if stamp is not None:
            with suppress(ValueError):
                self.ahead_s = parsedate_to_datetime(stamp).timestamp() - time.time()


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
        self._clock = _ServerClock()

    @property
    def http(self) -> httpx.Client:
        """The connections; made on first use, and again in a forked process."""
        if self._client is None or self._owner != os.getpid():
            import httpx

            # Redirects are not followed: they would carry the key to another host. Plain http takes
            # no certificates, which are slow to load; an empty context trusts nobody.
            trust = (
                True if self.url.startswith("https") else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            )
            self._client = httpx.Client(
                timeout=self.timeout_s, follow_redirects=False, verify=trust
            )
            self._owner = os.getpid()
            weakref.finalize(self, self._client.close)
            self._client.event_hooks["response"] = [self._clock.note]
        return self._client

    @property
    def headers(self) -> dict[str, str]:
        """What proves who asks."""
        key = self._key.get_secret_value()
        return {"apiKey": key, "Authorization": f"Bearer {key}"}

    def server_time_s(self) -> float:
        """Seconds since 1970 by the service's clock as of its last answer; else by this machine's."""
        return time.time() + self._clock.ahead_s

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
        failures = possible_failures()
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
        wanted = self._retries.first_wait_s * 2.0 ** (attempt - 1) * _JITTER.uniform(0.5, 1.5)
        return min(max(wanted, problem.retry_after_s or 0.0), self._retries.longest_wait_s)

    def _cleaned(self, problem: Problem) -> str:
        """The server's own words, short and without the key, should it ever repeat it."""
        text = problem.message.replace(self._key.get_secret_value(), "**********")
        text = " ".join(text.split())[:_MOST_WORDS]
        return f"{problem.status} {text}" if problem.status else text

    def _in_words(self, problem: Problem, doing: str, attempts: int) -> CryptoBotError:
        kind, rule = rule_of(problem, self.host)
        said = self._cleaned(problem)
        tries = f" after {attempts} attempts" if attempts > 1 else ""
        must, _, way_out = rule.partition("; ")
        return kind(f"{doing} at {self.host}: {must}{tries} ({said}); {way_out}")


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
