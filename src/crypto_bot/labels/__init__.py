"""Stage 5, what would have paid. In: `Bars`. Out: `Labels`, which say how far they looked ahead.

Labels live on real time: bar t has one only if the bars that decide it exist. The tail and the bars
before an outage stay unlabelled; nothing is guessed. `uniqueness` says how much each label tells
that the others do not. See docs/labels.md.
"""

from crypto_bot.labels.base import (
    UNLABELLED,
    LabelOptions,
    Labels,
    label_kinds,
    label_options,
    make_labels,
)
from crypto_bot.labels.meta import MetaLabelOptions, meta_labels
from crypto_bot.labels.next_up import NextUpOptions, next_n_up_labels
from crypto_bot.labels.three_class import ThreeClassOptions, three_class_labels
from crypto_bot.labels.trend_scanning import (
    TrendScan,
    TrendScanningOptions,
    scan_trends,
    trend_scanning_labels,
)
from crypto_bot.labels.triple_barrier import (
    TripleBarrierOptions,
    VerticalTouch,
    trailing_volatility,
    triple_barrier_labels,
)
from crypto_bot.labels.weights import WeightOptions, average_uniqueness, time_decay

__all__ = [
    "UNLABELLED",
    "LabelOptions",
    "Labels",
    "MetaLabelOptions",
    "NextUpOptions",
    "ThreeClassOptions",
    "TrendScan",
    "TrendScanningOptions",
    "TripleBarrierOptions",
    "VerticalTouch",
    "WeightOptions",
    "average_uniqueness",
    "label_kinds",
    "label_options",
    "make_labels",
    "meta_labels",
    "next_n_up_labels",
    "scan_trends",
    "three_class_labels",
    "time_decay",
    "trailing_volatility",
    "trend_scanning_labels",
    "triple_barrier_labels",
]
