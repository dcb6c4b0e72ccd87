"""`LiveSession`: closes as they come, through the same routine as a replayed session."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from crypto_bot.core.bars import Bar, Bars
from crypto_bot.core.errors import ConfigError, DataError
from crypto_bot.core.orders import Fill, Order
from crypto_bot.core.timeframes import SECOND_NS, Clock, SystemClock, closes_at, iso_time
from crypto_bot.journal import Journal
from crypto_bot.trading.desk import Dealt, Desk, Taken
from crypto_bot.trading.lane import Lane, LiveSymbol, open_lanes
from crypto_bot.trading.paper import PaperOptions, PaperResult
from crypto_bot.trading.recording import SessionRecord, Step
from crypto_bot.trading.risk import RiskGuard
from crypto_bot.trading.standing import Standing

TRADED = "traded"
"""The event of the journal under which the version that a session trades is written down."""
_KEPT = 10_000
_KEPT_CLOSES = 100_000


@dataclass(frozen=True)
class CloseReport:
    """What one close came to.

    Attributes
    ----------
    time_ns : int
    decided : int                 symbol-bars decided, missed ones included
    orders : tuple[Order, ...]    sent
    fills : tuple[Fill, ...]      of the bars taken
    lateness_s : float            from the close until its orders were sent
    missing : tuple[str, ...]     symbols whose candle of this close did not come
    missed : tuple[str, ...]      symbols with bars decided too late to act on
    """

    time_ns: int
    decided: int
    orders: tuple[Order, ...]
    fills: tuple[Fill, ...]
    lateness_s: float
    missing: tuple[str, ...] = ()
    missed: tuple[str, ...] = ()


class LiveSession:
    """Trade closes as they come, on paper, and go on after any stop where the journal ends.

    Parameters
    ----------
    symbols : Sequence[LiveSymbol]    at least one, each symbol once
    options : PaperOptions            `journal_batch` is not read: each close is one transaction
    journal : Journal | None          None: nothing is written down
    run_id : str                      a run of the journal; one session at a time writes it
    guard : RiskGuard | None          None: one for `options.limits`
    clock : Clock | None              None: the machine's
    late_after_frac : float           a close decided later than this share of a bar is missed

    Raises
    ------
    ConfigError    for no symbol, one twice, or a feature that never settles
    ModelError     if a model was trained on other features

    Notes
    -----
    A missed close carries its account through the bar: what was sent before is filled, stops and
    targets rest; but no order is sent, for its price is already past. An unanswered signal counts as
    used. After a restart under the same run id give `catch_up` the same bars again, from the first
    on: everything written is repeated and checked.

    After an error the session is of no more use: make a new one under the same run id.
    """

    def __init__(
        self,
        symbols: Sequence[LiveSymbol],
        *,
        options: PaperOptions | None = None,
        journal: Journal | None = None,
        run_id: str = "live",
        guard: RiskGuard | None = None,
        clock: Clock | None = None,
        late_after_frac: float = 0.1,
    ) -> None:
        if not 0.0 < late_after_frac <= 1.0:
            raise ConfigError(f"late_after_frac must be within 0..1, was {late_after_frac}")
        self._options = PaperOptions() if options is None else options
        self._run_id = run_id
        self._clock: Clock = SystemClock() if clock is None else clock
        self._late_after_frac = late_after_frac
        lanes = open_lanes(symbols, self._options, run_id, kept_trades=_KEPT)
        self._lanes = {lane.symbol: lane for lane in lanes}
        self._is_simulated = any(
            traded.history is not None and traded.history.is_simulated for traded in symbols
        )
        self._record = SessionRecord(journal, run_id, batch=1, is_live=True)
        self._standing = Standing(journal, run_id)
        self._desk = Desk(
            lanes,
            cash=self._options.sizing.initial_cash * len(lanes),
            record=self._record,
            guard=RiskGuard(self._options.limits) if guard is None else guard,
            clock=self._clock,
            standing=self._standing,
            kept=_KEPT_CLOSES,
        )
        self._opened_ns: int | None = None
        self._last_close_ns = 0
        self._is_broken = False
        if journal is not None:
            _say_versions(journal, run_id, symbols)

    @property
    def guard(self) -> RiskGuard:
        """Holds the limits; `guard.kill(reason)` closes everything at the next open."""
        return self._desk.guard

    @property
    def symbols(self) -> tuple[str, ...]:
        """What is traded, in the order given."""
        return tuple(self._lanes)

    @property
    def last_closes(self) -> dict[str, int]:
        """Close of the last bar taken, by symbol: what a feed is asked for candles after."""
        pairs = ((symbol, lane.last_close_ns) for symbol, lane in self._lanes.items())
        return {symbol: close_ns for symbol, close_ns in pairs if close_ns is not None}

    @property
    def equity_quote(self) -> float:
        """All accounts together at the last close, quote."""
        return sum(lane.broker.equity_quote for lane in self._lanes.values())

    @property
    def open_positions(self) -> int:
        """Symbols that are held."""
        return sum(lane.broker.exposure_quote > 0 for lane in self._lanes.values())

    @property
    def is_flat(self) -> bool:
        """Whether nothing is held and no order waits for an open."""
        accounts = [lane.broker.account for lane in self._lanes.values()]
        return all(
            account.quantity == 0.0 and not (account.pending_entry or account.pending_exit)
            for account in accounts
        )

    @property
    def is_closed(self) -> bool:
        """Whether it was asked to close and holds nothing any more."""
        return self._standing.is_closing and self.is_flat

    def catch_up(self, bars: Mapping[str, Bars]) -> tuple[CloseReport, ...]:
        """Go through closes that are past: those of an earlier start, and those missed since.

        Parameters
        ----------
        bars : symbol -> Bars    closed candles of the session, from its first on; the same ones at
                                 every start

        Returns
        -------
        tuple[CloseReport, ...]    of the closes that no earlier start had decided

        Raises
        ------
        DataError    if what an earlier start wrote is not repeated

        Notes
        -----
        A candle that an earlier start did not have by the time it decided a later one of that symbol
        is left out: the account went on without it. A close within `late_after_frac` is decided as if
        on time; older ones are missed.
        """
        self._require_sound()
        last = self._record.last_closes()
        groups: dict[int, list[Taken]] = defaultdict(list)
        for symbol, each in self._known(bars).items():
            lane = self._lanes[symbol]
            for bar in _rows(each):
                close_ns = bar.open_time + lane.interval_ns
                known = self._record.recorded(symbol, close_ns)
                if known is None and close_ns <= last.get(symbol, -1):
                    continue
                at_ns = close_ns if known is None else int(known.detail.get("at_ns", close_ns))
                groups[at_ns].append((lane, bar))
        reports = []
        for time_ns in sorted(groups):
            is_new = any(not self._was_decided(*taken) for taken in groups[time_ns])
            report = self._deal(time_ns, groups[time_ns])
            if is_new:
                reports.append(report)
        return tuple(reports)

    def on_close(self, time_ns: int, bars: Mapping[str, Bars | Bar]) -> CloseReport:
        """Decide one close.

        Parameters
        ----------
        time_ns : int            the close, after the last one
        bars : symbol -> Bars    candles that closed since the last of the symbol; a symbol whose
                                 candle did not come is left out and said to be missing. Candles that
                                 closed earlier are missed; ones the account has already passed are
                                 left out

        Raises
        ------
        DataError       for a close that is not after the last, an unknown symbol, or a candle that
                        has not closed by then
        StorageError    if the journal cannot be written: nothing was sent
        """
        self._require_sound()
        if time_ns <= self._last_close_ns:
            raise DataError(
                f"close must be after the last one {iso_time(self._last_close_ns)}, was "
                f"{iso_time(time_ns)}; each close is decided once"
            )
        taken: list[Taken] = []
        for symbol, each in self._known(bars).items():
            lane = self._lanes[symbol]
            for bar in _rows(each):
                if bar.open_time + lane.interval_ns > time_ns:
                    raise DataError(
                        f"{symbol} bar must have closed by {iso_time(time_ns)}, opened at "
                        f"{iso_time(bar.open_time)}"
                    )
                taken.append((lane, bar))
        return self._deal(time_ns, taken)

    def stand_aside(self, reason: str, symbol: str | None = None) -> None:
        """Open nothing, of one symbol or all, until `resume`; positions and exits go on."""
        self._standing.stand_aside(reason, self._required(symbol))

    def shrink(self, frac: float, reason: str, symbol: str | None = None) -> None:
        """Send entries, of one symbol or all, at this share of their size until `resume`."""
        self._standing.shrink(frac, reason, self._required(symbol))

    def resume(self, symbol: str | None = None) -> None:
        """Open again at full size; what was asked for all symbols is ended for all only."""
        self._standing.resume(self._required(symbol))

    def close(self, reason: str) -> None:
        """Close what is held at the next open and open nothing more; `is_closed` says when done."""
        self._standing.close(reason)

    def result(self) -> PaperResult:
        """What it has come to so far; complete once it is closed."""
        return self._desk.result(
            self._run_id, is_complete=self.is_closed, is_simulated=self._is_simulated
        )

    def _deal(self, time_ns: int, candles: Sequence[Taken]) -> CloseReport:
        self._is_broken = True
        now_ns = self._clock.now_ns()
        taken: list[Taken] = []
        late: list[Taken] = []
        order = list(self._lanes)
        for lane, bar in sorted(
            candles, key=lambda pair: (pair[1].open_time, order.index(pair[0].symbol))
        ):
            if bar.open_time + lane.interval_ns <= (lane.last_close_ns or 0):
                continue
            is_late = self._is_late(lane, bar, time_ns, now_ns)
            (late if is_late else taken).append((lane, bar))
        if self._opened_ns is None and candles:
            self._opened_ns = min(bar.open_time for _, bar in candles)
        opened_ns = time_ns if self._opened_ns is None else self._opened_ns
        dealt = Dealt(0, (), ())
        if taken or late:
            taken.sort(key=lambda pair: order.index(pair[0].symbol))
            dealt = self._desk.close(time_ns, taken, late, opened_ns=opened_ns)
        self._last_close_ns = max(self._last_close_ns, time_ns)
        self._is_broken = False
        return CloseReport(
            time_ns,
            dealt.decided,
            dealt.orders,
            dealt.fills,
            (self._clock.now_ns() - time_ns) / SECOND_NS,
            self._missing(time_ns),
            tuple(sorted({lane.symbol for lane, _ in late})),
        )

    def _is_late(self, lane: Lane, bar: Bar, time_ns: int, now_ns: int) -> bool:
        """Whether this bar is past acting on: as written, where an earlier start wrote it."""
        close_ns = bar.open_time + lane.interval_ns
        known = self._record.recorded(lane.symbol, close_ns)
        if known is not None:
            return known.detail.get("step") == Step.MISSED.value
        return close_ns < time_ns or now_ns > close_ns + self._late_after_frac * lane.interval_ns

    def _was_decided(self, lane: Lane, bar: Bar) -> bool:
        return self._record.recorded(lane.symbol, bar.open_time + lane.interval_ns) is not None

    def _missing(self, time_ns: int) -> tuple[str, ...]:
        return tuple(
            symbol
            for symbol, lane in self._lanes.items()
            if closes_at(lane.timeframe, time_ns) and lane.last_close_ns != time_ns
        )

    def _known(self, bars: Mapping[str, Bars | Bar]) -> Mapping[str, Bars | Bar]:
        for symbol, each in bars.items():
            self._required(symbol)
            lane = self._lanes[symbol]
            if isinstance(each, Bars) and (each.symbol, each.timeframe) != (
                symbol,
                lane.timeframe,
            ):
                raise DataError(
                    f"bars must be of {symbol} {lane.timeframe}, were of {each.symbol} "
                    f"{each.timeframe}"
                )
            self._is_simulated |= isinstance(each, Bars) and each.is_simulated
        return bars

    def _required(self, symbol: str | None) -> str | None:
        if symbol is not None and symbol not in self._lanes:
            raise DataError(f"symbol must be one of {', '.join(self._lanes)}, was {symbol}")
        return symbol

    def _require_sound(self) -> None:
        if self._is_broken:
            raise DataError(
                f"session of run {self._run_id} must not go on after an error; make a new one under "
                "the same run id and catch up"
            )


def _rows(each: Bars | Bar) -> Iterator[Bar]:
    if isinstance(each, Bars):
        yield from each
    else:
        yield each


def _say_versions(journal: Journal, run_id: str, symbols: Sequence[LiveSymbol]) -> None:
    """Which model version decides, once a run: orders of this run are that version's."""
    said = {
        (event.symbol, event.version) for event in journal.model_events(run_id=run_id, event=TRADED)
    }
    for traded in symbols:
        if traded.version and (traded.symbol, traded.version) not in said:
            detail = {"run_id": run_id, "timeframe": traded.timeframe}
            journal.model_event(run_id, traded.symbol, traded.version, TRADED, detail)
