"""`integrated` without --once: lease, parts, supervisor; and the single look of the learning loop."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

from crypto_bot.backtest.loop.due import in_words, is_due, last_trained
from crypto_bot.backtest.loop.judging import Judging
from crypto_bot.backtest.loop.lease import holding
from crypto_bot.backtest.loop.live import KIND as LIVE
from crypto_bot.backtest.loop.live import LiveTrading
from crypto_bot.backtest.loop.parts import Part, nobody
from crypto_bot.backtest.loop.supervisor import Supervisor
from crypto_bot.backtest.loop.turn_process import TurnEnd, wait_for_orphans
from crypto_bot.backtest.loop.turns import Turns, TurnsAsked
from crypto_bot.backtest.loop.watching import Watching
from crypto_bot.backtest.turn import run_turn
from crypto_bot.backtest.workbench import Workbench
from crypto_bot.trading import CandleFeed, CloseReport

_LOG = logging.getLogger(__name__)
KIND = "loop"


def run_loop(
    bench: Workbench,
    stop: threading.Event,
    *,
    once: bool = False,
    data: str | None = None,
    symbols: Sequence[str] | None = None,
    feed: CandleFeed | None = None,
    announce: Callable[[str], None] = _LOG.info,
    on_close: Callable[[CloseReport, float], None] = nobody,
) -> dict[str, Any]:
    """Turn the whole loop whenever it is due, trade what closes between, until `stop` is set.

    Parameters
    ----------
    once : bool    look a single time and do not wait; its failure is raised, not tried again
    data, symbols  as for `run_turn`
    feed : CandleFeed | None    closed candles to trade on; None: those of the exchange that filled
                   the store, if one did
    on_close       told what each close came to and how late it was decided, real seconds

    Returns
    -------
    dict    turns: how many were completed, and exit_code: 1 when memory ran out; with `once` instead
            of that summary: the turn's, None without one

    Raises
    ------
    LeaseHeld    another loop works on this store
    """
    with holding(bench.journal, bench.settings, stop):
        if once:
            return _one_look(bench, stop, data, symbols, announce)
        store = bench.settings.data.store_folder
        wait_for_orphans(bench.journal, store)
        bench.journal.interrupt_unseen(LIVE, lambda run: run.config.get("store") == store)
        return _forever(bench, stop, TurnsAsked(data, symbols), feed, announce, on_close)


def _one_look(
    bench: Workbench,
    stop: threading.Event,
    data: str | None,
    symbols: Sequence[str] | None,
    announce: Callable[[str], None],
) -> dict[str, Any]:
    last_ns = last_trained(bench.journal)
    if not is_due(bench.settings, last_ns, bench.clock.now_ns()):
        announce(f"training is not due; {in_words(bench.settings, last_ns)}")
        return {"turns": 0, "summary": None}
    summary = run_turn(
        bench,
        data=data,
        symbols=symbols,
        announce=announce,
        should_stop=stop.is_set,
        refresh=True,
    )
    return {"turns": 1, "summary": summary}


def _forever(
    bench: Workbench,
    stop: threading.Event,
    asked: TurnsAsked,
    feed: CandleFeed | None,
    announce: Callable[[str], None],
    on_close: Callable[[CloseReport, float], None],
) -> dict[str, Any]:
    run_id = bench.journal.start_run(KIND, bench.settings)
    try:
        turns, exit_code = _together(bench, run_id, stop, asked, feed, announce, on_close)
    except BaseException as error:
        bench.journal.finish_run(run_id, "failed", {"error": f"{type(error).__name__}: {error}"})
        raise
    summary = {"turns": turns.completed, "exit_code": exit_code}
    bench.journal.finish_run(run_id, "done", summary)
    announce(f"stopped after {turns.completed} turns")
    return summary


def _together(
    bench: Workbench,
    run_id: str,
    stop: threading.Event,
    asked: TurnsAsked,
    feed: CandleFeed | None,
    announce: Callable[[str], None],
    on_close: Callable[[CloseReport, float], None],
) -> tuple[Turns, int]:
    """Put the parts together and run them; the turns part, and the exit code."""
    watching = Watching(
        bench,
        run_id,
        end_training=lambda: turns.end("memory is short", stopped=False),
        stop=stop,
        announce=announce,
    )

    def decided(report: CloseReport, lateness_s: float) -> None:
        watching.on_close(report, lateness_s)
        if live is not None and live.trading is not None:
            session = live.trading.session
            watching.metrics.account(session.equity_quote, session.open_positions)
        on_close(report, lateness_s)

    def ended(end: TurnEnd) -> None:
        if live is not None:
            live.turn_ended(end)
        watching.on_turn_end(end)

    live = _live(bench, asked, feed, announce, decided)
    turns = Turns(
        bench,
        asked,
        announce=announce,
        until_ns=lambda: None if live is None else live.decided_ns,
        on_end=ended,
    )
    parts: list[Part] = [watching]
    if live is not None:
        judging = Judging(
            bench,
            live,
            announce=announce,
            on_look=watching.on_look,
            on_rollback=watching.on_rollback,
        )
        parts += [live, judging]
    Supervisor([*parts, turns], bench.clock, stop, watching.on_failure, watching.on_recovery).run()
    return turns, watching.exit_code


def _live(
    bench: Workbench,
    asked: TurnsAsked,
    feed: CandleFeed | None,
    announce: Callable[[str], None],
    on_close: Callable[[CloseReport, float], None],
) -> LiveTrading | None:
    """The part that trades between turns; else a line says why not."""
    if not bench.settings.loop.trade:
        announce("loop.trade is off: nothing is traded between turns")
        return None
    if asked.data is not None:
        announce(f"the candles come from {asked.data}: nothing is traded between turns")
        return None
    return LiveTrading(bench, feed, symbols=asked.symbols, announce=announce, on_close=on_close)
