"""A live session driven over stored candles by a clock that is moved, for tests."""

from __future__ import annotations

from crypto_bot.core.timeframes import ReplayClock
from crypto_bot.trading import LiveSession, LiveSymbol, TradedSymbol
from crypto_bot.trading.session import merged_closes
from trading.sessions import OPTIONS

ALWAYS = 10**30


def live_of(traded):
    """The live symbols of stretches that a paper session would replay."""
    return [
        LiveSymbol(each.bars.symbol, each.bars.timeframe, each.maker, each.history, each.funding)
        for each in traded
    ]


def closes_of(traded):
    return [time_ns for time_ns, _ in merged_closes([each.bars for each in traded])]


def before(traded, time_ns):
    """What a feed would have kept up to a moment."""
    return {each.bars.symbol: kept for each in traded if len(kept := each.bars.closed_by(time_ns))}


def at(traded, time_ns, without=()):
    """The candles that close at a moment."""
    found = {}
    for each in traded:
        bars = each.bars.closed_by(time_ns)
        if len(bars) and bars.close_time[-1] == time_ns and each.bars.symbol not in without:
            found[each.bars.symbol] = bars[-1:]
    return found


def session_of(traded, journal=None, run_id="live", *, options=OPTIONS, clock=None, **more):
    clock = ReplayClock() if clock is None else clock
    return LiveSession(
        live_of(traded), options=options, journal=journal, run_id=run_id, clock=clock, **more
    ), clock


def drive(session, clock, traded, *, after=0, until=ALWAYS, each_close=lambda time_ns: None):
    """Every close in (after, until], each on time."""
    reports = []
    for time_ns in closes_of(traded):
        if after < time_ns <= until:
            each_close(time_ns)
            clock.set(time_ns)
            reports.append(session.on_close(time_ns, at(traded, time_ns)))
    return reports


def seen(traded, count):
    """The first `count` bars of each stretch: what a session has seen so far."""
    return [
        TradedSymbol(each.bars[:count], each.maker, each.history, each.funding) for each in traded
    ]
