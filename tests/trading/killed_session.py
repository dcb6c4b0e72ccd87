"""A paper session that kills its own process in the middle of a journal write; run by a test."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from crypto_bot.journal import Journal
from trading.sessions import session_on


class Doomed(Journal):
    """Dies without warning before or after the given order write."""

    def record_orders(self, run_id, orders):
        self.writes = getattr(self, "writes", 0) + 1
        if self.writes == DEATH and IS_BEFORE:
            os.kill(os.getpid(), signal.SIGKILL)
        count = super().record_orders(run_id, orders)
        if self.writes == DEATH:
            os.kill(os.getpid(), signal.SIGKILL)
        return count


path, run_id, DEATH, IS_BEFORE = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4] == "before"
session_on(Doomed(path), run_id).run()
