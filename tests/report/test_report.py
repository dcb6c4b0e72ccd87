"""The folder a run leaves behind: what is in it, and that it opens without a network."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from crypto_bot.core.errors import StorageError
from crypto_bot.report import FactTable, GateCheck, GateView, ReportContents, write_report
from crypto_bot.report.page import render_page
from crypto_bot.report.plots import png_files
from report.sample import sample_contents

SECTIONS = (
    "equity",
    "trades",
    "strategies",
    "sensitivity",
    "model",
    "gate",
    "quality",
    "config",
    "files",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "new" / "run"
    assert write_report(sample_contents(), path) == path / "report.html"
    return path


@pytest.fixture(scope="module")
def page(folder):
    return (folder / "report.html").read_text(encoding="utf-8")


def without_plotly(page):
    """The page less plotly's own script, which names many addresses and loads none unasked."""
    from plotly.offline import get_plotlyjs

    assert page.count(get_plotlyjs()) == 1
    return page.replace(get_plotlyjs(), "")


def charts_of(page):
    found = re.search(
        r'<script type="application/json" id="charts">(.*?)</script>', page, re.DOTALL
    )
    return json.loads(found[1])


def test_every_promised_file_is_there(folder):
    names = {path.name for path in folder.iterdir()}
    pictures = {
        "confusion_matrix.png",
        "feature_importance.png",
        "predictions.png",
        "reliability.png",
    }
    assert {"report.html", "summary.json", "predictions.csv", "ml_strategy_backtest.png"} <= names
    assert pictures <= names
    for strategy in ("mean_bot", "rsi"):
        assert {f"{strategy}_bt_{kind}.csv" for kind in ("trades", "positions", "orders")} <= names
    assert not [name for name in names if name.endswith(".partial")]


def test_the_page_loads_nothing_from_anywhere(page):
    own = without_plotly(page)
    assert not re.search(
        r"""(?:src|href|action)\s*=\s*["']?\s*(?:https?:)?//""", own, re.IGNORECASE
    )
    assert not re.search(r"@import|url\(\s*[\"']?(?:https?:)?//|<link|<iframe|fetch\(|XMLHttp", own)
    assert "http://" not in own
    assert "https://" not in own


def test_the_page_is_small_enough_to_send(folder):
    assert (folder / "report.html").stat().st_size < 8_000_000


def test_every_section_and_every_link_inside_the_page_exists(page):
    own = without_plotly(page)
    for section in SECTIONS:
        assert f'<h2 id="{section}"' in own
    ids = re.findall(r'\bid="([^"]+)"', own)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"', own)) <= set(ids)


def test_every_linked_file_exists(page, folder):
    links = re.findall(r'href="([^"#]+)"', without_plotly(page))
    assert len(links) > 8
    assert all((folder / link).is_file() for link in links)


def test_every_chart_has_a_place_and_is_valid_plotly(page):
    from plotly.graph_objects import Figure

    charts = charts_of(page)
    kinds = {trace["type"] for chart in charts for trace in chart["data"]}
    assert {"scatter", "candlestick", "heatmap", "bar"} <= kinds
    for chart in charts:
        assert f'<div id="{chart["id"]}" class="plot"' in page
        Figure(data=chart["data"], layout=chart["layout"])


def test_the_numbers_on_the_page_are_those_handed_over(page):
    contents = sample_contents()
    row = contents.strategies[0]
    assert f"{row.metrics['sharpe']:,.2f}".replace("-", "−") in page
    for check in contents.gates[0].checks:
        assert check.name in page
        assert check.rule in page
    assert page.count("✓ holds") == page.count("✗ fails") == 2
    assert "<b>Nothing promoted.</b><br>2 of 4 checks failed" in page
    assert contents.data_hash in page
    assert "slow 30" in page
    assert f"The last 300 of {len(contents.trades.bars):,} bars" in page
    (candles,) = (
        trace
        for chart in charts_of(page)
        for trace in chart["data"]
        if trace["type"] == "candlestick"
    )
    assert len(candles["close"]) == 300


def test_the_verdict_is_said_once_and_the_numbers_stand_in_the_table():
    checks = (
        GateCheck("sharpe", -1.0, 0.2, "at least 0.2", False),
        GateCheck("trades", 90, 30, "at least 30", True),
    )
    why = "not promoted, 1 of 2 checks failed: sharpe must be at least 0.2, was -1"
    gates = (GateView("forest", False, checks, why), GateView("boosting", True, checks[1:]))
    own = without_plotly(render_page(replace(sample_contents(), why=why, gates=gates), {}))
    assert why not in own
    assert "<br>forest: 1 of 2 checks failed<br>boosting: all 1 checks hold <a href" in own
    assert "<b>Not promoted.</b> 1 of 2 checks failed: sharpe</p>" in own


def test_a_note_of_the_gate_that_says_more_is_kept():
    checks = (GateCheck("sharpe", -1.0, 0.2, "at least 0.2", False),)
    gates = (GateView("forest", False, checks, "measured on 3 days only"),)
    own = without_plotly(render_page(replace(sample_contents(), gates=gates), {}))
    assert '<p class="note">measured on 3 days only</p>' in own


def test_the_span_reads_as_people_write_days():
    span = ("2024-01-31T00:00:00Z", "2024-03-16T05:30:00Z")
    own = without_plotly(render_page(replace(sample_contents(), span=span), {}))
    assert '2024-01-31</span> <span class="to">to</span> <span>2024-03-16 05:30<' in own


def test_a_further_table_without_rows_is_words_not_an_empty_table():
    table = FactTable("What the risk limits did", ("symbol", "bar"), (), "No limit stepped in.")
    own = without_plotly(render_page(replace(sample_contents(), tables=(table,)), {}))
    assert '<p class="absent">No limit stepped in.</p>' in own
    assert "<th>symbol</th><th>bar</th>" not in own


def test_every_section_table_and_plot_of_a_simulated_run_says_so(page, folder):
    own = without_plotly(page)
    badge = '<span class="simulated">SIMULATED</span>'
    for part in re.findall(r"<h2.*?</h2>", own) + re.findall(
        r"<caption>.*?</caption>", own, re.DOTALL
    ):
        assert badge in part
    assert own.count("<table") == own.count("<caption>")
    assert (
        own.count('<figure class="chart marked">')
        == own.count('class="plot"')
        == len(charts_of(page))
    )
    assert '<div class="banner" role="alert"><strong>SIMULATED</strong>' in own
    assert (folder / "SIMULATED.txt").is_file()
    assert json.loads((folder / "summary.json").read_text())["is_simulated"] is True


def test_a_real_run_is_not_marked(tmp_path):
    contents = replace(sample_contents(), is_simulated=False)
    page = without_plotly(write_report(contents, tmp_path).read_text(encoding="utf-8"))
    assert "SIMULATED" not in re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    assert not (tmp_path / "SIMULATED.txt").exists()


def test_the_mark_reaches_the_pictures(folder, tmp_path):
    write_report(replace(sample_contents(), is_simulated=False), tmp_path)
    for picture in folder.glob("*.png"):
        assert picture.read_bytes().startswith(b"\x89PNG")
        assert picture.read_bytes() != (tmp_path / picture.name).read_bytes()


def test_an_empty_run_says_in_words_what_is_missing(tmp_path):
    page = write_report(ReportContents(), tmp_path).read_text(encoding="utf-8")
    assert page.count('class="absent"') >= 8
    assert "No model was judged in this run." in page
    assert "No model was trained in this run." in page
    assert "Plotly" not in page.split("<script>")[0]
    assert len(page) < 40_000
    assert {path.name for path in tmp_path.iterdir()} == {"report.html", "summary.json"}


@pytest.mark.parametrize(
    "part", ["equity", "strategies", "heat_maps", "models", "gates", "quality"]
)
def test_any_part_may_be_absent(part):
    page = render_page(replace(sample_contents(), **{part: ()}), {})
    assert without_plotly(page).count('class="absent"') == 1


def test_pictures_of_absent_parts_are_not_drawn():
    without = replace(sample_contents(), models=(), equity=(), predictions=None)
    assert png_files(without) == {}


def test_words_from_outside_cannot_become_markup(page, tmp_path):
    assert "row 17 &lt;b&gt;" in page
    nasty = "</script><script>alert(1)</script>"
    base = sample_contents()
    contents = replace(
        base,
        title=nasty,
        config={"key": nasty},
        equity=(
            replace(base.equity[0], title=nasty, curves={nasty: base.equity[0].curves["mean_bot"]}),
        ),
        gates=(GateView(nasty, False, ()),),
    )
    text = write_report(contents, tmp_path).read_text(encoding="utf-8")
    assert nasty not in text
    assert nasty in charts_of(text)[0]["data"][0]["name"]


def test_summary_json_has_no_nan(folder):
    def refuse(name):
        raise AssertionError(name)

    summary = json.loads((folder / "summary.json").read_text(), parse_constant=refuse)
    assert summary["promoted"] is False
    assert summary["best_sharpe"] is None
    assert summary["gates"][0]["checks"][3]["value"] is None
    assert (
        summary["models"][0]["rows"] == np.isfinite(sample_contents().predictions.prediction).sum()
    )
    assert len(summary["strategies"]) == 12


def test_a_second_report_replaces_the_first(tmp_path):
    write_report(ReportContents(title="one"), tmp_path)
    page = write_report(ReportContents(title="two"), tmp_path).read_text(encoding="utf-8")
    assert "<h1>two</h1>" in page


def test_an_unwritable_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match=r"must be writable|must be a folder|could not"):
        write_report(ReportContents(), tmp_path / "file")


def test_predictions_csv_dates_every_prediction_with_its_own_bar(folder):
    contents = sample_contents()
    view = contents.predictions
    frame = pl.read_csv(folder / "predictions.csv", schema_overrides={"prediction": pl.Float64})
    assert frame.columns == ["date", "close", "prediction"]
    assert len(frame) == len(view.time_ns)
    assert frame["close"].to_numpy() == pytest.approx(view.close, rel=0, abs=0)
    known = np.isfinite(view.prediction)
    assert (frame["prediction"].is_not_null().to_numpy() == known).all()
    assert frame["prediction"].to_numpy()[known] == pytest.approx(view.prediction[known], abs=0)
    assert (
        frame["date"][0]
        == np.datetime_as_string(view.time_ns[0].astype("datetime64[ns]"), "s") + "Z"
    )


def test_the_page_is_found_from_any_working_directory(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert write_report(ReportContents(), Path("here")) == Path("here/report.html")
