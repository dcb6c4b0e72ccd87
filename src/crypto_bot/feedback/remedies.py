"""`decide` what findings ask for, and carry it out: written down first, done once, undone when over."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from crypto_bot.core.timeframes import DAY_NS
from crypto_bot.feedback.evidence import Action, Finding, FindingKind

PRECEDENCE = (
    Action.CONTINUE,
    Action.SHRINK,
    Action.RETRAIN,
    Action.STAND_ASIDE,
    Action.ROLL_BACK,
)
"""Mildest first. Of the three that change positions the strongest wins; retraining goes beside them."""
ESCALATES_AFTER_NS = DAY_NS
"""Results still worse than promised this long after shrinking: a new model is trained."""
RETRAINS_AGAIN_AFTER_NS = DAY_NS
NORMAL_SIZE = 1.0


class Alarm(Protocol):
    """What is read of an alarm of the journal."""

    @property
    def number(self) -> int: ...
    @property
    def symbol(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def action(self) -> str: ...
    @property
    def detail(self) -> Mapping[str, Any]: ...
    @property
    def status(self) -> str: ...
    @property
    def raised_at_ns(self) -> int: ...


class AlarmBook(Protocol):
    """Where alarms are written: the journal."""

    def raise_alarm(
        self, run_id: str, symbol: str, kind: str, action: str, detail: Mapping[str, Any]
    ) -> Alarm:
        """A new alarm, or the open one of this symbol and kind."""
        ...

    def alarm_acted(self, number: int, outcome: str) -> None:
        """The action is done."""
        ...

    def clear_alarm(self, number: int, outcome: str) -> None:
        """Its reason is gone."""
        ...


class Remedies(Protocol):
    """What the loop can do. Each may be asked again after a crash and must then do nothing twice."""

    def shrink(self, frac: float, reason: str) -> str:
        """New entries take `frac` of their normal size from now on; 1 is as normal. What came of it."""
        ...

    def stand_aside(self, reason: str) -> str:
        """No new entries from now on, until `shrink` is asked for again."""
        ...

    def retrain(self, alarm: int, reason: str) -> str | None:
        """Ask for a new model, once per alarm number; None: the alarm stays open until it is trained."""
        ...

    def roll_back(self, version: str, reason: str) -> str:
        """Put the previous champion back, if `version` is still the one in service."""
        ...


@dataclass(frozen=True)
class Plan:
    """What a look changes.

    Attributes
    ----------
    to_raise : tuple[Finding, ...]     no standing alarm says it yet
    to_clear : tuple[Alarm, ...]       their reason was missing at this look and the one before
    action : Action                    the strongest of everything that then stands
    present : frozenset of str         alarm kinds whose reason was found
    """

    to_raise: tuple[Finding, ...]
    to_clear: tuple[Alarm, ...]
    action: Action
    present: frozenset[str]


def strongest(actions: Collection[Action | str]) -> Action:
    """The one that comes last in `PRECEDENCE`; CONTINUE of none."""
    return max(
        (Action(action) for action in actions), key=PRECEDENCE.index, default=Action.CONTINUE
    )


def decide(
    findings: Sequence[Finding],
    standing: Sequence[Alarm],
    *,
    now_ns: int,
    missing_before: Collection[str] = (),
    resting: Collection[str] = (),
) -> Plan:
    """Findings and the alarms that stand: what is raised, what is cleared, what is done.

    Parameters
    ----------
    findings : of one symbol, by `watch`
    standing : its alarms that are open or acted on, not cleared
    now_ns : int                the look's time
    missing_before : alarm kinds whose reason was already missing at the look before
    resting : alarm kinds that are not raised again yet, see `resting`

    Notes
    -----
    An alarm is cleared after two looks without its reason, so that one lucky hour changes nothing.
    Worse than promised for a day after shrinking asks for a retrain besides.
    """
    wanted = {finding.alarm_kind: finding for finding in findings}
    shrunk = next((a for a in standing if a.kind == _SHRUNK), None)
    is_old = shrunk is not None and now_ns - _since(shrunk) >= ESCALATES_AFTER_NS
    if is_old and _SHRUNK in wanted:
        more = replace(wanted[_SHRUNK], action=Action.RETRAIN)
        wanted[more.alarm_kind] = more
    known = {alarm.kind for alarm in standing}
    quiet = known.union(resting)
    to_raise = tuple(finding for kind, finding in wanted.items() if kind not in quiet)
    missing = [alarm for alarm in standing if alarm.kind not in wanted]
    to_clear = tuple(alarm for alarm in missing if alarm.kind in missing_before)
    kept = [alarm.action for alarm in standing if alarm not in to_clear]
    action = strongest([*(finding.action for finding in to_raise), *kept])
    return Plan(to_raise, to_clear, action, frozenset(wanted))


def _since(alarm: Alarm) -> int:
    """The look that raised it: on a replayed stretch not the time at which it was written."""
    return int(alarm.detail.get("time_ns", alarm.raised_at_ns))


_SHRUNK = f"{FindingKind.WORSE_THAN_PROMISED.value}:{Action.SHRINK.value}"


def resting(alarms: Sequence[Alarm], now_ns: int) -> frozenset[str]:
    """Kinds for which a new model was asked for within a day: it may not have helped.

    `alarms` are those of the version in service, cleared ones too. Without this rest a model that
    the gate refuses would be trained again at every look.
    """
    return frozenset(
        alarm.kind
        for alarm in alarms
        if alarm.action == Action.RETRAIN and now_ns - _since(alarm) < RETRAINS_AGAIN_AFTER_NS
    )


def size_wanted(standing: Sequence[Alarm], shrink_to_frac: float) -> float:
    """Share of normal of new entries while these alarms stand: 0, `shrink_to_frac` or 1."""
    actions = {alarm.action for alarm in standing}
    if Action.STAND_ASIDE in actions:
        return 0.0
    return shrink_to_frac if Action.SHRINK in actions else NORMAL_SIZE


def carry_out(
    book: AlarmBook,
    remedies: Remedies,
    standing: Sequence[Alarm],
    *,
    shrink_to_frac: float,
    size_before: float | None,
) -> float:
    """Do what the standing alarms ask for and write down that it is done.

    Parameters
    ----------
    book : the journal
    standing : alarms of one symbol that are open or acted on
    shrink_to_frac : float
    size_before : float | None    set by the look before; None: not known, so it is set again

    Returns
    -------
    float    the size now wanted; 1 after a roll-back, which starts with another model

    Notes
    -----
    An alarm is marked as acted only after its remedy returned: killed in between, the remedy is asked
    again, and is one that does nothing twice. A roll-back takes the alarms about size with it.
    """
    waiting = [alarm for alarm in standing if alarm.status == "open"]
    for alarm in waiting:
        if alarm.action == Action.RETRAIN:
            done = remedies.retrain(alarm.number, _reason(alarm))
            if done is not None:
                book.alarm_acted(alarm.number, done)
    back = [alarm for alarm in waiting if alarm.action == Action.ROLL_BACK]
    for alarm in back:
        outcome = remedies.roll_back(str(alarm.detail.get("version", "")), _reason(alarm))
        book.alarm_acted(alarm.number, outcome)
    about_size = [a for a in standing if a.action in (Action.SHRINK, Action.STAND_ASIDE)]
    if back:
        for alarm in about_size:
            book.clear_alarm(alarm.number, f"rolled back by alarm {back[0].number}")
        about_size = []
    size = size_wanted(about_size, shrink_to_frac)
    unacted = [alarm for alarm in about_size if alarm.status == "open"]
    if unacted or size != size_before:
        outcome = _set_size(remedies, size, about_size)
        for alarm in unacted:
            book.alarm_acted(alarm.number, outcome)
    return size


def _set_size(remedies: Remedies, size: float, about_size: Sequence[Alarm]) -> str:
    if size == 0.0 and any(alarm.action == Action.STAND_ASIDE for alarm in about_size):
        decided = next(alarm for alarm in about_size if alarm.action == Action.STAND_ASIDE)
        return remedies.stand_aside(_reason(decided))
    reason = _reason(about_size[0]) if about_size else "no alarm stands"
    return remedies.shrink(size, reason)


def _reason(alarm: Alarm) -> str:
    return f"alarm {alarm.number} {alarm.kind}: {alarm.detail.get('reason', '')}"
