"""The paper session: limits hold, everything is written down first, nothing happens twice."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from crypto_bot.core import Bars
from crypto_bot.core.errors import ConfigError, DataError
from crypto_bot.core.timeframes import DAY_NS, HOUR_NS
from crypto_bot.engine import CostOptions, ExitOptions, SizingOptions
from crypto_bot.feedback import compare_with_backtest
from crypto_bot.journal import Journal
from crypto_bot.trading import (
    PaperOptions,
    PaperSession,
    RiskGuard,
    Step,
    TradedSymbol,
    expected_trades,
)
from paper_markets import NO_LIMITS, Scripted, market, priced
from trading.sessions import session_on, symbols, written

FREE = CostOptions(taker_fee_frac=0, maker_fee_frac=0, slippage_frac=0)
FIRST = 20_000 * DAY_NS


def limits(**changes):
    return NO_LIMITS.replace(**changes)


def run(traded, *, risk=NO_LIMITS, exits=None, sizing=None, **more):
    options = PaperOptions(
        costs=FREE, exits=exits or ExitOptions(), sizing=sizing or SizingOptions(), limits=risk
    )
    return PaperSession(traded, options=options, **more).run()


def scripted(symbol, opens, directions, **more):
    return TradedSymbol(priced(symbol, opens), Scripted(directions, **more))


# Limits


def test_live_trading_is_refused_in_plain_words():
    with pytest.raises(ConfigError, match="mode must be paper: live trading is not available"):
        PaperOptions(mode="live")


def test_the_daily_loss_limit_blocks_entries_until_the_next_day():
    # Loses 10 % in the first hours; the same signal is free again after midnight.
    opens = [100, 100, 90, *[90] * 27]
    directions = [1, 0, 0, 1, *[0] * 22, 1, 1, 0, 0]
    result = run([scripted("A/USDT", opens, directions)], risk=limits(max_daily_loss_frac=0.05))
    (blocked,) = result.blocked
    assert (blocked.bar, blocked.step, blocked.limit) == (
        3,
        Step.BLOCKED_ENTRY,
        "max_daily_loss_frac",
    )
    assert "max_daily_loss_frac 0.05, was 0.1" in blocked.reason
    assert result.trades["A/USDT"]["entry_bar"].tolist() == [1, 27]


def test_the_drawdown_limit_blocks_every_later_entry():
    opens = [100, 100, 70, *[70] * 40]
    directions = [1, 0, 0, 1, 0, *[0] * 30, 1, *[0] * 7]
    result = run([scripted("A/USDT", opens, directions)], risk=limits(max_drawdown_frac=0.2))
    assert {found.limit for found in result.blocked} == {"max_drawdown_frac"}
    assert "max_drawdown_frac 0.2, was 0.3" in result.blocked[0].reason
    assert [found.bar for found in result.blocked] == [3, 35]
    assert len(result.trades["A/USDT"]) == 1


def test_the_limit_on_positions_takes_symbols_in_the_order_given():
    wanted = [scripted(f"{name}/USDT", [100] * 5, [1] * 5) for name in "CAB"]
    result = run(wanted, risk=limits(max_open_positions=2))
    assert {name: len(trades) for name, trades in result.trades.items()} == {
        "C/USDT": 1,
        "A/USDT": 1,
        "B/USDT": 0,
    }
    (blocked,) = result.blocked
    assert blocked.reason == (
        "B/USDT entry must find fewer than max_open_positions 2 positions open, was 2"
    )


def test_an_exit_decided_at_the_same_close_makes_room_for_an_entry():
    first = scripted("A/USDT", [100] * 6, [0, 1, 1, 1, 1, 1])
    second = scripted("B/USDT", [100] * 6, [1, 0, 0, 0, 0, 0])
    result = run([first, second], risk=limits(max_open_positions=1))
    assert result.blocked == ()
    assert len(result.trades["A/USDT"]) == len(result.trades["B/USDT"]) == 1


def test_exposure_counts_all_symbols_and_the_entry_itself():
    wanted = [scripted(f"{name}/USDT", [100] * 5, [1] * 5) for name in "AB"]
    result = run(wanted, risk=limits(max_exposure_frac=0.8))
    (blocked,) = result.blocked
    assert "B/USDT entry must keep exposure within max_exposure_frac 0.8 of equity, was 1" in (
        blocked.reason
    )


def test_old_data_and_an_old_model_block_entries():
    class Late:
        def now_ns(self):
            return FIRST + 10 * HOUR_NS

    result = run(
        [scripted("A/USDT", [100] * 3, [1, 0, 0])], risk=limits(stale_data_bars=2), clock=Late()
    )
    assert "last bar must be at most stale_data_bars 2 bars old, was 9" in result.blocked[0].reason
    old = scripted("A/USDT", [100] * 3, [1, 0, 0], trained_until_ns=FIRST - 40 * DAY_NS)
    result = run([old], risk=limits(max_model_age_days=30))
    assert "model must be at most max_model_age_days 30 days old, was 40" in (
        result.blocked[0].reason
    )


def test_an_exit_is_never_blocked():
    # The drawdown limit bites while the position is held; its exit goes, the reversal's entry not.
    result = run(
        [scripted("A/USDT", [100, 100, 50, 50, 50], [1, -1, -1, -1, -1])],
        risk=limits(max_drawdown_frac=0.2),
    )
    assert [found.step for found in result.blocked] == [Step.BLOCKED_ENTRY]
    (trade,) = result.trades["A/USDT"]
    assert (trade["entry_bar"], trade["exit_bar"]) == (1, 2)


def test_a_blocked_signal_is_not_tried_again_while_it_lasts():
    result = run(
        [
            scripted("A/USDT", [100] * 8, [1, 1, 1, 0, 0, 0, 0, 0]),
            scripted("B/USDT", [100] * 8, [0, 1, 1, 1, 1, 1, 1, 1]),
        ],
        risk=limits(max_open_positions=1),
    )
    assert [found.symbol for found in result.blocked] == ["B/USDT"]
    assert len(result.trades["B/USDT"]) == 0


@pytest.mark.parametrize("signal_exit", ["flat", "opposite", "never"])
def test_the_kill_switch_closes_what_is_open_and_blocks_the_rest(tmp_path, signal_exit):
    switch = tmp_path / "KILL_SWITCH"
    asked = []

    def pull():
        asked.append(True)
        if len(asked) == 3:
            switch.touch()
        return False

    result = run(
        [
            scripted("A/USDT", [100] * 7, [1] * 7, signal_exit=signal_exit),
            scripted("B/USDT", [100] * 7, [0, 0, 0, 1, 1, 1, 1], signal_exit=signal_exit),
        ],
        risk=limits(kill_switch_file=str(switch)),
        should_stop=pull,
    )
    assert [(found.symbol, found.bar, found.step) for found in result.blocked] == [
        ("A/USDT", 2, Step.CLOSED),
        ("B/USDT", 3, Step.BLOCKED_ENTRY),
    ]
    assert "kill switch was on: file" in result.blocked[0].reason
    assert result.trades["A/USDT"]["exit_bar"].tolist() == [3]
    assert len(result.trades["B/USDT"]) == 0


def test_the_guard_of_a_session_can_be_killed_by_hand():
    guard = RiskGuard(NO_LIMITS)
    guard.kill("operator")
    result = run([scripted("A/USDT", [100] * 4, [1] * 4)], guard=guard)
    assert [found.limit for found in result.blocked] == ["kill_switch"]
    assert len(result.trades["A/USDT"]) == 0


def test_what_the_limits_changed_explains_the_difference_from_the_backtest():
    with Journal("sqlite://") as journal:
        run_id = journal.start_run("paper", {})
        session = session_on(journal, run_id)
        result = session.run()
    exits = session._options.exits
    agreement = compare_with_backtest(
        result.trades,
        expected_trades(symbols(), exits=exits),
        under_limits=expected_trades(symbols(), exits=exits, interventions=result.blocked),
    )
    assert not agreement.equal
    assert agreement.explained_by_risk > 0
    assert agreement.unexplained == 0


def test_an_intervention_of_another_session_is_refused():
    long = run([scripted("A/USDT", [100] * 8, [0, 0, 0, 0, 0, 1, 1, 1])], guard=killed())
    assert len(long.blocked) > 0
    short = [scripted("A/USDT", [100] * 4, [1] * 4)]
    with pytest.raises(DataError, match="intervention must be at a close of the stretches"):
        expected_trades(short, interventions=long.blocked)
    with pytest.raises(DataError, match=r"was A/USDT bar 5"):
        expected_trades([scripted("B/USDT", [100] * 8, [1] * 8)], interventions=long.blocked)


def killed():
    guard = RiskGuard(NO_LIMITS)
    guard.kill("operator")
    return guard


# Merging and accounts


def test_bars_of_symbols_come_in_order_of_close_then_of_symbol():
    slow = TradedSymbol(priced("S/USDT", [100, 100, 100], timeframe="2h"), Scripted([1, 1, 1]))
    fast = scripted("F/USDT", [100] * 6, [1] * 6)
    result = run([slow, fast])
    hours = (result.times_ns - FIRST) // HOUR_NS
    assert hours.tolist() == [1, 2, 3, 4, 5, 6]
    assert [order.symbol for order in result.orders] == ["F/USDT", "S/USDT"]
    assert result.decisions == 9


def test_each_symbol_has_the_initial_cash_and_equity_is_their_sum():
    result = run(
        [
            scripted("A/USDT", [100, 100, 200], [1, 1, 1]),
            scripted("B/USDT", [100, 100, 50], [0, 0, 0]),
        ],
        sizing=SizingOptions(initial_cash=1000),
    )
    assert result.initial_cash == 2000
    assert result.equity.tolist() == [2000, 3000, 3000]
    assert result.times_ns.dtype == np.int64


def test_a_symbol_whose_bars_are_missing_keeps_its_last_value():
    whole = priced("A/USDT", [100, 100, 200, 400, 400])
    keep = [0, 1, 4]
    gapped = Bars(
        "A/USDT",
        "1h",
        *(getattr(whole, name)[keep] for name in ("open_time", "open", "high", "low", "close")),
        whole.volume[keep],
    )
    one = TradedSymbol(gapped, Scripted([1, 1, 1]))
    result = run([one, scripted("B/USDT", [100] * 5, [0] * 5)])
    assert result.equity.tolist() == [200_000, 300_000, 300_000, 300_000, 500_000]


def test_simulated_candles_are_said_to_be_simulated():
    simulated = TradedSymbol(market("A/USDT", 5, 1), Scripted([0] * 5))
    assert run([simulated]).is_simulated
    assert not run([scripted("A/USDT", [1, 1], [0, 0])]).is_simulated


@pytest.mark.parametrize(
    ("symbols_of", "error", "message"),
    [
        (lambda a: [], ConfigError, "symbols must hold at least one, was empty"),
        (lambda a: [a, a], ConfigError, "symbols must differ, was A/USDT more than once"),
        (
            lambda a: [a._replace(bars=a.bars[:0])],
            DataError,
            "A/USDT stretch must hold at least one bar, was empty",
        ),
        (
            lambda a: [a._replace(history=a.bars[:1])],
            DataError,
            "A/USDT history must end before the stretch begins",
        ),
        (
            lambda a: [a._replace(history=priced("B/USDT", [1, 1], first_ns=0))],
            DataError,
            "history must be of A/USDT 1h, was B/USDT 1h",
        ),
    ],
)
def test_impossible_sessions_are_refused_before_the_first_bar(symbols_of, error, message):
    with pytest.raises(error, match=message):
        PaperSession(symbols_of(scripted("A/USDT", [100] * 3, [0] * 3)))


# The journal


def test_every_decision_order_and_fill_is_in_the_journal():
    with Journal("sqlite://") as journal:
        run_id = journal.start_run("paper", {})
        result = session_on(journal, run_id).run()
        decisions, orders, fills = written(journal, run_id)
    assert len(decisions) == result.decisions == 750
    assert {order.client_id for order in orders} == {order.client_id for order in result.orders}
    assert len(fills) == len(result.fills) > 20
    assert {fill.client_id for fill in fills} <= {order.client_id for order in orders}
    noted = [decision for decision in decisions if decision.detail]
    assert [decision.reason for decision in noted] == [found.reason for found in result.blocked]
    assert len(noted) > 0


def test_an_order_is_in_the_journal_before_it_is_filled():
    class Watching(Journal):
        def record_orders(self, run_id, orders):
            count = super().record_orders(run_id, orders)
            ordered.update(order.client_id for order in orders)
            return count

    ordered = set()
    with Watching("sqlite://") as journal:
        session = session_on(journal, journal.start_run("paper", {}))
        brokers = [lane.broker for lane in session._lanes]
        for broker in brokers:
            broker.on_bar = checked(broker.on_bar, ordered)
        result = session.run()
    assert len(result.fills) > 20


def test_when_the_journal_refuses_orders_the_broker_holds_nothing():
    class Refusing(Journal):
        def record_orders(self, run_id, orders):
            raise Crash

    traded = [scripted(symbol, [100] * 4, [1] * 4) for symbol in ("A/USDT", "B/USDT")]
    with Refusing("sqlite://") as journal:
        session = PaperSession(traded, journal=journal, run_id=journal.start_run("paper", {}))
        with pytest.raises(Crash):
            session.run()
    accounts = [lane.broker.account for lane in session._lanes]
    assert [(account.pending_entry, account.pending_exit) for account in accounts] == [(0, 0)] * 2


def checked(on_bar, ordered):
    def step(bar):
        fills = on_bar(bar)
        assert {fill.client_id for fill in fills} <= ordered
        return fills

    return step


@pytest.mark.parametrize("closes", [0, 1, 60, 200])
def test_a_stopped_session_goes_on_under_the_same_run_id(closes, tmp_path):
    count = iter(range(10_000))
    with Journal(tmp_path / "j.sqlite") as journal:
        whole, stopped = journal.start_run("paper", {}), journal.start_run("paper", {})
        reference = session_on(journal, whole).run()
        first = session_on(journal, stopped, should_stop=lambda: next(count) >= closes)
        early = first.run()
        assert not early.is_complete
        assert len(early.times_ns) == closes
        last = session_on(journal, stopped).run()
        assert same_but_id(written(journal, stopped), written(journal, whole), stopped, whole)
    assert last.is_complete
    for symbol, trades in reference.trades.items():
        assert last.trades[symbol].tobytes() == trades.tobytes()
    assert [found.reason for found in last.blocked] == [found.reason for found in reference.blocked]


def test_the_same_session_object_goes_on_after_a_stop():
    count = iter(range(10_000))
    traded = [scripted("A/USDT", [100, 100, 110, 120], [1, 1, 0, 0])]
    session = PaperSession(traded, should_stop=lambda: next(count) == 2)
    assert not session.run().is_complete
    assert session.run().trades["A/USDT"].tobytes() == run_plain(traded).tobytes()


def run_plain(traded):
    return PaperSession(traded).run().trades["A/USDT"]


def same_but_id(ours, theirs, our_id, their_id):
    return repr(ours).replace(our_id, their_id) == repr(theirs)


@pytest.mark.parametrize(("death", "moment"), [(1, "before"), (9, "after")])
def test_a_session_killed_during_a_write_does_nothing_twice_and_misses_nothing(
    tmp_path, death, moment
):
    path = tmp_path / "journal.sqlite"
    with Journal(path) as journal:
        whole, killed = journal.start_run("paper", {}), journal.start_run("paper", {})
        session_on(journal, whole).run()
    script = Path(__file__).parent / "killed_session.py"
    command = [sys.executable, str(script), str(path), killed, str(death), moment]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == -9, done.stderr
    with Journal(path) as journal:
        assert len(written(journal, killed)[1]) < len(written(journal, whole)[1])
        session_on(journal, killed).run()
        assert same_but_id(written(journal, killed), written(journal, whole), killed, whole)


def test_a_limit_that_no_longer_bites_does_not_rewrite_the_past(tmp_path):
    switch = tmp_path / "KILL_SWITCH"
    traded = [scripted("A/USDT", [100] * 30, ([1] * 5 + [0] * 5) * 3)]
    risk = limits(kill_switch_file=str(switch))
    count = iter(range(100))

    def stop_with_switch_on():
        closes = next(count)
        if closes == 3:
            switch.touch()
        return closes == 14

    with Journal(tmp_path / "j.sqlite") as journal:
        run_id = journal.start_run("paper", {})
        first = run(
            traded, risk=risk, journal=journal, run_id=run_id, should_stop=stop_with_switch_on
        )
        switch.unlink()
        second = run(traded, risk=risk, journal=journal, run_id=run_id)
    assert [(found.bar, found.step) for found in first.blocked] == [
        (3, Step.CLOSED),
        (10, Step.BLOCKED_ENTRY),
    ]
    assert second.blocked == first.blocked
    assert second.trades["A/USDT"]["entry_bar"].tolist() == [1, 21]


class Crash(Exception):
    pass


class Crashing(Journal):
    """Fails right after the given write of orders, with everything else still in memory."""

    last_write = 10_000

    def record_orders(self, run_id, orders):
        count = super().record_orders(run_id, orders)
        self.writes = getattr(self, "writes", 0) + 1
        if self.writes == self.last_write:
            raise Crash
        return count


def crashed_and_resumed(path, traded, risk, *, last_write, before_close, after_crash):
    """The result of a session resumed after a crash, and its run's orders before and after."""
    closes = iter(range(10_000))

    def should_stop():
        before_close(next(closes))
        return False

    with Crashing(path) as journal:
        journal.last_write = last_write
        run_id = journal.start_run("paper", {})
        with pytest.raises(Crash):
            run(traded, risk=risk, journal=journal, run_id=run_id, should_stop=should_stop)
        before = journal.orders(run_id)
        journal.last_write = 10_000
        after_crash()
        result = run(traded, risk=risk, journal=journal, run_id=run_id)
        return result, before, journal.orders(run_id)


def test_a_limit_that_bites_only_now_does_not_rewrite_the_past(tmp_path):
    switch = tmp_path / "KILL_SWITCH"
    traded = [scripted("A/USDT", [100] * 8, [1, 1, 0, 1, 1, 1, 1, 1])]
    result, before, after = crashed_and_resumed(
        tmp_path / "j.sqlite",
        traded,
        limits(kill_switch_file=str(switch)),
        last_write=3,
        before_close=lambda close: None,
        after_crash=switch.touch,
    )
    assert len(before) == 3
    assert [(found.bar, found.step) for found in result.blocked] == [(4, Step.CLOSED)]
    assert after[:3] == before
    assert result.trades["A/USDT"]["entry_bar"].tolist() == [1, 4]


def test_what_a_limit_changed_is_written_before_the_next_order(tmp_path):
    switch = tmp_path / "KILL_SWITCH"

    def on_for_one_close(close):
        if close == 2:
            switch.touch()
        if close == 3:
            switch.unlink()

    result, before, after = crashed_and_resumed(
        tmp_path / "j.sqlite",
        [
            scripted("A/USDT", [100] * 8, [0, 0, 1, 1, 1, 1, 1, 1]),
            scripted("B/USDT", [100] * 8, [0, 0, 0, 0, 1, 1, 1, 1]),
        ],
        limits(kill_switch_file=str(switch)),
        last_write=1,
        before_close=on_for_one_close,
        after_crash=lambda: None,
    )
    assert [(found.symbol, found.bar) for found in result.blocked] == [("A/USDT", 2)]
    assert len(result.trades["A/USDT"]) == 0
    assert after == before


def test_other_fills_under_a_used_run_id_are_refused():
    directions = [1, 1, 1, 1]
    first = TradedSymbol(priced("A/USDT", [100] * 4, closes=[100] * 4), Scripted(directions))
    other = TradedSymbol(
        priced("A/USDT", [100, 101, 100, 100], closes=[100] * 4), Scripted(directions)
    )
    with Journal("sqlite://") as journal:
        run_id = journal.start_run("paper", {})
        run([first], journal=journal, run_id=run_id)
        with pytest.raises(DataError, match=r"fill .*-entry must repeat run .*'s, was another"):
            run([other], journal=journal, run_id=run_id)


def test_other_candles_under_a_used_run_id_are_refused():
    with Journal("sqlite://") as journal:
        run_id = journal.start_run("paper", {})
        run([scripted("A/USDT", [100] * 6, [1, 1, 0, 0, 0, 0])], journal=journal, run_id=run_id)
        with pytest.raises(
            DataError, match=r"A/USDT decision at .* candles, features or model have"
        ):
            run([scripted("A/USDT", [100] * 6, [0, 1, 0, 0, 0, 0])], journal=journal, run_id=run_id)
        with pytest.raises(DataError, match=r"order .* must repeat run .*'s, was another"):
            run([scripted("A/USDT", [101] * 6, [1, 1, 0, 0, 0, 0])], journal=journal, run_id=run_id)
