"""The registry's commands: what a person sees, decides, and finds written down afterwards."""

from __future__ import annotations

import json
import os
import stat

import pytest

from crypto_bot.cli.cointrainer import main
from crypto_bot.core import Fill, Order, OrderType, Side
from crypto_bot.journal import Journal
from small_runs import small_environment
from toy_model import PASSED, load_toy, toy_card, toy_files, toy_registry

SYMBOL = "BTC/USDT"


@pytest.fixture
def registry(tmp_path, monkeypatch):
    """Three versions: one the gate passed, then one it did not, then another it passed."""
    for name, text in small_environment().items():
        if name.startswith("CRYPTO_BOT__"):
            monkeypatch.setenv(name, text)
    for name in ("CRYPTO_BOT_SIGNING_KEY", "CRYPTO_BOT_SIGNING_KEY_FILE", "CT_SYMBOL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("crypto_bot.registry.registry._load_predictor", load_toy)
    found = toy_registry(tmp_path / "registry")
    refused = {"promoted": False, "reason": "sharpe must be at least 0.2, was -1"}
    for up, gate, sharpe in ((0.6, PASSED, 1.0), (0.7, refused, -1.0), (0.8, PASSED, 2.0)):
        metrics = {"sharpe": sharpe, "trades": 40.0}
        found.publish(SYMBOL, toy_files(up), toy_card(gate=gate, metrics=metrics))
    return found


def run(*words):
    return main([*words, "--symbol", SYMBOL])


def answer(capsys):
    return json.loads(capsys.readouterr().out)


def order_of(client_id, symbol):
    return Order(
        client_id=client_id,
        symbol=symbol,
        side=Side.BUY,
        type=OrderType.MARKET,
        quantity=1.0,
        price=None,
        created_at_ns=5,
        reason="entry",
    )


def events():
    with Journal("sqlite:///journal.sqlite") as journal:
        return [(one.event, one.version, dict(one.detail)) for one in journal.model_events()]


@pytest.fixture(autouse=True)
def _own_journal(monkeypatch):
    monkeypatch.setenv("CRYPTO_BOT__JOURNAL__URL", "sqlite:///journal.sqlite")


def test_a_version_the_gate_passed_is_promoted_on_its_own_evidence(registry, capsys):
    good, _, _ = registry.versions(SYMBOL)
    assert run("promote", good, "--reason", "first one", "--json") == 0
    assert answer(capsys)["champion"] == good == registry.champion(SYMBOL)
    (entry,) = registry.history(SYMBOL)
    assert entry.evidence["reason"] == PASSED["reason"]
    assert entry.evidence["by_hand"]["reason"] == "first one"
    names = [name for name, _, _ in events()]
    assert names == ["promote asked for", "promoted"]


def test_what_the_gate_refused_is_not_promoted_by_hand(registry, capsys):
    _, bad, _ = registry.versions(SYMBOL)
    assert run("promote", bad) == 3
    assert "must have passed the gate" in capsys.readouterr().err
    assert registry.champion(SYMBOL) is None
    with Journal("sqlite:///journal.sqlite") as journal:
        assert journal.last_run("registry").status == "failed"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--force", "--yes"], "--reason must be given"),
        (["--force", "--yes", "--reason", "  "], "--reason must be given"),
        (["--force", "--reason", "I want it"], "give --yes"),
    ],
)
def test_a_forced_promotion_needs_a_reason_and_a_yes(registry, capsys, more, message):
    _, bad, _ = registry.versions(SYMBOL)
    assert run("promote", bad, *more) == 2
    assert message in capsys.readouterr().err
    assert registry.champion(SYMBOL) is None
    assert registry.history(SYMBOL) == []


def test_a_forced_promotion_is_written_down_as_a_persons_decision(registry, capsys):
    _, bad, _ = registry.versions(SYMBOL)
    assert run("promote", bad, "--force", "--yes", "--reason", "shadowed a month") == 0
    (entry,) = registry.history(SYMBOL)
    assert entry.evidence["forced"] is True
    assert "shadowed a month" in entry.evidence["reason"]
    assert entry.evidence["gate"]["promoted"] is False
    asked, done = events()
    assert (asked[0], done[0]) == ("promote asked for", "promoted")
    assert done[2]["decision"] == "a person's"
    assert done[2]["forced"] is True
    assert done[2]["reason"] == "shadowed a month"


@pytest.mark.parametrize(("said", "serves"), [("y\n", True), ("n\n", False), ("", False)])
def test_at_a_terminal_the_question_is_asked(registry, monkeypatch, capsys, said, serves):
    import io

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    _, bad, _ = registry.versions(SYMBOL)
    monkeypatch.setattr("sys.stdin", Terminal(said))
    assert run("promote", bad, "--force", "--reason", "because") == (0 if serves else 2)
    assert "the gate said of" in capsys.readouterr().err
    assert (registry.champion(SYMBOL) == bad) is serves


def test_rolling_back_retiring_and_shadowing_leave_their_entries(registry, capsys):
    first, _, last = registry.versions(SYMBOL)
    for version in (first, last):
        assert run("promote", version) == 0
    assert run("rollback", "--reason", "worse") == 0
    assert registry.champion(SYMBOL) == first
    assert run("shadow", last) == 0
    assert run("retire", last, "--reason", "never again") == 0
    assert [entry.action for entry in registry.history(SYMBOL)] == [
        "promote",
        "promote",
        "rollback",
        "shadow",
        "retire",
    ]
    assert registry.history(SYMBOL)[2].evidence["reason"] == "worse"
    capsys.readouterr()
    assert run("promote", last) == 1
    assert "retired" in capsys.readouterr().err


def test_a_version_is_shown_in_full(registry, capsys):
    first, _, _ = registry.versions(SYMBOL)
    assert run("promote", first) == 0
    capsys.readouterr()
    assert run("show") == 0
    shown = capsys.readouterr().out
    for part in (first, "champion", "rsi_14, sma_ratio", "all checks hold", "model.json", "nobody"):
        assert part in shown
    assert run("show", first, "--json") == 0
    found = answer(capsys)
    assert found["card"]["data_fingerprint"] == "f" * 64
    assert [entry["action"] for entry in found["history"]] == ["promote"]


def test_the_chain_reaches_from_the_candles_to_the_orders(registry, capsys):
    with Journal("sqlite:///journal.sqlite") as journal:
        run_id = journal.start_run("csv-train", {"data_fingerprint": "c" * 64})
        version = registry.publish(SYMBOL, toy_files(0.65), toy_card(gate=PASSED, run_id=run_id))
        journal.model_event(run_id, SYMBOL, version, "published")
        session = journal.start_run("paper")
        journal.model_event(session, SYMBOL, version, "traded", {"timeframe": "5m"})
        order = order_of("one", SYMBOL)
        other = order_of("two", "ETH/USDT")
        journal.record_orders(session, [order, other])
        journal.record_fills(session, [Fill("one", SYMBOL, Side.BUY, 1.0, 100.0, 0.1, 6, "entry")])
    assert run("show", version, "--lineage", "--json") == 0
    chain = answer(capsys)["lineage"]
    assert list(chain) == [
        "data",
        "features",
        "labels",
        "training",
        "validation",
        "gate",
        "version",
        "service",
        "traded",
    ]
    assert chain["data"]["fingerprint"] == "f" * 64
    assert chain["training"]["candles"] == "c" * 64
    assert chain["training"]["kind"] == "csv-train"
    assert chain["version"]["events"][0]["event"] == "published"
    (row,) = chain["traded"]
    assert (row["run_id"], row["orders"], row["fills"]) == (session, ["one"], 1)
    assert run("show", version, "--lineage") == 0
    assert "1 orders, 1 fills" in capsys.readouterr().out


def test_a_journal_that_never_saw_the_run_says_so(registry, capsys):
    first, _, _ = registry.versions(SYMBOL)
    assert run("show", first, "--lineage") == 0
    shown = capsys.readouterr().out
    assert "not in this journal" in shown
    assert "in no session that this journal knows" in shown


def test_the_pointer_is_shown_beside_the_log_and_a_difference_is_said(registry, capsys, tmp_path):
    assert run("registry-pointer") == 0
    assert "they agree" in capsys.readouterr().out
    first, _, last = registry.versions(SYMBOL)
    assert run("promote", first) == 0
    capsys.readouterr()
    assert run("registry-pointer", "--json") == 0
    found = answer(capsys)
    assert (found["champion"], found["agrees"]) == (first, True)
    path = tmp_path / "registry" / "BTC-USDT" / "LATEST.json"
    path.write_text(path.read_text().replace(first, last))
    assert run("registry-pointer") == 1
    assert "they differ" in capsys.readouterr().out
    path.write_text("{")
    assert run("registry-pointer") == 1
    assert "must be JSON" in capsys.readouterr().err


def test_two_versions_are_compared(registry, capsys):
    first, second, _ = registry.versions(SYMBOL)
    assert run("diff", first, second) == 0
    shown = capsys.readouterr().out
    assert "sharpe: 1.0 -> -1.0" in shown
    assert "model.json: changed" in shown
    assert run("diff", first, second, "--json") == 0
    assert answer(capsys)["versions"] == [first, second]


def test_pruning_keeps_the_newest_and_what_serves(registry, capsys):
    first, second, last = registry.versions(SYMBOL)
    assert run("promote", first) == 0
    capsys.readouterr()
    assert run("prune", "--keep", "1", "--json") == 0
    found = answer(capsys)
    assert found["removed"] == [second]
    assert registry.versions(SYMBOL) == [first, last] == found["left"]
    assert run("prune", "--keep", "1") == 0
    assert "0 removed, 2 left of BTC/USDT" in (said := capsys.readouterr().out)
    assert "what serves, served or is the shadow stays" in said
    assert run("prune", "--keep", "0") == 2
    assert "--keep must be at least 1" in capsys.readouterr().err
    assert run("prune") == 2
    assert "--keep must be given, for registry.versions_kept is 0" in capsys.readouterr().err


def test_versions_of_a_simulated_market_are_listed_beside_a_registry_of_other_symbols(
    registry, tmp_path, capsys
):
    simulated = toy_registry(tmp_path / "registry-simulated")
    version = simulated.publish(
        "ETH/USDT", toy_files(0.6), toy_card(symbol="ETH/USDT", gate=PASSED)
    )
    assert main(["registry-list", "--symbol", "ETH/USDT", "--json"]) == 0
    assert [each["version"] for each in answer(capsys)["versions"]] == [version]
    assert main(["registry-list", "--symbol", "XRP/USDT"]) == 0
    assert "holds no version of XRP/USDT; it holds BTC/USDT" in capsys.readouterr().out


def test_an_unknown_version_is_named_with_the_nearest(registry, capsys):
    first, _, _ = registry.versions(SYMBOL)
    for command in ("show", "promote", "retire", "shadow"):
        assert run(command, first[:-1] + ("0" if first[-1] != "0" else "1")) == 1
        assert "must be a version of BTC-USDT" in capsys.readouterr().err
    assert run("rollback") == 1
    assert "must have an earlier champion" in capsys.readouterr().err


def test_a_new_key_is_written_for_its_owner_alone_and_never_over_a_file(
    registry, capsys, tmp_path, monkeypatch
):
    assert main(["keys", "new", "--file", "signing.key"]) == 0
    shown = capsys.readouterr().out
    path = tmp_path / "signing.key"
    private = path.read_text().strip()
    assert private not in shown
    if os.name != "nt":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "trusted_keys:" in shown
    assert main(["keys", "new", "--file", "signing.key"]) == 2
    assert "never overwritten" in capsys.readouterr().err
    assert path.read_text().strip() == private
    assert [each.name for each in tmp_path.iterdir() if each.name.endswith(".partial")] == []
    assert main(["keys", "show", "--file", "signing.key", "--json"]) == 0
    public = answer(capsys)["public"]
    assert public in shown
    monkeypatch.setenv("CRYPTO_BOT_SIGNING_KEY_FILE", str(path))
    monkeypatch.setenv("CRYPTO_BOT__REGISTRY__TRUSTED_KEYS", json.dumps([public]))
    assert main(["keys", "show"]) == 0
    assert "trusted" in capsys.readouterr().out
    first, _, _ = registry.versions(SYMBOL)
    assert run("promote", first) == 1
    assert "must be signed by a trusted key" in capsys.readouterr().err


def test_a_key_without_a_file_is_printed_once(registry, capsys):
    assert main(["keys", "new", "--json"]) == 0
    first = answer(capsys)
    assert main(["keys", "new"]) == 0
    shown = capsys.readouterr().out
    assert "CRYPTO_BOT_SIGNING_KEY=" in shown
    assert first["private"] not in shown


def test_the_original_trainers_pointer_is_shown_and_its_pickle_is_not_opened(
    registry, capsys, tmp_path
):
    import hashlib

    place = tmp_path / "registry/models/regime/BTC-USDT"
    place.mkdir(parents=True)
    pickle = b"\x80\x04cposix\nsystem\n(S'touch broken'\ntR."
    (place / "20250101-000000_regime_lgbm.pkl").write_bytes(pickle)
    pointer = {
        "key": "models/regime/BTC-USDT/20250101-000000_regime_lgbm.pkl",
        "schema_version": "1",
        "feature_list": ["ema_8", "ema_21"],
        "label_order": [-1, 0, 1],
        "horizon": "15m",
        "thresholds": {"hold": 0.0015},
        "symbol": "BTC-USDT",
        "hash": f"sha256:{hashlib.sha256(pickle).hexdigest()}",
    }
    (place / "LATEST.json").write_text(json.dumps(pointer))
    assert run("registry-pointer", "--json") == 0
    original = answer(capsys)["original"]
    assert original["key"] == pointer["key"]
    assert "pickle" in original["problem"]
    assert run("registry-pointer") == 0
    assert "of the original trainer" in capsys.readouterr().out
    assert not (tmp_path / "broken").exists()


def test_the_doctor_is_that_of_the_workbench(registry, capsys):
    assert main(["doctor", "--offline", "--json"]) in (0, 1)
    assert {check["name"] for check in answer(capsys)["checks"]} >= {"configuration"}
