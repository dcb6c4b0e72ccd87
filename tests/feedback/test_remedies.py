"""Findings become alarms, alarms become actions: the strongest wins, and nothing happens twice."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from crypto_bot.core.timeframes import DAY_NS, HOUR_NS
from crypto_bot.feedback import (
    Action,
    Finding,
    FindingKind,
    carry_out,
    decide,
    resting,
    size_wanted,
    strongest,
)


@dataclass(frozen=True)
class Alarm:
    number: int
    kind: str
    action: str
    status: str = "open"
    symbol: str = "BTC/USDT"
    detail: object = None
    raised_at_ns: int = 0
    outcome: str = ""


class Book:
    """Alarms in memory; breaks where asked to, as a killed process would."""

    def __init__(self, alarms, dies_at=None):
        self.alarms = {alarm.number: alarm for alarm in alarms}
        self.dies_at = dies_at

    def alarm_acted(self, number, outcome):
        if number == self.dies_at:
            self.dies_at = None
            raise KeyboardInterrupt
        self.alarms[number] = replace(self.alarms[number], status="acted", outcome=outcome)

    def clear_alarm(self, number, outcome):
        self.alarms[number] = replace(self.alarms[number], status="cleared", outcome=outcome)

    @property
    def standing(self):
        return [alarm for alarm in self.alarms.values() if alarm.status != "cleared"]


class Hands:
    def __init__(self, retrained="training"):
        self.calls = []
        self.retrained = retrained

    def shrink(self, frac, reason):
        self.calls.append(("shrink", frac))
        return f"size {frac:g}"

    def stand_aside(self, reason):
        self.calls.append(("stand_aside",))
        return "aside"

    def retrain(self, alarm, reason):
        self.calls.append(("retrain", alarm))
        return self.retrained

    def roll_back(self, version, reason):
        self.calls.append(("roll_back", version))
        return "back"


def finding(kind, action):
    return Finding(kind, "BTC/USDT", 1.0, 0.5, action, "because")


def alarm(number, kind, action, **more):
    more.setdefault("detail", {"version": "v2", "reason": "because"})
    return Alarm(number, f"{kind.value}:{action.value}", action.value, **more)


DRIFT = finding(FindingKind.FEATURE_DRIFT, Action.RETRAIN)
WORSE = finding(FindingKind.WORSE_THAN_PROMISED, Action.SHRINK)
ODD = finding(FindingKind.UNEXPLAINED, Action.STAND_ASIDE)
DEEP = finding(FindingKind.DRAWDOWN, Action.ROLL_BACK)


@pytest.mark.parametrize(
    ("actions", "wins"),
    [
        ([], Action.CONTINUE),
        ([Action.SHRINK, Action.CONTINUE], Action.SHRINK),
        ([Action.SHRINK, Action.RETRAIN], Action.RETRAIN),
        ([Action.RETRAIN, Action.STAND_ASIDE], Action.STAND_ASIDE),
        (list(Action), Action.ROLL_BACK),
    ],
)
def test_the_strongest_action_wins(actions, wins):
    assert strongest(actions) is wins


def test_a_finding_is_raised_once():
    plan = decide([DRIFT, WORSE], [], now_ns=0)
    assert plan.to_raise == (DRIFT, WORSE)
    assert plan.action is Action.RETRAIN
    again = decide([DRIFT], [alarm(1, DRIFT.kind, DRIFT.action, status="acted")], now_ns=0)
    assert (again.to_raise, again.to_clear) == ((), ())


def test_an_alarm_is_cleared_after_two_looks_without_its_reason():
    stands = [alarm(1, DRIFT.kind, DRIFT.action)]
    first = decide([], stands, now_ns=0)
    assert first.to_clear == ()
    assert first.action is Action.RETRAIN
    second = decide([], stands, now_ns=0, missing_before={stands[0].kind})
    assert second.to_clear == tuple(stands)
    assert second.action is Action.CONTINUE
    back = decide([DRIFT], stands, now_ns=0, missing_before={stands[0].kind})
    assert back.to_clear == ()


def test_results_that_stay_worse_after_shrinking_ask_for_a_new_model():
    shrunk = alarm(1, WORSE.kind, WORSE.action, status="acted", raised_at_ns=5)
    assert decide([WORSE], [shrunk], now_ns=DAY_NS).to_raise == ()
    (more,) = decide([WORSE], [shrunk], now_ns=DAY_NS + 5).to_raise
    assert (more.kind, more.action) == (WORSE.kind, Action.RETRAIN)
    replayed = replace(shrunk, detail={"time_ns": DAY_NS})
    assert decide([WORSE], [replayed], now_ns=DAY_NS + HOUR_NS).to_raise == ()


def test_a_new_model_is_not_asked_for_again_within_a_day():
    trained = alarm(1, DRIFT.kind, DRIFT.action, status="cleared", raised_at_ns=0)
    for hours, raised in ((2, ()), (25, (DRIFT,))):
        now_ns = hours * HOUR_NS
        plan = decide([DRIFT], [], now_ns=now_ns, resting=resting([trained], now_ns))
        assert plan.to_raise == raised


def test_standing_aside_beats_shrinking_and_both_end():
    shrunk, aside = alarm(1, WORSE.kind, WORSE.action), alarm(2, ODD.kind, ODD.action)
    assert size_wanted([shrunk, aside], 0.5) == 0.0
    assert size_wanted([shrunk], 0.5) == 0.5
    assert size_wanted([], 0.5) == 1.0
    hands, book = Hands(), Book([shrunk, aside])
    size = carry_out(book, hands, book.standing, shrink_to_frac=0.5, size_before=1.0)
    book.clear_alarm(2, "over")
    size = carry_out(book, hands, book.standing, shrink_to_frac=0.5, size_before=size)
    book.clear_alarm(1, "over")
    size = carry_out(book, hands, book.standing, shrink_to_frac=0.5, size_before=size)
    assert hands.calls == [("stand_aside",), ("shrink", 0.5), ("shrink", 1.0)]
    assert size == 1.0


def test_what_is_done_is_not_done_again():
    book, hands = (
        Book([alarm(1, DRIFT.kind, DRIFT.action), alarm(2, ODD.kind, ODD.action)]),
        Hands(),
    )
    size = carry_out(book, hands, book.standing, shrink_to_frac=0.5, size_before=1.0)
    before = list(hands.calls)
    assert carry_out(book, hands, book.standing, shrink_to_frac=0.5, size_before=size) == size
    assert hands.calls == before
    assert {each.status for each in book.standing} == {"acted"}
    assert book.alarms[1].outcome == "training"


def test_a_retrain_that_is_only_asked_for_stays_open():
    book = Book([alarm(1, DRIFT.kind, DRIFT.action)])
    carry_out(book, Hands(retrained=None), book.standing, shrink_to_frac=0.5, size_before=1.0)
    assert book.alarms[1].status == "open"


def test_a_rollback_ends_what_was_said_of_the_size_of_the_model_before():
    alarms = [alarm(n, f.kind, f.action) for n, f in enumerate((WORSE, ODD, DEEP, DRIFT))]
    book, hands = Book(alarms), Hands()
    size = carry_out(book, hands, book.standing, shrink_to_frac=0.5, size_before=0.5)
    assert size == 1.0
    assert hands.calls == [("retrain", 3), ("roll_back", "v2"), ("shrink", 1.0)]
    assert [book.alarms[n].status for n in range(4)] == ["cleared", "cleared", "acted", "acted"]


@pytest.mark.parametrize("dies_at", [1, 2])
def test_killed_before_it_is_written_down_the_same_remedy_is_asked_for_again(dies_at):
    book = Book([alarm(1, DEEP.kind, DEEP.action), alarm(2, DRIFT.kind, DRIFT.action)], dies_at)
    hands = Hands()
    with pytest.raises(KeyboardInterrupt):
        carry_out(book, hands, book.standing, shrink_to_frac=0.5, size_before=1.0)
    carry_out(book, hands, book.standing, shrink_to_frac=0.5, size_before=None)
    assert {each.status for each in book.alarms.values()} == {"acted"}
    asked = ("roll_back", "v2") if dies_at == 1 else ("retrain", 2)
    assert hands.calls.count(asked) == 2
