"""Versions beside each other: their stages, their order in a ranking, and how two differ."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from crypto_bot.core.models import ModelCard
from crypto_bot.registry.champion_log import Reign
from crypto_bot.registry.records import Manifest, Stage, VersionDiff, VersionSummary
from crypto_bot.registry.version_files import Checked

Described = tuple[str, ModelCard, Checked]
"""Version id, card and checked manifest."""
_SHOWN_APART = {"metrics", "feature_names", "label", "thresholds"}


def stage_of(version: str, reign: Reign) -> Stage:
    """Where a readable version stands."""
    if version in reign.retired:
        return Stage.RETIRED
    if version == reign.champion:
        return Stage.CHAMPION
    return Stage.SHADOW if version == reign.shadow else Stage.CANDIDATE


def rank_key(summary: VersionSummary, by: str) -> tuple[bool, bool, float]:
    """Usable first, then higher metric first, undefined last."""
    value = summary.metrics.get(by)
    undefined = value is None or math.isnan(value)
    is_out = summary.stage in (Stage.RETIRED, Stage.DAMAGED)
    return is_out, undefined, 0.0 if value is None or undefined else -value


def compared(first: Described, second: Described) -> VersionDiff:
    """How the second version differs from the first."""
    (a, card_a, checked_a), (b, card_b, checked_b) = first, second
    names_a, names_b = set(card_a.feature_names), set(card_b.feature_names)
    shown = (card.model_dump(mode="json", exclude=_SHOWN_APART) for card in (card_a, card_b))
    return VersionDiff(
        symbol=card_a.symbol,
        versions=(a, b),
        card=_differing(*shown),
        metrics=_side_by_side(card_a.metrics, card_b.metrics),
        files=_files(checked_a.manifest, checked_b.manifest),
        features_added=tuple(sorted(names_b - names_a)),
        features_removed=tuple(sorted(names_a - names_b)),
        features_reordered=names_a == names_b and card_a.feature_names != card_b.feature_names,
        label=_differing(card_a.label, card_b.label),
        thresholds=_differing(card_a.thresholds, card_b.thresholds),
    )


def _side_by_side(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {name: (a.get(name), b.get(name)) for name in sorted({*a, *b})}


def _differing(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {name: pair for name, pair in _side_by_side(a, b).items() if pair[0] != pair[1]}


def _files(a: Manifest, b: Manifest) -> dict[str, str]:
    words = {}
    for name in sorted({*a.files, *b.files}):
        if name not in a.files:
            words[name] = "added"
        elif name not in b.files:
            words[name] = "removed"
        else:
            words[name] = "same" if a.files[name] == b.files[name] else "changed"
    return words
