"""The trial ledger, and what became of models: only ever added to."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Unpack

from sqlalchemy import func, select

from crypto_bot.core.errors import ConfigError, nearest
from crypto_bot.journal import tables
from crypto_bot.journal.ledger import Ledger, Row, insert_new, matching
from crypto_bot.journal.records import Feedback, ModelEvent, Trial, TrialFilter, TrialKind, to_json

_FILTERS = TrialFilter.__annotations__


class TrialLedger(Ledger):
    """Every backtest and model ever tried: what the deflated Sharpe and the gate count."""

    def record_trials(self, run_id: str, trials: Sequence[Trial]) -> int:
        """Add trials and give how many were new to this run.

        `parameters` must hold everything that sets a trial apart (exits and costs included): the same
        trial given again by the same run, as a resumed run does, is the same row.
        """
        now_ns = self._clock.now_ns()
        rows = [_trial_row(run_id, trial, now_ns) for trial in trials]
        if not rows:
            return 0
        with self._writing() as connection:
            return insert_new(connection, tables.trials, rows, ("run_id", "identity"))

    def trials(self, **where: Unpack[TrialFilter]) -> list[Trial]:
        """The trials that match, oldest first."""
        query = matching(tables.trials, _checked(where)).order_by(tables.trials.c.number)
        return [_trial(row) for row in self._read(query)]

    def trials_count(self, **where: Unpack[TrialFilter]) -> int:
        """How many trials match, over all runs unless one is named."""
        matched = matching(tables.trials, _checked(where)).subquery()
        return int(self._read(select(func.count().label("rows")).select_from(matched))[0]["rows"])

    def trial_sharpes(self, **where: Unpack[TrialFilter]) -> list[float]:
        """The Sharpe ratio of every matching trial that has one, oldest first."""
        query = matching(tables.trials, _checked(where)).order_by(tables.trials.c.number)
        rows = self._read(query.with_only_columns(tables.trials.c.sharpe))
        return [row["sharpe"] for row in rows if row["sharpe"] is not None]

    def model_event(
        self,
        run_id: str,
        symbol: str,
        version: str,
        event: str,
        detail: Mapping[str, Any] | None = None,
    ) -> None:
        """Write down that a model version was trained, judged, published, promoted or rolled back."""
        row = {
            "run_id": run_id,
            "symbol": symbol,
            "version": version,
            "event": event,
            "detail": detail or {},
            "recorded_at_ns": self._clock.now_ns(),
        }
        self._add(tables.model_events, [row])

    def model_events(
        self, *, run_id: str | None = None, symbol: str | None = None, event: str | None = None
    ) -> list[ModelEvent]:
        """What happened to models, oldest first."""
        where = {"run_id": run_id, "symbol": symbol, "event": event}
        query = matching(tables.model_events, where).order_by(tables.model_events.c.number)
        return [ModelEvent(**_without_number(row)) for row in self._read(query)]

    def record_feedback(self, run_id: str, feedback: Sequence[Feedback]) -> None:
        """Add what reality said about expectations."""
        now_ns = self._clock.now_ns()
        rows = [
            {
                "run_id": run_id,
                "symbol": item.symbol,
                "kind": item.kind,
                "agrees": item.agrees,
                "detail": item.detail,
                "recorded_at_ns": now_ns,
            }
            for item in feedback
        ]
        self._add(tables.feedback, rows)

    def feedback(self, *, run_id: str | None = None, symbol: str | None = None) -> list[Feedback]:
        """Feedback records, oldest first."""
        query = matching(tables.feedback, {"run_id": run_id, "symbol": symbol})
        rows = self._read(query.order_by(tables.feedback.c.number))
        return [Feedback(**_without_number(row)) for row in rows]


def _trial_row(run_id: str, trial: Trial, now_ns: int) -> Row:
    kind = TrialKind(trial.kind).value
    subject = (trial.symbol, trial.timeframe, trial.strategy, trial.parameters, kind)
    identity = hashlib.sha256(to_json((*subject, trial.is_simulated)).encode()).hexdigest()[:32]
    return {
        "run_id": run_id,
        "symbol": trial.symbol,
        "timeframe": trial.timeframe,
        "strategy": trial.strategy,
        "parameters": trial.parameters,
        "kind": kind,
        "metrics": trial.metrics,
        "sharpe": trial.metrics.get("sharpe"),
        "is_simulated": trial.is_simulated,
        "recorded_at_ns": now_ns,
        "identity": identity,
    }


def _trial(row: Row) -> Trial:
    fields = {name: row[name] for name in Trial.__dataclass_fields__}
    return Trial(**{**fields, "kind": TrialKind(row["kind"])})


def _without_number(row: Row) -> Row:
    return {name: value for name, value in row.items() if name != "number"}


def _checked(where: TrialFilter) -> dict[str, Any]:
    for name in where:
        if name not in _FILTERS:
            raise ConfigError(f"{name} is not a trial filter{nearest(name, _FILTERS)}")
    return dict(where)
