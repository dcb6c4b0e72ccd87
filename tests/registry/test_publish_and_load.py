"""Versions: complete when visible, never changed, every byte checked before it is parsed."""

from __future__ import annotations

import hashlib
import json
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_bot.core.errors import ConfigError, ModelError, StorageError
from crypto_bot.core.timeframes import ReplayClock
from crypto_bot.registry import RegistryLimits, open_registry
from crypto_bot.registry.version_files import VERSION, content_hash
from toy_model import PASSED, toy_card, toy_files, toy_registry

MORNING_NS = 1_725_597_600_000_000_000


@pytest.fixture
def registry(tmp_path):
    return toy_registry(tmp_path / "models", clock=ReplayClock(MORNING_NS))


def folder_of(registry, version, slug="BTC-USDT"):
    return Path(registry.where) / slug / "versions" / version


def test_what_was_published_comes_back_equal(registry):
    version = registry.publish("BTC/USDT", toy_files(0.7), toy_card(metrics={"sharpe": 1.5}))
    predictor, card = registry.load("BTC/USDT", version)
    assert card == toy_card(metrics={"sharpe": 1.5})
    assert np.array_equal(predictor.predict_proba(np.zeros((2, 2))), [[0.3, 0.7]] * 2)
    assert registry.symbols() == ["BTC/USDT"]
    assert registry.versions("BTC/USDT") == registry.versions("BTC-USDT") == [version]


def test_layout_is_slug_versions_and_a_manifest_with_size_and_sha256_of_every_file(registry):
    version = registry.publish("BTC/USDT", toy_files(), toy_card())
    assert VERSION.fullmatch(version)
    assert version.startswith("20240906T044000.000000Z-")
    folder = folder_of(registry, version)
    assert {path.name for path in folder.iterdir()} == {*toy_files(), "card.json", "manifest.json"}
    manifest = json.loads((folder / "manifest.json").read_text())
    for name, record in manifest["files"].items():
        content = (folder / name).read_bytes()
        assert record == {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    assert set(manifest["files"]) == {"card.json", "model.json", "scaler.json"}


def test_publishing_the_same_again_makes_a_later_version_and_changes_nothing_old(registry):
    first = registry.publish("BTC/USDT", toy_files(), toy_card())
    before = {p: p.read_bytes() for p in folder_of(registry, first).iterdir()}
    second = registry.publish("BTC/USDT", toy_files(), toy_card())
    assert second > first
    assert registry.versions("BTC/USDT") == [first, second]
    assert before == {p: p.read_bytes() for p in folder_of(registry, first).iterdir()}


def test_a_clock_that_went_back_still_gives_later_versions(tmp_path):
    late = toy_registry(tmp_path, clock=ReplayClock(MORNING_NS))
    early = toy_registry(tmp_path, clock=ReplayClock(1_000_000_000))
    first = late.publish("BTC/USDT", toy_files(0.6), toy_card())
    second = early.publish("BTC/USDT", toy_files(0.7), toy_card())
    assert late.versions("BTC/USDT") == [first, second]


def _publish_many(root: str, count: int) -> list[str]:
    registry = toy_registry(Path(root), clock=ReplayClock(MORNING_NS))
    return [registry.publish("BTC/USDT", toy_files(), toy_card()) for _ in range(count)]


def test_four_processes_publishing_the_same_bytes_at_the_same_time_get_versions_of_their_own(
    tmp_path,
):
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(_publish_many, str(tmp_path), 6) for _ in range(4)]
        published = [version for job in jobs for version in job.result()]
    registry = toy_registry(tmp_path)
    assert len(set(published)) == 24
    assert registry.versions("BTC/USDT") == sorted(published)
    for version in published:
        registry.load("BTC/USDT", version)


def test_a_run_that_resumes_finds_what_it_already_published(registry):
    version = registry.publish("BTC/USDT", toy_files(), toy_card(run_id="run-7"))
    registry.publish("BTC/USDT", toy_files(), toy_card(run_id="run-8"))
    assert registry.published_by("BTC/USDT", "run-7") == version
    assert registry.published_by("BTC/USDT", "run-9") is None
    with pytest.raises(ConfigError, match="run_id must not be empty"):
        registry.published_by("BTC/USDT", "")


def test_of_several_models_of_one_run_the_one_made_alike_is_found(registry):
    first = toy_card(run_id="run-7", options={"rounds": 10, "names": ("a", "b")})
    other = toy_card(run_id="run-7", options={"rounds": 20})
    version = registry.publish("BTC/USDT", toy_files(), first)
    again = first.replace(created_at="2024-07-01T00:00:00Z", gate={"promoted": True})
    assert registry.published_by("BTC/USDT", "run-7", like=again) == version
    assert registry.published_by("BTC/USDT", "run-7", like=other) is None
    second = registry.publish("BTC/USDT", toy_files(0.7), other)
    assert registry.published_by("BTC/USDT", "run-7", like=again) == version
    assert registry.published_by("BTC/USDT", "run-7", like=other) == second


@pytest.mark.parametrize("victim", ["model.json", "scaler.json", "card.json", "manifest.json"])
@pytest.mark.parametrize("mutation", ["flip", "cut", "grow", "empty", "remove", "link"])
def test_a_changed_file_is_refused_by_name(registry, victim, mutation):
    version = registry.publish("BTC/USDT", toy_files(), toy_card())
    path = folder_of(registry, version) / victim
    content = path.read_bytes()
    path.unlink()
    if mutation == "link":
        elsewhere = Path(registry.where) / "elsewhere"
        elsewhere.write_bytes(content)
        path.symlink_to(elsewhere)
    elif mutation != "remove":
        changed = bytearray(content)
        changed[len(changed) // 2] ^= 1
        path.write_bytes(
            {
                "flip": changed,
                "cut": content[: len(content) // 2],
                "grow": content + b" ",
                "empty": b"",
            }[mutation]
        )
    if victim == "manifest.json" and mutation == "grow":
        registry.load("BTC/USDT", version)  # white space at the end says nothing else
        return
    with pytest.raises(ModelError, match=victim if mutation != "remove" else "must"):
        registry.load("BTC/USDT", version)


def test_no_byte_of_a_changed_model_reaches_the_parser(tmp_path):
    parsed = []
    registry = toy_registry(tmp_path)
    version = registry.publish("BTC/USDT", toy_files(), toy_card())
    registry._load_model = lambda card, files: parsed.append(files)
    path = folder_of(registry, version) / "scaler.json"
    path.write_bytes(b"{ }")
    with pytest.raises(ModelError, match=r"scaler\.json must have 2 bytes, was 3; .*do not use"):
        registry.load("BTC/USDT", version)
    path.write_bytes(b"[]")
    with pytest.raises(ModelError, match=r"scaler\.json must have sha256 .*do not use"):
        registry.load("BTC/USDT", version)
    assert parsed == []


def test_an_unknown_file_beside_the_model_is_refused(registry):
    version = registry.publish("BTC/USDT", toy_files(), toy_card())
    (folder_of(registry, version) / "extra.txt").write_text("x")
    with pytest.raises(ModelError, match=r"extra\.txt must be listed in the manifest"):
        registry.load("BTC/USDT", version)


@pytest.mark.parametrize("name", ["../escape", "a/b", "/etc/passwd", ".hidden", "a\x00b", "", "é"])
def test_a_manifest_that_names_a_path_is_refused(registry, name):
    version = registry.publish("BTC/USDT", toy_files(), toy_card())
    folder = folder_of(registry, version)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][name] = manifest["files"].pop("model.json")
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ModelError, match="must name plain files"):
        registry.load("BTC/USDT", version)


def test_a_manifest_rewritten_to_match_a_changed_model_is_refused(registry):
    version = registry.publish("BTC/USDT", toy_files(), toy_card())
    folder = folder_of(registry, version)
    (folder / "model.json").write_bytes(b"[0.0, 1.0]")
    manifest = json.loads((folder / "manifest.json").read_text())
    content = (folder / "model.json").read_bytes()
    manifest["files"]["model.json"] = {
        "sha256": hashlib.sha256(content).hexdigest(),
        "size": len(content),
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ModelError, match=r"manifest\.json must hash to the version's name"):
        registry.load("BTC/USDT", version)


@given(st.binary(max_size=300))
@settings(deadline=None, derandomize=True, max_examples=60)
def test_any_bytes_as_a_manifest_give_a_model_error(tmp_path_factory, junk):
    registry = toy_registry(tmp_path_factory.mktemp("r"))
    version = registry.publish("BTC/USDT", toy_files(), toy_card())
    (folder_of(registry, version) / "manifest.json").write_bytes(junk)
    with pytest.raises(ModelError, match=r"manifest\.json"):
        registry.load("BTC/USDT", version)


def test_a_version_moved_to_another_symbol_is_refused(registry):
    version = registry.publish("BTC/USDT", toy_files(), toy_card())
    other = folder_of(registry, version, "ETH-USDT")
    other.parent.mkdir(parents=True)
    folder_of(registry, version).rename(other)
    with pytest.raises(ModelError, match="must be of BTC/USDT in folder ETH-USDT"):
        registry.load("ETH/USDT", version)


@pytest.mark.parametrize("version", ["../../x", "latest", "", "20240906T044000.000000Z-zzzzzzzz"])
def test_a_version_that_is_no_version_id_is_refused(registry, version):
    with pytest.raises(ModelError, match="version must look like"):
        registry.load("BTC/USDT", version)


def test_an_unknown_version_names_the_nearest(registry):
    version = registry.publish("BTC/USDT", toy_files(), toy_card())
    near = version[:-1] + ("0" if version[-1] != "0" else "1")
    with pytest.raises(ModelError, match=f"was not; did you mean '{version}'"):
        registry.load("BTC/USDT", near)


@pytest.mark.parametrize(
    ("files", "card", "message"),
    [
        ({}, toy_card(), "files must be the model's files"),
        ({"card.json": b"{}"}, toy_card(), "files must be the model's files"),
        ({"manifest.json": b"{}", **toy_files()}, toy_card(), "must name plain files"),
        ({"../x": b"{}", **toy_files()}, toy_card(), "must name plain files"),
        ({"scaler.pkl": b"", **toy_files()}, toy_card(), "can carry code"),
        ({**toy_files(), "scaler.json": b"\x80\x04\x95"}, toy_card(), "was a pickle"),
        ({"MODEL.json": b"", **toy_files()}, toy_card(), "differ in case only"),
        (toy_files(), toy_card("ETH/USDT"), "card.symbol must be BTC/USDT, was ETH/USDT"),
        (toy_files(), toy_card(gate={"x": float("nan")}), r"card\.json must hold plain finite"),
        (toy_files(padding=2000), toy_card(), "must have at most 1000 bytes"),
    ],
)
def test_what_could_not_be_trusted_is_not_published(tmp_path, files, card, message):
    registry = toy_registry(tmp_path / "r", limits=RegistryLimits(max_file_bytes=1000))
    with pytest.raises(ModelError, match=message):
        registry.publish("BTC/USDT", files, card)
    assert not (tmp_path / "r").exists()


def test_a_model_that_does_not_load_or_differs_from_its_card_is_not_published(tmp_path):
    def other_schema(card, files):
        from toy_model import load_toy

        return load_toy(card.replace(feature_names=("sma_ratio", "rsi_14")), files)

    registry = toy_registry(tmp_path)
    registry._load_model = other_schema
    with pytest.raises(ModelError, match="order differs"):
        registry.publish("BTC/USDT", toy_files(), toy_card())
    assert registry.versions("BTC/USDT") == []


def test_a_folder_that_cannot_be_written_gives_a_storage_error_and_nothing_half_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    registry = toy_registry(tmp_path / "file" / "models")
    for action in (
        lambda: registry.publish("BTC/USDT", toy_files(), toy_card()),
        lambda: registry.smoke("BTC/USDT"),
    ):
        with pytest.raises(StorageError, match="must be writable, was not"):
            action()
    assert registry.versions("BTC/USDT") == registry.symbols() == []
    assert registry.champion("BTC/USDT") is None
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_full_disk_during_publish_leaves_nothing(registry, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    registry.smoke("BTC/USDT")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left on device"):
        registry.publish("BTC/USDT", toy_files(), toy_card())
    assert registry.versions("BTC/USDT") == []
    assert list((Path(registry.where) / "tmp").iterdir()) == []


def test_leftovers_of_killed_writers_are_swept_once_they_are_old(registry):
    registry.publish("BTC/USDT", toy_files(), toy_card())
    staging = Path(registry.where) / "tmp"
    (staging / "abandoned").mkdir()
    (staging / "abandoned" / "model.json").write_text("half")
    (staging / "entry.json").write_text("half")
    assert registry.clean() == 0
    os.utime(staging / "abandoned", (0, 0))
    os.utime(staging / "entry.json", (0, 0))
    assert registry.clean() == 2
    assert list(staging.iterdir()) == []


def test_smoke_stores_lists_fetches_and_leaves_nothing(registry):
    result = registry.smoke("BTC/USDT")
    assert result.key.startswith("tmp/BTC-USDT-")
    assert result.key.endswith("/__smoke__.bin")
    assert result.size_bytes == 1024
    assert list((Path(registry.where) / "tmp").iterdir()) == []
    assert registry.symbols() == []


def test_ranking_lists_best_first_and_shows_damaged_versions_with_their_problem(registry):
    def publish(**metrics):
        return registry.publish("BTC/USDT", toy_files(), toy_card(metrics=metrics))

    poor, best, unknown = publish(sharpe=0.1), publish(sharpe=2.0), publish(accuracy=0.5)
    retired, damaged = publish(sharpe=3.0), publish(sharpe=9.0)
    registry.promote("BTC/USDT", best, PASSED)
    registry.retire("BTC/USDT", retired)
    (folder_of(registry, damaged) / "model.json").write_bytes(b"junk")
    ranking = registry.rank("BTC/USDT")
    assert [line.version for line in ranking] == [best, poor, unknown, retired, damaged]
    assert [str(line.stage) for line in ranking] == [
        "champion",
        "candidate",
        "candidate",
        "retired",
        "damaged",
    ]
    assert "model.json must have" in ranking[-1].problem
    assert json.loads(json.dumps(ranking[0].to_dict()))["metrics"] == {"sharpe": 2.0}
    assert registry.rank("BTC/USDT", by="accuracy")[0].version == unknown
    assert registry.symbols() == ["BTC/USDT"]


def test_show_tells_card_stage_manifest_and_the_log_entries_of_a_version(registry):
    version = registry.publish("BTC/USDT", toy_files(), toy_card())
    registry.promote("BTC/USDT", version, PASSED, run_id="run-1")
    details = registry.show("BTC/USDT")
    assert details.version == version
    assert str(details.stage) == "champion"
    assert content_hash(details.manifest) == version[-8:]
    assert [entry.run_id for entry in details.history] == ["run-1"]
    json.dumps(details.to_dict())


def test_open_registry_takes_paths_and_file_addresses_and_refuses_others_without_their_secrets(
    tmp_path,
):
    assert open_registry(tmp_path).where == str(tmp_path)
    assert open_registry(str(tmp_path)).where == str(tmp_path)
    assert open_registry((tmp_path / "a b").as_uri()).where == str(tmp_path / "a b")
    with pytest.raises(
        ConfigError, match="a Supabase bucket is named in the configuration"
    ) as caught:
        open_registry("supabase://user:service-key@host/models")
    assert "service-key" not in str(caught.value)
    with pytest.raises(ConfigError, match="must be on this machine"):
        open_registry("file://server/models")


def test_a_symbol_that_would_leave_or_shadow_the_folder_is_refused(registry):
    for symbol in ("../x", "a/../b", "tmp", "TMP", ""):
        with pytest.raises(ConfigError, match="symbol must"):
            registry.versions(symbol)
