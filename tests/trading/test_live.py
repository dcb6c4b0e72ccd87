"""A session that goes along: the replayed session's twin, through missed bars, wishes and kills."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_bot.core.errors import ConfigError, DataError
from crypto_bot.core.timeframes import HOUR_NS, ReplayClock
from crypto_bot.engine import ExitOptions, SizingOptions
from crypto_bot.feedback import compare_with_backtest
from crypto_bot.journal import Durability, Journal
from crypto_bot.strategies import get_strategy
from crypto_bot.trading import (
    LiveSession,
    ModelDecisions,
    PaperOptions,
    PaperSession,
    Step,
    StrategyDecisions,
    TradedSymbol,
    expected_trades,
)
from crypto_bot.trading.curve import EquityCurve
from paper_markets import NO_LIMITS, ModelLike, Scripted, market, priced, traded
from trading.live_sessions import at, before, closes_of, drive, session_of
from trading.sessions import OPTIONS, symbols, written

FREE_OF_LIMITS = PaperOptions(limits=NO_LIMITS)


def makers():
    return {
        "model": ModelDecisions(ModelLike(), threshold=0.5),
        "sma_cross": StrategyDecisions(get_strategy("sma_cross")),
        "trend_bot": StrategyDecisions(get_strategy("trend_bot")),
        "mean_bot": StrategyDecisions(get_strategy("mean_bot")),
    }


def same(result, other):
    for symbol, trades in other.trades.items():
        assert result.trades[symbol].tobytes() == trades.tobytes()
    assert result.equity.tobytes() == other.equity.tobytes()
    assert result.times_ns.tolist() == other.times_ns.tolist()
    own, others = repr(result.orders), repr(other.orders)
    assert own.replace(result.run_id, "run") == others.replace(other.run_id, "run")
    assert (result.blocked, result.decisions) == (other.blocked, other.decisions)


def equals_its_twin(result, stretches, options):
    told = {"costs": options.costs, "exits": options.exits, "sizing": options.sizing}
    twin = expected_trades(stretches, interventions=result.blocked, **told)
    for symbol, trades in twin.items():
        assert result.trades[symbol].tobytes() == trades.tobytes()
    plain = expected_trades(stretches, **told)
    assert compare_with_backtest(result.trades, plain, under_limits=twin).unexplained == 0


# One routine


@pytest.mark.parametrize("name", makers())
@given(
    seed=st.integers(0, 9),
    stop=st.sampled_from([0.005, 0.02]),
    fraction=st.sampled_from([0.3, 1.0]),
    positions=st.sampled_from([1, 10]),
)
@settings(max_examples=4, deadline=None, derandomize=True)
def test_live_replay_and_backtest_trade_the_same_to_the_last_bit(
    name, seed, stop, fraction, positions
):
    maker = makers()[name]
    stretches = [traded(f"A{k}/USDT", 120, seed + k, maker, history=500) for k in range(2)]
    options = PaperOptions(
        exits=ExitOptions(stop_loss_frac=stop),
        sizing=SizingOptions(fraction=fraction),
        limits=NO_LIMITS.replace(max_open_positions=positions),
    )
    paper = PaperSession(stretches, options=options).run()
    session, clock = session_of(stretches, options=options)
    drive(session, clock, stretches)
    same(session.result(), paper)
    equals_its_twin(session.result(), stretches, options)


def test_the_journal_of_a_live_session_is_that_of_the_replayed_one():
    with Journal("sqlite://") as journal:
        one, other = journal.start_run("paper", {}), journal.start_run("live", {})
        PaperSession(symbols(), options=OPTIONS, journal=journal, run_id=one).run()
        session, clock = session_of(symbols(), journal, other)
        drive(session, clock, symbols())
        assert repr(written(journal, one)) == repr(written(journal, other)).replace(other, one)


def test_each_close_is_in_the_journal_in_one_transaction_before_its_orders_are_sent():
    class Counting(Journal):
        def record_close(self, run_id, **parts):
            assert all(lane.broker.account.pending_entry == 0 for lane in session._lanes.values())
            writes.append({name: len(part) for name, part in parts.items()})
            return super().record_close(run_id, **parts)

        def record_orders(self, run_id, orders):
            raise AssertionError

    writes = []
    stretches = symbols()
    with Counting("sqlite://") as journal:
        session, clock = session_of(stretches, journal, journal.start_run("live", {}))
        reports = drive(session, clock, stretches)
    assert [each["decisions"] for each in writes] == [report.decided for report in reports]
    assert sum(each["orders"] for each in writes) == len(session.result().orders) > 0


def test_bars_of_several_timeframes_close_when_each_is_due():
    slow = TradedSymbol(priced("S/USDT", [100] * 3, timeframe="2h"), Scripted([1, 1, 0]))
    fast = TradedSymbol(priced("F/USDT", [100] * 6), Scripted([1, 0, 1, 0, 1, 0]))
    session, clock = session_of([slow, fast], options=FREE_OF_LIMITS)
    reports = drive(session, clock, [slow, fast])
    assert [report.decided for report in reports] == [1, 2, 1, 2, 1, 2]
    assert all(report.missing == () for report in reports)
    same(session.result(), PaperSession([slow, fast], options=FREE_OF_LIMITS).run())


# What does not come, or comes late


def hourly(directions, count=None, symbol="A/USDT", opens=None):
    opens = [100] * (count or len(directions)) if opens is None else opens
    return TradedSymbol(priced(symbol, opens), Scripted(directions))


def test_a_symbol_without_a_candle_is_said_and_the_others_go_on():
    pair = [hourly([1] * 4), hourly([0, 1, 1, 1], symbol="B/USDT")]
    session, clock = session_of(pair, options=FREE_OF_LIMITS)
    closes = closes_of(pair)
    for time_ns in closes[:1]:
        clock.set(time_ns)
        assert session.on_close(time_ns, at(pair, time_ns)).missing == ()
    clock.set(closes[1])
    report = session.on_close(closes[1], at(pair, closes[1], without=("A/USDT",)))
    assert report.missing == ("A/USDT",)
    assert [order.symbol for order in report.orders] == ["B/USDT"]


def late_bar_session(pair, journal=None, run_id="live"):
    """B's second candle comes with its third."""
    session, clock = session_of(pair, journal, run_id, options=FREE_OF_LIMITS)
    closes = closes_of(pair)
    reports = []
    for place, time_ns in enumerate(closes):
        clock.set(time_ns)
        bars = at(pair, time_ns, without=("B/USDT",) if place == 1 else ())
        if place == 2:
            bars["B/USDT"] = pair[1].bars[1:3]
        reports.append(session.on_close(time_ns, bars))
    return session, reports


def test_a_candle_that_comes_with_the_next_is_missed_and_repeats_after_a_restart():
    pair = [hourly([0, 1, 1, 1, 0, 0]), hourly([1, 0, 0, 1, 1, 1], symbol="B/USDT")]
    with Journal("sqlite://") as journal:
        run_id = journal.start_run("live", {})
        session, reports = late_bar_session(pair, journal, run_id)
        noted = [each for each in journal.decisions(run_id) if each.detail]
        assert [(each.symbol, each.reason) for each in noted] == [
            ("B/USDT", "missed: decided late")
        ]
        assert reports[2].missed == ("B/USDT",)
        # The exit wanted at the missed close goes one close later.
        assert session.result().trades["B/USDT"]["exit_bar"].tolist()[0] == 3
        equals_its_twin(session.result(), pair, FREE_OF_LIMITS)
        everything = repr(written(journal, run_id))
        again, clock = session_of(pair, journal, run_id, options=FREE_OF_LIMITS)
        clock.set(closes_of(pair)[-1])
        assert again.catch_up(before(pair, closes_of(pair)[-1])) == ()
        same(again.result(), session.result())
        assert repr(written(journal, run_id)) == everything


@pytest.mark.parametrize("lateness", [0.05, 0.2, 5.0])
def test_a_close_decided_late_sends_nothing_at_a_price_of_the_past(lateness):
    stretches = [hourly([1, 1, 1])]
    session, clock = session_of(stretches, options=FREE_OF_LIMITS)
    first = closes_of(stretches)[0]
    clock.set(first + int(lateness * HOUR_NS))
    report = session.on_close(first, at(stretches, first))
    assert len(report.orders) == (1 if lateness < 0.1 else 0)
    assert report.missed == (() if lateness < 0.1 else ("A/USDT",))
    assert report.lateness_s == pytest.approx(lateness * 3600)


def test_closes_missed_while_down_carry_accounts_and_stops_but_send_nothing():
    # Bought at the first open; the stop is hit while the process is down, then a new signal comes.
    opens = [100, 100, 100, 80, 80, 80, 80, 80]
    stretches = [hourly([1, 1, 1, -1, 1, 1, 0, 1], opens=opens)]
    options = PaperOptions(
        limits=NO_LIMITS, exits=ExitOptions(stop_loss_frac=0.05), sizing=SizingOptions()
    )
    closes = closes_of(stretches)
    with Journal("sqlite://") as journal:
        run_id = journal.start_run("live", {})
        session, clock = session_of(stretches, journal, run_id, options=options)
        drive(session, clock, stretches, until=closes[1])
        results, texts = [], []
        for _ in range(2):
            session, clock = session_of(stretches, journal, run_id, options=options)
            clock.set(closes[5] + HOUR_NS // 2)
            reports = session.catch_up(before(stretches, closes[5]))
            results.append(session.result())
            texts.append(repr(written(journal, run_id)))
            if len(texts) == 1:
                assert [report.missed for report in reports] == [("A/USDT",)] * 4
                assert [len(report.orders) for report in reports] == [0] * 4
                assert [fill.reason for report in reports for fill in report.fills] == ["stop"]
            else:
                assert reports == ()
        assert texts[0] == texts[1]
        same(results[1], results[0])
        drive(session, clock, stretches, after=closes[5])
        result = session.result()
    assert {found.step for found in result.blocked} == {Step.MISSED}
    assert result.trades["A/USDT"]["entry_bar"].tolist() == [1]
    equals_its_twin(result, stretches, options)


@given(seed=st.integers(0, 30), share=st.sampled_from([0.05, 0.3]))
@settings(max_examples=5, deadline=None, derandomize=True)
def test_a_session_through_outages_and_stops_equals_its_twin_and_repeats(seed, share):
    # Random candles come late, random stretches are slept through, the process starts again.
    rng = random.Random(seed)
    drawn = np.random.default_rng(seed).integers(-1, 2, (3, 80)).tolist()
    stretches = [
        TradedSymbol(market(f"A{k}/USDT", 80, seed + k), Scripted(script))
        for k, script in enumerate(drawn)
    ]
    options = PaperOptions(
        exits=ExitOptions(stop_loss_frac=0.01),
        limits=NO_LIMITS.replace(max_open_positions=2, max_daily_loss_frac=0.05),
    )
    by_symbol = {each.bars.symbol: each.bars for each in stretches}
    with Journal("sqlite://") as journal:
        run_id = journal.start_run("live", {})
        session, clock = session_of(stretches, journal, run_id, options=options)
        asleep_until = 0
        for time_ns in closes_of(stretches):
            clock.set(time_ns)
            if time_ns < asleep_until:
                continue
            if rng.random() < 0.04:
                asleep_until = time_ns + rng.randint(1, 12) * 300 * 10**9
                continue
            if rng.random() < 0.1 or asleep_until:
                asleep_until = 0
                session, clock = session_of(
                    stretches, journal, run_id, options=options, clock=ReplayClock(time_ns)
                )
                session.catch_up(before(stretches, time_ns))
                if session.last_closes and max(session.last_closes.values()) >= time_ns:
                    continue
            had = session.last_closes
            bars = {
                symbol: new
                for symbol, each in by_symbol.items()
                if len(
                    new := each.between(had.get(symbol, 0) - 300 * 10**9 + 1, None).closed_by(
                        time_ns
                    )
                )
                and rng.random() > share
            }
            session.on_close(time_ns, bars)
        result = session.result()
        seen = [
            each._replace(bars=each.bars.closed_by(session.last_closes[each.bars.symbol]))
            for each in stretches
        ]
        seen = [
            TradedSymbol(each.bars, Scripted(script[: len(each.bars)]))
            for each, script in zip(seen, drawn, strict=True)
        ]
        equals_its_twin(result, seen, options)
        everything = repr(written(journal, run_id))
        again, clock = session_of(stretches, journal, run_id, options=options)
        clock.set(closes_of(stretches)[-1])
        again.catch_up({each.bars.symbol: each.bars for each in seen})
        same(again.result(), result)
        assert repr(written(journal, run_id)) == everything


def test_a_candle_that_came_after_the_account_went_on_is_left_out_for_good():
    stretches = [hourly([1, 1, 0, 0])]
    closes = closes_of(stretches)
    with Journal("sqlite://") as journal:
        run_id = journal.start_run("live", {})
        session, clock = session_of(stretches, journal, run_id, options=FREE_OF_LIMITS)
        for place in (0, 2):
            clock.set(closes[place])
            session.on_close(closes[place], at(stretches, closes[place]))
        clock.set(closes[3])
        report = session.on_close(closes[3], {"A/USDT": stretches[0].bars[1:]})
        assert report.decided == 1
        everything = repr(written(journal, run_id))
        again, clock = session_of(stretches, journal, run_id, options=FREE_OF_LIMITS)
        clock.set(closes[3])
        assert again.catch_up(before(stretches, closes[3])) == ()
        assert repr(written(journal, run_id)) == everything


# Stops and second sessions


KILLED = Path(__file__).parent / "killed_session.py"


@pytest.mark.parametrize(("death", "moment"), [(40, "before")])
def test_a_live_session_killed_at_a_close_goes_on_as_if_nothing_had_happened(
    tmp_path, death, moment
):
    killed_goes_on(tmp_path, death, moment)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_a_live_session_killed_at_any_close_goes_on_as_if_nothing_had_happened(tmp_path, seed):
    rng = random.Random(seed)
    killed_goes_on(tmp_path, rng.randint(1, 240), rng.choice(["before", "after"]))


def killed_goes_on(tmp_path, death, moment):
    path, stretches = tmp_path / "journal.sqlite", symbols()
    with Journal(path, durability=Durability.PROCESS_DEATH) as journal:
        whole, killed = journal.start_run("live", {}), journal.start_run("live", {})
        session, clock = session_of(stretches, journal, whole)
        drive(session, clock, stretches)
    command = [sys.executable, str(KILLED), str(path), killed, str(death), moment, "live"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == -9, done.stderr
    at_death = closes_of(stretches)[death - 1]
    with Journal(path, durability=Durability.PROCESS_DEATH) as journal:
        written_before = len(journal.decisions(killed))
        assert written_before < len(journal.decisions(whole))
        again, clock = session_of(stretches, journal, killed)
        clock.set(at_death)
        again.catch_up(before(stretches, at_death))
        drive(again, clock, stretches, after=at_death)
        assert repr(written(journal, killed)).replace(killed, whole) == repr(
            written(journal, whole)
        )
        same(again.result(), session.result())


def test_two_sessions_cannot_write_one_run():
    stretches = symbols()
    closes = closes_of(stretches)
    with Journal("sqlite://") as journal:
        run_id = journal.start_run("live", {})
        first, clock = session_of(stretches, journal, run_id)
        second, its_clock = session_of(stretches, journal, run_id)
        its_clock.set(closes[0])
        drive(first, clock, stretches, until=closes[3])
        with pytest.raises(DataError, match=r"must be written by one session, found 2 decisions"):
            second.on_close(closes[0], at(stretches, closes[0]))
        with pytest.raises(DataError, match="must not go on after an error; make a new one"):
            second.on_close(closes[1], at(stretches, closes[1]))
        drive(first, clock, stretches, after=closes[3])


def test_when_the_journal_refuses_a_close_nothing_was_sent():
    class Refusing(Journal):
        def record_close(self, run_id, **parts):
            raise DataError("full")

    stretches = [hourly([1, 1])]
    with Refusing("sqlite://") as journal:
        session, clock = session_of(stretches, journal, journal.start_run("live", {}))
        with pytest.raises(DataError, match="full"):
            drive(session, clock, stretches)
    (lane,) = session._lanes.values()
    assert (lane.broker.account.pending_entry, lane.broker.account.pending_exit) == (0, 0)


def test_other_candles_under_a_used_run_id_are_refused():
    with Journal("sqlite://") as journal:
        run_id = journal.start_run("live", {})
        session, clock = session_of([hourly([1, 1, 0])], journal, run_id)
        drive(session, clock, [hourly([1, 1, 0])])
        other = [hourly([1, 1, 0], opens=[101, 101, 101])]
        session, clock = session_of(other, journal, run_id)
        with pytest.raises(DataError, match="must repeat run"):
            session.catch_up(before(other, 10**19))


def test_a_close_is_decided_once_even_when_the_clock_goes_back():
    stretches = [hourly([1, 1, 1])]
    first, second, _ = closes_of(stretches)
    session, clock = session_of(stretches, options=FREE_OF_LIMITS)
    drive(session, clock, stretches, until=second)
    for time_ns in (first, second):
        with pytest.raises(DataError, match="each close is decided once"):
            session.on_close(time_ns, at(stretches, time_ns))
    assert session.result().decisions == 2


@pytest.mark.parametrize(
    ("bars", "message"),
    [
        ({"X/USDT": priced("X/USDT", [1, 1])}, "symbol must be one of A/USDT, was X/USDT"),
        ({"A/USDT": priced("B/USDT", [1, 1])}, "bars must be of A/USDT 1h, were of B/USDT 1h"),
        ({"A/USDT": priced("A/USDT", [1] * 9)}, "A/USDT bar must have closed by"),
    ],
)
def test_candles_that_do_not_belong_are_refused(bars, message):
    stretches = [hourly([1] * 3)]
    session, clock = session_of(stretches)
    clock.set(closes_of(stretches)[0])
    with pytest.raises(DataError, match=message):
        session.on_close(closes_of(stretches)[0], bars)


def test_lateness_must_be_a_share_of_a_bar():
    with pytest.raises(ConfigError, match=r"late_after_frac must be within 0\.\.1, was 2"):
        LiveSession([], late_after_frac=2)


# Wishes


@pytest.mark.parametrize("method", ["percent_of_equity", "fixed_quote", "fixed_quantity"])
def test_a_shrunk_entry_has_its_share_of_the_size_and_the_twin_repeats_it(method):
    stretches = [hourly([1, 1, 0, 0, 1, 1, 0, 0], opens=[100, 102, 104, 103, 101, 99, 98, 97])]
    sizing = SizingOptions(method=method, quote=5_000, quantity=7, fraction=0.8)
    options = PaperOptions(limits=NO_LIMITS, sizing=sizing)
    whole, clock = session_of(stretches, options=options)
    drive(whole, clock, stretches)
    session, clock = session_of(stretches, options=options)
    session.shrink(0.25, "drift")
    drive(session, clock, stretches, until=closes_of(stretches)[2])
    session.resume()
    drive(session, clock, stretches, after=closes_of(stretches)[2])
    small, full = session.result().trades["A/USDT"], whole.result().trades["A/USDT"]
    assert small["quantity"][0] == pytest.approx(0.25 * full["quantity"][0], rel=1e-12)
    assert small["quantity"][1] > 0.9 * full["quantity"][1]
    (found,) = session.result().blocked
    assert (found.step, found.limit, found.frac) == (Step.SHRUNK, "shrink", 0.25)
    order = session.result().orders[0]
    assert order.quantity == pytest.approx(0.25 * whole.result().orders[0].quantity)
    equals_its_twin(session.result(), stretches, options)


def test_standing_aside_blocks_entries_of_a_symbol_and_lets_exits_go():
    pair = [hourly([1, 1, 0, 1, 1, 1]), hourly([0, 1, 1, 1, 1, 1], symbol="B/USDT")]
    session, clock = session_of(pair, options=FREE_OF_LIMITS)
    closes = closes_of(pair)
    drive(session, clock, pair, until=closes[0])
    session.stand_aside("calibration", "A/USDT")
    drive(session, clock, pair, after=closes[0])
    result = session.result()
    assert [(found.symbol, found.bar, found.limit) for found in result.blocked] == [
        ("A/USDT", 3, "stand_aside")
    ]
    assert "stood aside: calibration" in result.blocked[0].reason
    assert result.trades["A/USDT"]["exit_bar"].tolist() == [3]
    assert len(result.trades["B/USDT"]) == 1
    equals_its_twin(result, pair, FREE_OF_LIMITS)


def test_closing_a_session_closes_what_is_held_and_opens_nothing():
    pair = [hourly([1] * 6), hourly([0, 0, 0, 1, 1, 1], symbol="B/USDT")]
    session, clock = session_of(pair, options=FREE_OF_LIMITS)
    closes = closes_of(pair)
    drive(session, clock, pair, until=closes[2])
    session.close("model switched")
    assert not session.is_closed
    drive(session, clock, pair, after=closes[2], until=closes[3])
    assert not session.is_closed
    drive(session, clock, pair, after=closes[3])
    result = session.result()
    assert session.is_closed
    assert result.is_complete
    assert [(found.symbol, found.step, found.limit) for found in result.blocked] == [
        ("A/USDT", Step.CLOSED, "session_closing"),
        ("B/USDT", Step.BLOCKED_ENTRY, "session_closing"),
    ]
    assert "model switched" in result.blocked[0].reason
    equals_its_twin(result, pair, FREE_OF_LIMITS)


@given(seed=st.integers(0, 40))
@settings(max_examples=5, deadline=None, derandomize=True)
def test_wishes_are_repeated_by_the_twin_and_after_a_restart(seed):
    rng = random.Random(seed)
    drawn = np.random.default_rng(seed).integers(-1, 2, (2, 60)).tolist()
    stretches = [
        TradedSymbol(market(f"A{k}/USDT", 60, seed + k, outages=0), Scripted(script))
        for k, script in enumerate(drawn)
    ]
    options = PaperOptions(
        exits=ExitOptions(stop_loss_frac=0.01), limits=NO_LIMITS.replace(max_open_positions=1)
    )

    def wish(session):
        symbol = rng.choice([None, "A0/USDT", "A1/USDT"])
        rng.choice(
            [
                lambda: session.stand_aside("seen", symbol),
                lambda: session.shrink(rng.choice([0.0, 0.3, 0.5]), "seen", symbol),
                lambda: session.resume(symbol),
                lambda: session.resume(symbol),
            ]
        )()

    with Journal("sqlite://") as journal:
        run_id = journal.start_run("live", {})
        session, clock = session_of(stretches, journal, run_id, options=options)
        closes = closes_of(stretches)
        for place, time_ns in enumerate(closes):
            if rng.random() < 0.2:
                wish(session)
            if rng.random() < 0.1 and place:
                session, clock = session_of(stretches, journal, run_id, options=options)
                clock.set(closes[place - 1])
                assert session.catch_up(before(stretches, closes[place - 1])) == ()
            clock.set(time_ns)
            session.on_close(time_ns, at(stretches, time_ns))
        equals_its_twin(session.result(), stretches, options)


def test_a_wish_survives_a_restart():
    stretches = [hourly([0, 0, 1, 1])]
    with Journal("sqlite://") as journal:
        run_id = journal.start_run("live", {})
        session, clock = session_of(stretches, journal, run_id, options=FREE_OF_LIMITS)
        session.stand_aside("by hand")
        session, clock = session_of(stretches, journal, run_id, options=FREE_OF_LIMITS)
        drive(session, clock, stretches)
        assert [found.limit for found in session.result().blocked] == ["stand_aside"]
        events = journal.model_events(run_id=run_id, event="session_asked")
        assert [(event.symbol, event.detail["aside"]) for event in events] == [("ALL", "by hand")]


def test_wishes_without_a_reason_or_for_a_stranger_are_refused():
    session, _ = session_of([hourly([0])])
    with pytest.raises(ConfigError, match="reason must say why, was empty"):
        session.stand_aside("")
    with pytest.raises(ConfigError, match=r"frac must be within 0\.\.1, was 1.5"):
        session.shrink(1.5, "more")
    with pytest.raises(DataError, match="symbol must be one of A/USDT, was B/USDT"):
        session.resume("B/USDT")


def test_the_version_that_trades_is_in_the_journal_once():
    stretches = [hourly([0, 0])]
    with Journal("sqlite://") as journal:
        run_id = journal.start_run("live", {})
        from trading.live_sessions import live_of

        one = [live_of(stretches)[0]._replace(version="20260101T000000Z-abc")]
        for _ in range(2):
            LiveSession(one, journal=journal, run_id=run_id, clock=ReplayClock())
        (event,) = journal.model_events(event="traded")
    assert (event.symbol, event.version, event.run_id) == ("A/USDT", one[0].version, run_id)


# Memory


def test_the_curve_keeps_first_and_newest_and_never_more_than_asked():
    curve, whole = EquityCurve(10), EquityCurve()
    for place in range(1000):
        curve.add(place, float(place))
        whole.add(place, float(place))
        assert len(curve.times()) <= 11
        assert (curve.times()[0], curve.times()[-1]) == (0, place)
    assert len(whole.times()) == len(curve) == 1000
    assert curve.values().tolist() == curve.times().astype(float).tolist()


def test_old_trades_are_forgotten_in_pairs_and_the_rest_is_unchanged():
    stretches = [hourly([1, 0] * 60)]
    whole, clock = session_of(stretches, options=FREE_OF_LIMITS)
    drive(whole, clock, stretches)
    session, clock = session_of(stretches, options=FREE_OF_LIMITS)
    (lane,) = session._lanes.values()
    lane.broker._kept_trades = 5
    drive(session, clock, stretches)
    kept, every = session.result().trades["A/USDT"], whole.result().trades["A/USDT"]
    assert 5 <= len(kept) <= 10
    assert kept.tobytes() == every[-len(kept) :].tobytes()
    assert len(lane.broker._fill_times) <= 20
