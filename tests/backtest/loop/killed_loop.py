"""Run by test_killed_loop: a loop on a fast clock that goes on until it is killed or has done enough.

Arguments: folder, simulated seconds a second, completed turns after which it stops, closes likewise.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from backtest.loop.markets import LIVE, STORED_DAYS, loop_in, market
from crypto_bot.backtest.loop.live import KIND as LIVE_KIND
from crypto_bot.backtest.loop.running import run_loop
from crypto_bot.backtest.turn import KIND
from crypto_bot.core.timeframes import DAY_NS
from crypto_bot.journal import Journal

ALWAYS = {
    **LIVE,
    "refresh_interval_hours": 0.5,
    "ml_integration": {"retrain_interval_hours": 0.5},
    "max_drawdown_threshold": 1.0,
    "min_sharpe_threshold": -1e9,
    "min_win_rate": 0.0,
    "gate": {
        "min_trades": 1,
        "min_deflated_sharpe": 0.0,
        "max_random_entry_p": 1.0,
        "must_beat_buy_and_hold": False,
        "must_beat_majority_class": False,
        "min_champion_margin": 0.0,
    },
    "paper": {"prediction_threshold": 0.34},
}
"""A gate that promotes whatever trades, so that every turn writes into the champion log."""


def began(folder: Path, speed: float) -> int:
    """The simulated time of now: it went on while the loop was dead."""
    kept = folder / "began.json"
    if not kept.exists():
        kept.write_text(json.dumps(time.time()))
    first = int(market(1)[0].open_time[0]) + STORED_DAYS * DAY_NS
    return first + int((time.time() - json.loads(kept.read_text())) * speed * 1e9)


def has_enough(journal: Journal, turns: int, closes: int) -> bool:
    """Whether so many turns are done and so many closes decided."""
    if len(journal.runs(KIND, status="done")) < turns:
        return False
    decided = sum(len(journal.steps(run.id)) for run in journal.runs(LIVE_KIND))
    return decided >= closes


def main() -> None:
    folder, speed = Path(sys.argv[1]), float(sys.argv[2])
    turns, closes = int(sys.argv[3]), int(sys.argv[4])
    with loop_in(folder, speed=speed, start_ns=began(folder, speed), values=ALWAYS) as loop:

        def look(report, lateness_s):
            if has_enough(loop.bench.journal, turns, closes):
                loop.stop.set()

        run_loop(
            loop.bench,
            loop.stop,
            feed=loop.feed,
            announce=lambda line: print(line, flush=True),
            on_close=look,
        )


if __name__ == "__main__":
    main()
