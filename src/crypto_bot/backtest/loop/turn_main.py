"""The process of one turn: asked on standard input, it answers line by line on standard output.

It ends with its parent: standard input is held open by the parent for as long as it lives.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from contextlib import suppress
from typing import Any, TextIO

from crypto_bot.backtest.loop.turn_request import TurnRequest
from crypto_bot.backtest.summary import turn_lines
from crypto_bot.backtest.turn import run_turn
from crypto_bot.backtest.workbench import open_workbench
from crypto_bot.config import load_settings
from crypto_bot.config.yaml_file import parse_yaml
from crypto_bot.core.errors import CryptoBotError
from crypto_bot.core.timeframes import Clock, FastClock, SystemClock

ORPHANED = 3
"""Exit code when the parent is gone."""


def main() -> int:
    """Do what is asked for on the first line of standard input; the exit code."""
    request = TurnRequest.from_json(sys.stdin.readline())
    answers = sys.stdout
    sys.stdout = sys.stderr  # whatever prints must not be taken for an answer
    threading.Thread(target=_end_with_parent, args=(sys.stdin,), daemon=True).start()
    stand_back(request.niceness)
    try:
        summary = _turn(request, answers)
    except CryptoBotError as error:
        answer(answers, failed=str(error), kind=type(error).__name__)
        return error.exit_code
    answer(answers, done=summary["run_id"], promoted=bool(summary["promoted"]))
    return 0


def _turn(request: TurnRequest, answers: TextIO) -> dict[str, Any]:
    settings = load_settings(parse_yaml(request.settings, name="settings"))
    with open_workbench(settings, log="integrated_backtest", clock=_clock(request)) as bench:
        summary = run_turn(
            bench,
            data=request.data,
            symbols=request.symbols,
            train=request.train,
            refresh=request.refresh,
            until_ns=request.until_ns,
            announce=lambda line: answer(answers, say=line),
        )
    for line in turn_lines(summary):
        answer(answers, say=line)
    return summary


def answer(to: TextIO, **values: Any) -> None:
    """One line of JSON."""
    to.write(json.dumps(values) + "\n")
    to.flush()


def stand_back(niceness: int) -> None:
    """Lower this process's priority, on the processor and the disk where that can be said."""
    import psutil

    process = psutil.Process()
    if sys.platform == "win32":
        process.nice(psutil.BELOW_NORMAL_PRIORITY_CLASS if niceness else process.nice())
        return
    os.nice(niceness)
    with suppress(OSError, psutil.Error, AttributeError):
        process.ionice(psutil.IOPRIO_CLASS_IDLE if niceness else psutil.IOPRIO_CLASS_NONE)
    # Linux shares the processor between groups of one session first: the group stands back too.
    with suppress(OSError):
        os.setsid()
        with open(f"/proc/{os.getpid()}/autogroup", "w") as group:  # noqa: PTH123
            group.write(str(niceness))


def _clock(request: TurnRequest) -> Clock:
    if request.clock_speed == 1.0:
        return SystemClock()
    return FastClock(request.now_ns, request.clock_speed)


def _end_with_parent(pipe: TextIO) -> None:
    pipe.read()
    os._exit(ORPHANED)


if __name__ == "__main__":
    sys.exit(main())
