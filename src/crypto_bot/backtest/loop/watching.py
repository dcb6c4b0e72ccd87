"""The loop's part that is looked at: metrics, health, memory, and who is told what."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable

from crypto_bot.backtest.gpu_accelerator import find_devices
from crypto_bot.backtest.live_feedback import Looked
from crypto_bot.backtest.logs import keep_secret
from crypto_bot.backtest.loop.due import last_trained
from crypto_bot.backtest.loop.parts import ahead
from crypto_bot.backtest.loop.turn_process import TurnEnd
from crypto_bot.backtest.status import models_in_service
from crypto_bot.backtest.telling import open_notifier, run_failed
from crypto_bot.backtest.workbench import Workbench
from crypto_bot.core.errors import CryptoBotError
from crypto_bot.operations import (
    LoopHealth,
    LoopMetrics,
    MemoryWatch,
    OperationsServer,
    operations_token,
)
from crypto_bot.trading import CloseReport

_LOG = logging.getLogger(__name__)
_LOOKS_S = 2.0
"""Between two signs of life, and two looks at the memory."""
_PROBES_S = 20.0
"""Between two looks at what may answer slowly: journal and registry."""


class Watching:
    """Shows the loop and tells of it; a part that is asked every 2 s.

    Parameters
    ----------
    bench : Workbench
    run_id : str             of the loop
    end_training : callable  ends a turn at work; True if there was one
    stop : Event             set for a clean stop when memory runs out; then `exit_code` is 1
    announce : callable      told where metrics are served

    Notes
    -----
    What may wait for somebody (a registry across a network, a receiver of webhooks) is asked in
    threads of their own: the loop never waits for it.
    """

    name = "operations"

    def __init__(
        self,
        bench: Workbench,
        run_id: str,
        *,
        end_training: Callable[[], bool],
        stop: threading.Event,
        announce: Callable[[str], None],
    ) -> None:
        operations = bench.settings.operations
        self._bench, self._run_id, self._stop = bench, run_id, stop
        self.exit_code = 0
        devices = None if bench.gpu["status"] != "available" else lambda: find_devices()[0]
        self.metrics = LoopMetrics(clock=bench.clock, devices=devices)
        self.health = LoopHealth()
        self.notifier = open_notifier(bench.settings, bench.journal)
        gigabytes = operations.memory_limit_gb
        self.memory = MemoryWatch(
            None if gigabytes is None else int(gigabytes * 2**30),
            end_training=end_training,
            stop=self._stopped,
            alert=self._memory_alert,
        )
        self.server = self._server(announce)
        self._is_closing = threading.Event()
        self._prober = threading.Thread(target=self._probe_on, name="probe", daemon=True)
        self._start()

    def tick(self, now_ns: int) -> int:
        """A sign of life, and a look at the memory."""
        self.health.beat()
        self.memory.look()
        return ahead(self._bench.clock, now_ns, _LOOKS_S)

    def on_close(self, report: CloseReport, lateness_s: float) -> None:
        """A close was decided, so many real seconds after it."""
        if report.decided:
            self.metrics.bar_decided(lateness_s)
            deadline_s = self._bench.settings.loop.bar_deadline_seconds
            self.health.said("bars", is_well=lateness_s <= deadline_s)
        if report.missed:
            self.metrics.bar_missed(len(report.missed))
        self.health.said("exchange", is_well=bool(report.decided) or not report.missing)

    def on_look(self, looked: Looked, symbol: str) -> None:
        """A look at the live session has ended: the strongest drift of a feature."""
        known = [shift.psi for shift in looked.look.features if shift.psi is not None]
        if known:
            self.metrics.drift({symbol: max(known)})

    def on_rollback(self, symbol: str, version: str, outcome: str) -> None:
        """A version was taken out of service by an alarm; told once."""
        data = {"run_id": self._run_id, "symbol": symbol, "version": version, "text": outcome}
        self.notifier.notify("rolled_back", data, f"rolled-back-{version}", run_id=self._run_id)

    def on_turn_end(self, end: TurnEnd) -> None:
        """A turn's process has ended; a failure is told by `run_failed` where the turn could not."""
        self.health.said("turn", is_well=not end.error)
        for step in self._bench.journal.steps(end.run_id) if end.run_id else ():
            if step.finished_at_ns is not None:
                seconds = (step.finished_at_ns - step.started_at_ns) / 1e9
                self.metrics.step_done(step.name.partition(" ")[0], seconds)
        if end.error:
            self.metrics.step_failed("turn")
            newest = self._bench.journal.last_run("integrated")
            run_id = self._run_id if newest is None else newest.id
            run_failed(self._bench.settings, self._bench.journal, run_id, end.error)

    def on_failure(self, name: str, error: CryptoBotError, failures: int) -> None:
        """A part of the loop failed; told at the first of a row."""
        self.metrics.step_failed(name)
        if failures == 1:
            words = f"{name}: {error}"
            data = {"run_id": self._run_id, "error": words}
            if self._bench.settings.monitoring.alert_on_failures:
                _LOG.critical("ALERT: %s", words)
                self.notifier.notify("run_failed", data, run_id=self._run_id)

    def on_recovery(self, name: str) -> None:
        """A part works again."""
        data = {"run_id": self._run_id, "text": f"{name} works again"}
        self.notifier.notify("recovered", data, run_id=self._run_id)

    def close(self) -> None:
        """End the threads; what was not delivered stays in the outbox."""
        self._is_closing.set()
        self.metrics.lease(is_held=False)
        if self.server is not None:
            self.server.close()
        self.notifier.close(wait_s=self._bench.settings.loop.stop_seconds / 5)
        self._prober.join(self._bench.settings.loop.stop_seconds / 5)

    def _start(self) -> None:
        self.health.beat()
        self.metrics.lease(is_held=True)
        if self.server is not None:
            self.server.start()
        self.notifier.start()
        self._prober.start()

    def _server(self, announce: Callable[[str], None]) -> OperationsServer | None:
        operations = self._bench.settings.operations
        if operations.port is None:
            return None
        configured = None if operations.token is None else operations.token.get_secret_value()
        token = operations_token(configured, operations.token_file)
        keep_secret(token)
        return OperationsServer(
            self.metrics, self.health, token, operations.port, announce=announce
        )

    def _stopped(self, exit_code: int) -> None:
        self.exit_code = exit_code
        self._stop.set()

    def _memory_alert(self, words: str) -> None:
        _LOG.critical("%s", words)
        data = {"run_id": self._run_id, "text": words}
        self.notifier.notify("memory_ceiling", data, run_id=self._run_id)

    def _probe_on(self) -> None:
        while True:
            self.probe()
            if self._is_closing.wait(_PROBES_S):
                return

    def probe(self) -> None:
        """Look at the journal and the registry, and tell of alarms that nobody was told of."""
        for subject, look in (
            ("journal", self._look_at_journal),
            ("registry", self._look_at_models),
        ):
            try:
                look()
            except CryptoBotError as error:
                _LOG.warning("%s: %s", subject, error)
                self.health.said(subject, is_well=False)  # type: ignore[arg-type]
            else:
                self.health.said(subject, is_well=True)  # type: ignore[arg-type]

    def _look_at_journal(self) -> None:
        journal = self._bench.journal
        self.metrics.outbox(len(journal.messages("waiting")), len(journal.messages("dead")))
        trained_ns = last_trained(journal)
        if trained_ns is not None:
            self.metrics.training_done(trained_ns)
        alarms = journal.open_alarms()
        self.metrics.alarms(Counter(alarm.kind for alarm in alarms))
        for alarm in alarms:
            data = {"symbol": alarm.symbol, "kind": alarm.kind, "action": alarm.action}
            self.notifier.notify("alarm", {**data, **alarm.detail}, f"alarm-{alarm.number}")

    def _look_at_models(self) -> None:
        for symbol, (_, made) in models_in_service(self._bench).items():
            if made is None:
                self.metrics.model_withdrawn(symbol)
            else:
                self.metrics.model_in_service(symbol, made)
