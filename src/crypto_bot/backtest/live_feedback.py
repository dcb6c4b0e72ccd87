"""A look at a running paper session: measured, written down, alarms raised, remedies called for."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from crypto_bot.backtest.live_evidence import (
    REFERENCE_BARS,
    Champion,
    agreement,
    all_trades,
    calibration_evidence,
    drawdown_of,
    feature_evidence,
    prediction_evidence,
    rival_evidence,
    rows_of,
    seen_so_far,
    slippage_of,
)
from crypto_bot.backtest.live_picture import write_live_picture
from crypto_bot.backtest.promises import Promise
from crypto_bot.backtest.workbench import Workbench
from crypto_bot.feedback import (
    LiveEvidence,
    Look,
    Plan,
    Remedies,
    WatchOptions,
    carry_out,
    decide,
    finding_record,
    record_feedback,
    resting,
    take_a_look,
)
from crypto_bot.journal import Alarm, Feedback
from crypto_bot.trading import LiveSession, PaperOptions, PaperResult, TradedSymbol

_LOG = logging.getLogger(__name__)
KIND = "live"
"""Of a look's record among the journal's feedback."""
EVERYTHING = "ALL"
"""The symbol of what is no model's: a strategy trades."""


@dataclass(frozen=True, eq=False)
class Watched:
    """Who trades a session, and what it is held against.

    Attributes
    ----------
    options : PaperOptions          of the session
    promise : Promise
    champion : Champion | None      None: a strategy trades, so there are no probabilities
    reference_bars : int            settled bars of each symbol before the session
    """

    options: PaperOptions
    promise: Promise
    champion: Champion | None = None
    reference_bars: int = REFERENCE_BARS

    @property
    def symbol(self) -> str:
        """Under which alarms are written: the model's name in the registry."""
        return EVERYTHING if self.champion is None else self.champion.symbol

    @property
    def version(self) -> str:
        """Of the model; empty for a strategy."""
        return "" if self.champion is None else self.champion.version


class SessionRemedies:
    """The remedies of a live session whose model is in a registry.

    Parameters
    ----------
    bench : Workbench
    session : LiveSession
    run_id : str                  the session's, written into the champion log
    champion : Champion | None    None: a strategy trades, nothing can be rolled back

    Notes
    -----
    A retrain is asked for by its open alarm: whoever trains clears it.
    """

    def __init__(
        self, bench: Workbench, session: LiveSession, run_id: str, champion: Champion | None
    ) -> None:
        self._bench, self._session = bench, session
        self._run_id, self._champion = run_id, champion

    def shrink(self, frac: float, reason: str) -> str:
        self._session.resume()
        if frac >= 1.0:
            return "entries are of normal size"
        self._session.shrink(frac, reason)
        return f"entries are {frac:g} of their normal size"

    def stand_aside(self, reason: str) -> str:
        self._session.stand_aside(reason)
        return "no new entries"

    def retrain(self, alarm: int, reason: str) -> None:
        _LOG.info("alarm %d asks for a new model: %s", alarm, reason)

    def roll_back(self, version: str, reason: str) -> str:
        if self._champion is None:
            return "a strategy trades: nothing to roll back"
        registry = self._bench.registry_of(self._champion.card.is_simulated)
        symbol = self._champion.symbol
        if registry.champion(symbol) != version:
            return f"{version} is no longer in service"
        entry = registry.rollback(symbol, of=version, reason=reason, run_id=self._run_id)
        return f"{entry.champion or 'nothing'} is in service again"


class Looked(NamedTuple):
    """What a look came to.

    alarms : list[Alarm]    that stand after it: open, or acted on and not cleared
    size : float | None     share of normal of new entries; None: nothing was carried out
    look : Look             everything measured
    """

    alarms: list[Alarm]
    size: float | None
    look: Look


def look(
    bench: Workbench,
    run_id: str,
    watched: Watched,
    stretches: Sequence[TradedSymbol],
    paper: PaperResult,
    *,
    remedies: Remedies | None = None,
    size_before: float | None = None,
    folder: Path | None = None,
) -> Looked:
    """Look at a session once: write down what is found, raise and clear alarms, act on them.

    Parameters
    ----------
    run_id : str                    the session's
    watched : Watched
    stretches : Sequence[TradedSymbol]    what the session traded so far; later bars are cut off
    paper : PaperResult             of the session so far; its last close is the look's time
    remedies : Remedies | None      None, or `feedback.act` off: alarms are written and stay open
    size_before : float | None      `size` of the look before; None after a start
    folder : Path | None            where the picture of the session is written, see `live_picture`

    Notes
    -----
    Order: the record of the look, then its alarms, then the remedies, then that they were done. Killed
    anywhere, the same look again repeats nothing. Alarms of a version that is no longer in service
    are cleared first. Reads nothing later than the session's last close.
    """
    now_ns = int(paper.times_ns[-1]) if len(paper.times_ns) else 0
    options = bench.settings.feedback.of(WatchOptions)
    evidence, left_out = live_evidence(watched, seen_so_far(stretches, now_ns), paper)
    found = take_a_look(evidence, options)
    _clear_of_others(bench, watched)
    before = _looks(bench, watched)
    plan = decide(
        found.findings,
        standing(bench, watched.symbol),
        now_ns=now_ns,
        missing_before=_missing(bench, watched, _last_before(before, now_ns)),
        resting=resting(_of_version(bench, watched), now_ns),
    )
    if not any(_time(each) == now_ns for each in before):
        record_feedback(
            bench.journal,
            run_id,
            watched.symbol,
            found,
            kind=KIND,
            agreement=evidence.agreement,
            options=options,
            left_out_of_drift=left_out,
            more=_more(watched, now_ns, plan),
        )
    _write_alarms(bench, run_id, watched, plan, now_ns)
    size = size_before
    if remedies is not None and bench.settings.feedback.act:
        size = carry_out(
            bench.journal,
            remedies,
            standing(bench, watched.symbol),
            shrink_to_frac=options.shrink_to_frac,
            size_before=size_before,
        )
    alarms = standing(bench, watched.symbol)
    if folder is not None:
        write_live_picture(folder, found, alarms, options=options, is_simulated=paper.is_simulated)
    return Looked(alarms, size, found)


def live_evidence(
    watched: Watched, stretches: Sequence[TradedSymbol], paper: PaperResult
) -> tuple[LiveEvidence, tuple[str, ...]]:
    """Everything known of the session so far, and the features left out of drift."""
    options, champion = watched.options, watched.champion
    if not stretches:
        return LiveEvidence(watched.symbol), ()
    rows = rows_of(
        stretches,
        card=None if champion is None else champion.card,
        reference_bars=watched.reference_bars,
    )
    features, left_out = feature_evidence(stretches, rows)
    model = None if champion is None or rows is None else (champion, rows)
    evidence = LiveEvidence(
        watched.symbol,
        trades=all_trades(paper.trades.values()),
        expected=watched.promise.trades,
        slippage=slippage_of(stretches, paper),
        assumed_slippage_frac=options.costs.slippage_frac,
        agreement=agreement(stretches, options, paper),
        features=features,
        predictions=None if model is None else prediction_evidence(*model),
        calibration=None if model is None else calibration_evidence(*model),
        rival=None if champion is None else rival_evidence(stretches, champion, options),
        drawdown_frac=drawdown_of(paper),
        promised_drawdown_frac=watched.promise.drawdown_frac,
        previous_version=_previous(champion),
    )
    return evidence, left_out


def standing(bench: Workbench, symbol: str) -> list[Alarm]:
    """Alarms of a symbol that are open, or acted on and not cleared."""
    return [each for each in bench.journal.alarms(symbol=symbol) if each.status != "cleared"]


def _of_version(bench: Workbench, watched: Watched) -> list[Alarm]:
    found = bench.journal.alarms(symbol=watched.symbol)
    return [each for each in found if each.detail.get("version", "") == watched.version]


def _previous(champion: Champion | None) -> str | None:
    if champion is None or champion.previous is None:
        return None
    return champion.previous.version


def _clear_of_others(bench: Workbench, watched: Watched) -> None:
    """What was said of another version says nothing of the one that trades now."""
    for alarm in standing(bench, watched.symbol):
        of = str(alarm.detail.get("version", ""))
        if of != watched.version:
            outcome = f"version {of} no longer trades"
            bench.journal.clear_alarm(alarm.number, outcome)


def _looks(bench: Workbench, watched: Watched) -> list[Feedback]:
    """Earlier looks at this version, oldest first."""
    found = bench.journal.feedback(symbol=watched.symbol)
    return [f for f in found if f.kind == KIND and f.detail.get("version") == watched.version]


def _last_before(looks: Sequence[Feedback], now_ns: int) -> Feedback | None:
    earlier = [each for each in looks if _time(each) < now_ns]
    return earlier[-1] if earlier else None


def _time(record: Feedback) -> int:
    return int(record.detail.get("time_ns", -1))


def _missing(bench: Workbench, watched: Watched, last: Feedback | None) -> set[str]:
    """Kinds of standing alarms whose reason the look before did not find."""
    if last is None:
        return set()
    present = set(last.detail.get("present", ()))
    return {alarm.kind for alarm in standing(bench, watched.symbol)} - present


def _more(watched: Watched, now_ns: int, plan: Plan) -> dict[str, Any]:
    return {
        "time_ns": now_ns,
        "version": watched.version,
        "present": sorted(plan.present),
        "plan": plan.action.value,
    }


def _write_alarms(bench: Workbench, run_id: str, watched: Watched, plan: Plan, now_ns: int) -> None:
    for finding in plan.to_raise:
        detail = {**finding_record(finding), "version": watched.version, "time_ns": now_ns}
        alarm = bench.journal.raise_alarm(
            run_id, watched.symbol, finding.alarm_kind, finding.action.value, detail
        )
        _LOG.warning("ALARM %d %s: %s", alarm.number, alarm.kind, finding.reason)
    for gone in plan.to_clear:
        bench.journal.clear_alarm(gone.number, "its reason was gone at two looks")
        _LOG.info("alarm %d %s is over", gone.number, gone.kind)
