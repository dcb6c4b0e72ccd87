"""What the loop does, what serves, what is open: from the journal, whoever runs, or nobody."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from crypto_bot.backtest.loop.lease import lease_name
from crypto_bot.backtest.loop.plan import in_words, next_turn, read_past
from crypto_bot.config import Settings
from crypto_bot.core.errors import CryptoBotError
from crypto_bot.core.timeframes import SECOND_NS, Clock, SystemClock, iso_time, time_of
from crypto_bot.journal import Journal, Lease, Run
from crypto_bot.journal.database import database_url
from crypto_bot.registry import Registry

LIVE, TURN = "live", "integrated"
_NONE_YET = "there is none yet"
_CLOSES = 1000
"""Newest closes whose lateness is counted."""


class Registries(Protocol):
    """What holds the two registries: a workbench."""

    @property
    def registry(self) -> Any: ...
    @property
    def simulated_registry(self) -> Any: ...


def loop_status(settings: Settings, *, clock: Clock | None = None) -> dict[str, Any]:
    """The loop as the journal of the settings knows it; makes no journal where there is none.

    Returns
    -------
    dict    journal {reachable, error}, is_running, holder {pid, host, since, silent_s} or None,
            next_turn, last_turn and session (run, status, started, ended, error, steps), bars
            {decided, missed, lateness_p50_s, lateness_p99_s}, alarms, outbox {waiting, dead},
            memory_gb of the holder where it runs here. What is not known is None.
    """
    clock = clock or SystemClock()
    empty: dict[str, Any] = dict.fromkeys(
        ("holder", "next_turn", "last_turn", "session", "bars", "outbox", "memory_gb")
    )
    empty |= {"is_running": False, "alarms": []}
    if is_absent(settings):
        return {"journal": {"reachable": False, "error": _NONE_YET}, **empty}
    try:
        with Journal(settings.journal.url, clock=clock) as journal:
            found = _read(settings, journal, clock)
    except CryptoBotError as error:
        return {"journal": {"reachable": False, "error": str(error)}, **empty}
    return {"journal": {"reachable": True, "error": None}, **empty, **found}


def is_absent(settings: Settings) -> bool:
    """Whether the journal of the settings is a file that was not made yet."""
    url = database_url(settings.journal.url)
    return url.get_backend_name() == "sqlite" and not Path(str(url.database)).exists()


def _read(settings: Settings, journal: Journal, clock: Clock) -> dict[str, Any]:
    now_ns = clock.now_ns()
    holder = _holding(settings, journal.lease(lease_name(settings)), now_ns)
    messages = Counter(str(message.status) for message in journal.messages())
    return {
        "is_running": holder is not None,
        "holder": holder,
        "next_turn": in_words(next_turn(settings, read_past(journal), now_ns)),
        "last_turn": _told(journal, journal.last_run(TURN)),
        "session": _told(journal, journal.last_run(LIVE), newest=3),
        "bars": _bars(journal, journal.last_run(LIVE)),
        "alarms": [
            {
                "symbol": alarm.symbol,
                "kind": alarm.kind,
                "action": alarm.action,
                "since": iso_time(alarm.raised_at_ns),
            }
            for alarm in journal.open_alarms()
        ],
        "outbox": {name: messages[name] for name in ("waiting", "dead")},
        "memory_gb": None if holder is None else _memory_gb(holder),
    }


def loop_holder(settings: Settings, journal: Journal) -> dict[str, Any] | None:
    """pid, host, since, silent_s of the living loop of this store; None where none is at work."""
    return _holding(settings, journal.lease(lease_name(settings)), SystemClock().now_ns())


def loop_is_elsewhere(settings: Settings, journal: Journal) -> bool:
    """Whether another process works as the loop of this store: it delivers what waits."""
    holder = loop_holder(settings, journal)
    return holder is not None and holder["pid"] != os.getpid()


def _holding(settings: Settings, lease: Lease | None, now_ns: int) -> dict[str, Any] | None:
    """Who works on the store; None for a holder of this machine that is dead, or one elsewhere gone silent."""
    import socket

    import psutil

    if lease is None:
        return None
    silent_s = max(0, now_ns - lease.renewed_at_ns) / SECOND_NS
    if lease.host == socket.gethostname():
        is_alive = psutil.pid_exists(lease.pid)
    else:
        is_alive = silent_s < settings.loop.lease_seconds
    if not is_alive:
        return None
    since = iso_time(lease.taken_at_ns)
    return {"pid": lease.pid, "host": lease.host, "since": since, "silent_s": round(silent_s, 1)}


def _told(journal: Journal, run: Run | None, newest: int | None = None) -> dict[str, Any] | None:
    if run is None:
        return None
    steps = journal.steps(run.id)
    return {
        "run": run.id,
        "status": run.status.value,
        "started": iso_time(run.started_at_ns),
        "ended": None if run.finished_at_ns is None else iso_time(run.finished_at_ns),
        "error": run.summary.get("error"),
        "steps": [
            {
                "name": step.name,
                "status": step.status.value,
                "seconds": None
                if step.finished_at_ns is None
                else round((step.finished_at_ns - step.started_at_ns) / SECOND_NS, 2),
            }
            for step in (steps if newest is None else steps[-newest:])
        ],
    }


def _bars(journal: Journal, run: Run | None) -> dict[str, Any] | None:
    """The newest closes of the newest session."""
    if run is None:
        return None
    results = [step.result for step in journal.steps(run.id) if isinstance(step.result, Mapping)]
    closes = [result for result in results if "lateness_s" in result][-_CLOSES:]
    late = sorted(float(result["lateness_s"]) for result in closes if result["decided"])
    return {
        "decided": sum(int(result["decided"]) for result in closes),
        "missed": sum(len(result["missed"]) for result in closes),
        "lateness_p50_s": _quantile(late, 0.5),
        "lateness_p99_s": _quantile(late, 0.99),
    }


def _quantile(ordered: Sequence[float], share: float) -> float | None:
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)] if ordered else None


def _memory_gb(holder: Mapping[str, Any]) -> float | None:
    """Of the process that runs the loop, where that is one of this machine."""
    import socket

    import psutil

    if holder["host"] != socket.gethostname():
        return None
    try:
        process = psutil.Process(holder["pid"])
        sizes = [process.memory_info().rss]
        sizes += [child.memory_info().rss for child in process.children(recursive=True)]
    except psutil.Error:
        return None
    return round(sum(sizes) / 2**30, 3)


def models_in_service(registries: Registries) -> dict[str, tuple[str | None, int | None]]:
    """Symbol -> (champion or None, when it was made, ns); a real market's goes before a simulated one's."""
    found: dict[str, tuple[str | None, int | None]] = {}
    for registry in (registries.registry, registries.simulated_registry):
        for symbol in registry.symbols():
            if found.get(symbol, (None, None))[0] is None:
                found[symbol] = _champion(registry, symbol)
    return found


def _champion(registry: Registry, symbol: str) -> tuple[str | None, int | None]:
    version = registry.champion(symbol)
    made = None if version is None else registry.show(symbol, version).card.created_at
    return version, time_of(made) if made else None


def registry_status(settings: Settings, now_ns: int) -> dict[str, Any]:
    """reachable, error, and of each symbol with a model in service its version and age in hours."""
    from crypto_bot.backtest.workbench import open_registries

    class Pair:
        registry, simulated_registry = open_registries(settings)

    try:
        found = models_in_service(Pair())
    except CryptoBotError as error:
        return {"reachable": False, "error": str(error), "models": {}}
    models = {
        symbol: {
            "version": version,
            "age_hours": None if made is None else round((now_ns - made) / 3.6e12, 2),
        }
        for symbol, (version, made) in found.items()
        if version is not None
    }
    return {"reachable": True, "error": None, "models": models}


def status_lines(status: Mapping[str, Any]) -> list[str]:
    """The status in plain words, for one screen."""
    loop, gpu = status["loop"], status["gpu_acceleration"]
    lines = [
        f"loop       {_holder(loop)}",
        f"next       {_next(loop)}",
        f"last turn  {_turn(loop['last_turn'])}",
        f"trading    {_bars_line(loop['bars'])}",
        f"models     {_models(loop['registry'])}",
        f"training   {_training(status)}",
        f"alarms     {_alarms(loop['alarms'])}",
        f"messages   {_outbox(loop['outbox'])}",
        f"journal    {_reached(loop['journal'])}",
        f"registry   {_reached(loop['registry'])}",
        f"exchange   {_exchange(loop)}",
        f"GPU        {gpu['gpu_type'] or 'none'}",
    ]
    if loop["memory_gb"] is not None:
        lines.append(f"memory     {loop['memory_gb']:.2f} GB")
    return lines


def _next(loop: Mapping[str, Any]) -> str:
    """When the next turn begins; a turn at work goes before it."""
    turn = loop["last_turn"]
    if loop["is_running"] and turn is not None and turn["status"] == "running":
        return "a turn is at work now"
    return str(loop["next_turn"] or "not known: no journal").removeprefix("next turn ")


def _training(status: Mapping[str, Any]) -> str:
    """When models were trained last, and how often they are."""
    journal = status["loop"]["journal"]
    is_known = journal["reachable"] or journal["error"] == _NONE_YET
    last = status["last_retrain"] or ("never" if is_known else "not known: no journal")
    if not status["ml_integration_enabled"]:
        return f"last: {last}; learning is off"
    if not status["auto_retrain_enabled"]:
        return f"last: {last}; auto_retrain is off"
    due = ", due" if status["retrain_due"] else ""
    return f"last: {last}; every {status['retrain_interval_hours']:g} hours{due}"


def _exchange(loop: Mapping[str, Any]) -> str:
    """Which exchange is asked for candles; whether it answers is the doctor's to say."""
    name = loop["exchange"]["name"]
    return f"{name} (whether it answers: crypto-bot doctor)" if name else "none configured"


def _holder(loop: Mapping[str, Any]) -> str:
    holder = loop["holder"]
    if holder is None:
        return "does not run; start it: crypto-bot integrated"
    return (
        f"runs in process {holder['pid']} on {holder['host']} since {holder['since']}, "
        f"last sign of life {holder['silent_s']:g} s ago"
    )


def _turn(turn: Mapping[str, Any] | None) -> str:
    if turn is None:
        return "none yet"
    done = sum(step["status"] == "done" for step in turn["steps"])
    words = f"{turn['run']} {turn['status']}, {done} of {len(turn['steps'])} steps done"
    return f"{words}: {turn['error']}" if turn["error"] else words


def _bars_line(bars: Mapping[str, Any] | None) -> str:
    if bars is None:
        return "no session yet"
    words = f"{bars['decided']} candles decided, {bars['missed']} missed"
    if bars["lateness_p50_s"] is None:
        return words
    return f"{words}; after the close p50 {bars['lateness_p50_s']:.3f} s, p99 {bars['lateness_p99_s']:.3f} s"


def _models(registry: Mapping[str, Any]) -> str:
    models = registry["models"]
    if not models:
        return "none in service"
    shown = [
        f"{symbol} {model['version']}"
        + ("" if model["age_hours"] is None else f" ({model['age_hours']:.1f} h old)")
        for symbol, model in list(models.items())[:3]
    ]
    more = len(models) - len(shown)
    return "; ".join(shown) + (f"; and {more} more (--json)" if more else "")


def _alarms(alarms: Sequence[Mapping[str, Any]]) -> str:
    if not alarms:
        return "none open"
    shown = [f"{alarm['symbol']} {alarm['kind']}: {alarm['action']}" for alarm in alarms[:3]]
    return f"{len(alarms)} open: {'; '.join(shown)}"


def _outbox(outbox: Mapping[str, int] | None) -> str:
    if outbox is None:
        return "none"
    return f"{outbox['waiting']} waiting, {outbox['dead']} given up"


def _reached(part: Mapping[str, Any]) -> str:
    return "good" if part["reachable"] else f"not reached: {part['error']}"
