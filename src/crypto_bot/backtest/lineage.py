"""Where a version comes from and what was done with it: from the candles' hash to the orders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crypto_bot.core.errors import DataError
from crypto_bot.core.timeframes import iso_time
from crypto_bot.journal import Journal, ModelEvent, TrialKind
from crypto_bot.registry import VersionDetails
from crypto_bot.trading.live import TRADED

LINKS = (
    "data",
    "features",
    "labels",
    "training",
    "validation",
    "gate",
    "version",
    "service",
    "traded",
)
"""The links of the chain, first to last."""


def lineage(journal: Journal, details: VersionDetails) -> dict[str, Any]:
    """The whole chain of one version, JSON-ready.

    Parameters
    ----------
    journal : where its run was written down; another one knows nothing of it, and the links say so
    details : `registry.show` of the version

    Returns
    -------
    dict    `LINKS` in order: data (hash of the training rows, from, until, rows), features, labels,
            training (run, its candles' hash, settings, trials), validation (out-of-sample figures),
            gate, version (files by sha256), service (champion log), traded (each run whose session it
            decided, with the orders and fills)
    """
    card = details.card
    events = [one for one in journal.model_events() if one.version == details.version]
    return {
        "data": {
            "fingerprint": card.data_fingerprint,
            "start": card.data_start,
            "end": card.data_end,
            "rows": card.rows,
            "is_simulated": card.is_simulated,
        },
        "features": {
            "names": list(card.feature_names),
            "definitions": dict(card.feature_definitions),
            "settled_bars": card.feature_settled_bars,
        },
        "labels": dict(card.label),
        "training": _training(journal, details),
        "validation": dict(card.metrics),
        "gate": {name: card.gate.get(name) for name in ("promoted", "reason", "checks")},
        "version": {
            "id": details.version,
            "symbol": details.symbol,
            "stage": str(details.stage),
            "created_at": card.created_at,
            "files": {name: file.sha256 for name, file in details.manifest.files.items()},
            "events": [_event(one) for one in events if one.event != TRADED],
        },
        "service": [
            {
                "number": entry.number,
                "action": entry.action,
                "at": entry.at,
                "run_id": entry.run_id,
            }
            for entry in details.history
        ],
        "traded": _sessions(journal, [one for one in events if one.event == TRADED]),
    }


def _training(journal: Journal, details: VersionDetails) -> dict[str, Any]:
    """The run that made it; `known` is False where this journal is not the one it was written in."""
    card = details.card
    found: dict[str, Any] = {
        "run_id": card.run_id,
        "model_type": card.model_type,
        "options": dict(card.options),
        "seed": card.seed,
        "libraries": dict(card.library_versions),
    }
    try:
        run = journal.run(card.run_id)
    except DataError:
        return {**found, "known": False}
    return {
        **found,
        "known": True,
        "kind": run.kind,
        "started_at": iso_time(run.started_at_ns),
        "candles": run.data_fingerprint or run.config.get("data_fingerprint"),
        "software": run.version,
        "models_tried": journal.trials_count(run_id=run.id, kind=TrialKind.MODEL),
        "settings_tried": journal.trials_count(run_id=run.id, kind=TrialKind.SEARCH),
    }


def _event(event: ModelEvent) -> dict[str, Any]:
    return {
        "event": event.event,
        "at": iso_time(event.recorded_at_ns),
        "run_id": event.run_id,
        "detail": dict(event.detail),
    }


def _sessions(journal: Journal, traded: Sequence[ModelEvent]) -> list[dict[str, Any]]:
    """A row for each run and symbol it decided; the same said twice is one row."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for event in traded:
        key = event.run_id, event.symbol
        if key in found:
            continue
        orders = journal.orders(event.run_id, event.symbol)
        fills = journal.fills(event.run_id, event.symbol)
        found[key] = {
            "run_id": event.run_id,
            "symbol": event.symbol,
            "since": iso_time(event.recorded_at_ns),
            "orders": [order.client_id for order in orders],
            "fills": len(fills),
        }
    return list(found.values())


def lineage_lines(chain: Mapping[str, Any]) -> list[str]:
    """The chain for a person, a line a link."""
    data, training, version = chain["data"], chain["training"], chain["version"]
    label = ", ".join(f"{name} {value}" for name, value in chain["labels"].items())
    figures = ", ".join(
        f"{name} {value:.4g}"
        for name, value in chain["validation"].items()
        if isinstance(value, int | float)
    )
    lines = [
        f"data        {data['fingerprint'][:16]}, {data['rows']:,} rows, {data['start']} to "
        f"{data['end']}{', SIMULATED' if data['is_simulated'] else ''}",
        f"features    {len(chain['features']['names'])}: {', '.join(chain['features']['names'][:8])}"
        f"{' ...' if len(chain['features']['names']) > 8 else ''}",
        f"labels      {label}",
        f"training    {_run_words(training)}",
        f"validation  {figures or 'no figures'}",
        f"gate        {chain['gate']['reason'] or 'no verdict'}",
        f"version     {version['id']} of {version['symbol']}, {version['stage']}",
    ]
    lines += [
        f"service     {entry['number']}: {entry['action']} at {entry['at']}, run {entry['run_id'] or '-'}"
        for entry in chain["service"]
    ] or ["service     never"]
    lines += [
        f"traded      {row['symbol']} in run {row['run_id']} since {row['since']}: "
        f"{len(row['orders'])} orders, {row['fills']} fills"
        for row in chain["traded"]
    ] or ["traded      in no session that this journal knows"]
    return lines


def _run_words(training: Mapping[str, Any]) -> str:
    made = f"{training['model_type']}, seed {training['seed']}, run {training['run_id'] or '-'}"
    if not training["known"]:
        return f"{made} (not in this journal)"
    return (
        f"{made} ({training['kind']}, {training['started_at']}), {training['models_tried']} models "
        f"and {training['settings_tried']} settings tried"
    )
