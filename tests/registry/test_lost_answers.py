"""What a store cannot say is found out: an answer that got lost, a copy that failed, files swept away."""

from __future__ import annotations

import logging

import pytest

from crypto_bot.core.errors import ModelError, StorageError
from crypto_bot.registry import FolderStore, ModelRegistry
from toy_model import PASSED, load_toy, toy_card, toy_files

SYMBOL, SLUG = "BTC/USDT", "BTC-USDT"


class Unreliable(FolderStore):
    """A folder that does as told but for the next call under a part of a key."""

    part, answer = "nothing", None

    def put_new(self, key, content):
        if self.part not in key:
            return super().put_new(key, content)
        self.part = "nothing"
        return self.answer(super().put_new, key, content)

    def put_copy(self, key, content):
        if self.part in key:
            raise StorageError(f"{key} must be writable, was not: tired")
        super().put_copy(key, content)


def lost(put, key, content):
    put(key, content)
    raise StorageError("connection lost after the object was there")


def denied(put, key, content):
    put(key, content)
    return False


def never_sent(put, key, content):
    raise StorageError("connection lost before the object was there")


@pytest.fixture
def store(tmp_path):
    return Unreliable(tmp_path)


@pytest.fixture
def registry(store):
    return ModelRegistry(store, load_model=load_toy)


@pytest.mark.parametrize("answer", [lost, denied])
def test_our_own_entry_is_known_by_its_claim_and_not_written_twice(registry, store, answer):
    version = registry.publish(SYMBOL, toy_files(), toy_card())
    store.part, store.answer = "champion", answer
    assert registry.promote(SYMBOL, version, PASSED).number == 1
    assert [entry.number for entry in registry.history(SYMBOL)] == [1]


def test_another_s_entry_of_the_same_content_is_not_taken_for_ours(registry, store):
    version = registry.publish(SYMBOL, toy_files(), toy_card())

    def faster(put, key, content):
        ModelRegistry(FolderStore(store.where), load_model=load_toy).promote(
            SYMBOL, version, PASSED
        )
        return put(key, content)

    store.part, store.answer = "champion", faster
    assert registry.promote(SYMBOL, version, PASSED).number == 2
    assert [entry.number for entry in registry.history(SYMBOL)] == [1, 2]


def test_an_entry_that_was_never_sent_is_an_error_and_leaves_no_trace(registry, store):
    version = registry.publish(SYMBOL, toy_files(), toy_card())
    store.part, store.answer = "champion", never_sent
    with pytest.raises(StorageError, match="before the object was there"):
        registry.promote(SYMBOL, version, PASSED)
    assert registry.history(SYMBOL) == []


def test_a_courtesy_copy_that_fails_is_warned_of_and_undoes_nothing(registry, store, caplog):
    version = registry.publish(SYMBOL, toy_files(), toy_card())
    store.part = "LATEST"
    with caplog.at_level(logging.WARNING):
        assert registry.promote(SYMBOL, version, PASSED).champion == version
    assert "LATEST.json of BTC/USDT lags behind the champion log" in caplog.text
    assert registry.champion(SYMBOL) == version


def test_a_publisher_whose_files_a_janitor_took_leaves_no_version(registry, store):
    def swept_before(put, key, content):
        folder = key.rpartition("/")[0]
        store.remove([f"{folder}/model.json"])
        return put(key, content)

    store.part, store.answer = "manifest.json", swept_before
    with pytest.raises(StorageError, match="lost some to a janitor; publish again"):
        registry.publish(SYMBOL, toy_files(), toy_card())
    assert registry.versions(SYMBOL) == []


def test_a_version_removed_while_it_is_read_is_unknown_and_not_damaged(
    registry, store, monkeypatch
):
    version = registry.publish(SYMBOL, toy_files(), toy_card())
    get = FolderStore.get

    def removed_before(self, key, most):
        if key.endswith("model.json"):
            registry._shelf(SLUG).remove(version)
        return get(self, key, most)

    monkeypatch.setattr(FolderStore, "get", removed_before)
    with pytest.raises(ModelError, match="must be a version of BTC-USDT, was not"):
        registry.load(SYMBOL, version)


def test_a_version_removed_during_a_listing_is_left_out_of_it(registry, monkeypatch):
    gone = registry.publish(SYMBOL, toy_files(), toy_card())
    kept = registry.publish(SYMBOL, toy_files(0.7), toy_card())
    listed = registry.versions(SYMBOL)
    registry._shelf(SLUG).remove(gone)
    monkeypatch.setattr(registry, "versions", lambda symbol: listed)
    assert [line.version for line in registry.rank(SYMBOL)] == [kept]


def test_the_courtesy_copy_survives_a_card_with_strange_labels(registry, store):
    label = {"name": "x", "horizon_minutes": "soon", "hold_threshold": "much"}
    version = registry.publish(SYMBOL, toy_files(), toy_card(label=label))
    registry.promote(SYMBOL, version, PASSED)
    assert b'"horizon": null' in store.get(f"{SLUG}/LATEST.json", 10_000)
