"""What the registry's commands of `cointrainer` do: list, show, compare, test."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from typing import Any

from crypto_bot.backtest.command import Handler, Result, say
from crypto_bot.backtest.lineage import lineage, lineage_lines
from crypto_bot.backtest.workbench import open_registries
from crypto_bot.cli.registry_decisions import promote, prune, retire, rollback, shadow
from crypto_bot.cli.registry_holding import registry_holding
from crypto_bot.cli.registry_keys import keys
from crypto_bot.config import load_settings
from crypto_bot.core.bars import symbol_slug
from crypto_bot.core.errors import ModelError, nearest
from crypto_bot.journal import Journal
from crypto_bot.registry import (
    MissingObject,
    ModelRegistry,
    VersionDetails,
    VersionDiff,
    VersionSummary,
)
from crypto_bot.registry.latest import LATEST

_SHOWN = ("sharpe", "total_return", "max_drawdown", "win_rate", "trades", "accuracy")
_MOST_BYTES = 2**20


def registry_list(options: argparse.Namespace) -> tuple[int, Result]:
    """Versions of a symbol, best first; an empty list is an answer, not a failure."""
    registry = registry_holding(load_settings(options.config), options.symbol)
    ranked = registry.rank(options.symbol)
    if ranked:
        say(options, *_ranking_lines(options.symbol, ranked))
    else:
        known = registry.symbols()
        held = f"; it holds {', '.join(known)}" if known else ""
        say(
            options,
            f"registry '{registry.where}' holds no version of {options.symbol}{held}"
            f"{nearest(options.symbol, known)}",
        )
    return 0, {
        "symbol": options.symbol,
        "registry": registry.where,
        "versions": [summary.to_dict() for summary in ranked],
    }


def registry_smoke(options: argparse.Namespace) -> tuple[int, Result]:
    """Write, list, read back and remove a small file below the registry's tmp folder."""
    registry, _ = open_registries(load_settings(options.config))
    smoke = registry.smoke(options.symbol)
    say(
        options,
        f"registry '{registry.where}' works: {smoke.size_bytes} bytes written, listed, read back "
        f"equal and removed in {smoke.seconds * 1000:.0f} ms",
    )
    return 0, {
        "symbol": smoke.symbol,
        "registry": registry.where,
        "key": smoke.key,
        "size_bytes": smoke.size_bytes,
        "seconds": smoke.seconds,
    }


def registry_pointer(options: argparse.Namespace) -> tuple[int, Result]:
    """The courtesy copy beside what counts; exit code 1 where they differ."""
    registry = registry_holding(load_settings(options.config), options.symbol)
    champion = registry.champion(options.symbol)
    pointer = _pointer(registry, options.symbol)
    original = _original(registry, options.symbol)
    key = None if pointer is None else pointer.get("key")
    slug = symbol_slug(options.symbol)
    agrees = (
        champion is None if key is None else str(key).startswith(f"{slug}/versions/{champion}/")
    )
    say(
        options,
        f"champion of {options.symbol} in '{registry.where}': {champion or 'none'}",
        "LATEST.json: none" if pointer is None else json.dumps(pointer, indent=2),
        "they agree"
        if agrees
        else "they differ: the log counts, LATEST.json is a copy for other programs; the next "
        "promotion or rollback writes it anew",
    )
    if original is not None:
        say(
            options, f"of the original trainer, in {original['place']}:", *_original_lines(original)
        )
    return int(not agrees), {
        "symbol": options.symbol,
        "registry": registry.where,
        "champion": champion,
        "pointer": pointer,
        "agrees": agrees,
        "original": original,
    }


def show(options: argparse.Namespace) -> tuple[int, Result]:
    """A version in full; with --lineage the chain from its candles to its orders."""
    settings = load_settings(options.config)
    registry = registry_holding(settings, options.symbol)
    details = registry.show(options.symbol, options.version)
    result: dict[str, Any] = {"registry": registry.where, **details.to_dict()}
    say(options, *_details_lines(registry.where, details))
    if options.lineage:
        with Journal(settings.journal.url) as journal:
            chain = lineage(journal, details)
        result["lineage"] = chain
        say(options, "lineage:", *(f"  {line}" for line in lineage_lines(chain)))
    return 0, result


def diff(options: argparse.Namespace) -> tuple[int, Result]:
    """How version B differs from version A."""
    registry = registry_holding(load_settings(options.config), options.symbol)
    found = registry.diff(options.symbol, options.first, options.second)
    say(options, *_diff_lines(found))
    return 0, found.to_dict()


def _pointer(registry: ModelRegistry, symbol: str) -> dict[str, Any] | None:
    """LATEST.json as another program reads it; None where there is none."""
    key = f"{symbol_slug(symbol)}/{LATEST}"
    try:
        content = registry.store.get(key, _MOST_BYTES)
    except MissingObject:
        return None
    try:
        found = json.loads(content)
    except ValueError as error:
        raise ModelError(f"{key} must be JSON, was not: {error}; promote again") from error
    if not isinstance(found, dict):
        raise ModelError(f"{key} must hold a JSON object, was {type(found).__name__}")
    return found


def _original(registry: ModelRegistry, symbol: str) -> dict[str, Any] | None:
    """What the original trainer's pointer says in its own layout, and why its model is not loaded."""
    from crypto_bot.registry.originals import ORIGINAL_PREFIX, load_original, read_pointer

    if not registry.store.entries(ORIGINAL_PREFIX):
        return None
    try:
        place, pointer = read_pointer(registry.store, symbol)
    except ModelError as error:
        return {"place": ORIGINAL_PREFIX, "problem": str(error)}
    found = {"place": place, **pointer.model_dump(mode="json"), "problem": None}
    try:
        load_original(registry.store, symbol)
    except ModelError as error:
        found["problem"] = str(error)
    return found


def _original_lines(original: Mapping[str, Any]) -> list[str]:
    shown = {name: value for name, value in original.items() if name not in ("place", "problem")}
    problem = original["problem"]
    return [json.dumps(shown, indent=2), f"not usable here: {problem}" if problem else "readable"]


def _ranking_lines(symbol: str, ranked: Sequence[VersionSummary]) -> list[str]:
    heads = "".join(f"{name:>14}" for name in _SHOWN)
    lines = [f"{symbol}, best first", f"{'':>2} {'version':<34}{'stage':<10}{'gate':<6}{heads}"]
    for place, summary in enumerate(ranked, start=1):
        gate = {True: "yes", False: "no", None: "-"}[summary.gate_passed]
        numbers = "".join(f"{_number(summary.metrics.get(name)):>14}" for name in _SHOWN)
        mark = "  SIMULATED" if summary.is_simulated else ""
        lines.append(
            f"{place:>2} {summary.version:<34}{summary.stage:<10}{gate:<6}{numbers}"
            f"  {summary.created_at or '-'}{mark}"
        )
        if summary.problem is not None:
            lines.append(f"   damaged: {summary.problem}")
    return lines


def _details_lines(where: str, details: VersionDetails) -> list[str]:
    card = details.card
    label = ", ".join(f"{name} {value}" for name, value in card.label.items())
    thresholds = ", ".join(f"{name} {value:g}" for name, value in card.thresholds.items())
    checks: Mapping[str, Any] = card.gate
    lines = [
        f"{details.version} of {details.symbol} in '{where}'"
        f"{'  SIMULATED' if card.is_simulated else ''}",
        f"  stage       {details.stage}",
        f"  model       {card.model_type}, {card.timeframe}, {len(card.feature_names)} features: "
        f"{', '.join(card.feature_names)}",
        f"  label       {label}",
        f"  thresholds  {thresholds or '-'}",
        f"  learned     {card.rows:,} rows, {card.data_start} to {card.data_end}",
        f"  made        {card.created_at or '-'}, run {card.run_id or '-'}",
        f"  signed by   {details.signed_by or 'nobody'}",
        f"  gate        {checks.get('reason', 'no verdict')}",
    ]
    lines += [f"  {name:<24}{_number(value)}" for name, value in card.metrics.items()]
    lines += [
        f"  file        {name}, {file.size:,} bytes, sha256 {file.sha256[:16]}..."
        for name, file in details.manifest.files.items()
    ]
    lines += [
        f"  history     {entry.number}: {entry.action} at {entry.at}: "
        f"{entry.evidence.get('reason', '-')}"
        for entry in details.history
    ]
    return lines


def _diff_lines(found: VersionDiff) -> list[str]:
    lines = [f"{found.symbol}: {found.versions[0]} -> {found.versions[1]}"]
    for title, pairs in (
        ("card", found.card),
        ("label", found.label),
        ("thresholds", found.thresholds),
        ("metric", found.metrics),
    ):
        lines += [f"  {title:<11}{name}: {a} -> {b}" for name, (a, b) in pairs.items()]
    lines += [f"  feature    + {name}" for name in found.features_added]
    lines += [f"  feature    - {name}" for name in found.features_removed]
    if found.features_reordered:
        lines.append("  features   the same in another order")
    return lines + [f"  file       {name}: {word}" for name, word in found.files.items()]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


REGISTRY_COMMANDS: dict[str, Handler] = {
    "diff": diff,
    "keys": keys,
    "promote": promote,
    "prune": prune,
    "registry-list": registry_list,
    "registry-pointer": registry_pointer,
    "registry-smoke": registry_smoke,
    "retire": retire,
    "rollback": rollback,
    "shadow": shadow,
    "show": show,
}
