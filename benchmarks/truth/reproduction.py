"""The same candles, settings and seed twice: the same bytes."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.rows import claim
from benchmarks.truth.markets import planted_market

_TIMES = ("created_at", "run_id")


def run() -> list[dict[str, Any]]:
    """Model files and cards of two runs in two empty folders."""
    first, second = once(), once()
    return [
        claim("reproducible: model files are the same bytes", first[0] == second[0]),
        claim("reproducible: cards are the same but for run id and time", first[1] == second[1]),
    ]


def once(bars: int = 4_000) -> tuple[dict[str, bytes], str]:
    """Files and card of the model that a search on a small market ships."""
    from benchmarks.truth.pipeline import learned_on

    with tempfile.TemporaryDirectory() as folder:
        learned = learned_on(planted_market(2, 0.1, bars=bars), Path(folder))
        card = learned.card.model_dump(mode="json")
        kept = {name: value for name, value in card.items() if name not in _TIMES}
        return dict(learned.model.files), json.dumps(kept, sort_keys=True)
