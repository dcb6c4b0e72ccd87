"""The loop's part that trades: every candle decided as it closes, one session after another."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crypto_bot.backtest.candles import stored_candles
from crypto_bot.backtest.loop.choosing import Chosen, choose
from crypto_bot.backtest.loop.live_candles import LiveCandles
from crypto_bot.backtest.loop.parts import ahead, nobody, speed_of
from crypto_bot.backtest.loop.turn_process import TurnEnd
from crypto_bot.backtest.workbench import Workbench
from crypto_bot.core import Bars
from crypto_bot.core.errors import CryptoBotError, DataError
from crypto_bot.core.timeframes import DAY_NS, iso_time, next_close_ns, timeframe_ns
from crypto_bot.journal import Run
from crypto_bot.journal.processes import host_name
from crypto_bot.trading import CandleFeed, CloseReport, LiveSession, LiveSymbol, RiskGuard

_LOG = logging.getLogger(__name__)
KIND = "live"
_WAITS_S = 15.0
_CHOOSES_AGAIN_S = 60.0


@dataclass(eq=False)
class Trading:
    """One live session: who trades what, under which run, since when.

    `fed` are the pairs whose candles are kept up to date: those traded, and those of the next turn.
    """

    chosen: Chosen
    run_id: str
    symbols: tuple[str, ...]
    fed: tuple[str, ...]
    since_ns: int
    history: Mapping[str, Bars]
    session: LiveSession

    @property
    def timeframe(self) -> str:
        """Of the candles that are decided."""
        return self.chosen.trader.timeframe


class LiveTrading:
    """Decides every candle as it closes, with the champion or else the best strategy.

    Parameters
    ----------
    bench : Workbench
    feed : CandleFeed | None    closed candles of the base timeframe, kept before they are used; None:
                            those of the exchange that filled the store, once one has
    symbols : sequence | None    restrict to these
    announce : callable     told what happens
    on_close : callable     told what each close came to, with its lateness in real seconds

    Notes
    -----
    A session goes on after a restart under its run id. Another trader is another session: the first
    closes what it holds at the next open, then the second begins.
    """

    name = "trading"

    def __init__(
        self,
        bench: Workbench,
        feed: CandleFeed | None,
        *,
        symbols: Sequence[str] | None,
        announce: Callable[[str], None],
        on_close: Callable[[CloseReport, float], None] = nobody,
    ) -> None:
        self._bench, self._symbols, self._announce = bench, symbols, announce
        self._on_close = on_close
        self._candles = LiveCandles(bench.settings, bench.clock, feed)
        self._why_not = ""
        self._fed: tuple[str, ...] = ()
        self.lock = threading.RLock()
        """Held while a close is decided."""
        self._trading: Trading | None = None
        self._is_to_choose = True
        self._chooses_ns = 0
        self._decided_ns = 0
        self.guard = RiskGuard(bench.paper_options(bench.exits).limits)

    @property
    def trading(self) -> Trading | None:
        """The session at work; None before the first turn."""
        return self._trading

    @property
    def decided_ns(self) -> int | None:
        """The newest close that was decided."""
        return self._decided_ns or None

    def turn_ended(self, end: TurnEnd) -> None:
        """Look who trades now: a turn may have promoted before it failed."""
        del end
        self._is_to_choose = True

    def choose_again(self) -> None:
        """Another version may be in service: look who trades now."""
        self._is_to_choose = True

    def candles(self, trading: Trading) -> dict[str, Bars]:
        """What a session has seen of each symbol so far, from the store."""
        return self._candles.stored(
            trading.symbols,
            trading.timeframe,
            after=dict.fromkeys(trading.symbols, trading.since_ns),
            until_ns=self._decided_ns,
        )

    def tick(self, now_ns: int) -> int:
        """Decide what has closed; when to ask again."""
        self._look_who_trades(now_ns)
        trading = self._trading
        if trading is None:
            return ahead(self._bench.clock, now_ns, _WAITS_S)
        if self._decided_ns > now_ns + timeframe_ns(trading.timeframe):
            self._announce("trading: the clock was ahead and came back, the session is taken up")
            self._decided_ns = self._chooses_ns = 0
            self._finish(trading, "interrupted")
            return now_ns + 1
        close_ns = next_close_ns(trading.timeframe, now_ns) - timeframe_ns(trading.timeframe)
        if close_ns > self._decided_ns:
            self._decide(trading, close_ns)
        if trading.session.is_closed:
            self._finish(trading, "done")
            return now_ns + 1
        return next_close_ns(trading.timeframe, self._bench.clock.now_ns())

    def close(self) -> None:
        """Nothing is in memory that the journal does not have; the next start goes on."""
        trading, self._trading = self._trading, None
        if trading is not None:
            self._bench.journal.finish_run(trading.run_id, "interrupted", self._figures(trading))
        self._candles.close()

    def _decide(self, trading: Trading, close_ns: int) -> None:
        clock = self._bench.clock
        name = f"close {iso_time(close_ns)}"
        with self.lock, self._bench.journal.step(trading.run_id, name) as step:
            try:
                self._candles.refresh(trading.fed, close_ns)
                bars = self._candles.stored(
                    trading.symbols,
                    trading.timeframe,
                    after=dict.fromkeys(trading.symbols, trading.since_ns)
                    | trading.session.last_closes,
                    until_ns=close_ns,
                )
                report = trading.session.on_close(close_ns, bars)
            except BaseException:
                self._trading, self._is_to_choose = None, True
                self._bench.journal.finish_run(trading.run_id, "interrupted")
                raise
            lateness_s = (clock.now_ns() - close_ns) / 1e9 / speed_of(clock)
            step.finish(_in_json(report, lateness_s))
        self._decided_ns = close_ns
        self._on_close(report, lateness_s)

    def _look_who_trades(self, now_ns: int) -> None:
        """Choose if it is time; who trades goes on while that cannot be known."""
        if not self._is_to_choose or now_ns < self._chooses_ns:
            return
        try:
            self._choose()
        except CryptoBotError as error:
            if self._trading is None:
                raise
            self._chooses_ns = ahead(self._bench.clock, now_ns, _CHOOSES_AGAIN_S)
            _LOG.error("who trades from now on is asked again later: %s", error)

    def _choose(self) -> None:
        why_not = self._candles.why_closed()
        if why_not:
            if why_not != self._why_not:
                self._announce(f"nothing is traded between turns: {why_not}")
            self._why_not = why_not
            return
        universe = stored_candles(self._bench.settings, self._symbols)
        chosen = choose(self._bench, universe)
        self._is_to_choose = chosen is None
        if chosen is None:
            return
        if self._trading is not None:
            if self._trading.chosen.identity != chosen.identity:
                self._announce(f"trading: {chosen.trader.name} takes over")
                self._trading.session.close("another trader takes over")
            return
        symbols = chosen.trader.symbols or universe.symbols
        self._fed = universe.symbols
        self._begin(chosen, tuple(name for name in universe.symbols if name in symbols))

    def _begin(self, chosen: Chosen, symbols: tuple[str, ...]) -> None:
        """Take up the session that a stop interrupted, or open a new one."""
        for run in self._left_behind():
            if run.config["identity"] != dict(chosen.identity):
                self._bench.journal.finish_run(run.id, "done", {"left": "another trader took over"})
            elif self._take_up(run, chosen):
                return
        clock = self._bench.clock
        timeframe = chosen.trader.timeframe
        now_ns = clock.now_ns()
        since_ns = next_close_ns(timeframe, now_ns) - timeframe_ns(timeframe)
        kept_days = self._bench.settings.lookback_days
        config = {
            "identity": dict(chosen.identity),
            "symbols": list(symbols),
            "since_ns": since_ns,
            "history_from_ns": since_ns - kept_days * DAY_NS,
            "turn": chosen.turn,
            "store": self._bench.settings.data.store_folder,
        }
        # What closed while a turn was made belongs to the history; a restart will find it there.
        self._candles.refresh(self._fed, since_ns)
        run_id = self._bench.journal.start_run(KIND, config)
        self._trading, self._decided_ns = self._opened(chosen, run_id, config), since_ns
        self._announce(f"trading: {chosen.trader.name} on {len(symbols)} pairs, run {run_id}")

    def _left_behind(self) -> list[Run]:
        """Sessions to go on with: of dead processes, and ours, where the journal failed before the end."""
        journal, us = self._bench.journal, (os.getpid(), host_name())
        dead = journal.unfinished_runs(KIND)
        running = journal.runs(KIND, status="running")
        return [*(run for run in running if (run.pid, run.host) == us), *dead]

    def _take_up(self, run: Run, chosen: Chosen) -> bool:
        """Go on with an interrupted session; False, said and written down, where it cannot be repeated."""
        self._bench.journal.resume_run(run.id)
        trading = self._opened(chosen, run.id, run.config)
        bars = self._candles.stored(
            trading.symbols,
            trading.timeframe,
            after=dict.fromkeys(trading.symbols, trading.since_ns),
            until_ns=self._bench.clock.now_ns(),
        )
        try:
            reports = trading.session.catch_up(bars)
        except DataError as error:
            self._announce(f"trading: run {run.id} cannot go on, a new session begins: {error}")
            self._bench.journal.finish_run(run.id, "failed", {"error": str(error)})
            return False
        self._trading = trading
        self._decided_ns = max(trading.session.last_closes.values(), default=0)
        self._announce(
            f"trading: run {run.id} goes on with {chosen.trader.name}; "
            f"{len(reports)} closes passed meanwhile"
        )
        return True

    def _opened(self, chosen: Chosen, run_id: str, config: Mapping[str, Any]) -> Trading:
        trader, symbols = chosen.trader, tuple(config["symbols"])
        history = self._candles.stored(
            symbols,
            trader.timeframe,
            after=dict.fromkeys(symbols, config["history_from_ns"]),
            until_ns=config["since_ns"],
        )
        live = [
            LiveSymbol(
                name,
                trader.timeframe,
                trader.maker,
                history.get(name),
                version=trader.version or "",
            )
            for name in symbols
        ]
        session = LiveSession(
            live,
            options=self._bench.paper_options(trader.exits),
            journal=self._bench.journal,
            run_id=run_id,
            guard=self.guard,
            clock=self._bench.clock,
            late_after_frac=self._late_after(trader.timeframe),
        )
        fed = tuple(dict.fromkeys((*symbols, *self._fed)))
        return Trading(chosen, run_id, symbols, fed, config["since_ns"], history, session)

    def _late_after(self, timeframe: str) -> float:
        """A close is missed after a tenth of a bar; on a fast clock after as many real seconds."""
        seconds = max(0.1 * timeframe_ns(timeframe) / 1e9, speed_of(self._bench.clock))
        return min(1.0, seconds / (timeframe_ns(timeframe) / 1e9))

    def _finish(self, trading: Trading, status: str) -> None:
        self._bench.journal.finish_run(trading.run_id, status, self._figures(trading))
        self._trading, self._is_to_choose = None, True

    def _figures(self, trading: Trading) -> dict[str, Any]:
        result = trading.session.result()
        equity = result.equity
        return {
            "trader": trading.chosen.trader.name,
            "decisions": result.decisions,
            "equity": float(equity[-1]) if len(equity) else result.initial_cash,
            "initial_cash": result.initial_cash,
        }


def _in_json(report: CloseReport, lateness_s: float) -> dict[str, Any]:
    return {
        "decided": report.decided,
        "orders": len(report.orders),
        "fills": len(report.fills),
        "lateness_s": round(lateness_s, 4),
        "missing": list(report.missing),
        "missed": list(report.missed),
    }
