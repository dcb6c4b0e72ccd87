"""Faults that a test switches on, for a route, a number of times or with a seeded probability."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal[
    "drop_before",  # the connection ends, nothing happened
    "drop_after",  # the connection ends, it happened
    "late",  # the connection ends, and it happens when the test says `double.catch_up()`
    "truncate",  # half of the body, then the connection ends
    "answer",  # `status` and `body` in place of the work
    "hang",  # no answer until the test lets go or the double stops
]


@dataclass
class Fault:
    """One fault of a route ('move', 'upload', 'download', 'list' ... or 'any')."""

    kind: Kind
    route: str = "any"
    times: int | None = 1
    probability: float = 1.0
    status: int = 500
    body: str = '{"statusCode":"500","error":"Internal","message":"Internal Server Error","code":"InternalError"}'
    headers: dict[str, str] = field(default_factory=dict)
    contains: str = ""
    let_go: threading.Event = field(default_factory=threading.Event)
    happened: int = 0


OVERLOADED = '{"statusCode":"429","error":"too_many_connections","message":"Too many connections issued to the database","code":"DatabaseTimeout"}'


class Faults:
    """Which faults are on; also the lasting habits of a server.

    Attributes
    ----------
    racy_create : bool       two uploads of one new key at once both succeed (the older servers)
    racy_wait_s : float      how long the first of them waits for the second, at most
    atomic_move : bool       off: of two moves onto one key both succeed (no real server does this)
    stale_reads : int        reads after an overwrite that still give the old bytes (a CDN)
    overwrite_errors : list  statuses of the reads right after an overwrite: [500, 404]
    gateway : bool           a gateway in front refuses unknown keys with 401 (the hosted service)
    """

    def __init__(self, seed: int = 1) -> None:
        self.racy_create = False
        self.racy_wait_s = 0.0
        self.atomic_move = True
        self.stale_reads = 0
        self.overwrite_errors: list[int] = []
        self.gateway = False
        self._chance = random.Random(seed)
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def add(self, kind: Kind, route: str = "any", **details: object) -> Fault:
        """Switch a fault on; `details` are the fields of `Fault`."""
        fault = Fault(kind, route, **details)  # type: ignore[arg-type]
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """Switch all off."""
        with self._lock:
            gone, self._faults = self._faults, []
        for fault in gone:
            fault.let_go.set()
        self.racy_create, self.atomic_move, self.gateway = False, True, False
        self.stale_reads, self.overwrite_errors, self.racy_wait_s = 0, [], 0.0

    def strikes(self, route: str, path: str) -> Fault | None:
        """The fault of this request, used up by one; None for most."""
        with self._lock:
            for fault in self._faults:
                if fault.route not in ("any", route) or fault.contains not in path:
                    continue
                if fault.times is not None and fault.happened >= fault.times:
                    continue
                if fault.probability < 1.0 and self._chance.random() >= fault.probability:
                    continue
                fault.happened += 1
                return fault
        return None
