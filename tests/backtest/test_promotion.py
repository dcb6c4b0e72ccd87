"""The promoted path from end to end: a planted edge passes the default gate, serves, and is beaten by nothing equal."""

from __future__ import annotations

import json
import shutil
from datetime import datetime

import pytest

from backtest.tiny import EDGE, killed, posix, turn_in
from crypto_bot.config import load_settings
from crypto_bot.core.errors import NotPromoted
from crypto_bot.gate import GateOptions
from crypto_bot.journal import Journal
from crypto_bot.registry import open_registry


@pytest.fixture(scope="module")
def promoted(tmp_path_factory):
    """A turn on a market with a planted edge, under the default gate."""
    folder = tmp_path_factory.mktemp("promoted")
    summary, lines = turn_in(folder, EDGE)
    return folder, summary, lines


def registry_in(folder):
    return open_registry(folder / "registry-simulated")


def test_the_gate_s_thresholds_are_the_defaults():
    assert "gate" not in EDGE
    gate = load_settings(EDGE, environ={}).gate
    assert gate.of(GateOptions) == GateOptions()


def test_a_planted_edge_is_promoted_and_serves(promoted):
    folder, summary, lines = promoted
    assert summary["promoted"] is True
    (model,) = summary["models"]
    assert model["promoted"] is True
    assert registry_in(folder).champion("GLOBAL") == model["version"]
    assert any("promoted" in line and "all 8 checks" in line for line in lines)


def test_the_promoted_model_trades_the_hold_out_and_paper_equals_backtest(promoted):
    _, summary, _ = promoted
    paper = summary["paper"]
    assert paper["is_model"] is True
    assert paper["trader"] == summary["models"][0]["name"]
    assert paper["trades"] >= 30
    assert paper["unexplained_differences"] == 0
    assert paper["equals_backtest"] is True
    assert paper["total_return"] > 0.02, "the edge was planted in the hold-out too"


def test_its_card_holds_the_evidence_of_the_gate(promoted):
    folder, summary, _ = promoted
    registry = registry_in(folder)
    _, card = registry.load("GLOBAL")
    assert card.run_id == summary["run_id"]
    assert card.is_simulated
    assert card.gate["promoted"] is True
    checks = {check["name"]: check for check in card.gate["checks"]}
    assert len(checks) == 8
    assert all(check["holds"] for check in checks.values())
    assert checks["deflated_sharpe"]["value"] >= 0.95
    assert checks["random_entry_p"]["value"] <= 0.05
    assert checks["beats_majority_class"]["value"] > checks["beats_majority_class"]["threshold"]
    assert card.gate["evidence"]["trials"] == 1
    assert card.gate["evidence"]["end_ns"] <= end_of_development(summary)
    (entry,) = registry.history("GLOBAL")
    assert (entry.action, entry.run_id) == ("promote", summary["run_id"])
    assert entry.evidence["promoted"] is True


def end_of_development(summary):
    hold_out = datetime.fromisoformat(summary["hold_out_start"])
    return int(hold_out.timestamp()) * 10**9


def test_the_journal_tells_the_promotion(promoted):
    folder, summary, _ = promoted
    with Journal(folder / "journal.sqlite") as journal:
        told = [(e.event, e.version) for e in journal.model_events(run_id=summary["run_id"])]
        (run,) = journal.runs()
        assert run.summary["promoted"] is True
    version = summary["models"][0]["version"]
    assert told[:4] == [
        ("publishing", ""),
        ("published", version),
        ("promoting", version),
        ("promoted", version),
    ]
    assert set(told[4:]) == {("traded", version)}


def test_the_same_again_is_not_better_than_the_champion(promoted, tmp_path):
    folder, first, _ = promoted
    shutil.copytree(folder, tmp_path / "again")
    second, _ = turn_in(tmp_path / "again", EDGE)
    registry = registry_in(tmp_path / "again")
    assert second["promoted"] is False
    (gate,) = gates_of(tmp_path / "again", second)
    failed = [check["name"] for check in gate["checks"] if not check["holds"]]
    assert failed == ["beats_champion"]
    assert registry.champion("GLOBAL") == first["models"][0]["version"]
    assert len(registry.versions("GLOBAL")) == 2
    assert len(registry.history("GLOBAL")) == 1
    with pytest.raises(NotPromoted):
        registry.promote("GLOBAL", second["models"][0]["version"], gate)


def gates_of(folder, summary):
    path = folder / "out/runs" / summary["run_id"] / "summary.json"
    return json.loads(path.read_text())["gates"]


def test_publish_models_off_stores_and_promotes_nothing(tmp_path):
    values = {**EDGE, "ml_integration": {"training": {"publish_models": False}}}
    summary, _ = turn_in(tmp_path, values)
    assert summary["models"][0]["promoted"] is True, "the verdict stands"
    assert summary["models"][0]["version"] is None
    assert summary["promoted"] is False
    assert summary["paper"]["is_model"] is False
    assert registry_in(tmp_path).symbols() == []
    assert not (tmp_path / "registry").exists()


@posix
def test_killed_right_after_the_promotion_the_model_still_serves_its_own_run(promoted, tmp_path):
    """The run must not find its own champion and call its model beaten by it."""
    killed("promote", tmp_path)
    version = registry_in(tmp_path).champion("GLOBAL")
    assert version is not None
    summary, lines = turn_in(tmp_path, EDGE)
    assert "taking up" in lines[0]
    assert summary["promoted"] is True
    assert summary["models"][0]["version"] == version
    assert len(registry_in(tmp_path).versions("GLOBAL")) == 1
    assert len(registry_in(tmp_path).history("GLOBAL")) == 1
    assert summary["paper"] == promoted[1]["paper"]


def test_a_turn_without_training_lets_the_champion_of_an_earlier_turn_trade(promoted, tmp_path):
    folder, first, _ = promoted
    shutil.copytree(folder, tmp_path / "later")
    later, lines = turn_in(tmp_path / "later", EDGE, train=False)
    assert "no training is due" in lines
    assert later["models"] == []
    assert later["promoted"] is False
    assert later["paper"]["is_model"] is True
    assert first["models"][0]["version"] in later["paper"]["trader"]
    assert later["paper"]["total_return"] == first["paper"]["total_return"]
    assert later["paper"]["equals_backtest"] is True


def test_a_champion_that_has_seen_the_hold_out_does_not_trade_it(promoted, tmp_path):
    folder, _, _ = promoted
    shutil.copytree(folder, tmp_path / "wider")
    wider = {**EDGE, "validation": {**EDGE.get("validation", {}), "holdout_frac": 0.5}}
    later, _ = turn_in(tmp_path / "wider", wider, train=False)
    assert later["paper"]["is_model"] is False
