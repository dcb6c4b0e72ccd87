"""Features are chosen inside the fold, by what unseen rows say, and the reasons are kept."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr

from crypto_bot.core.errors import ConfigError, LeakError
from crypto_bot.predictors import load_predictor
from crypto_bot.splits import WalkForwardOptions, split_dataset
from crypto_bot.training import (
    LogisticOptions,
    LogisticTrainer,
    SelectingTrainer,
    SelectionOptions,
    select_features,
)
from crypto_bot.training.clusters import correlation_clusters, rank_correlation
from crypto_bot.training.selection import permutation_importance
from crypto_bot.validation import check_shuffled_labels_teach_nothing, out_of_sample
from validation_rows import made_dataset

RIDGE = LogisticTrainer(LogisticOptions(l1_ratio=0, C=1.0))
OPTIONS = SelectionOptions(folds=4, embargo_bars=1)


def planted(rows=1200, seed=0):
    """Columns 0 and 3 teach, 1 is a copy of 0 with a little noise, 2 and 4 to 7 are noise."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(rows, 8))
    features[:, 1] = -features[:, 0] + 0.1 * rng.normal(size=rows)
    score = features[:, 0] + 0.8 * features[:, 3] + rng.normal(size=rows)
    return made_dataset(features, (score > 0).astype(np.int8))


def test_what_teaches_is_kept_its_copy_and_the_noise_are_not():
    data = planted()
    found = select_features(data, RIDGE, OPTIONS)
    names = data.feature_names
    assert found.kept == (names[0], names[3]) or set(found.kept) > {names[0], names[3]}
    assert names[1] not in found.kept
    assert len(found.kept) <= 4
    for k in (0, 3):
        told = found.evidence[names[k]]
        assert told.cluster_stability == 1.0
        assert told.stability >= 0.5
        assert told.importance > 3 * told.deviation > 0
    assert found.evidence[names[0]].cluster == found.evidence[names[1]].cluster
    assert found.evidence[names[1]].stability < 0.5


def test_the_trained_model_reads_the_kept_features_only_and_tells_why():
    data = planted()
    trained = SelectingTrainer(RIDGE, OPTIONS).fit(data)
    told = trained.evidence["selection"]
    kept = tuple(name for name in data.feature_names if told[name]["is_kept"])
    assert trained.predictor.feature_names == kept == tuple(trained.importance)
    assert trained.files == RIDGE.fit(data.columns(kept)).files
    assert trained.options["selection"]["folds"] == 4
    json.dumps([trained.evidence, trained.options])


def test_each_fold_of_a_walk_forward_chooses_for_itself_and_never_sees_its_test_rows():
    data = planted()
    splits = split_dataset(data, WalkForwardOptions(folds=2, embargo_bars=1))
    trainer = SelectingTrainer(RIDGE, OPTIONS)
    found = out_of_sample(data, trainer, splits)
    labels = data.labels.copy()
    labels[splits[-1].test] = 1 - labels[splits[-1].test]
    turned = out_of_sample(replace(data, labels=labels), trainer, splits)
    assert found.models[-1].evidence == turned.models[-1].evidence


def noise(rows, features):
    rng = np.random.default_rng(4)
    return made_dataset(rng.normal(size=(rows, features)), rng.integers(0, 2, rows).astype(np.int8))


def test_choosing_inside_the_fold_shows_no_edge_on_shuffled_labels_and_choosing_before_does():
    data, weak = noise(600, 300), LogisticTrainer(LogisticOptions(l1_ratio=0, C=0.002))
    splits = split_dataset(data, WalkForwardOptions(folds=3, embargo_bars=1))
    options = SelectionOptions(
        folds=3, repeats=1, embargo_bars=1, minimum_stability=1.0, most_features=20
    )
    trainer = SelectingTrainer(weak, options)
    check_shuffled_labels_teach_nothing(data, trainer, splits)

    def beforehand(rows):
        return rows.columns(select_features(rows, weak, options).kept)

    with pytest.raises(LeakError, match="check_shuffled_labels_teach_nothing"):
        check_shuffled_labels_teach_nothing(data, weak, splits, prepare=beforehand)


def test_features_that_must_stay_stay_and_a_limit_keeps_the_best():
    data = planted()
    names = data.feature_names
    stays = SelectionOptions(folds=4, embargo_bars=1, always_keep=(names[6],), most_features=1)
    found = select_features(data, RIDGE, stays)
    assert names[6] in found.kept
    assert len(found.kept) == 2
    with pytest.raises(ConfigError, match=r"always_keep must name features of the rows, was nope"):
        select_features(data, RIDGE, stays.replace(always_keep=("nope",)))


def test_where_nothing_teaches_the_single_best_is_kept():
    strict = SelectionOptions(folds=3, embargo_bars=1, minimum_stability=1.0, repeats=1)
    data = noise(400, 3)
    found = select_features(data, RIDGE, strict)
    assert len(found.kept) >= 1
    trained = SelectingTrainer(RIDGE, strict).fit(data)
    assert trained.predictor.feature_names == found.kept


def test_rank_correlation_is_spearmans_and_a_constant_goes_with_nothing():
    values = np.random.default_rng(0).normal(size=(50, 4))
    values[:, 2] = np.round(values[:, 2])
    assert np.allclose(rank_correlation(values), spearmanr(values).statistic)
    values[:, 3] = 1.0
    assert (rank_correlation(values)[3] == 0).all()


def test_clusters_join_copies_of_either_sign_and_are_numbered_as_they_appear():
    base = np.random.default_rng(0).normal(size=(200, 3))
    values = np.column_stack((base[:, 0], base[:, 1], -base[:, 0], base[:, 2], base[:, 1] ** 3))
    found = correlation_clusters(rank_correlation(values), 1.0)
    assert found.tolist() == [0, 1, 0, 2, 1]
    assert correlation_clusters(np.ones((1, 1)), 0.8).tolist() == [0]


def test_permutation_importance_is_the_rise_of_the_log_loss_by_hand():
    data = planted(300)
    predictor = RIDGE.fit(data).predictor
    found = permutation_importance(predictor, data, 1, np.random.default_rng(7))
    order = np.random.default_rng(7).permutation(300)
    changed = data.features.copy()
    changed[:, 0] = changed[order, 0]

    def loss(rows):
        chance = predictor.predict_proba(rows)[np.arange(300), data.labels]
        return -np.log(chance).mean()

    assert found[data.feature_names[0]] == pytest.approx(loss(changed) - loss(data.features))


def test_the_choice_is_the_same_twice_and_another_seed_permutes_otherwise():
    data = planted(400)
    first, again = (select_features(data, RIDGE, OPTIONS) for _ in range(2))
    assert first == again
    other = select_features(data, RIDGE, OPTIONS.replace(seed=1))
    assert other.evidence != first.evidence


def test_the_kept_features_are_what_the_files_read(tmp_path):
    from crypto_bot.core import ModelCard

    data = planted()
    trained = SelectingTrainer(RIDGE, OPTIONS).fit(data)
    card = ModelCard(
        symbol="-",
        timeframe=data.timeframe,
        model_type=trained.model_type,
        feature_names=trained.predictor.feature_names,
        feature_settled_bars=0,
        classes=data.classes,
        label={},
        data_fingerprint="",
        data_start="",
        data_end="",
        rows=1,
    )
    loaded = load_predictor(card, trained.files)
    rows = data.columns(loaded.feature_names).features
    assert np.array_equal(loaded.predict_proba(rows), trained.predictor.predict_proba(rows))
