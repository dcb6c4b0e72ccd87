"""Webhooks: signed, bounded, never redirected, silent about their address."""

from __future__ import annotations

import json
import socket
import threading
import time

import pytest

from crypto_bot.adapters.webhook import WebhookChannel, sign_webhook, verify_webhook
from crypto_bot.operations import DeliveryFailed, Notice
from operations.loopback_receiver import receiver

NOTICE = Notice(event="promoted", event_id="v-1", at="2026-01-01T00:00:00Z", data={"n": 1})
SECRET = "shared-s3cret"


def test_a_post_carries_the_event_its_id_and_a_signature_that_verifies():
    with receiver() as told:
        WebhookChannel(told.url, SECRET).deliver(NOTICE)
    ((path, headers, body),) = told.posts
    assert path == "/hooks/s3cret-path"
    assert json.loads(body) == NOTICE.model_dump()
    assert headers["X-CryptoBot-Event"] == "promoted"
    assert headers["X-CryptoBot-Delivery"] == "v-1"
    assert headers["Content-Type"] == "application/json"
    assert abs(int(headers["X-CryptoBot-Timestamp"]) - time.time()) < 60
    assert verify_webhook(SECRET, headers, body)


def test_the_signature_is_the_hmac_of_time_dot_body():
    # RFC 4231 gives no vector of this form; worked out by: printf '1700000000.{}' | openssl dgst
    # -sha256 -hmac key
    assert sign_webhook("key", "1700000000", b"{}") == (
        "sha256=9d713ed406bb7076d4123f0dc2c39d2df5c654ed4b0cd56b52c8b4c940bd63ae"
    )


@pytest.mark.parametrize(
    "change",
    [
        {"secret": "another"},
        {"body": b'{"n": 2}'},
        {"now_s": 1_700_000_301.0},
        {"now_s": 1_699_999_699.0},
        {"X-CryptoBot-Timestamp": "1700000001"},
        {"X-CryptoBot-Timestamp": "soon"},
        {"X-CryptoBot-Timestamp": ""},
        {"X-CryptoBot-Signature": ""},
        {"X-CryptoBot-Signature": "sha256=é"},
    ],
    ids=str,
)
def test_a_post_that_is_forged_changed_or_old_does_not_verify(change):
    body = b'{"n": 1}'
    headers = {
        "x-cryptobot-timestamp": "1700000000",
        "X-CRYPTOBOT-SIGNATURE": sign_webhook(SECRET, "1700000000", body),
    }
    assert verify_webhook(SECRET, headers, body, now_s=1_700_000_300.0)
    given = {**headers, **{k: v for k, v in change.items() if k.startswith("X-")}}
    if len(given) > len(headers):
        given = {name.lower(): value for name, value in given.items()}
    assert not verify_webhook(
        change.get("secret", SECRET),
        given,
        change.get("body", body),
        now_s=change.get("now_s", 1_700_000_000.0),
    )


def test_without_a_secret_nothing_is_signed():
    with receiver() as told:
        WebhookChannel(told.url).deliver(NOTICE)
    assert "X-CryptoBot-Signature" not in told.posts[0][1]


@pytest.mark.parametrize(
    ("status", "is_final"),
    [
        *((code, True) for code in (301, 307, 400, 401, 404, 410)),
        *((code, False) for code in (408, 429, 500, 502, 503)),
    ],
)
def test_which_answers_are_worth_another_try(status, is_final):
    with receiver((status, {})) as told, pytest.raises(DeliveryFailed) as caught:
        WebhookChannel(told.url).deliver(NOTICE)
    assert caught.value.is_final == is_final
    assert f"was {status}" in str(caught.value)


def test_a_redirect_is_not_followed():
    with (
        receiver() as other,
        receiver((307, {"Location": other.url})) as told,
        pytest.raises(DeliveryFailed, match="was 307; redirects are not followed"),
    ):
        WebhookChannel(told.url).deliver(NOTICE)
    assert other.posts == []


@pytest.mark.parametrize(
    ("given", "wanted"), [("7", 7.0), ("999999999", 86_400.0), ("Wed, 21 Oct", None), (None, None)]
)
def test_the_wish_of_a_receiver_to_wait_is_read_and_bounded(given, wanted):
    headers = {} if given is None else {"Retry-After": given}
    with receiver((429, headers)) as told, pytest.raises(DeliveryFailed) as caught:
        WebhookChannel(told.url).deliver(NOTICE)
    assert caught.value.retry_after_s == wanted


def test_a_receiver_that_hangs_is_left_after_the_timeout():
    with receiver() as told:
        told.is_hanging = True
        began = time.monotonic()
        with pytest.raises(DeliveryFailed, match=r"answer within 0\.2 s, did not") as caught:
            WebhookChannel(told.url, timeout_s=0.2).deliver(NOTICE)
        assert time.monotonic() - began < 5
    assert not caught.value.is_final


def test_a_receiver_that_drips_its_answer_is_left_after_the_timeout_too():
    listener = socket.create_server(("127.0.0.1", 0))
    done = threading.Event()

    def drip():
        line, _ = listener.accept()
        with line:
            line.sendall(b"HTTP/1.1 200 OK\r\n")
            while not done.wait(0.02):
                try:
                    line.sendall(b"X-Slow: 1\r\n")
                except OSError:
                    return

    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    try:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        with pytest.raises(DeliveryFailed, match=r"within 0\.3 s"):
            WebhookChannel(url, timeout_s=0.3).deliver(NOTICE)
    finally:
        done.set()
        thread.join()
        listener.close()


@pytest.mark.parametrize(
    ("url", "is_final"),
    [
        ("http://127.0.0.1:9/s3cret-path", False),
        ("ftp://host/s3cret-path", True),
        ("s3cret-path", True),
    ],
)
def test_an_address_that_cannot_be_reached_is_not_told(url, is_final):
    channel = WebhookChannel(url, timeout_s=2)
    with pytest.raises(DeliveryFailed) as caught:
        channel.deliver(NOTICE)
    assert caught.value.is_final == is_final
    assert "s3cret" not in f"{caught.value!r} {channel!r} {caught.value.__cause__}"
