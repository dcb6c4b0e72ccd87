"""Explanations on the page and in the folder: every picture there, marked, and every word explained."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from crypto_bot.features import DriftLevel, FeatureDrift
from crypto_bot.report import FactTable, GateView, ReportContents, write_report
from crypto_bot.report.explained_charts import drift_table
from crypto_bot.report.explained_plots import explanation_files
from crypto_bot.report.glossary import glossary
from crypto_bot.report.page import render_page
from crypto_bot.report.swarm import rank_share, swarm_offsets
from report.explained import NAMES, explained_model

PICTURES = {"shap.png", "permutation_importance.png", "partial_dependence.png", "reliability.png"}


def contents(*models, **changes):
    return ReportContents(title="Explained", models=models, is_simulated=True, **changes)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("explained")
    write_report(contents(explained_model(), explained_model((-1, 0, 1))), path)
    return path


@pytest.fixture(scope="module")
def own(folder):
    """The page without plotly's script."""
    from plotly.offline import get_plotlyjs

    page = (folder / "report.html").read_text(encoding="utf-8")
    return page.replace(get_plotlyjs(), "")


def charts_of(page):
    found = re.search(r'id="charts">(.*?)</script>', page, re.DOTALL)
    return {chart["id"]: chart for chart in json.loads(found[1])}


def test_every_picture_of_an_explanation_is_there_and_marked(folder, tmp_path):
    real = replace(contents(explained_model(), explained_model((-1, 0, 1))), is_simulated=False)
    write_report(real, tmp_path)
    for name in PICTURES:
        assert (folder / name).read_bytes().startswith(b"\x89PNG")
        assert (folder / name).read_bytes() != (tmp_path / name).read_bytes()


def test_the_same_explanation_gives_the_same_bytes():
    first, again = (explanation_files([explained_model()], is_simulated=False) for _ in range(2))
    assert first == again
    assert set(first) == PICTURES - {"reliability.png"}


def test_pictures_are_of_the_first_model_that_has_shap_values():
    model = explained_model()
    without = replace(model, name="forest", explanation=replace(model.explanation, shap=None))
    both = explanation_files([without, model], is_simulated=False)
    assert both == explanation_files([model], is_simulated=False)
    assert "shap.png" not in explanation_files([without], is_simulated=False)
    assert explanation_files([replace(model, explanation=None)], is_simulated=False) == {}


def test_every_chart_of_an_explanation_is_valid_and_has_its_place(own):
    from plotly.graph_objects import Figure

    charts = charts_of(own)
    for index in (0, 1):
        for kind in ("shap", "permutation", "dependence", "calibration"):
            chart = charts[f"{kind}-{index}"]
            assert f'<div id="{kind}-{index}" class="plot"' in own
            Figure(data=chart["data"], layout=chart["layout"])


def test_the_shap_chart_shows_each_row_once_a_feature(own):
    found = explained_model().explanation
    (dots,) = charts_of(own)["shap-0"]["data"]
    rows = len(found.shap.values)
    assert len(dots["x"]) == rows * len(NAMES)
    assert dots["x"][:rows] == pytest.approx(found.shap.values[:, 0], abs=1e-4)
    assert charts_of(own)["shap-0"]["layout"]["yaxis"]["ticktext"] == list(found.shap.feature_names)


def test_the_permutation_chart_has_the_numbers_and_their_deviation(own):
    top = explained_model().explanation.permutation
    (bars,) = charts_of(own)["permutation-0"]["data"]
    assert bars["y"] == [each.name for each in top][::-1]
    assert bars["x"] == pytest.approx([each.mean for each in top][::-1], rel=1e-4, abs=1e-9)
    assert bars["error_x"]["array"][-1] == pytest.approx(top[0].deviation, rel=1e-4)


def test_three_classes_have_three_curves(own):
    two, three = (charts_of(own)[f"dependence-{k}"] for k in (0, 1))
    names = {trace["name"] for trace in three["data"] if "name" in trace}
    assert names == {"up (+1)", "0", "down (-1)"}
    assert {trace["name"] for trace in two["data"] if "name" in trace} == {"up (+1)"}


def test_drift_is_told_in_plain_words(own):
    assert "<td>moved with the price or volume</td>" in own
    assert "<td>broken</td>" in own
    assert "<td>stable</td>" in own
    assert "1 of 8 features are broken" in own


def test_each_level_of_drift_has_a_word():
    drift = [FeatureDrift(level, None, level) for level in DriftLevel]
    found = replace(explained_model().explanation, drift=drift, level_features=())
    words = {row[0]: row[3] for row in drift_table(found).rows}
    assert words == {
        "stable": "stable",
        "moderate": "moved",
        "strong": "broken",
        "unknown": "too few rows",
    }
    assert drift_table(replace(found, drift=())) is None


def test_what_could_not_be_explained_is_said():
    bare = replace(explained_model(), explanation=None, unexplained="Not explained: no models.")
    page = render_page(contents(bare), {})
    assert '<p class="note">Not explained: no models.</p>' in page
    assert "shap-0" not in page


def test_the_abstain_band_and_the_lack_of_shap_are_said():
    found = replace(explained_model().explanation, abstained=0.25, shap=None)
    page = render_page(contents(replace(explained_model(), explanation=found)), {})
    assert "It abstains on 25.0 % of them." in page
    assert "SHAP values are LightGBM&#39;s own" in page or "SHAP values are LightGBM's own" in page


def test_reliability_has_intervals_that_hold_the_share(own):
    dots = charts_of(own)["calibration-0"]["data"][1]
    assert all(value >= 0 for value in dots["error_y"]["array"] + dots["error_y"]["arrayminus"])
    assert sum(dots["customdata"]) == np.isfinite(explained_model().probabilities[:, 0]).sum()


def test_tables_of_a_candidate_stand_with_its_gate():
    table = FactTable("What else is known", ("figure", "value"), [("PBO", 0.31)], "Not judged.")
    page = render_page(contents(gates=(GateView("forest", False, (), tables=(table,)),)), {})
    place = page.index("What else is known")
    assert page.index('<h2 id="gate"') < place < page.index('<h2 id="quality"')
    assert "0.31" in page


def test_every_word_of_the_parts_shown_is_explained_once(own):
    whole = contents(explained_model(), gates=(GateView("forest", False, ()),))
    names = [term.name for term in glossary(whole)]
    assert len(names) == len(set(names))
    for word in (
        "PSI",
        "KS",
        "SHAP value",
        "deflated Sharpe",
        "PBO",
        "effective trials",
        "log loss",
    ):
        assert word in names
    for term in glossary(whole):
        assert term.meaning.endswith(".")
        assert len(term.meaning) < 170
    assert "<dt>SHAP value</dt>" in own
    assert "<dt>PBO</dt>" not in own
    assert glossary(ReportContents()) == ()


def test_points_of_a_swarm_keep_apart_and_within_their_row():
    values = np.concatenate((np.zeros(50), [1.0]))
    offsets = swarm_offsets(values, 1.0)
    assert len(set(offsets[:50])) == 50
    assert np.abs(offsets).max() == pytest.approx(0.38)
    assert offsets[50] == 0.0
    assert swarm_offsets(np.zeros(3), 0.0).tolist() == [0.0, 0.0, 0.0]


def test_equal_values_share_a_colour():
    assert rank_share(np.array([5.0, 1.0, 1.0, 9.0])).tolist() == [0.625, 0.25, 0.25, 0.875]
    assert rank_share(np.ones(3)).tolist() == [0.5, 0.5, 0.5]
