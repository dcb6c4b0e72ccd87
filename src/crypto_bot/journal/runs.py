"""Runs and their steps: who is at work, what is finished, where to go on after a kill -9."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Select, insert, select, update

import crypto_bot
from crypto_bot.core.errors import DataError
from crypto_bot.core.timeframes import SECOND_NS
from crypto_bot.journal import tables
from crypto_bot.journal.ledger import Ledger, Row, matching
from crypto_bot.journal.processes import host_name, identity, is_alive, is_here
from crypto_bot.journal.records import Run, RunStatus, Step, TrialKind


class RunLedger(Ledger):
    """The runs of every process that writes here."""

    def start_run(
        self,
        kind: str,
        config: Any = None,
        *,
        data_fingerprint: str = "",
        is_simulated: bool = False,
    ) -> str:
        """Write down that a run begins and give its id, such as 20260131T120000Z-a1b2c3.

        `config` is a mapping or options (secrets are masked). Runs of processes that died are marked
        interrupted first.
        """
        now_ns = self._clock.now_ns()
        stamp = datetime.fromtimestamp(now_ns // SECOND_NS, tz=UTC).strftime("%Y%m%dT%H%M%SZ")
        run_id = f"{stamp}-{self._new_token()}"
        row = {
            "id": run_id,
            "kind": kind,
            "started_at_ns": now_ns,
            "config": {} if config is None else config,
            "data_fingerprint": data_fingerprint,
            "is_simulated": is_simulated,
            "summary": {},
            "version": crypto_bot.__version__,
            **_ours(),
        }
        with self._writing() as connection:
            _mark_dead(connection, now_ns)
            connection.execute(insert(tables.runs), [row])
        return run_id

    def resume_run(self, run_id: str) -> None:
        """Go on with an unfinished run in this process, under its old id."""
        with self._writing() as connection:
            _mark_dead(connection, self._clock.now_ns())
            run = _require(connection, run_id)
            if run["status"] == RunStatus.DONE:
                raise DataError(f"run {run_id} must be unfinished to go on, was done")
            if run["status"] == RunStatus.RUNNING and run["pid"] != os.getpid():
                raise DataError(
                    f"run {run_id} must not be at work, was running as process {run['pid']} "
                    f"on {run['host']}"
                )
            _change(connection, run_id, finished_at_ns=None, **_ours())

    def describe_run(self, run_id: str, *, data_fingerprint: str, is_simulated: bool) -> None:
        """Add what is known only after the candles are read."""
        with self._writing() as connection:
            _require(connection, run_id)
            _change(
                connection, run_id, data_fingerprint=data_fingerprint, is_simulated=is_simulated
            )

    def finish_run(
        self, run_id: str, status: RunStatus | str, summary: Mapping[str, Any] | None = None
    ) -> None:
        """Write down how a run ended: done, failed or interrupted."""
        if status not in set(RunStatus) - {RunStatus.RUNNING}:
            raise DataError(f"status must be done, failed or interrupted, was {str(status)!r}")
        with self._writing() as connection:
            _require(connection, run_id)
            _change(
                connection,
                run_id,
                status=RunStatus(status).value,
                finished_at_ns=self._clock.now_ns(),
                summary=dict(summary or {}),
            )

    def run(self, run_id: str) -> Run:
        """One run by its id; DataError if there is none."""
        rows = self._read(matching(tables.runs, {"id": run_id}))
        if not rows:
            raise DataError(f"run_id must be a run of this journal, was {run_id!r}")
        return _run(rows[0])

    def runs(
        self, kind: str | None = None, *, status: str | None = None, limit: int | None = None
    ) -> list[Run]:
        """Runs, newest first."""
        query = matching(tables.runs, {"kind": kind, "status": status})
        return [_run(row) for row in self._read(_newest_first(query).limit(limit))]

    def last_run(
        self,
        kind: str | None = None,
        *,
        status: str | None = None,
        tried: TrialKind | None = None,
    ) -> Run | None:
        """The newest run, of those that recorded a trial of the kind `tried` if given; or None."""
        query = matching(tables.runs, {"kind": kind, "status": status})
        if tried is not None:
            trials = matching(tables.trials, {"kind": TrialKind(tried).value})
            query = query.where(trials.where(tables.trials.c.run_id == tables.runs.c.id).exists())
        rows = self._read(_newest_first(query).limit(1))
        return _run(rows[0]) if rows else None

    def unfinished_runs(self, kind: str | None = None) -> list[Run]:
        """Runs whose process died before the end, newest first: `resume_run` goes on with one."""
        with self._writing() as connection:
            _mark_dead(connection, self._clock.now_ns())
        return self.runs(kind, status=RunStatus.INTERRUPTED)

    def interrupt_unseen(self, kind: str, is_ours: Callable[[Run], bool]) -> None:
        """Mark as interrupted what is 'running' where it cannot be looked up, as far as `is_ours`.

        That is another machine, or a container that was replaced. Only who holds the lease of that
        work may say so: its owner gave no sign of life for as long as the lease asks.
        """
        with self._writing() as connection:
            running = matching(tables.runs, {"kind": kind, "status": RunStatus.RUNNING.value})
            for row in connection.execute(running).mappings().all():
                is_unseen = row["process"] is not None and not is_here(row["process"])
                if is_unseen and is_ours(_run(dict(row))):
                    _interrupt(connection, row["id"], self._clock.now_ns())

    @contextmanager
    def step(self, run_id: str, name: str) -> Iterator[Step]:
        """A stage of a run, written down as it begins and as it ends.

        The body asks `step.is_done` first: True after a restart means use `step.result` and do
        nothing. Otherwise it works and may keep a result by `step.finish(result)`. An exception marks
        the step failed, a stop (KeyboardInterrupt, SystemExit) interrupted, and goes on its way. A
        step whose process was killed is interrupted as soon as its run is seen to be.
        """
        step = self._begin_step(run_id, name)
        if step.is_done:
            yield step
            return
        try:
            yield step
        except BaseException as error:
            step.result = {"error": f"{type(error).__name__}: {error}"}
            is_fault = isinstance(error, Exception)  # and no signal to stop
            self._end_step(step, RunStatus.FAILED if is_fault else RunStatus.INTERRUPTED)
            raise
        self._end_step(step, RunStatus.DONE)

    def steps(self, run_id: str) -> list[Step]:
        """The steps of a run in the order they began."""
        query = matching(tables.steps, {"run_id": run_id})
        rows = self._read(query.order_by(tables.steps.c.started_at_ns, tables.steps.c.name))
        return [Step(**{**row, "status": RunStatus(row["status"])}) for row in rows]

    def step_result(self, run_id: str, name: str) -> Any:
        """What a finished step came to; DataError for a step that is not done.

        None for a step that finished without a result: ask `is_done` of `step` to tell.
        """
        rows = self._read(matching(tables.steps, {"run_id": run_id, "name": name}))
        status = rows[0]["status"] if rows else "never begun"
        if status != RunStatus.DONE:
            raise DataError(f"step {name} of run {run_id} must be done, was {status}")
        return rows[0]["result"]

    def _begin_step(self, run_id: str, name: str) -> Step:
        table, now_ns = tables.steps, self._clock.now_ns()
        with self._writing() as connection:
            query = matching(table, {"run_id": run_id, "name": name})
            there = connection.execute(query).mappings().first()
            if there is not None and there["status"] == RunStatus.DONE:
                return Step(**{**there, "status": RunStatus.DONE})
            attempts = 1 if there is None else there["attempts"] + 1
            step = Step(run_id, name, started_at_ns=now_ns, attempts=attempts)
            row = {
                "status": step.status.value,
                "started_at_ns": now_ns,
                "attempts": attempts,
                "finished_at_ns": None,
                "result": None,
            }
            if there is None:
                connection.execute(insert(table), [{"run_id": run_id, "name": name, **row}])
            else:
                connection.execute(
                    update(table).where(table.c.run_id == run_id, table.c.name == name), row
                )
        return step

    def _end_step(self, step: Step, status: RunStatus) -> None:
        table = tables.steps
        step.finished_at_ns = self._clock.now_ns()
        with self._writing() as connection:
            connection.execute(
                update(table).where(table.c.run_id == step.run_id, table.c.name == step.name),
                {
                    "status": status.value,
                    "finished_at_ns": step.finished_at_ns,
                    "result": step.result,
                },
            )
        step.status = status


def _newest_first(query: Select[Any]) -> Select[Any]:
    return query.order_by(tables.runs.c.started_at_ns.desc(), tables.runs.c.id.desc())


def _run(row: dict[str, Any]) -> Run:
    known = {name: row[name] for name in Run.__dataclass_fields__}
    return Run(**{**known, "status": RunStatus(row["status"])})


def _require(connection: Connection, run_id: str) -> Any:
    run = connection.execute(matching(tables.runs, {"id": run_id})).mappings().first()
    if run is None:
        raise DataError(f"run_id must be a run of this journal, was {run_id!r}")
    return run


def _change(connection: Connection, run_id: str, **values: Any) -> None:
    connection.execute(update(tables.runs).where(tables.runs.c.id == run_id), values)


def _ours() -> Row:
    return {
        "status": RunStatus.RUNNING.value,
        "pid": os.getpid(),
        "process_started_at_ns": _process_started_at_ns(os.getpid()),
        "process": identity(os.getpid()),
        "host": host_name(),
    }


def _process_started_at_ns(pid: int) -> int:
    """Date a process started, 0 when there is none; moves when the machine's clock is set."""
    import psutil

    try:
        return int(psutil.Process(pid).create_time() * SECOND_NS)
    except psutil.Error:
        return 0


def _is_at_work(run: Any) -> bool:
    if run.process is not None:
        return is_alive(int(run.pid), str(run.process))
    # A row of schema 1. The date read twice may differ by a clock tick.
    return abs(_process_started_at_ns(int(run.pid)) - int(run.process_started_at_ns)) <= SECOND_NS


def _mark_dead(connection: Connection, now_ns: int) -> None:
    """Runs 'running' in a process of this host that is gone were interrupted, and so were their steps."""
    runs = tables.runs
    query = select(runs.c.id, runs.c.pid, runs.c.process, runs.c.process_started_at_ns).where(
        runs.c.status == RunStatus.RUNNING.value, runs.c.host == host_name()
    )
    for run in connection.execute(query).all():
        if not _is_at_work(run):
            _interrupt(connection, run.id, now_ns)


def _interrupt(connection: Connection, run_id: str, now_ns: int) -> None:
    steps = tables.steps
    ended = {"status": RunStatus.INTERRUPTED.value, "finished_at_ns": now_ns}
    _change(connection, run_id, **ended)
    connection.execute(
        update(steps).where(steps.c.run_id == run_id, steps.c.status == RunStatus.RUNNING.value),
        ended,
    )
