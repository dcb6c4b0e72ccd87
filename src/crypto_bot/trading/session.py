"""`PaperSession`: stored bars in time order through the routine of a close."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import numpy as np

from crypto_bot.core.bars import Bar, Bars
from crypto_bot.core.progress import progress
from crypto_bot.core.timeframes import Clock, ReplayClock
from crypto_bot.journal import Journal
from crypto_bot.trading.desk import Desk, Taken
from crypto_bot.trading.lane import LiveSymbol, open_lanes
from crypto_bot.trading.paper import PaperOptions, PaperResult
from crypto_bot.trading.recording import SessionRecord
from crypto_bot.trading.risk import RiskGuard
from crypto_bot.trading.twin import TradedSymbol, joined

Close: TypeAlias = tuple[int, list[int]]
"""A moment and the places of the lanes that have a bar there."""


class PaperSession:
    """Trade closed bars of many symbols on paper, exactly as the backtest would.

    Parameters
    ----------
    symbols : Sequence[TradedSymbol]      at least one, each symbol once; all stretches of one run
    options : PaperOptions
    journal : Journal | None              None: nothing is written down
    run_id : str                          a run of the journal; an id used before is continued
    guard : RiskGuard | None              None: one for `options.limits`; keep it to pull its switch
    clock : Clock | None                  what 'now' is to the limits; None: the close being replayed
    should_stop : callable                asked before every close; True ends the session cleanly

    Raises
    ------
    ConfigError    for live mode, no symbol or one twice, or a feature that never settles
    DataError      for an empty stretch, or a history that does not precede its stretch
    ModelError     if a model was trained on other features

    Notes
    -----
    At each close, symbols in the order given: every account is carried through its bar, then every
    decision is made, then the limits look at the entries (exits decided at the same close already
    count), then the orders are written down, and only then sent. They fill at the next open.

    Each symbol has an account of its own with `options.sizing.initial_cash`; limits judge the sum.
    Continuing a run replays it from its start, checks that everything written before is repeated,
    and writes what is missing. Limits are not asked again about what is already written.
    """

    def __init__(
        self,
        symbols: Sequence[TradedSymbol],
        *,
        options: PaperOptions | None = None,
        journal: Journal | None = None,
        run_id: str = "paper",
        guard: RiskGuard | None = None,
        clock: Clock | None = None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self._options = PaperOptions() if options is None else options
        self._run_id = run_id
        self._replay_clock = ReplayClock()
        self._should_stop = should_stop
        for traded in symbols:
            joined(traded)
        live = [
            LiveSymbol(
                each.bars.symbol, each.bars.timeframe, each.maker, each.history, each.funding
            )
            for each in symbols
        ]
        self._lanes = open_lanes(live, self._options, run_id)
        self._is_simulated = any(traded.bars.is_simulated for traded in symbols)
        self._record = SessionRecord(journal, run_id, batch=self._options.journal_batch)
        self._desk = Desk(
            self._lanes,
            cash=self._options.sizing.initial_cash * len(self._lanes),
            record=self._record,
            guard=RiskGuard(self._options.limits) if guard is None else guard,
            clock=self._replay_clock if clock is None else clock,
        )
        stretches = [traded.bars for traded in symbols]
        self._closes = merged_closes(stretches)
        self._bars: list[Iterator[Bar]] = [iter(bars) for bars in stretches]
        self._opened_ns = min(int(bars.open_time[0]) for bars in stretches)

    @property
    def guard(self) -> RiskGuard:
        """Holds the limits; `guard.kill(reason)` closes everything at the next open."""
        return self._desk.guard

    def run(self) -> PaperResult:
        """Replay the stretches to their end, or until asked to stop; again: go on from there."""
        done = self._desk.closes
        with progress("paper session", total=len(self._closes) - done) as shown:
            for time_ns, places in self._closes[done:]:
                if self._should_stop():
                    break
                self._replay_clock.set(time_ns)
                self._desk.close(time_ns, self._taken(places), opened_ns=self._opened_ns)
                shown.advance()
        self._record.flush()
        return self._desk.result(
            self._run_id,
            is_complete=self._desk.closes == len(self._closes),
            is_simulated=self._is_simulated,
        )

    def _taken(self, places: Sequence[int]) -> list[Taken]:
        return [(self._lanes[place], next(self._bars[place])) for place in places]


def merged_closes(stretches: Sequence[Bars]) -> list[Close]:
    """Every close in order of time with the places of the stretches that have a bar there."""
    times = np.concatenate([bars.close_time for bars in stretches])
    numbers = np.repeat(np.arange(len(stretches)), [len(bars) for bars in stretches])
    order = np.lexsort((numbers, times))
    closes, starts = np.unique(times[order], return_index=True)
    groups = np.split(numbers[order], starts[1:])
    return [
        (time_ns, group.tolist()) for time_ns, group in zip(closes.tolist(), groups, strict=True)
    ]
