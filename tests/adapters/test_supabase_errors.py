"""Every refusal of the service is one plain sentence: host, rule, way out, never the key."""

from __future__ import annotations

import logging
import re
import socket
import time
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from crypto_bot.adapters.supabase_problems import SupabaseRefused, Taken, Unanswered
from crypto_bot.adapters.supabase_store import SupabaseStore
from crypto_bot.core.errors import ConfigError, StorageError
from supabase_double.faults import OVERLOADED
from supabase_double.keys import make_key
from supabase_double.server import SupabaseDouble

ROOT = Path(__file__).resolve().parents[2]
DOCS, SOURCES = ROOT / "docs", ROOT / "src" / "crypto_bot"


@pytest.fixture(scope="module")
def connections():
    with httpx.Client(timeout=5) as client:
        yield client


@pytest.fixture(scope="module")
def running():
    with SupabaseDouble() as double:
        yield double


@pytest.fixture
def double(running):
    running.buckets.by_name.clear()
    running.make_bucket("models")
    yield running
    running.faults.clear()


def opened(double, connections, key=None, bucket="models", url=None):
    key = double.service_key if key is None else key
    client = {"client": connections, "wait": lambda _: None}
    return SupabaseStore(double.url if url is None else url, SecretStr(key), bucket, **client)


def refused(call, kind, words, *keys):
    """The whole sentence; it names the host and shows no key, nor does what it was raised from."""
    with pytest.raises(kind) as caught:
        call()
    error, text = caught.value, str(caught.value)
    assert words in text
    assert "; " in text, "a way out"
    while error is not None:
        assert [key for key in keys if key in f"{error}{error!r}"] == []
        error = error.__cause__ or error.__context__
    return text


def test_a_refusal_is_a_setting_to_mend_and_a_store_that_cannot_be_used():
    assert issubclass(SupabaseRefused, ConfigError)
    assert issubclass(SupabaseRefused, StorageError)
    assert SupabaseRefused.exit_code == 2


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("foreign_key", "SUPABASE_SERVICE_KEY must be a key of this project, is another's"),
        ("expired_key", "SUPABASE_SERVICE_KEY must be valid, has expired"),
        ("no_token", "SUPABASE_SERVICE_KEY must be a service key, is no key"),
    ],
)
def test_a_wrong_key(double, connections, name, words):
    key = getattr(double, name, "notatokenatall")
    store = opened(double, connections, key)
    for call in (
        lambda: store.put_new("a", b""),
        lambda: store.get("a", 1),
        lambda: store.entries(""),
        lambda: store.remove(["a"]),
    ):
        text = refused(call, SupabaseRefused, words, key)
        assert text.startswith(f"looking for bucket 'models' at {double.url[7:]}: ")


@pytest.mark.parametrize("name", ["expired_key", "foreign_key"])
def test_a_key_that_expires_in_use(double, connections, name):
    store = opened(double, connections)
    assert store.put_new("a", b"1")
    store._service._key = SecretStr(getattr(double, name))
    for call in (
        lambda: store.put_new("b", b""),
        lambda: store.get("a", 1),
        lambda: store.entries(""),
    ):
        refused(call, SupabaseRefused, "SUPABASE_SERVICE_KEY must be", getattr(double, name))
    assert double.keys("models") == ["a"]


def test_the_anon_key_is_known_before_any_request(double, connections):
    before = len(double.requests)
    for key in (double.anon_key, "sb_publishable_abc"):
        words = "SUPABASE_SERVICE_KEY must be the service-role key, was the anon"
        refused(lambda key=key: opened(double, connections, key), SupabaseRefused, words, key)
    assert len(double.requests) == before


def test_a_key_of_a_role_that_may_not_write(double, connections):
    key = make_key(double.secret, "authenticated")
    words = "the bucket must exist and be seen by this key"
    store = opened(double, connections, key)
    refused(lambda: store.entries(""), SupabaseRefused, words, key)
    store._seen_at = time.monotonic()
    words = "SUPABASE_SERVICE_KEY must be the service-role key, may not write here"
    refused(lambda: store.put_new("a", b""), SupabaseRefused, words, key)


@pytest.mark.parametrize("key", ["", "two words", "schlüssel", "line\nbreak"])
def test_what_is_no_key_at_all(double, connections, key):
    words = "SUPABASE_SERVICE_KEY must be one word of ASCII"
    refused(lambda: opened(double, connections, key), ConfigError, words)


@pytest.mark.parametrize(
    "url",
    [
        *("", "project.supabase.co", "ftp://host", "http://", "https://user:secret@host"),
        *("https://host?key=secret", "https://host#secret", "https://ho st"),
    ],
)
def test_what_is_no_address(double, connections, url):
    refused(
        lambda: opened(double, connections, url=url), ConfigError, "SUPABASE_URL must", "secret"
    )


def test_an_unencrypted_way_through_the_network_is_warned_of(double, connections, caplog):
    with caplog.at_level(logging.WARNING):
        opened(double, connections, url="http://192.168.1.5:8000")
        opened(double, connections, url="http://localhost:8000")
        opened(double, connections, url="http://kong:8000")
        opened(double, connections, url="http://[::1]:8000")
        assert caplog.messages == []
        opened(double, connections, url="http://project.supabase.co")
    assert "unencrypted" in caplog.text


def test_a_missing_bucket_is_an_error_and_not_an_empty_store(double, connections):
    store = opened(double, connections, bucket="absent")
    for call in (lambda: store.entries(""), lambda: store.last(""), lambda: store.get("a", 1)):
        text = refused(call, SupabaseRefused, "the bucket must exist", double.service_key)
    assert "looking for bucket 'absent'" in text
    assert "create it (private)" in text
    double.make_bucket("absent")
    assert store.entries("") == []


def test_a_public_bucket_is_warned_of(double, connections, caplog):
    double.make_bucket("open", public=True)
    with caplog.at_level(logging.WARNING):
        opened(double, connections, bucket="open").entries("")
    assert "is public" in caplog.text


def test_a_bucket_that_is_removed_in_use(double, connections):
    store = opened(double, connections)
    store.put_new("a", b"")
    del double.buckets.by_name["models"]
    refused(lambda: store.put_new("b", b""), SupabaseRefused, "the bucket must exist")
    refused(lambda: store.get("a", 1), SupabaseRefused, "the bucket must exist")
    assert store.entries("") == [], "it was seen a moment ago"
    store._seen_at -= 31
    refused(lambda: store.entries(""), SupabaseRefused, "the bucket must exist")
    refused(lambda: store.last(""), SupabaseRefused, "the bucket must exist")


def test_the_gateway_s_401(double, connections):
    double.faults.gateway = True
    words = "SUPABASE_SERVICE_KEY must be a key of this project, is not"
    text = refused(
        lambda: opened(double, connections, "wrongkey").entries(""), SupabaseRefused, words
    )
    assert "401" in text


@pytest.mark.parametrize(
    ("status", "error", "message", "kind", "words"),
    [
        (403, "Unauthorized", "no", SupabaseRefused, "must be allowed this, is not"),
        (409, "Duplicate", "The resource already exists", Taken, "the key must be free, was taken"),
        (413, "Payload too large", "x", StorageError, "must be within the size limit, was larger"),
        (415, "invalid_mime_type", "x", StorageError, "the bucket must allow this content type"),
        (400, "InvalidKey", "Invalid key: a", StorageError, "must accept the request, refused it"),
    ],
)
def test_a_refusal_of_a_write(double, connections, status, error, message, kind, words):
    body = f'{{"statusCode":"{status}","error":"{error}","message":"{message}","code":"X"}}'
    double.faults.add("answer", "upload", status=400, body=body)
    text = refused(lambda: opened(double, connections).put_new("a.json", b"12"), kind, words)
    assert text.startswith(f"uploading a.json (2 bytes) at {double.url[7:]}: ")
    assert f"({status} {message})" in text
    assert double.keys("models") == []


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (423, "", "the object must be free for a moment, was locked after 6 attempts"),
        (429, OVERLOADED, "the server must take requests, had too many after 6 attempts"),
        (500, "{}", "the server must work, failed after 6 attempts"),
        (502, "<html>Bad\ngateway</html>", "the server must work, failed after 6 attempts (502"),
        (200, "<html>hotel wifi</html>", "the answer must be the service's, was not"),
        (302, "", "must be the project itself, redirects"),
        (404, "<html>nothing here</html>", "must be a Supabase project, is not"),
    ],
)
def test_a_server_that_does_not_work(double, connections, status, body, words):
    double.faults.add("answer", "list", status=status, body=body, times=None)
    double.faults.add("answer", "get_bucket", status=status, body=body, times=None)
    refused(lambda: opened(double, connections).entries(""), StorageError, words)


def test_a_refused_connection(double, connections):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    store = opened(double, connections, url=f"http://127.0.0.1:{port}")
    words = "the server must listen, refused the connection after 6 attempts"
    refused(lambda: store.get("a", 1), Unanswered, words, double.service_key)


def test_an_unknown_host(double):
    def unknown(request):
        cause = socket.gaierror(-2, "Name or service not known")
        raise httpx.ConnectError("[Errno -2] Name or service not known") from cause

    with httpx.Client(transport=httpx.MockTransport(unknown)) as client:
        store = opened(double, client, url="https://nowhere.supabase.co")
        text = refused(
            lambda: store.entries(""), Unanswered, "the host name must be known, was not"
        )
    assert "at nowhere.supabase.co" in text


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (httpx.ReadTimeout("timed out"), "the server must answer in time, did not"),
        (httpx.ConnectTimeout("timed out"), "the server must answer in time, did not"),
        (
            httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed"),
            "the server must show a certificate that is trusted",
        ),
        (httpx.ReadError(""), "the connection must last, broke"),
    ],
)
def test_a_network_fault(double, error, words):
    def fails(request):
        raise error

    with httpx.Client(transport=httpx.MockTransport(fails)) as client:
        refused(lambda: opened(double, client).get("a", 1), Unanswered, words, double.service_key)


def test_a_server_that_repeats_the_key_gives_it_to_no_message_or_log(double, connections, caplog):
    body = f'{{"message":"your key is {double.service_key}"}}'
    double.faults.add("answer", "get_bucket", status=500, body=body, times=None)
    store = opened(double, connections)
    with caplog.at_level(logging.DEBUG, "crypto_bot"), pytest.raises(Unanswered) as caught:
        store.entries("")
    assert "**********" in str(caught.value)
    assert double.service_key not in caplog.text + str(caught.value) + repr(store)


def test_what_the_page_says_of_errors_is_what_the_code_says():
    said = [
        row.split(" | ")[0].removeprefix("| ").partition(" (")[0]
        for row in (DOCS / "supabase.md").read_text(encoding="utf-8").splitlines()
        if row.startswith("| ") and not row.startswith("| what")
    ]
    assert len(said) > 10
    sources = [*(SOURCES / "adapters").glob("supabase*.py"), SOURCES / "backtest" / "workbench.py"]
    text = " ".join(path.read_text(encoding="utf-8") for path in sources)
    text = re.sub(r'"\s+f?"', "", text)
    assert [words for words in said if words.replace("anon key", "anon") not in text] == []
