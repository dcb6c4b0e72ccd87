"""The running system seen from outside: metrics, health, memory, alerts. Depends on no stage's work.

Comes in: figures and events that the loop reports. Goes out: `/metrics`, `/healthz`, alerts through
the ports that adapters implement.
"""

from crypto_bot.operations.health import HealthReport, HealthState, LoopHealth
from crypto_bot.operations.memory import MemoryStep, MemoryWatch, resident_bytes
from crypto_bot.operations.metrics import METRICS, LoopMetrics, MetricSpec
from crypto_bot.operations.notifying import (
    Channel,
    DeliveryFailed,
    Notice,
    Notifier,
    Outbox,
    RetryOptions,
)
from crypto_bot.operations.server import OperationsServer
from crypto_bot.operations.token import operations_token

__all__ = [
    "METRICS",
    "Channel",
    "DeliveryFailed",
    "HealthReport",
    "HealthState",
    "LoopHealth",
    "LoopMetrics",
    "MemoryStep",
    "MemoryWatch",
    "MetricSpec",
    "Notice",
    "Notifier",
    "OperationsServer",
    "Outbox",
    "RetryOptions",
    "operations_token",
    "resident_bytes",
]
