"""The champion log: append-only, contiguous under racing writers, one call to go back."""

from __future__ import annotations

import itertools
import json
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_bot.core.errors import ModelError, NotPromoted, StorageError
from crypto_bot.registry.champion_log import replay
from crypto_bot.registry.records import ChampionEntry
from toy_model import PASSED, toy_card, toy_files, toy_registry


@pytest.fixture
def registry(tmp_path):
    return toy_registry(tmp_path / "models")


@pytest.fixture
def three(registry):
    return [
        registry.publish("BTC/USDT", toy_files(up), toy_card(symbol="BTC/USDT"))
        for up in (0.5, 0.6, 0.7)
    ]


def test_nothing_is_in_service_before_the_first_promotion(registry, three):
    assert registry.champion("BTC/USDT") is None
    with pytest.raises(ModelError, match="must have a champion, had none; promote"):
        registry.load("BTC/USDT")


def test_promotion_without_a_passed_gate_is_refused_and_not_logged(registry, three):
    for evidence in ({}, {"promoted": False, "reason": "sharpe 0.1 < 0.2"}, {"promoted": "yes"}):
        with pytest.raises(NotPromoted, match="must have passed the gate"):
            registry.promote("BTC/USDT", three[0], evidence)
    assert registry.history("BTC/USDT") == []


def test_a_promotion_is_logged_with_its_evidence_and_loads_by_default(registry, three):
    entry = registry.promote("BTC/USDT", three[1], {**PASSED, "sharpe": 1.2}, run_id="run-1")
    assert (entry.number, entry.action, entry.version) == (1, "promote", three[1])
    assert entry.previous is None
    assert registry.champion("BTC/USDT") == three[1]
    predictor, _ = registry.load("BTC/USDT")
    assert predictor.probabilities == [0.4, 0.6]
    written = json.loads((Path(registry.where) / "BTC-USDT/champion/000001.json").read_text())
    assert written["evidence"]["sharpe"] == 1.2
    assert written["run_id"] == "run-1"


def test_rollback_goes_back_one_champion_at_a_time_and_says_when_there_is_none(registry, three):
    for version in three:
        registry.promote("BTC/USDT", version, PASSED)
    assert registry.rollback("BTC/USDT").champion == three[1]
    assert registry.rollback("BTC/USDT", reason="worse live").champion == three[0]
    with pytest.raises(ModelError, match="earlier champion to roll back to, had none"):
        registry.rollback("BTC/USDT")
    registry.promote("BTC/USDT", three[2], PASSED)
    assert registry.rollback("BTC/USDT").champion == three[0]
    assert [entry.number for entry in registry.history("BTC/USDT")] == [1, 2, 3, 4, 5, 6, 7]


def test_a_rollback_of_one_version_leaves_another_that_was_promoted_meanwhile(registry, three):
    first, second, third = three
    for version in three:
        registry.promote("BTC/USDT", version, PASSED)
    with pytest.raises(ModelError, match=f"{second} must serve to be rolled back, {third} does"):
        registry.rollback("BTC/USDT", of=second)
    assert registry.champion("BTC/USDT") == third
    assert registry.rollback("BTC/USDT", of=third).champion == second
    assert first in registry.versions("BTC/USDT")


def test_promoting_the_champion_again_does_not_make_rollback_useless(registry, three):
    for version in (three[0], three[1], three[1]):
        registry.promote("BTC/USDT", version, PASSED)
    assert registry.rollback("BTC/USDT").champion == three[0]


def test_a_retired_version_never_serves_again(registry, three):
    for version in three:
        registry.promote("BTC/USDT", version, PASSED)
    registry.retire("BTC/USDT", three[1])
    assert registry.champion("BTC/USDT") == three[2]
    registry.retire("BTC/USDT", three[2])
    assert registry.champion("BTC/USDT") is None
    assert registry.rollback("BTC/USDT").champion == three[0]
    with pytest.raises(ModelError, match="must not be retired"):
        registry.promote("BTC/USDT", three[1], PASSED)


def test_a_damaged_version_can_neither_be_promoted_nor_rolled_back_to(registry, three):
    registry.promote("BTC/USDT", three[0], PASSED)
    registry.promote("BTC/USDT", three[1], PASSED)
    (Path(registry.where) / "BTC-USDT/versions" / three[0] / "model.json").write_bytes(b"[1, 0]")
    with pytest.raises(ModelError, match=r"model\.json must have"):
        registry.promote("BTC/USDT", three[0], PASSED)
    with pytest.raises(ModelError, match=r"model\.json must have"):
        registry.rollback("BTC/USDT")
    assert registry.champion("BTC/USDT") == three[1]


def test_evidence_must_be_plain_finite_values(registry, three):
    for value in (float("nan"), object()):
        with pytest.raises(ModelError, match="evidence must hold plain finite JSON"):
            registry.promote("BTC/USDT", three[0], {**PASSED, "x": value})
    assert registry.history("BTC/USDT") == []


def test_latest_json_carries_the_original_trainers_fields_and_follows_the_champion(registry, three):
    path = Path(registry.where) / "BTC-USDT" / "LATEST.json"
    registry.promote("BTC/USDT", three[0], PASSED)
    registry.promote("BTC/USDT", three[1], PASSED)
    latest = json.loads(path.read_text())
    assert latest["key"] == f"BTC-USDT/versions/{three[1]}/model.json"
    assert (Path(registry.where) / latest["key"]).is_file()
    assert latest["schema_version"] == "1"
    assert latest["feature_list"] == ["rsi_14", "sma_ratio"]
    assert latest["label_order"] == [0, 1]
    assert latest["horizon"] == "15m"
    assert latest["thresholds"] == {"hold": 0.0015}
    assert latest["symbol"] == "BTC/USDT"
    assert latest["hash"].startswith("sha256:")
    registry.rollback("BTC/USDT")
    assert three[0] in json.loads(path.read_text())["key"]
    registry.retire("BTC/USDT", three[0])
    assert not path.exists()


def test_a_false_latest_json_changes_nothing(registry, three):
    registry.promote("BTC/USDT", three[0], PASSED)
    (Path(registry.where) / "BTC-USDT" / "LATEST.json").write_text('{"key": "evil"}')
    assert registry.champion("BTC/USDT") == three[0]
    registry.load("BTC/USDT")


def test_a_missing_or_damaged_entry_is_named(registry, three):
    for version in three:
        registry.promote("BTC/USDT", version, PASSED)
    folder = Path(registry.where) / "BTC-USDT" / "champion"
    text = (folder / "000003.json").read_text()
    (folder / "000003.json").write_text(text[:-9])
    with pytest.raises(ModelError, match=r"000003\.json must be JSON"):
        registry.champion("BTC/USDT")
    (folder / "000003.json").write_text(text.replace('"number": 3', '"number": 4'))
    with pytest.raises(ModelError, match=r"000003\.json must hold entry 3, was 4"):
        registry.champion("BTC/USDT")
    (folder / "000003.json").write_text(text)
    (folder / "000002.json").unlink()
    with pytest.raises(ModelError, match=r"000002\.json must exist, was missing"):
        registry.history("BTC/USDT")


def test_a_log_that_cannot_be_written_keeps_the_champion(registry, three):
    registry.promote("BTC/USDT", three[0], PASSED)
    folder = Path(registry.where) / "BTC-USDT" / "champion"
    aside = folder.rename(folder.with_name("aside"))
    folder.write_text("in the way")
    with pytest.raises(StorageError, match="must be writable, was not"):
        registry.promote("BTC/USDT", three[1], PASSED)
    folder.unlink()
    aside.rename(folder)
    assert registry.champion("BTC/USDT") == three[0]


def _promote_many(root: str, versions: list[str]) -> list[int]:
    registry = toy_registry(Path(root))
    return [registry.promote("BTC/USDT", version, PASSED).number for version in versions]


def test_four_processes_racing_to_promote_write_a_contiguous_log_and_lose_nothing(registry, three):
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:
        jobs = [
            pool.submit(_promote_many, str(Path(registry.where)), [*three, *three])
            for _ in range(4)
        ]
        numbers = [number for job in jobs for number in job.result()]
    history = registry.history("BTC/USDT")
    assert sorted(numbers) == [entry.number for entry in history] == list(range(1, 25))
    for earlier, later in itertools.pairwise(history):
        assert later.previous == earlier.champion
    assert registry.champion("BTC/USDT") == history[-1].version
    assert history[-1].version in (Path(registry.where) / "BTC-USDT" / "LATEST.json").read_text()
    assert list((Path(registry.where) / "tmp").iterdir()) == []


@given(st.lists(st.tuples(st.sampled_from(["promote", "rollback", "retire"]), st.integers(0, 3))))
@settings(deadline=None, derandomize=True, max_examples=200)
def test_replayed_champions_are_never_retired_and_rollback_never_returns_the_champion(actions):
    entries: list[ChampionEntry] = []
    for action, index in actions:
        reign, name = replay(entries), str(index)
        if action == "rollback":
            target = reign.before_champion()
            if target is None:
                continue
            assert target not in reign.retired
            assert target != reign.champion or reign.line[-1] == target
            name, champion = target, target
        elif action == "retire":
            champion = None if reign.champion == name else reign.champion
        elif name in reign.retired:
            continue
        else:
            champion = name
        entries.append(
            ChampionEntry(
                number=len(entries) + 1,
                action=action,
                version=name,
                champion=champion,
                previous=reign.champion,
                evidence={},
                at="",
            )
        )
        after = replay(entries)
        assert after.champion == champion
        assert after.champion not in after.retired
