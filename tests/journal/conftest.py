"""Where the journals of these tests are kept."""

from __future__ import annotations

import pytest


@pytest.fixture
def location(tmp_path):
    """The place of a journal that is not there yet."""
    return str(tmp_path / "j.sqlite")
