"""What a person decides about versions: written in the journal, then done, then written as done."""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Callable, Mapping
from typing import Any

from crypto_bot.backtest.command import Result, say
from crypto_bot.cli.registry_holding import registry_holding
from crypto_bot.config import Settings, load_settings
from crypto_bot.core.errors import ConfigError, CryptoBotError
from crypto_bot.journal import Journal
from crypto_bot.registry import ChampionEntry, ModelRegistry

KIND = "registry"
"""Kind of run in the journal."""
_NO_REASON = "asked for"


def promote(options: argparse.Namespace) -> tuple[int, Result]:
    """Put a version into service on the gate's word, or on a person's with --force and a reason."""
    settings = load_settings(options.config)
    registry = registry_holding(settings, options.symbol)
    details = registry.show(options.symbol, options.version)
    verdict = dict(details.card.gate)
    person = {"by": _person(), "reason": options.reason or _NO_REASON}
    if options.force:
        _check_forced(options, details.symbol, verdict)
        evidence: dict[str, Any] = {
            "promoted": True,
            "forced": True,
            "reason": f"{person['by']} decided: {options.reason}",
            "gate": verdict,
            "by": person["by"],
        }
    else:
        evidence = {**verdict, "by_hand": person}
    return _decided(
        options,
        settings,
        registry,
        "promote",
        options.version,
        {**person, "forced": options.force, "gate": verdict.get("reason")},
        lambda run_id: registry.promote(options.symbol, options.version, evidence, run_id=run_id),
    )


def rollback(options: argparse.Namespace) -> tuple[int, Result]:
    """The champion before the present one serves again."""

    def act(registry: ModelRegistry, reason: str, run_id: str) -> ChampionEntry:
        return registry.rollback(options.symbol, reason=reason, run_id=run_id)

    return _by_hand(options, "rollback", None, act)


def retire(options: argparse.Namespace) -> tuple[int, Result]:
    """A version is never used again."""

    def act(registry: ModelRegistry, reason: str, run_id: str) -> ChampionEntry:
        return registry.retire(options.symbol, options.version, reason=reason, run_id=run_id)

    return _by_hand(options, "retire", options.version, act)


def shadow(options: argparse.Namespace) -> tuple[int, Result]:
    """A version runs beside the champion."""

    def act(registry: ModelRegistry, reason: str, run_id: str) -> ChampionEntry:
        return registry.shadow(options.symbol, options.version, reason=reason, run_id=run_id)

    return _by_hand(options, "shadow", options.version, act)


def _by_hand(
    options: argparse.Namespace,
    action: str,
    version: str | None,
    act: Callable[[ModelRegistry, str, str], ChampionEntry],
) -> tuple[int, Result]:
    """A decision that needs a reason alone; no version: it is about the champion."""
    settings = load_settings(options.config)
    registry = registry_holding(settings, options.symbol)
    reason = options.reason or _NO_REASON
    return _decided(
        options,
        settings,
        registry,
        action,
        (registry.champion(options.symbol) or "") if version is None else version,
        {"by": _person(), "reason": reason},
        lambda run_id: act(registry, reason, run_id),
    )


def prune(options: argparse.Namespace) -> tuple[int, Result]:
    """All but the newest versions are removed; what serves, served or shadows stays."""
    settings = load_settings(options.config)
    registry = registry_holding(settings, options.symbol)
    kept = settings.registry.versions_kept if options.keep is None else options.keep
    if options.keep is None and kept < 1:
        raise ConfigError(
            "--keep must be given, for registry.versions_kept is 0 (all are kept); add --keep 10"
        )
    if kept < 1:
        raise ConfigError(
            f"--keep must be at least 1, was {kept}; retire takes the last version out of use"
        )
    with Journal(settings.journal.url) as journal:
        run_id = journal.start_run(KIND, {"command": "prune", "symbol": options.symbol})
        detail = {"by": _person(), "kept": kept}
        journal.model_event(run_id, options.symbol, "", "pruning", detail)
        removed = _finishing(
            journal, run_id, lambda: registry.keep_newest(options.symbol, kept, run_id=run_id)
        )
        journal.model_event(run_id, options.symbol, "", "pruned", {**detail, "removed": removed})
        journal.finish_run(run_id, "done", {"removed": removed})
    left = registry.versions(options.symbol)
    why = "; what serves, served or is the shadow stays" if len(left) > kept else ""
    say(
        options,
        *(f"removed: {version}" for version in removed),
        f"{len(removed)} removed, {len(left)} left of {options.symbol} in '{registry.where}'{why}",
    )
    return 0, {
        "symbol": options.symbol,
        "registry": registry.where,
        "removed": removed,
        "left": left,
    }


def _check_forced(options: argparse.Namespace, symbol: str, verdict: Mapping[str, Any]) -> None:
    """ConfigError unless there is a reason and a yes, from the line or from the terminal."""
    if not (options.reason or "").strip():
        raise ConfigError("--reason must be given with --force, was not; say why in one sentence")
    if options.yes:
        return
    if not sys.stdin.isatty():
        raise ConfigError("--force must be confirmed, nobody is there to ask; give --yes")
    question = (
        f"the gate said of {symbol} {options.version}: {verdict.get('reason', 'nothing')}\n"
        "put it into service all the same? [y/N] "
    )
    print(question, end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise ConfigError("--force must be confirmed, was not; nothing was done")


def _decided(
    options: argparse.Namespace,
    settings: Settings,
    registry: ModelRegistry,
    command: str,
    version: str,
    detail: Mapping[str, Any],
    act: Callable[[str], ChampionEntry],
) -> tuple[int, Result]:
    """Write down what is about to be done and by whom, do it, write down that it was."""
    before = registry.champion(options.symbol)
    with Journal(settings.journal.url) as journal:
        run_id = journal.start_run(KIND, {"command": command, "symbol": options.symbol})
        intent = {**detail, "decision": "a person's"}
        journal.model_event(run_id, options.symbol, version, f"{command} asked for", intent)
        entry = _finishing(journal, run_id, lambda: act(run_id))
        journal.model_event(run_id, options.symbol, entry.version, _DONE[command], intent)
        journal.finish_run(run_id, "done", {"entry": entry.number})
    say(
        options,
        f"{command}: {entry.version} of {options.symbol} in '{registry.where}', log entry "
        f"{entry.number}",
        f"in service: {before or 'none'} -> {entry.champion or 'none'}",
    )
    return 0, {
        "symbol": options.symbol,
        "registry": registry.where,
        "before": before,
        "champion": entry.champion,
        "entry": entry.model_dump(mode="json"),
    }


_DONE = {
    "promote": "promoted",
    "rollback": "rolled back",
    "retire": "retired",
    "shadow": "shadowing",
}


def _finishing(journal: Journal, run_id: str, act: Callable[[], Any]) -> Any:
    """The act; a refusal is kept with the run and goes on its way."""
    try:
        return act()
    except CryptoBotError as error:
        journal.finish_run(run_id, "failed", {"error": str(error)})
        raise


def _person() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user id without a name
        return "unknown"
