"""A receiver of webhooks on loopback that does what it is told."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Receiver:
    """Its address, what came, and how the next posts are answered."""

    def __init__(self, *answers):
        self.answers = list(answers) or [(204, {})]
        self.posts = []
        self.hold = threading.Event()
        self.came = threading.Event()
        self.is_hanging = False
        self.url = ""

    def next_answer(self):
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@contextmanager
def receiver(*answers):
    told = Receiver(*answers)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            told.posts.append((self.path, dict(self.headers), body))
            told.came.set()
            if told.is_hanging:
                told.hold.wait(20)
                self.close_connection = True
                return
            code, headers = told.next_answer()
            self.send_response(code)
            for name, value in {"Content-Length": "0", **headers}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_all):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    told.url = f"http://127.0.0.1:{server.server_port}/hooks/s3cret-path"
    try:
        yield told
    finally:
        told.hold.set()
        server.shutdown()
        thread.join()
        server.server_close()
