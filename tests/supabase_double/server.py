"""A Supabase project on 127.0.0.1 for tests: Storage as it was measured, a little PostgREST, faults.

::

    with SupabaseDouble() as double:
        double.make_bucket("models")
        store = SupabaseStore(double.url, SecretStr(double.service_key), "models")
        double.faults.add("drop_after", "move", times=3)
"""

from __future__ import annotations

import secrets
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import urlsplit

from supabase_double import tables as tables_module
from supabase_double.buckets import GLOBAL_LIMIT, Buckets
from supabase_double.faults import Fault, Faults
from supabase_double.keys import make_key
from supabase_double.storage_routes import (
    PREFIX,
    Answer,
    Request,
    StorageRoutes,
    as_json,
    query_of,
    route_of,
)
from supabase_double.tables import Tables

_TYPICAL = "application/json; charset=utf-8"


class SupabaseDouble:
    """One project; begins with `with` or `start()`, ends with `stop()`.

    Attributes
    ----------
    url : str                             SUPABASE_URL
    service_key, anon_key : str           keys that are valid for an hour
    expired_key, foreign_key : str        an old one, and one of another project
    faults : Faults                       what goes wrong
    buckets : Buckets, tables : Tables    what is kept, for a test to look at
    requests : list of (route, path)      every request so far
    watch : callable or None              called with ('before' or 'after', route) around the work
    gate : threading.Event                while it is clear, requests wait
    """

    def __init__(self, *, global_limit: int = GLOBAL_LIMIT) -> None:
        self.secret = secrets.token_hex(16)
        self.service_key = make_key(self.secret, "service_role")
        self.anon_key = make_key(self.secret, "anon")
        self.expired_key = make_key(self.secret, "service_role", lives_s=-60)
        self.foreign_key = make_key("another project", "service_role")
        self.faults = Faults()
        self.buckets = Buckets(self.faults, global_limit)
        self.tables = Tables(self.secret)
        self.requests: list[tuple[str, str]] = []
        self.watch: Callable[[str, str], None] | None = None
        self.gate = threading.Event()
        self.gate.set()
        self._late: list[tuple[Request, str]] = []
        self._storage = StorageRoutes(self.buckets, self.secret)
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Address of the running double."""
        assert self._server is not None, "start() first"
        return f"http://127.0.0.1:{self._server.server_port}"

    def start(self) -> Self:
        """Listen on a free port of the loopback."""
        self._server = _Server(self)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), name="supabase double"
        )
        self._thread.start()
        return self

    def stop(self) -> None:
        """End every connection and thread."""
        if self._server is None or self._thread is None:
            return
        self.faults.clear()
        self._server.shutdown()
        self._server.hang_up()
        self._server.server_close()
        self._thread.join()
        self._server = self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def make_bucket(self, name: str, **options: Any) -> None:
        """Create a bucket; options as `create_bucket`: public, file_size_limit ..."""
        self.buckets.create(name, options)

    def keys(self, bucket: str) -> list[str]:
        """Keys of every object in a bucket, sorted."""
        with self.buckets.lock:
            return sorted(self.buckets.by_name[bucket].objects)

    def count(self, route: str) -> int:
        """Requests of a route so far."""
        return sum(1 for name, _ in list(self.requests) if name == route)

    def environment(self, bucket: str = "models") -> dict[str, str]:
        """What the commands read."""
        return {
            "SUPABASE_URL": self.url,
            "SUPABASE_SERVICE_KEY": self.service_key,
            "CRYPTO_BOT__ML_INTEGRATION__SUPABASE__BUCKET": bucket,
        }

    def answer(self, request: Request, fault: Fault | None, route: str) -> Answer | None:
        """The response, or None for a connection that ends without one."""
        if fault is not None and fault.kind == "drop_before":
            return None
        if fault is not None and fault.kind == "late":
            self._late.append((request, route))
            return None
        if fault is not None and fault.kind == "hang":
            fault.let_go.wait(30)
            return None
        if fault is not None and fault.kind == "answer":
            return Answer(
                fault.status, fault.body.encode(), {"content-type": _TYPICAL, **fault.headers}
            )
        self._tell("before", route)
        found = self._work(request, route)
        self._tell("after", route)
        return None if fault is not None and fault.kind == "drop_after" else found

    def catch_up(self) -> list[int]:
        """Do the requests that were late, now; their HTTP statuses."""
        late, self._late = self._late, []
        return [self._work(request, route).status for request, route in late]

    def _tell(self, moment: str, route: str) -> None:
        self.gate.wait(30)
        if self.watch is not None:
            self.watch(moment, route)

    def _work(self, request: Request, route: str) -> Answer:
        known = (self.service_key, self.anon_key, self.expired_key)
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if self.faults.gateway and given not in known:
            said = "Double check your Supabase `anon` or `service_role` API key."
            return as_json({"message": "Invalid API key", "hint": said}, 401)
        if route == "table":
            return self.tables.answer(request.rest, urlsplit(request.path).query, request)
        if not route:
            return as_json({"message": "Route not found", "error": "Not Found"}, 404)
        return self._storage.answer(route, request)


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    block_on_close = True
    request_queue_size = 128

    def __init__(self, double: SupabaseDouble) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.double = double
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()

    def note(self, connection: socket.socket, is_open: bool) -> None:
        with self._lock:
            (self._open.add if is_open else self._open.discard)(connection)

    def hang_up(self) -> None:
        with self._lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 60
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.note(self.connection, True)

    def finish(self) -> None:
        self.server.note(self.connection, False)
        super().finish()

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except ConnectionError:
            self.close_connection = True  # the client was killed, or the test is over

    def do_GET(self) -> None:
        self._serve()

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

    def log_message(self, *_: object) -> None:
        pass

    def _serve(self) -> None:
        length = int(self.headers.get("content-length", 0))
        body = self.rfile.read(length)
        if len(body) < length:  # the sender died in the middle: nothing is stored
            self.close_connection = True
            return
        double, parts = self.server.double, urlsplit(self.path)
        route, rest = self._route(parts.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, self.path, query_of(parts.query), headers, body, rest=rest)
        double.requests.append((route, parts.path))
        searched = parts.path + (body.decode() if route == "move" else "")
        fault = double.faults.strikes(route, searched)
        answer = double.answer(request, fault, route)
        if answer is None:
            self._drop()
        else:
            self._send(answer, is_cut=fault is not None and fault.kind == "truncate")

    def _route(self, path: str) -> tuple[str, str]:
        if path.startswith(tables_module.PREFIX):
            return "table", path.removeprefix(tables_module.PREFIX)
        if path.startswith(PREFIX):
            return route_of(self.command, path.removeprefix(PREFIX))
        return "", ""

    def _send(self, answer: Answer, *, is_cut: bool) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.status != 304:
            self.send_header("content-length", str(len(answer.body)))
        body = b"" if self.command == "HEAD" else answer.body
        head = b"".join(self._headers_buffer) + b"\r\n"
        self._headers_buffer = []
        self.wfile.write(head + (body[: len(body) // 2] if is_cut else body))
        if is_cut:
            self._drop()

    def _drop(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
