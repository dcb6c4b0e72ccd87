"""Purged k-fold and combinatorial folds: by hand, against skfolio, and the paths they make."""

from __future__ import annotations

from dataclasses import replace
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_bot.core.errors import ConfigError, DataError, LeakError
from crypto_bot.splits import (
    CombinatorialOptions,
    KFoldOptions,
    combinatorial_paths,
    combinatorial_splits,
    group_of_rows,
    purged_kfold_splits,
    split_dataset,
)
from crypto_bot.validation import check_split_purged, out_of_sample, out_of_sample_paths
from crypto_bot.validation.out_of_sample import predict_fold
from validation_rows import BAR_NS, START_NS, TREES, noise_dataset

SMALL = {"minimum_train_rows": 1, "minimum_test_rows": 1}


def times(rows, horizon):
    decided = START_NS + BAR_NS * np.arange(rows)
    return decided, decided + horizon * BAR_NS


def test_a_middle_fold_by_hand():
    decided, ends = times(30, horizon=2)
    options = KFoldOptions(folds=3, embargo_bars=1, **SMALL)
    split = purged_kfold_splits(decided, ends, options)[1]
    assert split.test.tolist() == list(range(10, 20))
    # Row 6 ends at 8, before 10 - 1; row 7 ends at 9. The last test label ends at 21: 23 > 21 + 1.
    assert split.train.tolist() == [*range(7), *range(23, 30)]
    assert split.purged == 6
    assert split.trains_on_later


def test_the_longest_test_label_decides_where_training_may_resume():
    decided, ends = times(30, horizon=1)
    ends[12] = decided[25]
    split = purged_kfold_splits(decided, ends, KFoldOptions(folds=3, embargo_bars=0, **SMALL))[1]
    assert split.train.tolist() == [*range(9), *range(26, 30)]
    check_split_purged(split, decided, ends)
    widened = replace(split, train=np.append(split.train, 24))
    with pytest.raises(LeakError, match="1 did not, first row 24 from"):
        check_split_purged(widened, decided, ends)


@given(
    groups=st.integers(3, 9),
    data=st.data(),
    horizon=st.integers(1, 5),
    embargo=st.integers(0, 4),
    rows=st.integers(150, 260),
)
@settings(deadline=None, derandomize=True, max_examples=40)
def test_splits_and_paths_are_those_of_skfolio(groups, data, horizon, embargo, rows):
    from skfolio.model_selection import CombinatorialPurgedCV

    test_groups = data.draw(st.integers(2, groups - 1))
    decided, ends = times(rows, horizon)
    options = CombinatorialOptions(
        groups=groups, test_groups=test_groups, embargo_bars=embargo, **SMALL
    )
    judge = CombinatorialPurgedCV(
        n_folds=groups, n_test_folds=test_groups, purged_size=horizon + embargo
    )
    theirs = list(judge.split(decided[:, None]))
    ours = combinatorial_splits(decided, ends, options)
    paths = combinatorial_paths(groups, test_groups)
    assert len(ours) == len(theirs) == judge.n_splits
    assert paths.shape == (judge.n_test_paths, groups)
    group = group_of_rows(decided, groups)
    for split, (train, tests), path_ids in zip(ours, theirs, judge.get_path_ids(), strict=True):
        assert np.array_equal(split.train, train)
        assert np.array_equal(split.test, np.concatenate(tests))
        for test, path in zip(tests, path_ids, strict=True):
            assert paths[path, group[test[0]]] == split.fold


def test_an_embargo_on_one_side_as_in_skfolio_differs_by_the_rows_before_each_block():
    from skfolio.model_selection import CombinatorialPurgedCV

    decided, ends = times(200, 3)
    options = CombinatorialOptions(groups=5, embargo_bars=4, **SMALL)
    judge = CombinatorialPurgedCV(n_folds=5, n_test_folds=2, purged_size=3, embargo_size=4)
    for split, (train, _) in zip(
        combinatorial_splits(decided, ends, options), judge.split(decided[:, None]), strict=True
    ):
        first = split.test[np.diff(split.test, prepend=-9) > 1]
        before = (first[:, None] - 4 - np.arange(4)).ravel()
        assert np.array_equal(split.train, np.setdiff1d(train, before))


@pytest.mark.parametrize(("groups", "test_groups"), [(4, 2), (6, 3), (8, 2), (5, 1)])
def test_each_path_is_every_group_once_and_no_prediction_is_used_twice(groups, test_groups):
    paths = combinatorial_paths(groups, test_groups)
    assert paths.shape == (comb(groups - 1, test_groups - 1), groups)
    used = [(int(split), group) for path in paths for group, split in enumerate(path)]
    assert len(set(used)) == len(used) == comb(groups, test_groups) * test_groups


def test_every_path_of_a_learned_edge_is_a_full_history_of_unseen_predictions():
    data = noise_dataset(900, skill=0.9)
    options = CombinatorialOptions(groups=4, test_groups=2)
    paths = out_of_sample_paths(data, TREES, options)
    assert len(paths) == 3
    for path in paths:
        assert path.is_tested.all()
        guess = path.probabilities.argmax(axis=1)
        assert np.mean(guess == data.labels) > 0.8
    assert not np.array_equal(paths[0].probabilities, paths[1].probabilities)
    assert paths[0].fold[0] == paths[0].fold[300]
    for split in split_dataset(data, options)[::3]:
        found, _ = predict_fold(data, TREES, split)
        for path in paths:
            served = path.fold[split.test] == split.fold
            assert np.array_equal(path.probabilities[split.test[served]], found[served])
    assert len(paths[0].models) == len(paths[0].splits) == 3


def test_out_of_sample_accepts_a_purged_kfold_and_refuses_combinations_without_paths():
    data = noise_dataset(700)
    found = out_of_sample(data, TREES, split_dataset(data, KFoldOptions(folds=3)))
    assert found.is_tested.all()
    folds = split_dataset(data, CombinatorialOptions(groups=4))
    with pytest.raises(DataError, match="must test rows no other fold tests"):
        out_of_sample(data, TREES, folds)


def test_a_training_row_too_near_on_either_side_is_named():
    decided, ends = times(300, horizon=5)
    split = purged_kfold_splits(decided, ends, KFoldOptions(folds=3, embargo_bars=2))[1]
    check_split_purged(split, decided, ends)
    for row in (93, 207 - 1):
        widened = replace(split, train=np.sort(np.append(split.train, row)))
        with pytest.raises(LeakError, match=f"1 did not, first row {row} from"):
            check_split_purged(widened, decided, ends)
    with pytest.raises(LeakError, match=r"training labels must end before .* less embargo"):
        check_split_purged(replace(split, trains_on_later=False), decided, ends)


def test_folds_with_too_little_left_and_impossible_groups_are_refused():
    decided, ends = times(90, horizon=20)
    with pytest.raises(DataError, match=r"fold 0 from .* must have at least 50 train rows, was 30"):
        purged_kfold_splits(decided, ends, KFoldOptions(folds=3))
    with pytest.raises(DataError, match="must have at least 40 test rows, was 30"):
        purged_kfold_splits(
            decided, ends, KFoldOptions(folds=3, minimum_train_rows=1, minimum_test_rows=40)
        )
    with pytest.raises(ConfigError, match="test_groups must be at least 1 and fewer than"):
        CombinatorialOptions(groups=4, test_groups=4)
    with pytest.raises(ConfigError, match="combinations of groups must be at most 5000"):
        combinatorial_paths(20, 10)
