"""The loop's part that asks whether reality agrees, and acts where it does not."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from crypto_bot.backtest.live_evidence import Champion
from crypto_bot.backtest.live_feedback import Looked, SessionRemedies, Watched, look
from crypto_bot.backtest.loop.live import LiveTrading, Trading
from crypto_bot.backtest.loop.parts import POLL_S, ahead
from crypto_bot.backtest.promises import Promise, promise_of
from crypto_bot.backtest.traders import served_champion
from crypto_bot.backtest.workbench import Workbench
from crypto_bot.core.timeframes import HOUR_NS, iso_time
from crypto_bot.trading import PaperResult, TradedSymbol
from crypto_bot.training.cards import POOLED

_WAITS_S = 15.0


class LockedRemedies:
    """Remedies asked for by the thread that looks: never while a close is being decided."""

    def __init__(self, remedies: SessionRemedies, live: LiveTrading) -> None:
        self._remedies, self._live = remedies, live

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
        self._live.choose_again()
        return outcome


class Judging:
    """Looks at the live session every `feedback.interval_hours`, in a thread of its own.

    Parameters
    ----------
    bench : Workbench
    live : LiveTrading
    announce : callable    told of alarms that stand

    Notes
    -----
    Measuring takes seconds, a close must be decided within one: they never wait for each other,
    except that sizes are not changed while a close is being decided.
    """

    name = "feedback"

    def __init__(
        self, bench: Workbench, live: LiveTrading, *, announce: Callable[[str], None]
    ) -> None:
        self._bench, self._live, self._announce = bench, live, announce
        self._interval_ns = int(bench.settings.feedback.interval_hours * HOUR_NS)
        self._looked_ns = 0
        self._run_id = ""
        self._size: float | None = None
        self._watched: Watched | None = None
        self._work: threading.Thread | None = None
        self._outcome: Looked | BaseException | None = None
        self._told: tuple[int, ...] = ()

    def tick(self, now_ns: int) -> int:
        """Begin or end a look; when to ask again."""
        clock = self._bench.clock
        if self._work is not None:
            if self._work.is_alive():
                return ahead(clock, now_ns, POLL_S)
            self._finish()
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
        """A look at work ends by itself; what it had not written is looked at again."""
        if self._work is not None:
            self._work.join(self._bench.settings.loop.stop_seconds / 2)

    def _newest_look(self) -> int:
        found = self._bench.journal.feedback(run_id=self._run_id)
        return max((int(each.detail.get("time_ns", 0)) for each in found), default=0)

    def _begin(self, trading: Trading) -> None:
        paper = trading.session.result()
        if self._watched is None:
            self._watched = _watched(self._bench, trading)
        watched = self._watched
        self._work = threading.Thread(
            target=self._look, args=(trading, watched, paper), name="feedback", daemon=True
        )
        self._work.start()

    def _look(self, trading: Trading, watched: Watched, paper: PaperResult) -> None:
        try:
            self._outcome = self._looked(trading, watched, paper)
        except BaseException as error:  # noqa: BLE001 - raised again by the loop's thread
            self._outcome = error

    def _looked(self, trading: Trading, watched: Watched, paper: PaperResult) -> Looked:
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
                remedies=LockedRemedies(remedies, self._live),
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

    def _finish(self) -> None:
        outcome, self._outcome, self._work = self._outcome, None, None
        if isinstance(outcome, BaseException):
            raise outcome
        if outcome is None:
            return
        self._size = outcome.size
        standing = tuple(alarm.number for alarm in outcome.alarms)
        for alarm in outcome.alarms:
            if alarm.number not in self._told:
                reason = alarm.detail.get("reason", "")
                self._announce(f"alarm {alarm.number} {alarm.kind} -> {alarm.action}: {reason}")
        self._told = standing


def _watched(bench: Workbench, trading: Trading) -> Watched:
    """What a session is held against: the champion's promise, or nothing where a strategy trades."""
    trader = trading.chosen.trader
    options = bench.paper_options(trader.exits)
    if trader.version is None:
        return Watched(options, Promise())
    is_simulated = any(each.is_simulated for each in trading.history.values())
    champion = served_champion(bench, trader.version, is_simulated=is_simulated)
    previous = bench.registry_of(is_simulated).previous(POOLED)
    if previous is not None and previous != trader.version:
        before = served_champion(bench, previous, is_simulated=is_simulated)
        champion = Champion(
            champion.symbol,
            champion.version,
            champion.predictor,
            champion.card,
            champion.maker,
            champion.exits,
            before,
        )
    return Watched(options, promise_of(bench, champion.card, champion.version), champion)
