"""Several models of one name in one run: each is stored for itself, the best stays in service."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from backtest.tiny import TINY, bench_in
from crypto_bot.backtest import turn
from crypto_bot.backtest.learning import publish
from crypto_bot.core.errors import DataError
from toy_model import PASSED, toy_card, toy_files, toy_registry

VERDICT = SimpleNamespace(promoted=True, brief="passed", to_dict=lambda: PASSED)
RECIPE = SimpleNamespace(symbol="GLOBAL", name="toy")
GOOD, BETTER = ({"rounds": 10}, 0.6), ({"rounds": 20}, 0.7)


@pytest.fixture
def bench(tmp_path):
    with bench_in(tmp_path, TINY) as opened:
        yield replace(opened, registry=toy_registry(tmp_path / "toys"))


def published(bench, run_id, made):
    options, up = made
    card = toy_card("GLOBAL", run_id=run_id, options=options, gate=PASSED)
    return publish(bench, RECIPE, SimpleNamespace(files=toy_files(up)), card, VERDICT, run_id)


def test_two_models_of_one_run_are_two_versions_and_a_resumed_run_finds_both(bench):
    run_id = bench.journal.start_run("integrated", {})
    first, second = (published(bench, run_id, made) for made in (GOOD, BETTER))
    assert first != second
    assert bench.registry.champion("GLOBAL") == second
    assert [published(bench, run_id, made) for made in (GOOD, BETTER)] == [first, second]
    assert bench.registry.versions("GLOBAL") == sorted([first, second])
    promoted = [entry.version for entry in bench.registry.history("GLOBAL")]
    assert promoted == [first, second], "what was put into service once is not put there again"


def test_the_best_of_a_turn_is_concluded_last_and_shown_in_its_place(monkeypatch):
    sharpes = {"a": 2.0, "b": None, "c": 1.0, "d": 3.0}
    order = []

    def examine(bench, chosen, recipe, **rest):
        pooled = SimpleNamespace(sharpe=sharpes[recipe.name])
        return SimpleNamespace(recipe=recipe, pooled=pooled, left_out=())

    def conclude(bench, one, run_id):
        order.append(one.recipe.name)
        if one.recipe.name == "c":
            raise DataError("x must hold, did not")
        return SimpleNamespace(recipe=one.recipe, verdict=VERDICT)

    given = [SimpleNamespace(symbol="GLOBAL", name=name) for name in sharpes]
    monkeypatch.setattr(turn, "recipes", lambda *_: given)
    monkeypatch.setattr(turn, "examine", examine)
    monkeypatch.setattr(turn, "conclude", conclude)
    settings = SimpleNamespace(schedule=SimpleNamespace(is_enabled=True))
    universe = SimpleNamespace(bars=[SimpleNamespace(symbol="X/Y")], start_ns=0, funding={})
    asked = SimpleNamespace(train=True, announce=lambda _: None)
    learned, failed = turn._learn(SimpleNamespace(settings=settings), universe, "run", 1, asked)
    assert order == ["b", "c", "a", "d"]
    assert [one.recipe.name for one in learned] == ["a", "b", "d"]
    assert failed == {"c": "x must hold, did not"}
