"""The loop's part that asks whether reality agrees, and acts where it does not."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from functools import partial
from pathlib import Path

from crypto_bot.backtest.candles import stored_candles
from crypto_bot.backtest.live_feedback import Looked, SessionRemedies, Watched, look
from crypto_bot.backtest.loop.live import LiveTrading, Trading
from crypto_bot.backtest.loop.parts import POLL_S, ahead, nobody
from crypto_bot.backtest.promises import Promise, promise_of
from crypto_bot.backtest.serving import champion_in_service, load_champion
from crypto_bot.backtest.traders import development_trades
from crypto_bot.backtest.workbench import Workbench
from crypto_bot.core.timeframes import HOUR_NS, iso_time
from crypto_bot.trading import PaperResult, TradedSymbol
from crypto_bot.training.cards import POOLED

_WAITS_S = 15.0


class LockedRemedies:
    """Remedies asked for by the thread that looks: never while a close is being decided."""

    def __init__(
        self, remedies: SessionRemedies, live: LiveTrading, on_rollback: Callable[[str, str], None]
    ) -> None:
        self._remedies, self._live, self._on_rollback = remedies, live, on_rollback

    def shrink(self, frac: float, reason: str) -> str:
        with self._live.lock:
            return self._remedies.shrink(frac, reason)

    def stand_aside(self, reason: str) -> str:
        with self._live.lock:
            return self._remedies.stand_aside(reason)

    def retrain(self, alarm: int, reason: str) -> None:
        self._remedies.retrain(alarm, reason)

    def roll_back(self, version: str, reason: str) -> str:
        outcome = self._remedies.roll_back(version, reason)
        self._on_rollback(version, f"{outcome}: {reason}")
        self._live.choose_again()
        return outcome


class Judging:
    """Looks at the live session every `feedback.interval_hours`, in a thread of its own.

    Parameters
    ----------
    bench : Workbench
    live : LiveTrading
    announce : callable    told of alarms that stand
    on_look : callable     told what a look came to, and of which symbol
    on_rollback : callable    told of a version taken out of service, its symbol first, and why

    Notes
    -----
    Measuring takes seconds, a close must be decided within one: they never wait for each other,
    except that sizes are not changed while a close is being decided.
    """

    name = "feedback"

    def __init__(
        self,
        bench: Workbench,
        live: LiveTrading,
        *,
        announce: Callable[[str], None],
        on_look: Callable[[Looked, str], None] = nobody,
        on_rollback: Callable[[str, str, str], None] = nobody,
    ) -> None:
        self._on_look, self._on_rollback = on_look, on_rollback
        self._bench, self._live, self._announce = bench, live, announce
        self._interval_ns = int(bench.settings.feedback.interval_hours * HOUR_NS)
        self._looked_ns = 0
        self._run_id = ""
        self._size: float | None = None
        self._watched: Watched | None = None
        self._work: Future[Looked] | None = None
        self._told: tuple[int, ...] = ()

    def tick(self, now_ns: int) -> int:
        """Begin or end a look; when to ask again."""
        clock = self._bench.clock
        if self._work is not None:
            if not self._work.done():
                return ahead(clock, now_ns, POLL_S)
            self._finish(self._work)
        trading, decided_ns = self._live.trading, self._live.decided_ns
        if trading is None or decided_ns is None:
            return ahead(clock, now_ns, _WAITS_S)
        if trading.run_id != self._run_id:
            self._run_id, self._size, self._watched = trading.run_id, None, None
            self._looked_ns = max(trading.since_ns, self._newest_look())
        due_ns = self._looked_ns + self._interval_ns
        if decided_ns < due_ns:
            return min(max(due_ns, now_ns + 1), ahead(clock, now_ns, _WAITS_S))
        self._looked_ns = decided_ns
        self._begin(trading)
        return ahead(clock, now_ns, POLL_S)

    def close(self) -> None:
        """A look at work is left behind after a moment; what it had not written is looked at again."""
        if self._work is not None:
            wait([self._work], self._bench.settings.loop.stop_seconds / 2)

    def _newest_look(self) -> int:
        found = self._bench.journal.feedback(run_id=self._run_id)
        return max((int(each.detail.get("time_ns", 0)) for each in found), default=0)

    def _begin(self, trading: Trading) -> None:
        paper = trading.session.result()
        self._work = work = Future[Looked]()

        def looks() -> None:
            try:
                work.set_result(self._looked(trading, paper))
            except BaseException as error:  # noqa: BLE001 - raised by `_finish`
                work.set_exception(error)

        # A daemon, which a pool's threads are not: the end of the program does not wait for a look.
        threading.Thread(target=looks, name="feedback", daemon=True).start()

    def _looked(self, trading: Trading, paper: PaperResult) -> Looked:
        watched = self._watched or _watched(self._bench, trading)
        self._watched = watched
        remedies = SessionRemedies(self._bench, trading.session, trading.run_id, watched.champion)
        charts = self._bench.settings.reporting.charts
        folder = Path(self._bench.settings.reports.folder) / trading.run_id
        name = f"feedback {iso_time(int(paper.times_ns[-1]))}"
        with self._bench.journal.step(trading.run_id, name) as step:
            found = look(
                self._bench,
                trading.run_id,
                watched,
                self._stretches(trading),
                paper,
                remedies=LockedRemedies(
                    remedies, self._live, partial(self._on_rollback, watched.symbol)
                ),
                size_before=self._size,
                folder=folder if charts else None,
            )
            step.finish({"alarms": [alarm.number for alarm in found.alarms], "size": found.size})
        return found

    def _stretches(self, trading: Trading) -> list[TradedSymbol]:
        bars = self._live.candles(trading)
        return [
            TradedSymbol(each, trading.chosen.trader.maker, trading.history.get(name))
            for name, each in bars.items()
        ]

    def _finish(self, work: Future[Looked]) -> None:
        self._work = None
        if work.exception() is not None:
            self._looked_ns -= self._interval_ns * 3 // 4  # its remedies are not put off for long
        outcome = work.result()
        self._size = outcome.size
        if self._watched is not None:
            self._on_look(outcome, self._watched.symbol)
        standing = tuple(alarm.number for alarm in outcome.alarms)
        for alarm in outcome.alarms:
            if alarm.number not in self._told:
                reason = alarm.detail.get("reason", "")
                self._announce(f"alarm {alarm.number} {alarm.kind} -> {alarm.action}: {reason}")
        self._told = standing


def _watched(bench: Workbench, trading: Trading) -> Watched:
    """What a session is held against: the champion's promise, or the strategy's backtest before it."""
    trader = trading.chosen.trader
    options = bench.paper_options(trader.exits)
    if trader.version is None:
        universe = stored_candles(bench.settings, trading.symbols)
        trades = development_trades(bench, universe, trader, (), trading.since_ns)
        return Watched(options, Promise(trades))
    is_simulated = any(each.is_simulated for each in trading.history.values())
    champion = champion_in_service(bench, POOLED, is_simulated=is_simulated)
    if champion is None or champion.version != trader.version:
        champion = load_champion(bench, POOLED, trader.version, is_simulated=is_simulated)
    return Watched(options, promise_of(bench, champion.card, champion.version), champion)
