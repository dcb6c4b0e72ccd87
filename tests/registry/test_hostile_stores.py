"""What a hostile store can state is bounded before memory or time is spent on it."""

from __future__ import annotations

import io
import json
import time
import tracemalloc
import zipfile
from functools import partial

import numpy as np
import pytest

from crypto_bot.core.errors import ModelError, StorageError
from crypto_bot.predictors import load_predictor
from crypto_bot.predictors.array_file import read_arrays
from crypto_bot.predictors.forest_file import read_forest, write_forest
from crypto_bot.predictors.predictor import TreePredictor
from crypto_bot.predictors.trees import AVERAGE, TreeEnsemble
from crypto_bot.predictors.walk_plan import MOST_DEPTH
from crypto_bot.predictors.wire_format import overhead
from crypto_bot.registry import FolderStore, folder_store
from crypto_bot.registry.objects import check_key
from crypto_bot.registry.records import ChampionEntry, read_json, read_record
from predictors.library_models import NAMES
from toy_model import toy_card, toy_files, toy_registry

MIB = 2**20
SLUG = "BTC-USDT"


def spent(work):
    """Peak bytes and seconds of this thread's core that a refusal took."""
    tracemalloc.start()
    started = time.thread_time()
    try:
        with pytest.raises(ModelError):
            work()
        return tracemalloc.get_traced_memory()[1], time.thread_time() - started
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 500_000,
        b'{"a":' * 100_000,
        b'{"a": [' + b"[]," * 300_000 + b"[]]}",
        b'{"a": ' + b"9" * 500_000 + b"}",
        b"{" + b",".join(b'"k%d":1' % k for k in range(50_000)) + b"}",
        b'{"a": "\\ud800"}',
        b'{"a": 1e999}',
        b'{"a": -Infinity}',
    ],
    ids=[
        "deep list",
        "deep object",
        "wide",
        "long number",
        "many keys",
        "surrogate",
        "inf",
        "name",
    ],
)
def test_json_that_only_wants_memory_is_refused_in_bounds(content):
    peak, seconds = spent(partial(read_record, ChampionEntry, content, "x.json"))
    assert peak < 64 * MIB
    assert seconds < 10.0


def test_json_keeps_whole_text_of_every_alphabet():
    assert read_json(b'{"a": "\\u00e9\\ud83d\\ude00"}', "x") == {"a": "é😀"}


def test_a_listing_of_too_many_names_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_store, "MOST_ENTRIES", 50)
    store = FolderStore(tmp_path)
    (tmp_path / SLUG / "champion").mkdir(parents=True)
    for k in range(51):
        (tmp_path / SLUG / "champion" / f"{k}.txt").touch()
    for use in (
        partial(store.entries, f"{SLUG}/champion"),
        partial(store.last, f"{SLUG}/champion"),
    ):
        with pytest.raises(StorageError, match="must hold at most 50 entries, held more"):
            use()


def test_thousands_of_files_beside_a_model_are_refused(tmp_path):
    registry = toy_registry(tmp_path)
    version = registry.publish("BTC/USDT", toy_files(), toy_card())
    folder = tmp_path / SLUG / "versions" / version
    for k in range(3000):
        (folder / f"f{k}").touch()
    peak, seconds = spent(partial(registry.load, "BTC/USDT", version))
    assert peak < 16 * MIB
    assert seconds < 2.0


def test_a_manifest_of_too_many_bytes_in_all_is_refused_unread(tmp_path):
    registry = toy_registry(tmp_path)
    version = registry.publish("BTC/USDT", toy_files(), toy_card())
    path = tmp_path / SLUG / "versions" / version / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["files"]["scaler.json"]["size"] = 2**40
    path.write_text(json.dumps(manifest))
    with pytest.raises(ModelError, match=r"manifest\.json must list at most 1073741824 bytes"):
        registry.load("BTC/USDT", version)


def test_a_link_anywhere_on_the_way_is_refused(tmp_path):
    registry = toy_registry(tmp_path / "models")
    version = registry.publish("BTC/USDT", toy_files(), toy_card())
    versions = tmp_path / "models" / SLUG / "versions"
    away = tmp_path / "away"
    (versions / version).rename(away)
    (versions / version).symlink_to(away)
    assert registry.versions("BTC/USDT") == []
    store = FolderStore(tmp_path / "models")
    with pytest.raises(ModelError, match="must be a plain folder, was a link"):
        store.get(f"{SLUG}/versions/{version}/model.json", 1000)
    with pytest.raises(StorageError, match=r"was not: .* is a link"):
        store.put_new(f"{SLUG}/versions/{version}/more.json", b"")
    assert "more.json" not in [path.name for path in away.iterdir()]


def test_a_folder_in_the_place_of_a_file_is_refused_and_leaves_nothing_open(tmp_path):
    store = FolderStore(tmp_path)
    (tmp_path / SLUG / "x.json").mkdir(parents=True)
    for _ in range(3):
        with pytest.raises(ModelError, match="must be a plain file, was not"):
            store.get(f"{SLUG}/x.json", 10)


def test_a_key_of_a_million_parts_is_refused_at_once():
    with pytest.raises(Exception, match="key must be plain parts"):
        check_key("/".join("a" * 1_000_000))


# models


def bomb(stated, packing=zipfile.ZIP_DEFLATED):
    """64 MiB of zeros in 64 kB, with the size it states."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", packing) as archive:
        archive.writestr("x.npy", bytes(64 * MIB))
        archive.writestr("schema.npy", b"")
    packed = bytearray(out.getvalue())
    packed_size = (64 * MIB).to_bytes(4, "little")
    start = packed.rindex(b"PK\x01\x02", 0, packed.rindex(b"PK\x01\x02"))
    place = packed.index(packed_size, start)
    packed[place : place + 4] = stated.to_bytes(4, "little")
    return bytes(packed)


@pytest.mark.parametrize(
    ("stated", "packing"),
    [
        (64 * MIB, zipfile.ZIP_DEFLATED),
        (100, zipfile.ZIP_DEFLATED),
        (2**31, zipfile.ZIP_DEFLATED),
        (100, zipfile.ZIP_BZIP2),
    ],
)
def test_an_archive_is_unpacked_to_what_it_states_and_no_further(stated, packing):
    content = bomb(stated, packing)
    read = partial(read_arrays, content, file="x.npz", kind="x", layout={"x": ("<f8", 1)})
    peak, _ = spent(read)
    assert peak < 8 * MIB


def test_an_archive_that_states_many_members_is_refused_before_they_are_listed():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for k in range(20_000):
            archive.writestr(f"{k}", b"")
    peak, _ = spent(
        partial(read_arrays, out.getvalue(), file="x.npz", kind="x", layout={"x": ("<f8", 1)})
    )
    assert peak < 1 * MIB


def ensemble(roots, children, leaves=1):
    nodes = len(children)
    return TreeEnsemble(
        roots=np.asarray(roots, np.int32),
        feature=np.zeros(nodes, np.int32),
        threshold=np.zeros(nodes),
        children=np.asarray(children, np.int32).reshape(-1, 2),
        missing=np.zeros(nodes, np.uint8),
        leaf_values=np.full((leaves, 2), 0.5),
        mean=np.empty(0),
        scale=np.empty(0),
        link=AVERAGE,
        classes=2,
        steepness=1.0,
        is_float32=True,
    )


def test_trees_without_end_and_without_number_are_refused():
    nodes = 1_000_000
    chain = np.column_stack((np.arange(1, nodes + 1), np.full(nodes, -1)))
    chain[-1, 0] = -1
    started = time.thread_time()
    with pytest.raises(ModelError, match=f"trees must be at most {MOST_DEPTH} deep"):
        TreePredictor(ensemble([0], chain), ("a",), (0, 1))
    with pytest.raises(ModelError, match="trees must be at most 65536"):
        TreePredictor(ensemble(np.full(100_000, -1), []), ("a",), (0, 1))
    assert time.thread_time() - started < 3.0


def test_leaves_that_are_no_probabilities_are_refused():
    for change in (np.full((1, 2), 0.4), np.array([[1.5, -0.5]])):
        content = write_forest(ensemble([-1], [])._replace(leaf_values=change), ("a",), (0, 1))
        with pytest.raises(ModelError, match="leaf_values must be probabilities"):
            read_forest(content)


def test_a_network_of_a_million_empty_fields_is_refused_before_it_is_parsed():
    peak, seconds = spent(partial(overhead, b"\x72\x00" * 1_000_000))
    assert peak < MIB
    assert seconds < 1.0
    assert overhead(b"") == 0
    for content in (b"\x80" * 20, b"\x72\xff\xff\x03", b"\x77"):
        with pytest.raises(ModelError, match=r"lstm\.onnx must be an intact LSTM of ours"):
            overhead(content)


@pytest.mark.parametrize(
    "text",
    [
        "tree\nversion=v4\nfeature_names=" + " ".join(["a"] * 200_000),
        "tree\n" + "\n".join(f"k{k}=" for k in range(100_000)),
        "tree\nversion=v4\nmax_feature_idx=0\nfeature_names=a\nobjective=binary sigmoid:1\n"
        "num_tree_per_iteration=1\ntree_sizes=" + " ".join(["1"] * 200_000),
    ],
    ids=["features", "lines", "trees"],
)
def test_a_text_that_states_too_much_is_refused_in_bounds(text):
    card = toy_card(model_type="lightgbm", feature_names=NAMES)
    peak, seconds = spent(partial(load_predictor, card, {"model.txt": f"{text}\n\n".encode()}))
    assert peak < 16 * MIB
    assert seconds < 1.0


def test_a_file_longer_than_its_manifest_says_is_refused_unread(tmp_path):
    registry = toy_registry(tmp_path)
    version = registry.publish("BTC/USDT", toy_files(), toy_card())
    path = tmp_path / SLUG / "versions" / version / "model.json"
    path.write_bytes(path.read_bytes() + bytes(100))
    with pytest.raises(ModelError, match=r"model\.json must have \d+ bytes, was \d+"):
        registry.load("BTC/USDT", version)
