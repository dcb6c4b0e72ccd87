"""A session that kills its own process in the middle of a journal write; run by a test."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from crypto_bot.journal import Durability, Journal
from trading.live_sessions import drive, session_of
from trading.sessions import session_on, symbols


class Doomed(Journal):
    """Dies without warning before or after the given write of orders, or of a live close."""

    writes = 0

    def record_orders(self, run_id, orders):
        return self.die(lambda: super(Doomed, self).record_orders(run_id, orders))

    def record_close(self, run_id, **parts):
        return self.die(lambda: super(Doomed, self).record_close(run_id, **parts))

    def die(self, write):
        self.writes += 1
        if self.writes == DEATH and IS_BEFORE:
            os.kill(os.getpid(), signal.SIGKILL)
        count = write()
        if self.writes == DEATH:
            os.kill(os.getpid(), signal.SIGKILL)
        return count


path, run_id, DEATH, IS_BEFORE = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4] == "before"
if "live" in sys.argv:
    session, clock = session_of(
        symbols(), Doomed(path, durability=Durability.PROCESS_DEATH), run_id
    )
    drive(session, clock, symbols())
else:
    session_on(Doomed(path), run_id).run()
