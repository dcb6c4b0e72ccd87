"""`/metrics` and `/healthz` on loopback: small, bounded, and never in the loop's way."""

from __future__ import annotations

import hmac
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from types import TracebackType
from typing import Any, Self

from crypto_bot.operations.health import LoopHealth
from crypto_bot.operations.metrics import LoopMetrics

_LOG = logging.getLogger(__name__)
LOOPBACK = "127.0.0.1"
CONNECTIONS = 16
"""At a time; one more is closed at once."""
REQUEST_SECONDS = 5.0
"""A request that is not answered by then is cut off, however slowly it comes in."""
EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"


class OperationsServer:
    """Serves a loop's metrics (to who knows the token) and its health (to who asks on this machine).

    Parameters
    ----------
    metrics, health    what is shown
    token : str        a Bearer token that `/metrics` wants; compared in constant time
    port : int         of 127.0.0.1; 0 takes any free one, `address` tells which
    announce           is told where it listens, or why it does not
    request_seconds    a connection is cut after so long

    Notes
    -----
    Answers nobody who came under another name than this machine's own (the Host header), so that a
    web page in a browser cannot read it by having its name point here. A port that is taken is a
    note, not an error: the loop goes on without.
    """

    def __init__(
        self,
        metrics: LoopMetrics,
        health: LoopHealth,
        token: str,
        port: int,
        *,
        announce: Callable[[str], None] = _LOG.info,
        request_seconds: float = REQUEST_SECONDS,
    ) -> None:
        self._metrics = metrics
        self._health = health
        self._token = token
        self._port = port
        self._announce = announce
        self._request_seconds = request_seconds
        self._server: _BoundedServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def address(self) -> str | None:
        """Such as http://127.0.0.1:9464; None while nothing is served."""
        return None if self._server is None else f"http://{LOOPBACK}:{self._server.server_port}"

    def start(self) -> bool:
        """Listen in a thread; False, and a note, where the port is taken."""
        try:
            self._server = _BoundedServer(self._port, self._answer, self._request_seconds)
        except OSError as error:
            self._announce(
                f"operations.port must be free on {LOOPBACK}, was {self._port}: {error.strerror}; "
                "no metrics are served; set another operations.port, 0 for any"
            )
            return False
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="operations", daemon=True
        )
        self._thread.start()
        self._announce(f"metrics at {self.address}/metrics, health at {self.address}/healthz")
        return True

    def close(self) -> None:
        """Stop listening and end the thread; open connections are cut."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
        self._server = self._thread = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _answer(self, path: str, authorization: str) -> tuple[int, str, bytes]:
        """(status, content type, body) of a request that is well-formed and came to our own name."""
        if path == "/healthz":
            report = self._health.report()
            body = {"status": report.state.value, "reasons": report.reasons}
            code = 200 if report.is_serving else 503
            return code, "application/json", json.dumps(body).encode() + b"\n"
        if path != "/metrics":
            return 404, "text/plain", b"there are /metrics and /healthz\n"
        wanted = f"Bearer {self._token}".encode()
        if not hmac.compare_digest(authorization.encode("latin-1", "replace"), wanted):
            return 401, "text/plain", b"a Bearer token is wanted: operations.token_file\n"
        return 200, EXPOSITION, self._metrics.exposition()


class _BoundedServer(ThreadingHTTPServer):
    """At most CONNECTIONS at a time, each for a limited time."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = os.name != "nt"  # there it would share the port with a stranger
    request_queue_size = CONNECTIONS

    def __init__(
        self,
        port: int,
        answer: Callable[[str, str], tuple[int, str, bytes]],
        seconds: float,
    ) -> None:
        self.answer = answer
        self.seconds = seconds
        self._open: dict[socket.socket, float] = {}
        self._guard = threading.Lock()
        super().__init__((LOOPBACK, port), _Handler)

    def server_bind(self) -> None:
        """Without the look-up of this machine's name that the base class makes."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = LOOPBACK, int(self.socket.getsockname()[1])

    @property
    def names(self) -> frozenset[str]:
        """The names by which we may be asked for."""
        hosts = (LOOPBACK, "localhost")
        return frozenset({*hosts, *(f"{host}:{self.server_port}" for host in hosts)})

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._guard:
            is_full = len(self._open) >= CONNECTIONS
            if not is_full:
                self._open[request] = time.monotonic()
        if is_full:
            super().shutdown_request(request)
            return
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._guard:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Cut what has taken too long; a client that sends a byte now and then is no exception."""
        too_old = time.monotonic() - self.seconds
        with self._guard:
            late = [request for request, since in self._open.items() if since < too_old]
        _cut(late)

    def server_close(self) -> None:
        super().server_close()
        with self._guard:
            left = list(self._open)
        _cut(left)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """A client that went away or was cut is no news."""
        _LOG.debug("a request from %s ended early", client_address, exc_info=True)


def _cut(requests: list[socket.socket]) -> None:
    for request in requests:
        try:
            request.shutdown(socket.SHUT_RDWR)
        except OSError:
            continue  # it is closed already


class _Handler(BaseHTTPRequestHandler):
    """One GET, one answer, closed."""

    server: _BoundedServer
    server_version = "crypto-bot"
    sys_version = ""
    error_content_type = "text/plain"
    error_message_format = "%(code)d\n"

    def setup(self) -> None:
        super().setup()
        self.connection.settimeout(self.server.seconds)

    def do_GET(self) -> None:
        hosts = self.headers.get_all("Host") or []
        if len(hosts) != 1 or hosts[0].lower() not in self.server.names:
            self._send(403, "text/plain", b"asked for under another name than this machine's\n")
            return
        if self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers:
            self._send(413, "text/plain", b"a request here has no body\n")
            return
        path = self.path.partition("?")[0]
        self._send(*self.server.answer(path, self.headers.get("Authorization", "")))

    def _send(self, code: int, kind: str, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        if code == 401:
            self.send_header("WWW-Authenticate", "Bearer")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        _LOG.debug("%s", format % args)
