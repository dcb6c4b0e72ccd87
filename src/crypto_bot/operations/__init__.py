"""The running system seen from outside: metrics, health, memory, alerts. Depends on no stage's work.

Comes in: figures and events that the loop reports. Goes out: `/metrics`, `/healthz`, alerts through
the ports that adapters implement.
"""

__all__: list[str] = []
