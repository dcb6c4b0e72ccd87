"""One turn of the loop on a market without an edge: nothing is promoted, everything is said."""

from __future__ import annotations

import csv
import io
import json
import re
from contextlib import redirect_stderr, redirect_stdout
from html.parser import HTMLParser

import pytest

from backtest.tiny import TINY, command
from crypto_bot.core.errors import ConfigError
from crypto_bot.journal import Journal, RunStatus, TrialKind
from crypto_bot.registry import open_registry

FILES = {
    "report.html", "summary.json", "SIMULATED.txt", "sweep.parquet", "predictions.csv",
    "predictions.png", "confusion_matrix.png", "feature_importance.png", "ml_strategy_backtest.png",
    "shap.png", "permutation_importance.png", "partial_dependence.png", "reliability.png",
}  # fmt: skip
"""S0's pictures and CSV, the page, the numbers, the mark; Bot v3.1's three carry a strategy's name."""


class Turn:
    """What a turn by the command left behind."""

    def __init__(self, folder, code, out, error):
        self.folder, self.code, self.out, self.error = folder, code, out, error
        (self.report,) = (folder / "out/runs").iterdir()
        self.run_id = self.report.name
        self.summary = strict_json((self.report / "summary.json").read_text())


def strict_json(text):
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.fixture(scope="module")
def turn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("turn")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        out, error = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(error):
            values = {**TINY, "reporting": {"charts": True}}
            code = command(folder, "integrated", "--once", values=values)
        return Turn(folder, code, out.getvalue(), error.getvalue())


@pytest.fixture
def journal(turn):
    with Journal(turn.folder / "journal.sqlite") as opened:
        yield opened


def test_no_edge_is_no_promotion_and_no_failure(turn):
    assert turn.code == 0
    assert turn.summary["promoted"] is False
    assert [model["promoted"] for model in turn.summary["models"]] == [False, False]
    assert all("not promoted" in model["reason"] for model in turn.summary["models"])
    assert "promoted  no" in turn.out
    registry = open_registry(turn.folder / "registry-simulated")
    assert registry.symbols()
    assert all(registry.champion(symbol) is None for symbol in registry.symbols())


def test_the_best_strategy_trades_instead_and_it_is_said(turn):
    paper = turn.summary["paper"]
    assert paper["is_model"] is False
    assert "no model was promoted" in paper["why"]
    assert paper["trader"].split()[0] in TINY["strategies_to_test"]


def test_paper_equals_backtest_trade_for_trade(turn):
    paper = turn.summary["paper"]
    assert paper["trades"] > 0
    assert paper["fills"] > 0
    assert paper["unexplained_differences"] == 0
    assert paper["equals_backtest"] is True


def test_the_report_folder_holds_what_both_guides_name(turn):
    found = {path.name for path in turn.report.iterdir()}
    name = turn.summary["paper"]["trader"].split()[0]
    three = {f"{name}_bt_{kind}.csv" for kind in ("trades", "orders", "positions")}
    promises = {f"promise-{model['version']}.npy" for model in turn.summary["models"]}
    assert found == FILES | three | promises
    assert all((turn.report / one).stat().st_size > 0 for one in found)
    for picture in turn.report.glob("*.png"):
        assert picture.read_bytes().startswith(b"\x89PNG")
    with (turn.report / "predictions.csv").open() as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["date", "close", "prediction"]
    assert len(rows) > 10


def test_the_summary_says_what_the_run_did(turn):
    summary = turn.summary
    assert summary["run_id"] == turn.run_id
    assert summary["report"] == f"out/runs/{turn.run_id}/report.html"
    assert summary["symbols"] == sorted(summary["symbols"], key=summary["symbols"].index)
    assert len(summary["symbols"]) == 3
    assert summary["sweep"]["backtests"] == 3 * 2 * 2 * 2  # pairs, strategies, parameters, exits
    assert summary["data_hash"]
    assert list(summary["explanations"]) == [model["name"] for model in summary["models"]]
    for found in summary["explanations"].values():
        assert found["permutation_importance"]
        assert found["drift"]
    assert set(summary["seconds"]) == {"candles", "sweep", "models", "paper", "total"}


class Headings(HTMLParser):
    """The texts of the title and of every section's heading."""

    def __init__(self):
        super().__init__()
        self.inside, self.texts = False, []

    def handle_starttag(self, tag, attributes):
        if tag in ("title", "h2"):
            self.inside = True
            self.texts.append("")

    def handle_endtag(self, tag):
        if tag in ("title", "h2"):
            self.inside = False

    def handle_data(self, data):
        if self.inside:
            self.texts[-1] += data


def test_everything_is_marked_simulated(turn):
    assert turn.summary["is_simulated"] is True
    assert turn.summary["candles"].startswith("SIMULATED ")
    assert "SIMULATED" in (turn.report / "SIMULATED.txt").read_text()
    html = (turn.report / "report.html").read_text()
    assert html.index("<strong>SIMULATED</strong>") < html.index("<h1>")
    page = Headings()
    page.feed(html)
    assert len(page.texts) > 5
    assert [text for text in page.texts if "SIMULATED" not in text] == []
    after = turn.out[turn.out.index("-" * 40) :].splitlines()
    unmarked = [line for line in after if line.strip("-") and not line.startswith("SIMULATED ")]
    assert [line.split()[0] for line in unmarked] == ["time", "report"]
    assert turn.error.count("SIMULATED market") == 1
    cards = list((turn.folder / "registry-simulated").rglob("card.json"))
    assert cards
    assert all(json.loads(card.read_text())["is_simulated"] for card in cards)


def test_the_journal_holds_the_whole_run_under_one_id(turn, journal):
    (run,) = journal.runs()
    assert (run.id, run.kind, run.status) == (turn.run_id, "integrated", RunStatus.DONE)
    assert run.is_simulated
    assert run.data_fingerprint == turn.summary["data_hash"]
    assert run.summary["paper"] == turn.summary["paper"]
    names = [step.name for step in journal.steps(run.id)]
    parts = ("dataset", "train", "validate", "gate", "publish")
    assert [name for name in names if name.split()[0] not in parts] == [
        "candles",
        "sweep",
        "models",
        "paper",
    ]
    for trainer in ("lightgbm", "random_forest"):
        own = [name.split()[0] for name in names if name.split()[1:2] == [trainer]]
        assert own == list(parts)
    assert all(step.status is RunStatus.DONE for step in journal.steps(run.id))
    sweep = turn.summary["sweep"]["backtests"]
    assert journal.trials_count(run_id=run.id, kind=TrialKind.BACKTEST) == sweep
    assert journal.trials_count(run_id=run.id, kind=TrialKind.MODEL) == 2
    assert journal.trials_count() == sweep + 2
    paper = turn.summary["paper"]
    assert len(journal.decisions(run.id)) == paper["decisions"] > 0
    assert len(journal.orders(run.id)) == paper["orders"] > 0
    assert len(journal.fills(run.id)) == paper["fills"] > 0
    (feedback,) = journal.feedback()
    assert feedback.agrees
    events = [(event.run_id, event.event) for event in journal.model_events()]
    assert events == [(run.id, "publishing"), (run.id, "published")] * 2


def test_result_files_are_those_of_the_guide(turn):
    names = sorted(
        path.name for path in (turn.folder / "crypto_bot/logs/backtest_results-simulated").iterdir()
    )
    kinds = [re.sub(r"_\d{8}_\d{6}", "", name) for name in names]
    assert kinds == ["rankings.json", "rsi.csv", "sma_cross.csv"]


def test_the_log_has_the_guide_s_name_and_no_partial_file_is_left(turn):
    assert turn.run_id in (turn.folder / "integrated_backtest.log").read_text()
    assert list(turn.folder.rglob("*.partial")) == []


def test_a_second_turn_uses_the_same_market_and_asks_for_promotion_in_vain(
    turn, monkeypatch, capsys
):
    monkeypatch.chdir(turn.folder)
    code = command(turn.folder, "--json", "integrated", "--require-promotion", "--once")
    assert code == 3
    summary = strict_json(capsys.readouterr().out)
    assert summary["promoted"] is False
    assert summary["run_id"] != turn.run_id
    again = strict_json((turn.folder / summary["report"]).with_name("summary.json").read_text())
    assert again["data_hash"] == turn.summary["data_hash"]
    assert again["sweep"]["best_sharpe"] == turn.summary["sweep"]["best_sharpe"]
    assert again["paper"]["total_return"] == turn.summary["paper"]["total_return"]


def test_other_simulation_settings_are_another_market(turn, monkeypatch, capsys):
    monkeypatch.chdir(turn.folder)
    values = {**TINY, "simulation": {"seed": 7}, "learning_enabled": False}
    assert command(turn.folder, "--json", "integrated", "--once", values=values) == 0
    summary = strict_json(capsys.readouterr().out)
    assert summary["sweep"]["best_sharpe"] != turn.summary["sweep"]["best_sharpe"]
    assert summary["models"] == []
    assert "no model was trained" in summary["paper"]["why"]


def test_a_failed_turn_is_written_down_as_failed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("crypto_bot.backtest.turn.run_sweep", broken)
    assert command(tmp_path, "integrated", "--once") == 2
    assert "error: sweep must work, did not" in capsys.readouterr().err
    with Journal(tmp_path / "journal.sqlite") as journal:
        (run,) = journal.runs()
        assert run.status is RunStatus.FAILED
        assert "sweep must work" in run.summary["error"]
        assert [(s.name, s.status) for s in journal.steps(run.id)][-1] == ("sweep", "failed")
    assert "ALERT" in (tmp_path / "integrated_backtest.log").read_text()


def broken(*arguments, **options):
    raise ConfigError("sweep must work, did not")
