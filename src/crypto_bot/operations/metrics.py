"""What the loop measures of itself, as Prometheus reads it."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from crypto_bot.core.errors import ConfigError, nearest
from crypto_bot.core.timeframes import SECOND_NS, Clock, SystemClock
from crypto_bot.operations.memory import resident_bytes

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

LATENESS_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 60.0)
"""Seconds after a bar's close; finest below the deadline of 1 s."""
STEP_BUCKETS = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0)
Devices = Callable[[], Sequence[Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One metric: its name with its unit, what it is, how it is split."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    text: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


METRICS = (
    MetricSpec("crypto_bot_build_info", "gauge", "always 1; version as a label", ("version",)),
    MetricSpec(
        "crypto_bot_step_seconds",
        "histogram",
        "duration of a step of a turn",
        ("step",),
        STEP_BUCKETS,
    ),
    MetricSpec("crypto_bot_steps_failed_total", "counter", "steps that failed", ("step",)),
    MetricSpec(
        "crypto_bot_bar_lateness_seconds",
        "histogram",
        "from a candle's close to its decision",
        (),
        LATENESS_BUCKETS,
    ),
    MetricSpec("crypto_bot_bars_decided_total", "counter", "closed candles that were decided"),
    MetricSpec("crypto_bot_bars_missed_total", "counter", "closed candles that never came"),
    MetricSpec(
        "crypto_bot_model_age_seconds",
        "gauge",
        "since the model in service was trained",
        ("symbol",),
    ),
    MetricSpec(
        "crypto_bot_last_training_timestamp_seconds", "gauge", "end of the last training, Unix time"
    ),
    MetricSpec(
        "crypto_bot_drift_worst_psi_ratio", "gauge", "largest PSI of any feature", ("symbol",)
    ),
    MetricSpec("crypto_bot_alarms_open", "gauge", "alarms that are open", ("kind",)),
    MetricSpec("crypto_bot_outbox_messages", "gauge", "webhook and mail messages", ("status",)),
    MetricSpec("crypto_bot_gpu_load_ratio", "gauge", "load of a GPU, 0 to 1", ("device",)),
    MetricSpec("crypto_bot_gpu_memory_used_bytes", "gauge", "memory in use on a GPU", ("device",)),
    MetricSpec("crypto_bot_resident_memory_bytes", "gauge", "memory of the loop and its children"),
    MetricSpec("crypto_bot_positions_open", "gauge", "open positions of the paper session"),
    MetricSpec("crypto_bot_equity_quote", "gauge", "equity of the paper session, quote currency"),
    MetricSpec("crypto_bot_lease_held", "gauge", "1 while this process holds the loop's lease"),
)
"""Every metric there is; docs/operations.md lists the same."""


class LoopMetrics:
    """Counts, times and levels of one loop, in a collector registry of its own.

    Parameters
    ----------
    clock      gives 'now' for the age of models
    memory     bytes of this process and its children
    devices    GPUs as `find_devices` describes them, asked at each reading; None = not shown
    sampled    how many of the last bars the percentiles are taken over

    Notes
    -----
    Safe from several threads. Levels that nobody set are not shown; nothing is guessed.

    >>> metrics = LoopMetrics()
    >>> for lateness in (0.1, 0.2, 0.9):
    ...     metrics.bar_decided(lateness)
    >>> metrics.lateness_s(0.5)
    0.2
    """

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        memory: Callable[[], int] = resident_bytes,
        devices: Devices | None = None,
        sampled: int = 10_000,
    ) -> None:
        from prometheus_client import CollectorRegistry

        from crypto_bot import __version__

        self.registry: CollectorRegistry = CollectorRegistry()
        self._made: dict[str, Any] = {}
        self._clock: Clock = clock or SystemClock()
        self._memory = memory
        self._devices = devices
        self._lateness: deque[float] = deque(maxlen=sampled)
        self._trained_ns: dict[str, int] = {}
        self._lock = threading.Lock()
        self._of("crypto_bot_build_info", version=__version__).set(1)

    def step_done(self, step: str, seconds: float) -> None:
        """A step ended well after `seconds`."""
        self._of("crypto_bot_step_seconds", step=step).observe(seconds)

    def step_failed(self, step: str, seconds: float | None = None) -> None:
        """A step failed; its duration counts where it is known."""
        self._of("crypto_bot_steps_failed_total", step=step).inc()
        if seconds is not None:
            self.step_done(step, seconds)

    def bar_decided(self, lateness_s: float) -> None:
        """A closed candle was decided `lateness_s` seconds after its close."""
        with self._lock:
            self._lateness.append(lateness_s)
        self._of("crypto_bot_bars_decided_total").inc()
        self._of("crypto_bot_bar_lateness_seconds").observe(lateness_s)

    def bar_missed(self, count: int = 1) -> None:
        """`count` closed candles never came."""
        self._of("crypto_bot_bars_missed_total").inc(count)

    def lateness_s(self, share: float) -> float | None:
        """The quantile `share` (0..1, nearest rank) of the last bars' lateness; None without bars."""
        if not 0 <= share <= 1:
            raise ConfigError(f"share must be in 0..1, was {share}")
        with self._lock:
            ordered = sorted(self._lateness)
        if not ordered:
            return None
        return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]

    def model_in_service(self, symbol: str, trained_at_ns: int) -> None:
        """The model that `symbol` trades by, and when it was trained."""
        with self._lock:
            self._trained_ns[symbol] = trained_at_ns

    def model_withdrawn(self, symbol: str) -> None:
        """No model serves `symbol` any more."""
        with self._lock:
            known = self._trained_ns.pop(symbol, None)
        if known is not None and "crypto_bot_model_age_seconds" in self._made:
            self._metric("crypto_bot_model_age_seconds").remove(symbol)

    def training_done(self, ended_at_ns: int) -> None:
        """A training ended well."""
        self._of("crypto_bot_last_training_timestamp_seconds").set(ended_at_ns / SECOND_NS)

    def drift(self, worst_psi: Mapping[str, float]) -> None:
        """The largest PSI of any feature, by symbol."""
        for symbol, value in worst_psi.items():
            self._of("crypto_bot_drift_worst_psi_ratio", symbol=symbol).set(value)

    def alarms(self, open_by_kind: Mapping[str, int]) -> None:
        """How many alarms are open, by kind; a kind that is not named any more has none."""
        self._metric("crypto_bot_alarms_open").clear()
        for kind, count in open_by_kind.items():
            self._of("crypto_bot_alarms_open", kind=kind).set(count)

    def outbox(self, waiting: int, dead: int) -> None:
        """Messages that wait to be delivered, and those given up."""
        self._of("crypto_bot_outbox_messages", status="waiting").set(waiting)
        self._of("crypto_bot_outbox_messages", status="dead").set(dead)

    def account(self, equity_quote: float, positions: int) -> None:
        """The paper session's equity (quote currency) and number of open positions."""
        self._of("crypto_bot_equity_quote").set(equity_quote)
        self._of("crypto_bot_positions_open").set(positions)

    def lease(self, is_held: bool) -> None:
        """Whether this process holds the loop's lease."""
        self._of("crypto_bot_lease_held").set(int(is_held))

    def exposition(self) -> bytes:
        """Everything in Prometheus' text format, as `/metrics` gives it."""
        from prometheus_client import generate_latest

        self._read_levels()
        return bytes(generate_latest(self.registry))

    def _read_levels(self) -> None:
        self._of("crypto_bot_resident_memory_bytes").set(self._memory())
        with self._lock:
            trained = dict(self._trained_ns)
        for symbol, time_ns in trained.items():
            age = (self._clock.now_ns() - time_ns) / SECOND_NS
            self._of("crypto_bot_model_age_seconds", symbol=symbol).set(age)
        for number, device in enumerate(self._devices() if self._devices else ()):
            name = f"{number}: {device['name']}"
            if device["load_percent"] is not None:
                share = device["load_percent"] / 100
                self._of("crypto_bot_gpu_load_ratio", device=name).set(share)
            if device["memory_used_gb"] is not None:
                used = device["memory_used_gb"] * 2**30
                self._of("crypto_bot_gpu_memory_used_bytes", device=name).set(used)

    def _of(self, name: str, **labels: str) -> Any:
        metric = self._metric(name)
        return metric.labels(**labels) if labels else metric

    def _metric(self, name: str) -> Any:
        with self._lock:
            if name not in self._made:
                self._made[name] = _make(name, self.registry)
            return self._made[name]


def _make(name: str, registry: CollectorRegistry) -> Any:
    from prometheus_client import Counter, Gauge, Histogram

    spec = _SPECS.get(name)
    if spec is None:
        raise ConfigError(f"metric must be declared, was {name!r}{nearest(name, _SPECS)}")
    if spec.kind == "histogram":
        return Histogram(spec.name, spec.text, spec.labels, registry=registry, buckets=spec.buckets)
    kind = Counter if spec.kind == "counter" else Gauge
    return kind(spec.name, spec.text, spec.labels, registry=registry)


_SPECS = {spec.name: spec for spec in METRICS}
