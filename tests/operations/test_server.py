"""`/metrics` and `/healthz`: who may read what, bounded in size and time, never in the loop's way."""

from __future__ import annotations

import json
import socket
import threading
import time

import httpx
import pytest

from crypto_bot.core.errors import ConfigError, StorageError
from crypto_bot.operations import LoopHealth, LoopMetrics, OperationsServer, operations_token
from crypto_bot.operations.server import CONNECTIONS

TOKEN = "a-token-that-nobody-may-see"


@pytest.fixture
def health():
    health = LoopHealth()
    health.beat()
    return health


@pytest.fixture
def server(health):
    with OperationsServer(LoopMetrics(memory=lambda: 1), health, TOKEN, 0) as server:
        yield server


def get(server, path, **headers):
    return httpx.get(server.address + path, headers=headers, timeout=5)


def raw(server, text, seconds=5):
    port = int(server.address.rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as line:
        line.sendall(text.replace("\n", "\r\n").encode())
        return line.makefile("rb").read().decode()


def test_metrics_want_the_token(server):
    good = get(server, "/metrics", Authorization=f"Bearer {TOKEN}")
    assert good.status_code == 200
    assert "crypto_bot_build_info" in good.text
    assert good.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    for wrong in ("", TOKEN, f"Bearer {TOKEN}x", f"bearer {TOKEN}", "Bearer é"):
        refused = get(server, "/metrics", **({"Authorization": wrong.encode()} if wrong else {}))
        assert refused.status_code == 401
        assert "crypto_bot" not in refused.text
        assert TOKEN not in refused.text


def test_health_is_one_word_and_short_reasons_without_a_token(server, health):
    assert get(server, "/healthz").json() == {"status": "ok", "reasons": []}
    health.said("turn", is_well=False)
    degraded = get(server, "/healthz")
    assert degraded.status_code == 200
    assert degraded.json() == {"status": "degraded", "reasons": ["the last turn failed"]}
    health.said("journal", is_well=False)
    failing = get(server, "/healthz")
    assert failing.status_code == 503
    assert json.loads(failing.text)["status"] == "failing"


def test_only_loopback_is_bound(server):
    assert server.address.startswith("http://127.0.0.1:")
    assert server._server.socket.getsockname()[0] == "127.0.0.1"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1:1", ""])
def test_who_comes_under_another_name_is_refused(server, host):
    port = server.address.rsplit(":", 1)[1]
    answer = get(server, "/metrics", Host=host.format(port=port), Authorization=f"Bearer {TOKEN}")
    assert answer.status_code == 403
    assert "crypto_bot" not in answer.text


def test_no_name_or_two_names_are_refused(server):
    assert raw(server, "GET /healthz HTTP/1.0\n\n").startswith("HTTP/1.0 403")
    two = "GET /healthz HTTP/1.1\nHost: localhost\nHost: evil.example\n\n"
    assert raw(server, two).startswith("HTTP/1.0 403")


def test_this_machines_own_names_are_welcome(server):
    port = server.address.rsplit(":", 1)[1]
    for host in ("localhost", f"localhost:{port}", "127.0.0.1", f"127.0.0.1:{port}"):
        assert get(server, "/healthz", Host=host).status_code == 200


def test_other_paths_methods_and_bodies_are_refused(server):
    assert get(server, "/").status_code == 404
    assert httpx.post(server.address + "/metrics", content=b"x").status_code == 501
    body = "GET /healthz HTTP/1.1\nHost: localhost\nContent-Length: 3\n\nabc"
    assert raw(server, body).startswith("HTTP/1.0 413")
    assert raw(server, f"GET /{'x' * 70_000} HTTP/1.1\n").startswith("HTTP/1.0 414")


def test_a_request_that_drips_is_cut_off(health):
    with OperationsServer(LoopMetrics(), health, TOKEN, 0, request_seconds=0.3) as server:
        port = int(server.address.rsplit(":", 1)[1])
        began = time.monotonic()
        with socket.create_connection(("127.0.0.1", port), timeout=5) as line:
            line.sendall(b"GET /healthz HTTP/1.1\r\n")
            line.settimeout(0.05)
            while time.monotonic() - began < 10:
                try:
                    line.sendall(b"X")
                    if line.recv(1) == b"":
                        break
                except TimeoutError:
                    continue
                except OSError:
                    break
        assert time.monotonic() - began < 5


def test_more_connections_than_it_takes_are_closed_and_it_goes_on(health):
    with OperationsServer(LoopMetrics(), health, TOKEN, 0, request_seconds=0.3) as server:
        port = int(server.address.rsplit(":", 1)[1])
        lines = [
            socket.create_connection(("127.0.0.1", port), timeout=5) for _ in range(CONNECTIONS + 4)
        ]
        ended = [line.recv(1) for line in lines]
        assert ended == [b""] * len(lines)
        for line in lines:
            line.close()
        assert get(server, "/healthz").status_code == 200


def test_a_port_that_is_taken_is_a_note_and_no_error(server, health):
    said = []
    port = int(server.address.rsplit(":", 1)[1])
    second = OperationsServer(LoopMetrics(), health, TOKEN, port, announce=said.append)
    assert second.start() is False
    assert second.address is None
    assert said[0].startswith(f"operations.port must be free on 127.0.0.1, was {port}")
    second.close()
    assert get(server, "/healthz").status_code == 200


def test_it_ends_with_its_thread_and_may_be_closed_twice(health):
    server = OperationsServer(LoopMetrics(), health, TOKEN, 0)
    assert server.start()
    address = server.address
    server.close()
    server.close()
    assert not any(thread.name == "operations" for thread in threading.enumerate())
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{address}/healthz", timeout=1)


def test_nothing_it_says_holds_the_token(health, caplog):
    said = []
    with (
        caplog.at_level("DEBUG"),
        OperationsServer(LoopMetrics(), health, TOKEN, 0, announce=said.append) as server,
    ):
        get(server, "/metrics", Authorization=f"Bearer {TOKEN}")
        get(server, "/metrics", Authorization="Bearer wrong")
    ours = [r.getMessage() for r in caplog.records if r.name.startswith("crypto_bot")]
    assert said
    assert TOKEN not in "".join(ours + said)


def test_a_configured_token_is_taken_and_leaves_no_file(tmp_path):
    file = tmp_path / "operations.token"
    assert operations_token(TOKEN, file) == TOKEN
    assert not file.exists()
    for wrong in (
        "short",
        "with spaces in it, long",
        "line\nbreak-in-a-token",
        "ümlaut-in-a-token!",
    ):
        with pytest.raises(ConfigError, match=r"operations\.token must be at least 16") as caught:
            operations_token(wrong, file)
        assert wrong not in str(caught.value)


def test_a_token_is_made_once_for_its_owner_alone(tmp_path):
    file = tmp_path / "below" / "operations.token"
    token = operations_token(None, file)
    assert len(token) >= 40
    assert operations_token(None, file) == token
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in file.parent.iterdir()] == ["operations.token"]


def test_a_token_file_that_others_can_read_or_that_is_a_link_is_refused(tmp_path):
    file = tmp_path / "operations.token"
    operations_token(None, file)
    file.chmod(0o644)
    with pytest.raises(
        StorageError, match=r"readable by its owner alone, was mode 0644.*chmod 600"
    ):
        operations_token(None, file)
    link = tmp_path / "link.token"
    link.symlink_to(file)
    with pytest.raises(StorageError, match="must be a plain file"):
        operations_token(None, link)
    (tmp_path / "plain").write_text("")
    with pytest.raises(StorageError, match="must be writable"):
        operations_token(None, tmp_path / "plain" / "operations.token")
