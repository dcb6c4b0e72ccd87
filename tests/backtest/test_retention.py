"""`registry.versions_kept` is applied after a publish, and spares what the run itself published."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from crypto_bot.backtest.learning import publish
from toy_model import PASSED, toy_card, toy_files, toy_registry


@pytest.fixture
def registry(tmp_path):
    return toy_registry(tmp_path / "models")


def conclude(registry, run_id, *, kept, up=0.6, options=None):
    """Publish one model of a run as the loop does; its version and the journal's words."""
    said = []
    settings = SimpleNamespace(
        schedule=SimpleNamespace(publish_models=True), registry=SimpleNamespace(versions_kept=kept)
    )
    journal = SimpleNamespace(model_event=lambda *told: said.append(told))
    bench = SimpleNamespace(
        settings=settings, journal=journal, registry_of=lambda is_simulated: registry
    )
    card = toy_card(run_id=run_id, options=options or {})
    version = publish(
        bench,
        SimpleNamespace(symbol="BTC/USDT"),
        SimpleNamespace(files=toy_files(up)),
        card,
        SimpleNamespace(promoted=False),
        run_id,
    )
    return version, said


def test_zero_keeps_every_version(registry):
    for k in range(4):
        conclude(registry, f"run-{k}", kept=0)
    assert len(registry.versions("BTC/USDT")) == 4


def test_the_newest_stay_and_the_journal_tells_what_went(registry):
    versions = [conclude(registry, f"run-{k}", kept=0)[0] for k in range(4)]
    registry.promote("BTC/USDT", versions[0], PASSED)
    last, said = conclude(registry, "run-9", kept=2)
    assert registry.versions("BTC/USDT") == [versions[0], versions[3], last]
    assert [told[2:] for told in said if told[3] == "removed"] == [
        (versions[1], "removed"),
        (versions[2], "removed"),
    ]


def test_a_run_that_resumes_still_finds_all_it_published(registry):
    made = [{"rounds": 1}, {"rounds": 2}, {"rounds": 3}]
    first = [conclude(registry, "run-1", kept=1, options=each)[0] for each in made]
    again = [conclude(registry, "run-1", kept=1, options=each)[0] for each in made]
    assert again == first == registry.versions("BTC/USDT")
