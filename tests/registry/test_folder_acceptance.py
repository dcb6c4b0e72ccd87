"""The folder shows what every store must, and eight processes race for it."""

from __future__ import annotations

import os
from functools import partial

import pytest

from crypto_bot.registry import FolderStore
from registry.acceptance import StoreAcceptance
from registry.races import race_to_promote

posix = pytest.mark.skipif(os.name == "nt", reason="needs fork")


class TestFolderStore(StoreAcceptance):
    @pytest.fixture
    def open_store(self, tmp_path):
        return partial(FolderStore, tmp_path / "models")

    @pytest.fixture
    def tamper(self, tmp_path):
        def change(key, content):
            path = tmp_path / "models" / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink() if content is None else path.write_bytes(content)

        return change


@posix
def test_of_eight_writers_one_wins_each_of_25_rounds_and_every_read_is_good(tmp_path):
    result = race_to_promote(partial(FolderStore, tmp_path), writers=8, rounds=25)
    result.check(25)
