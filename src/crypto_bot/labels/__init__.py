"""Stage 5, what would have paid. In: `Bars`. Out: `Labels`, which say how far they looked ahead.

Labels live on real time: bar t has one only if a bar closes exactly one horizon after it. The tail
and the bars before an outage stay unlabelled; nothing is guessed.
"""

from crypto_bot.labels.base import UNLABELLED, LabelOptions, Labels, label_kinds, make_labels
from crypto_bot.labels.next_up import NextUpOptions, next_n_up_labels
from crypto_bot.labels.three_class import ThreeClassOptions, three_class_labels

__all__ = [
    "UNLABELLED",
    "LabelOptions",
    "Labels",
    "NextUpOptions",
    "ThreeClassOptions",
    "label_kinds",
    "make_labels",
    "next_n_up_labels",
    "three_class_labels",
]
