"""Where the real candles lie in development and CI; a clean clone elsewhere skips what needs them."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def shared_data(name: str) -> Path:
    """Path of a shared file or folder; skips the test, visibly, where it is absent."""
    path = SHARED_DATA / name
    if not path.exists():
        pytest.skip(f"real candles not present: ../shared/data/{name}")
    return path
