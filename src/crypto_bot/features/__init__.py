"""Bars in, numbers out: named features of every bar, over history or live, equal bit for bit.

`compute_features` and `FeatureStream` run the same compiled steps; `compute_panel` and `PanelStream`
run them for several pairs at once. A value at a bar is known at that bar's close and reads nothing
after it; it is NaN until defined, and settled (no longer dependent on where the data began) after
`Feature.settled_bars`. `load_feature_set` reads a named list of features.
"""

from crypto_bot.features.catalogue import (
    S0_FEATURES,
    TRAINER_FEATURES,
    Feature,
    feature,
    known_names,
)
from crypto_bot.features.history import FeatureTable, compute_features
from crypto_bot.features.own import forget_feature, register_feature
from crypto_bot.features.panel import compute_panel
from crypto_bot.features.panel_stream import PanelStream
from crypto_bot.features.regimes import REGIMES, RegimeOptions, classify_regimes
from crypto_bot.features.sequences import sequence_features, sequence_names
from crypto_bot.features.sets import FeatureSet, feature_sets, load_feature_set
from crypto_bot.features.stationary import stationary_twin
from crypto_bot.features.stream import FeatureStream

__all__ = [
    "REGIMES",
    "S0_FEATURES",
    "TRAINER_FEATURES",
    "Feature",
    "FeatureSet",
    "FeatureStream",
    "FeatureTable",
    "PanelStream",
    "RegimeOptions",
    "classify_regimes",
    "compute_features",
    "compute_panel",
    "feature",
    "feature_sets",
    "forget_feature",
    "known_names",
    "load_feature_set",
    "register_feature",
    "sequence_features",
    "sequence_names",
    "stationary_twin",
]
