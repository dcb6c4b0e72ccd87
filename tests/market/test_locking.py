"""One writer at a time."""

from __future__ import annotations

import threading

import pytest

from crypto_bot.core.errors import StorageError
from crypto_bot.market.locking import folder_lock


def test_a_held_folder_is_refused_after_the_wait(tmp_path):
    with (
        folder_lock(tmp_path / "a"),
        pytest.raises(StorageError, match=r"\.lock must be free, was held by another process"),
        folder_lock(tmp_path / "a", timeout_s=0.0),
    ):
        pass


def test_the_lock_is_free_after_use_and_after_an_error(tmp_path):
    with pytest.raises(ValueError, match="inside"), folder_lock(tmp_path):
        raise ValueError("inside")
    with folder_lock(tmp_path, timeout_s=0.0):
        pass


def test_another_thread_waits_its_turn(tmp_path):
    order = []

    def other():
        with folder_lock(tmp_path):
            order.append("other")

    with folder_lock(tmp_path):
        thread = threading.Thread(target=other)
        thread.start()
        order.append("first")
    thread.join()
    assert order == ["first", "other"]


def test_a_file_in_the_way_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(StorageError, match="must be a writable folder"),
        folder_lock(tmp_path / "file"),
    ):
        pass
