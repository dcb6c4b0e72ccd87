"""What a failed request to Supabase means, and what a person is told of it."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from crypto_bot.core.errors import ConfigError, CryptoBotError, StorageError
from crypto_bot.registry.objects import MissingObject

if TYPE_CHECKING:
    import httpx


class SupabaseRefused(ConfigError, StorageError):  # noqa: N818 - a verdict
    """The project refuses this key or lacks this bucket: a setting is wrong, waiting mends nothing."""


class Taken(StorageError):  # noqa: N818 - a state
    """An object has this key already."""


class Unanswered(StorageError):  # noqa: N818 - a state
    """No answer to be relied on after every attempt: a write may have happened or not."""


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
        return self.status in _MAY_PASS or self.status >= 500


def possible_failures() -> tuple[type[Exception], ...]:
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


def refusal_in(response: httpx.Response) -> httpx.HTTPStatusError:
    """The error of a response that was read and is no success; redirects among them."""
    import httpx

    return httpx.HTTPStatusError(
        f"HTTP {response.status_code}", request=response.request, response=response
    )


def rule_of(problem: Problem, host: str) -> tuple[type[CryptoBotError], str]:
    """The error's class, and 'what must be; what to do'."""
    message, code = problem.message.lower(), problem.code.lower()
    if problem.status == 0:
        return Unanswered, _NETWORK.get(problem.code, _NETWORK["broken"])
    if "bucket not found" in (message, code):
        return SupabaseRefused, _NO_BUCKET
    for status, word, rule in _REFUSED:
        if problem.status == status and word in message:
            return SupabaseRefused, rule
    if problem.status == 404 and code in ("", "internalerror"):
        return SupabaseRefused, f"{host} must be a Supabase project, is not; check SUPABASE_URL"
    if problem.status == 404:
        return MissingObject, "the object must exist, did not; publish it, or ask for another"
    if problem.status == 409:
        return Taken, "the key must be free, was taken; it is never overwritten"
    if problem.status in _OTHER:
        return StorageError, _OTHER[problem.status]
    if problem.status in (408, 423):
        return Unanswered, "the object must be free for a moment, was locked; try again"
    if problem.status == 429:
        return Unanswered, "the server must take requests, had too many; try again in a minute"
    if problem.status >= 500:
        return Unanswered, "the server must work, failed; try again, then look at its status page"
    if 300 <= problem.status < 400:
        return SupabaseRefused, f"{host} must be the project itself, redirects; set SUPABASE_URL"
    return StorageError, "the server must accept the request, refused it; see its words"


_MAY_PASS = (0, 408, 423, 429)
"""No answer, too slow, locked by another request, too many; and every 5xx."""
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
