"""A search walked forward: what a stretch shows was chosen before it began."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from crypto_bot.core.errors import DataError
from crypto_bot.gate import gather_evidence, pool_results
from crypto_bot.tuning import NestedOptions, RowBoard, nested_walk_forward, stretch_edges
from tuning.small_searches import NAMES, NESTED, TERMS, board


@cache
def judged():
    """The walk that most tests look at."""
    return nested_walk_forward(board(), TERMS, NESTED)


def test_stretches_follow_each_other_and_are_judged_by_what_was_known_before():
    assert [stretch.start_ns for stretch in judged()][1:] == [
        stretch.end_ns for stretch in judged()
    ][:-1]
    embargo_ns = NESTED.search.embargo_bars * board().interval_ns
    for stretch in judged():
        split = stretch.predictions.splits[0]
        assert stretch.search.end_ns == stretch.start_ns - embargo_ns
        assert stretch.dataset.label_end_ns[split.train].max() < stretch.start_ns - embargo_ns
        assert stretch.dataset.decided_at_ns[split.test].min() >= stretch.start_ns
        assert stretch.dataset.decided_at_ns[split.test].max() < stretch.end_ns


def altered_from(moment_ns):
    """The same candles before the moment, other prices from it on."""
    return [
        replace(
            bars,
            **{
                name: np.where(
                    bars.close_time >= moment_ns, getattr(bars, name) * 3.0, getattr(bars, name)
                )
                for name in ("open", "high", "low", "close")
            },
        )
        for bars in board().bars
    ]


def test_a_stretch_has_no_say_in_what_is_chosen_for_it():
    start_ns = stretch_edges(board(), NESTED)[0]
    again = nested_walk_forward(RowBoard(altered_from(start_ns), NAMES), TERMS, NESTED)[0]
    first = judged()[0]
    assert (first.setting, first.threshold) == (again.setting, again.threshold)
    shown = [[one.sharpe for one in stretch.search.tried] for stretch in (first, again)]
    assert shown[0] == shown[1]


def test_what_comes_after_a_stretch_changes_nothing_of_it():
    edges = stretch_edges(board(), NESTED)
    first = judged()[0]
    again = nested_walk_forward(RowBoard(altered_from(edges[1]), NAMES), TERMS, NESTED)[0]
    assert first.setting == again.setting
    assert first.threshold == again.threshold
    horizon = first.setting.horizon_bars
    tested = first.predictions.splits[0].test[: -3 * horizon]
    assert np.array_equal(
        first.predictions.probabilities[tested], again.predictions.probabilities[tested]
    )


def test_the_stretches_are_one_account_end_to_end():
    results = [result for stretch in judged() for result in stretch.results]
    whole = pool_results(results)
    parts = [pool_results(stretch.results).total_return for stretch in judged()]
    assert 1 + whole.total_return == pytest.approx(np.prod([1 + part for part in parts]), rel=0.02)
    assert whole.trades == sum(pool_results(stretch.results).trades for stretch in judged())
    assert gather_evidence(results, trials=1, trial_variance=None).sharpe == whole.sharpe


def test_results_of_one_symbol_that_overlap_are_no_account():
    result = judged()[0].results[0]
    with pytest.raises(DataError, match="must follow each other in time, overlapped"):
        pool_results([result, result])


def test_too_few_rows_for_the_stretches_are_refused():
    rows = RowBoard([bars[:700] for bars in board().bars], NAMES)
    with pytest.raises(DataError, match="rows must lie at enough moments for 400 judged stretches"):
        stretch_edges(rows, NestedOptions.model_construct(folds=400, first_train_frac=0.25))
