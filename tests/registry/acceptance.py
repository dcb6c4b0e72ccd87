"""What every store and a registry over it must show. Enrol a store by a subclass::

    class TestFolder(StoreAcceptance):
        @pytest.fixture
        def open_store(self, tmp_path):
            return functools.partial(FolderStore, tmp_path / "models")

        @pytest.fixture
        def tamper(self, tmp_path): ...

`open_store()` gives another client of the same, at first empty, store each time. `tamper(key, content)`
puts bytes under a key behind the registry's back, or removes them (None), as whoever holds the key to
the store could.
"""

from __future__ import annotations

import itertools
import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from crypto_bot.core.errors import ConfigError, ModelError, NotPromoted
from crypto_bot.registry import (
    MissingObject,
    ModelRegistry,
    RegistryLimits,
    Signer,
    Stage,
    new_key_pair,
)
from toy_model import PASSED, load_toy, toy_card, toy_files

SYMBOL, SLUG = "BTC/USDT", "BTC-USDT"
FOUR_AT_ONCE = 4


class StoreAcceptance:
    """The port's promises, then the registry's."""

    @pytest.fixture
    def store(self, open_store):
        return open_store()

    @pytest.fixture
    def open_toys(self, open_store):
        def opened(**options):
            return ModelRegistry(open_store(), load_model=load_toy, **options)

        return opened

    @pytest.fixture
    def registry(self, open_toys):
        return open_toys()

    @pytest.fixture
    def three(self, registry):
        return [registry.publish(SYMBOL, toy_files(up), toy_card()) for up in (0.5, 0.6, 0.7)]

    # objects

    def test_an_object_is_created_once_and_comes_back(self, open_store):
        mine, other = open_store(), open_store()
        assert mine.put_new("A-B/champion/000001.json", b"first")
        assert not other.put_new("A-B/champion/000001.json", b"second")
        assert not mine.put_new("A-B/champion/000001.json", b"first")
        assert other.get("A-B/champion/000001.json", 5) == b"first"

    def test_an_empty_object_comes_back_empty(self, store):
        assert store.put_new("A-B/empty.bin", b"")
        assert store.get("A-B/empty.bin", 10) == b""

    def test_a_missing_object_is_named(self, store):
        with pytest.raises(MissingObject, match=r"A-B/none\.json must exist, was missing"):
            store.get("A-B/none.json", 10)

    def test_an_object_beyond_the_limit_is_refused(self, store):
        store.put_new("A-B/large.bin", b"x" * 11)
        with pytest.raises(ModelError, match=r"large\.bin must have at most 10 bytes, was"):
            store.get("A-B/large.bin", 10)
        assert store.get("A-B/large.bin", 11) == b"x" * 11

    def test_entries_are_those_directly_below_by_name(self, store):
        for key in ("A-B/versions/v2/x.json", "A-B/versions/v1/x.json", "A-B/note.txt"):
            store.put_new(key, b"abc")
        assert [(each.name, each.is_folder) for each in store.entries("A-B")] == [
            ("note.txt", False),
            ("versions", True),
        ]
        assert [each.name for each in store.entries("A-B/versions")] == ["v1", "v2"]
        (file,) = store.entries("A-B/versions/v1")
        assert (file.name, file.is_folder, file.size) == ("x.json", False, 3)
        assert file.changed_at_ns is not None
        assert [each.name for each in store.entries("") if each.name != "tmp"] == ["A-B"]
        assert store.entries("A-B/nothing") == store.entries("Nobody") == []

    def test_a_prefix_is_a_folder_and_not_the_beginning_of_a_name(self, store):
        store.put_new("A-B/one.json", b"1")
        store.put_new("A-BC/two.json", b"2")
        assert [each.name for each in store.entries("A-B")] == ["one.json"]

    def test_last_is_the_greatest_name_however_many_there_are(self, store):
        assert store.last("A-B/champion") is None
        for number in (2, 1, 10):
            store.put_new(f"A-B/champion/{number:06d}.json", b"{}")
        assert store.last("A-B/champion") == "000010.json"

    def test_a_copy_is_replaced_and_removed(self, store):
        for content in (b"one", b"two"):
            store.put_copy("A-B/LATEST.json", content)
        assert [each.name for each in store.entries("A-B")] == ["LATEST.json"]
        store.remove(["A-B/LATEST.json", "A-B/none.json"])
        assert store.entries("A-B") == []
        store.remove([])

    @pytest.mark.parametrize(
        "key", ["../up", "/root", "a//b", "a/", "", ".hidden", "a/.b", "a b", "a\\b", "é", "a\x00b"]
    )
    def test_a_key_that_could_leave_its_place_is_refused(self, store, key):
        for use in (
            lambda: store.put_new(key, b""),
            lambda: store.get(key, 1),
            lambda: store.put_copy(key, b""),
            lambda: store.remove([key]),
        ):
            with pytest.raises(ConfigError, match="key must be plain parts"):
                use()

    def test_of_many_writers_of_one_key_one_wins(self, open_store):
        stores = [open_store() for _ in range(FOUR_AT_ONCE)]
        with ThreadPoolExecutor(FOUR_AT_ONCE) as pool:
            for number in range(6):
                key = f"A-B/champion/{number + 1:06d}.json"
                work = [
                    pool.submit(store.put_new, key, b"writer %d" % k)
                    for k, store in enumerate(stores)
                ]
                won = [k for k, job in enumerate(work) if job.result()]
                assert len(won) == 1
                assert stores[0].get(key, 100) == b"writer %d" % won[0]
        assert stores[0].entries("tmp") == []

    def test_nothing_unfinished_is_left_by_work_that_ended(self, store):
        store.put_new("A-B/one.json", b"1")
        store.put_new("A-B/one.json", b"2")
        store.put_copy("A-B/LATEST.json", b"3")
        assert store.entries("tmp") == []

    def test_a_sweep_takes_old_unfinished_work_and_nothing_else(self, store):
        store.put_new("tmp/abandoned/model.json", b"half")
        store.put_new("A-B/one.json", b"1")
        assert store.sweep(older_than_s=3600.0) == 0
        assert store.sweep(older_than_s=-3600.0) == 1
        assert store.entries("tmp") == []
        assert store.get("A-B/one.json", 1) == b"1"

    # versions

    def test_what_was_published_comes_back_equal(self, open_toys):
        version = open_toys().publish(SYMBOL, toy_files(0.7), toy_card(metrics={"sharpe": 1.5}))
        predictor, card = open_toys().load(SYMBOL, version)
        assert card == toy_card(metrics={"sharpe": 1.5})
        assert predictor.probabilities == [0.3, 0.7]
        assert open_toys().symbols() == [SYMBOL]
        assert open_toys().versions(SYMBOL) == [version]

    def test_the_layout_is_slug_versions_files_and_a_manifest(self, registry, store):
        version = registry.publish(SYMBOL, toy_files(), toy_card())
        listed = {each.name for each in store.entries(f"{SLUG}/versions/{version}")}
        assert listed == {*toy_files(), "card.json", "manifest.json"}
        manifest = json.loads(store.get(f"{SLUG}/versions/{version}/manifest.json", 10_000))
        assert set(manifest["files"]) == listed - {"manifest.json"}

    def test_files_without_a_manifest_are_invisible_and_swept_by_age(self, registry, store):
        version = registry.publish(SYMBOL, toy_files(), toy_card())
        store.remove([f"{SLUG}/versions/{version}/manifest.json"])
        assert registry.versions(SYMBOL) == registry.symbols() == registry.rank(SYMBOL) == []
        with pytest.raises(ModelError, match="must be a version of BTC-USDT, was not"):
            registry.load(SYMBOL, version)
        assert registry.clean(older_than_s=3600.0) == 0
        assert registry.clean(older_than_s=-3600.0) == 1
        assert store.entries(f"{SLUG}/versions") == []

    def test_an_id_that_a_killed_publisher_began_is_not_used_again(self, registry, store):
        version = registry.publish(SYMBOL, toy_files(), toy_card())
        store.remove([f"{SLUG}/versions/{version}/manifest.json"])
        later = registry.publish(SYMBOL, toy_files(), toy_card())
        assert later > version
        registry.load(SYMBOL, later)

    def test_many_publishers_of_the_same_bytes_get_versions_of_their_own(self, open_toys):
        registries = [open_toys() for _ in range(FOUR_AT_ONCE)]
        with ThreadPoolExecutor(FOUR_AT_ONCE) as pool:
            work = [
                pool.submit(registry.publish, SYMBOL, toy_files(), toy_card())
                for registry in registries
                for _ in range(2)
            ]
            published = sorted(job.result() for job in work)
        assert len(set(published)) == len(work)
        assert registries[0].versions(SYMBOL) == published
        for version in published:
            registries[0].load(SYMBOL, version)

    @pytest.mark.parametrize("victim", ["model.json", "card.json", "manifest.json"])
    @pytest.mark.parametrize("mutation", ["flip", "cut", "grow", "empty", "remove"])
    def test_a_changed_file_is_refused_by_name(self, registry, store, tamper, victim, mutation):
        version = registry.publish(SYMBOL, toy_files(), toy_card())
        key = f"{SLUG}/versions/{version}/{victim}"
        content = store.get(key, 100_000)
        flipped = bytearray(content)
        flipped[len(content) // 2] ^= 1
        changed = {
            "flip": bytes(flipped),
            "cut": content[: len(content) // 2],
            "grow": content + b"}",
            "empty": b"",
            "remove": None,
        }
        tamper(key, changed[mutation])
        with pytest.raises(ModelError, match=victim if mutation != "remove" else "must"):
            registry.load(SYMBOL, version)

    def test_an_unknown_file_beside_the_model_is_refused(self, registry, tamper):
        version = registry.publish(SYMBOL, toy_files(), toy_card())
        tamper(f"{SLUG}/versions/{version}/extra.txt", b"x")
        with pytest.raises(ModelError, match=r"extra\.txt must be listed in the manifest"):
            registry.load(SYMBOL, version)

    def test_what_is_larger_than_the_limits_is_neither_written_nor_read(self, open_toys):
        version = open_toys().publish(SYMBOL, toy_files(padding=2000), toy_card())
        small = open_toys(limits=RegistryLimits(max_file_bytes=1000))
        with pytest.raises(ModelError, match=r"scaler\.json must have at most 1000 bytes"):
            small.load(SYMBOL, version)
        with pytest.raises(ModelError, match="must have at most 1000 bytes"):
            small.publish(SYMBOL, toy_files(padding=2000), toy_card())

    # the log

    def test_the_champion_is_what_the_log_says(self, registry, open_toys, three):
        assert registry.champion(SYMBOL) is None
        with pytest.raises(NotPromoted, match="must have passed the gate"):
            registry.promote(SYMBOL, three[0], {"promoted": False, "reason": "no edge"})
        for version in three:
            registry.promote(SYMBOL, version, PASSED, run_id="run-1")
        assert open_toys().champion(SYMBOL) == three[2]
        assert open_toys().rollback(SYMBOL).champion == three[1]
        assert open_toys().retire(SYMBOL, three[1]).champion is None
        assert open_toys().rollback(SYMBOL).champion == three[0]
        history = open_toys().history(SYMBOL)
        assert [entry.number for entry in history] == [1, 2, 3, 4, 5, 6]
        assert len({entry.claim for entry in history}) == 6
        for earlier, later in itertools.pairwise(history):
            assert later.previous == earlier.champion

    def test_writers_at_the_same_time_lose_nothing(self, open_toys, three):
        registries = [open_toys() for _ in range(FOUR_AT_ONCE)]
        with ThreadPoolExecutor(FOUR_AT_ONCE) as pool:
            work = [
                pool.submit(registry.promote, SYMBOL, version, PASSED)
                for registry in registries
                for version in three
            ]
            numbers = [job.result().number for job in work]
        history = registries[0].history(SYMBOL)
        assert sorted(numbers) == [entry.number for entry in history] == list(range(1, 13))
        for earlier, later in itertools.pairwise(history):
            assert later.previous == earlier.champion

    def test_a_shadow_runs_beside_the_champion_until_it_serves_or_another_does(
        self, registry, three
    ):
        registry.promote(SYMBOL, three[0], PASSED)
        entry = registry.shadow(SYMBOL, three[1], reason="watch it")
        assert (entry.action, entry.champion) == ("shadow", three[0])
        stages = {line.version: line.stage for line in registry.rank(SYMBOL)}
        assert stages == {
            three[0]: Stage.CHAMPION,
            three[1]: Stage.SHADOW,
            three[2]: Stage.CANDIDATE,
        }
        registry.shadow(SYMBOL, three[2])
        assert registry.show(SYMBOL, three[1]).stage is Stage.CANDIDATE
        registry.promote(SYMBOL, three[2], PASSED)
        assert registry.show(SYMBOL, three[2]).stage is Stage.CHAMPION
        assert registry.rollback(SYMBOL).champion == three[0]
        with pytest.raises(ModelError, match="must not serve to be a shadow, does"):
            registry.shadow(SYMBOL, three[0])
        registry.retire(SYMBOL, three[1])
        with pytest.raises(ModelError, match="must not be retired to be a shadow"):
            registry.shadow(SYMBOL, three[1])

    def test_the_courtesy_copy_follows_the_champion_and_is_never_read(
        self, registry, store, tamper, three
    ):
        key = f"{SLUG}/LATEST.json"
        for version in three[:2]:
            registry.promote(SYMBOL, version, PASSED)
        latest = json.loads(store.get(key, 10_000))
        assert latest["key"] == f"{SLUG}/versions/{three[1]}/model.json"
        tamper(key, b'{"key": "evil"}')
        assert registry.champion(SYMBOL) == three[1]
        registry.rollback(SYMBOL)
        assert three[0] in json.loads(store.get(key, 10_000))["key"]
        registry.retire(SYMBOL, three[0])
        assert "LATEST.json" not in [each.name for each in store.entries(SLUG)]

    def test_a_damaged_or_missing_entry_is_an_error_and_never_a_guess(
        self, open_toys, store, tamper, three
    ):
        for version in three:
            open_toys().promote(SYMBOL, version, PASSED)
        key = f"{SLUG}/champion/000003.json"
        content = store.get(key, 10_000)
        tamper(key, content[:-9])
        with pytest.raises(ModelError, match=r"000003\.json must be JSON"):
            open_toys().champion(SYMBOL)
        tamper(key, content)
        tamper(f"{SLUG}/champion/000002.json", None)
        with pytest.raises(ModelError, match=r"000002\.json must exist, was missing"):
            open_toys().history(SYMBOL)

    # retention, differences, smoke

    def test_retention_keeps_the_newest_and_whatever_serves_served_or_is_the_shadow(
        self, registry, store
    ):
        many = [registry.publish(SYMBOL, toy_files(0.5 + k / 20), toy_card()) for k in range(7)]
        registry.promote(SYMBOL, many[0], PASSED)
        registry.promote(SYMBOL, many[1], PASSED)
        registry.shadow(SYMBOL, many[2])
        gone = registry.keep_newest(SYMBOL, 2)
        assert gone == [many[3], many[4]]
        assert registry.versions(SYMBOL) == [*many[:3], *many[5:]]
        assert [each.name for each in store.entries(f"{SLUG}/versions")] == registry.versions(
            SYMBOL
        )
        assert [entry.action for entry in registry.history(SYMBOL)][-2:] == ["remove", "remove"]
        assert registry.rollback(SYMBOL).champion == many[0]
        assert registry.keep_newest(SYMBOL, 2) == []
        with pytest.raises(ModelError, match="must be a version of BTC-USDT, was not"):
            registry.promote(SYMBOL, many[3], PASSED)
        with pytest.raises(ConfigError, match="kept must be at least 1, was 0"):
            registry.keep_newest(SYMBOL, 0)

    def test_the_difference_of_two_versions_is_told(self, registry):
        first = toy_card(metrics={"sharpe": 1.0, "trades": 5.0}, thresholds={"open": 0.6})
        second = toy_card(
            feature_names=("rsi_14", "obv"),
            metrics={"sharpe": 2.0},
            label={"name": "next_n_up", "horizon_bars": 6, "hold_threshold": 0.0015},
            rows=2000,
        )
        a = registry.publish(SYMBOL, toy_files(0.5), first)
        b = registry.publish(SYMBOL, toy_files(0.6), second)
        diff = registry.diff(SYMBOL, a, b)
        assert diff.versions == (a, b)
        assert diff.metrics == {"sharpe": (1.0, 2.0), "trades": (5.0, None)}
        assert diff.files == {
            "card.json": "changed",
            "model.json": "changed",
            "scaler.json": "same",
        }
        assert (diff.features_added, diff.features_removed) == (("obv",), ("sma_ratio",))
        assert diff.label == {"horizon_bars": (3, 6)}
        assert diff.thresholds == {"open": (0.6, None)}
        assert diff.card == {"rows": (1000, 2000)}
        json.dumps(diff.to_dict())

    def test_smoke_stores_lists_fetches_and_leaves_nothing(self, registry, store):
        result = registry.smoke(SYMBOL)
        assert result.key.startswith(f"tmp/{SLUG}-")
        assert store.entries("tmp") == []
        assert registry.symbols() == []

    # trust

    def test_with_trusted_keys_only_what_they_signed_is_loaded_promoted_or_returned_to(
        self, open_toys, three
    ):
        pair = new_key_pair()
        signer = Signer(pair.private)
        open_toys().promote(SYMBOL, three[0], PASSED)
        trusting = open_toys(trusted_keys=[pair.public], signer=signer)
        signed = trusting.publish(SYMBOL, toy_files(0.8), toy_card())
        trusting.promote(SYMBOL, signed, PASSED)
        assert trusting.show(SYMBOL).signed_by == pair.key_id
        assert open_toys().load(SYMBOL, signed)[1] == toy_card()
        for refused in (
            partial(trusting.load, SYMBOL, three[1]),
            partial(trusting.promote, SYMBOL, three[1], PASSED),
            partial(trusting.shadow, SYMBOL, three[1]),
            partial(trusting.rollback, SYMBOL),
            partial(trusting.show, SYMBOL, three[1]),
            partial(trusting.diff, SYMBOL, signed, three[1]),
        ):
            with pytest.raises(ModelError, match=r"must be signed by a trusted key .*was unsigned"):
                refused()
        ranked = {line.version: line for line in trusting.rank(SYMBOL)}
        assert ranked[signed].stage is Stage.CHAMPION
        assert ranked[three[1]].stage is Stage.DAMAGED
        assert "was unsigned" in ranked[three[1]].problem

    def test_a_signature_counts_for_its_own_version_symbol_and_bytes_only(
        self, open_toys, store, tamper
    ):
        pair, stranger = new_key_pair(), new_key_pair()
        trusting = open_toys(trusted_keys=[pair.public], signer=Signer(pair.private))
        a = trusting.publish(SYMBOL, toy_files(0.6), toy_card())
        b = trusting.publish(SYMBOL, toy_files(0.7), toy_card())
        folders = [f"{SLUG}/versions/{version}" for version in (a, b)]
        signature = store.get(f"{folders[0]}/manifest.sig", 4096)
        tamper(f"{folders[1]}/manifest.sig", signature)
        with pytest.raises(ModelError, match="carry a signature of its own manifest"):
            trusting.load(SYMBOL, b)
        moved = f"{SLUG}/versions/20990101T000000.000000Z-{a[-8:]}"
        other = f"ETH-USDT/versions/{a}"
        for each in store.entries(folders[0]):
            content = store.get(f"{folders[0]}/{each.name}", 10_000)
            tamper(f"{moved}/{each.name}", content)
            tamper(f"{other}/{each.name}", content)
        for symbol, version in ((SYMBOL, moved.rpartition("/")[2]), ("ETH/USDT", a)):
            with pytest.raises(ModelError, match="carry a signature of its own manifest"):
                trusting.load(symbol, version)
        unknown = open_toys(trusted_keys=[stranger.public])
        with pytest.raises(ModelError, match=f"was by {pair.key_id}; add its public key"):
            unknown.load(SYMBOL, a)
        tamper(f"{folders[0]}/manifest.sig", b"[" * 4000)
        with pytest.raises(ModelError, match=r"manifest\.sig must be JSON"):
            trusting.load(SYMBOL, a)
        with pytest.raises(ConfigError, match=r"signing key must be one of registry\.trusted_keys"):
            unknown.publish(SYMBOL, toy_files(), toy_card())

    def test_the_name_of_the_store_is_for_people(self, store):
        assert isinstance(store.where, str)
        assert store.where
