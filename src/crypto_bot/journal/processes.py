"""Who is at work: a process told apart from every later one that gets its number."""

from __future__ import annotations

import os
import socket
import sys
from functools import cache
from pathlib import Path

_ENDED = ("Z", "X")
"""States of a process that was killed and is only waiting to be noticed by its parent."""


def host_name() -> str:
    """The machine's name for people; two machines may share one, so nothing rests on it alone."""
    return socket.gethostname()


def identity(pid: int) -> str:
    """A process by machine start, process namespace and start tick; "" when there is none.

    The tick counts from the start of the machine: unlike a date it stays when the clock is set.
    """
    if sys.platform != "linux":
        return _identity_by_date(pid)
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return _hidden(pid)
    return "" if after_name[0] in _ENDED else f"{_machine()}:{after_name[19]}"


def is_alive(pid: int, process: str) -> bool:
    """Whether the process of that number is still the one that was named so."""
    found = identity(pid)
    return found == process or found.endswith(":hidden")


def is_here(process: str) -> bool:
    """Whether that process belongs to this start of this machine, so that it can be looked up."""
    return process.rpartition(":")[0] == identity(os.getpid()).rpartition(":")[0]


@cache
def _machine() -> str:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}:{Path('/proc/self/ns/pid').stat().st_ino}"


def _hidden(pid: int) -> str:
    """A mount may hide the processes of other users; one that answers is alive."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return f"{_machine()}:hidden"
    except (ProcessLookupError, OverflowError):
        return ""
    return identity(pid)


def _identity_by_date(pid: int) -> str:
    import psutil

    try:
        process = psutil.Process(pid)
        has_ended = process.status() == psutil.STATUS_ZOMBIE
        return "" if has_ended else f"{host_name()}:{process.create_time():.3f}"
    except psutil.Error:
        return ""
