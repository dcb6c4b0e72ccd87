"""Laws of every splitter: members of `SPLITTERS` are enrolled by being there."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_bot.core.errors import DataError
from crypto_bot.core.timeframes import MINUTE_NS
from crypto_bot.splits import SPLITTERS
from crypto_bot.validation import check_split_purged

splitters = pytest.mark.parametrize("name", sorted(SPLITTERS))
START_NS = 1_700_000_000_000_000_000
TIMES_TESTED = {"combinatorial_purged": 7}
"""How often a splitter tests each row, where that is not once: 2 of 8 groups meet 7 others."""


def rows_of(seed, moments, symbols, horizon, outages):
    """Decisions of several symbols at shared moments, with outages; labels of uneven length."""
    random = np.random.default_rng(seed)
    steps = 1 + (random.random(moments) < outages) * random.integers(1, 200, moments)
    times = START_NS + 5 * MINUTE_NS * np.cumsum(steps)
    decided = np.sort(np.repeat(times, symbols)[random.random(moments * symbols) < 0.9])
    ends = decided + 5 * MINUTE_NS * random.integers(1, horizon + 1, len(decided))
    return decided, ends


markets = st.builds(
    rows_of,
    seed=st.integers(0, 1000),
    moments=st.integers(600, 900),
    symbols=st.integers(1, 4),
    horizon=st.integers(1, 20),
    outages=st.sampled_from([0.0, 0.02]),
)
embargoes = st.integers(0, 10).map(lambda bars: bars * 5 * MINUTE_NS)
laws = settings(deadline=None, derandomize=True, max_examples=15)


def blocks_of(rows):
    """Runs of consecutive row numbers."""
    return np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1)


@splitters
@given(rows=markets, embargo_ns=embargoes)
@laws
def test_no_training_label_meets_a_test_block_or_its_labels_embargo_included(
    name, rows, embargo_ns
):
    decided, ends = rows
    for split in SPLITTERS[name](decided, ends, embargo_ns=embargo_ns):
        assert np.intersect1d(split.train, split.test).size == 0
        for block in blocks_of(split.test):
            ends_before = ends[split.train] < decided[block[0]] - embargo_ns
            begins_after = decided[split.train] > ends[block].max() + embargo_ns
            assert (ends_before | begins_after).all()
        check_split_purged(split, decided, ends, embargo_ns)


@splitters
@given(rows=markets, embargo_ns=embargoes)
@laws
def test_unless_it_says_otherwise_training_is_over_before_testing_begins(name, rows, embargo_ns):
    decided, ends = rows
    splits = SPLITTERS[name](decided, ends, embargo_ns=embargo_ns)
    for split in splits:
        assert split.train_end_ns == split.test_start_ns - embargo_ns
        if not split.trains_on_later:
            assert ends[split.train].max() < decided[split.test].min() - embargo_ns
    later = [(decided[split.train] > split.test_start_ns).any() for split in splits]
    assert any(later) == splits[0].trains_on_later


@splitters
@given(rows=markets, embargo_ns=embargoes)
@laws
def test_only_rows_whose_label_came_too_near_are_purged(name, rows, embargo_ns):
    decided, ends = rows
    for split in SPLITTERS[name](decided, ends, embargo_ns=embargo_ns):
        last = len(decided) if split.trains_on_later else split.test[0]
        used = np.union1d(split.train, split.test)
        left_out = np.setdiff1d(np.arange(split.train[0], last), used)
        is_near = np.zeros(len(left_out), bool)
        for block in blocks_of(split.test):
            is_near |= (ends[left_out] >= decided[block[0]] - embargo_ns) & (
                decided[left_out] <= ends[block].max() + embargo_ns
            )
        assert is_near.all()
        assert split.purged >= len(left_out)


@splitters
@given(rows=markets, embargo_ns=embargoes)
@laws
def test_every_row_from_the_first_test_on_is_tested_as_often_as_promised(name, rows, embargo_ns):
    decided, ends = rows
    splits = SPLITTERS[name](decided, ends, embargo_ns=embargo_ns)
    tested = np.concatenate([split.test for split in splits])
    first = splits[0].test[0]
    assert (np.bincount(tested, minlength=len(decided))[first:] == TIMES_TESTED.get(name, 1)).all()
    assert first == 0 or not splits[0].trains_on_later
    assert [split.fold for split in splits] == list(range(len(splits)))
    starts = [split.test_start_ns for split in splits]
    assert starts == sorted(starts)


@splitters
@given(rows=markets)
@laws
def test_rows_of_one_moment_are_never_torn_apart(name, rows):
    decided, ends = rows
    for split in SPLITTERS[name](decided, ends):
        for block in blocks_of(split.test):
            assert block[0] == 0 or decided[block[0] - 1] < decided[block[0]]
            assert block[-1] == len(decided) - 1 or decided[block[-1]] < decided[block[-1] + 1]
        assert split.test_start_ns == decided[split.test[0]]
        assert split.test_end_ns == decided[split.test[-1]]


@splitters
@given(rows=markets, embargo_ns=embargoes)
@laws
def test_same_rows_same_folds_and_inputs_are_untouched(name, rows, embargo_ns):
    decided, ends = rows
    kept = decided.copy(), ends.copy()
    first = SPLITTERS[name](decided, ends, embargo_ns=embargo_ns)
    second = SPLITTERS[name](decided, ends, embargo_ns=embargo_ns)
    for one, other in zip(first, second, strict=True):
        assert np.array_equal(one.train, other.train)
        assert np.array_equal(one.test, other.test)
    assert np.array_equal(kept[0], decided)
    assert np.array_equal(kept[1], ends)


@splitters
def test_too_few_rows_are_refused_with_their_number(name):
    for count in (0, 1):
        decided = START_NS + np.arange(count) * 5 * MINUTE_NS
        with pytest.raises(DataError, match=f"was {count}"):
            SPLITTERS[name](decided, decided + 1)


@splitters
def test_rows_that_are_all_one_moment_are_refused(name):
    decided = np.full(500, START_NS)
    with pytest.raises(DataError, match="rows must"):
        SPLITTERS[name](decided, decided + 1)


@splitters
def test_rows_out_of_order_or_with_labels_before_their_decision_are_refused(name):
    decided = START_NS + np.arange(600) * 5 * MINUTE_NS
    with pytest.raises(DataError, match="must not decrease, did at row"):
        SPLITTERS[name](decided[::-1].copy(), decided[::-1] + 1)
    with pytest.raises(DataError, match="label_end_ns must not be before"):
        SPLITTERS[name](decided, decided - 1)
    with pytest.raises(DataError, match="label_end_ns must have"):
        SPLITTERS[name](decided, decided[:-1])


@splitters
@given(rows=markets, embargo_ns=embargoes, step=st.integers(1, 10**15))
@laws
def test_another_calendar_gives_the_same_folds(name, rows, embargo_ns, step):
    decided, ends = rows
    first = SPLITTERS[name](decided, ends, embargo_ns=embargo_ns)
    moved = SPLITTERS[name](decided + step, ends + step, embargo_ns=embargo_ns)
    for one, other in zip(first, moved, strict=True):
        assert np.array_equal(one.train, other.train)
        assert np.array_equal(one.test, other.test)
        assert one.purged == other.purged
