"""Every feature over history equals the same feature live, to the last bit."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_bot.core import Bars
from crypto_bot.features import FeatureStream, compute_features
from crypto_bot.features.history import STRETCH
from features.sample_bars import any_bars, every_name, random_bars, rough_bars

NAMES = every_name()


def streamed(stream: FeatureStream, bars: Bars) -> np.ndarray:
    return np.array([stream.update(bar) for bar in bars]).reshape(len(bars), len(stream.names))


def assert_same_bits(one: np.ndarray, other: np.ndarray) -> None:
    differing = [
        name
        for k, name in enumerate(NAMES)
        if not np.array_equal(one[:, k], other[:, k], equal_nan=True)
    ]
    assert differing == []


@settings(deadline=None, derandomize=True, max_examples=60)
@given(bars=any_bars())
def test_every_feature_is_the_same_over_history_and_live(bars):
    assert_same_bits(
        compute_features(bars, NAMES).values, streamed(FeatureStream(NAMES, bars.timeframe), bars)
    )


def test_stretches_of_history_join_without_a_trace():
    bars = rough_bars(2 * STRETCH + 7, seed=5)
    assert_same_bits(
        compute_features(bars, NAMES).values, streamed(FeatureStream(NAMES, bars.timeframe), bars)
    )


@settings(deadline=None, derandomize=True, max_examples=40)
@given(bars=any_bars(), share=st.floats(0, 1))
def test_a_stream_carries_on_from_history_and_from_a_saved_state(bars, share):
    cut = round(share * len(bars))
    wanted = compute_features(bars, NAMES).values[cut:]
    from_history = FeatureStream.from_history(bars[:cut], NAMES)
    assert from_history.bars_seen == cut
    saved = FeatureStream.from_bytes(from_history.to_bytes())
    assert_same_bits(wanted, streamed(from_history, bars[cut:]))
    assert_same_bits(wanted, streamed(saved, bars[cut:]))


def test_a_feature_is_the_same_alone_and_among_others():
    bars = random_bars(700)
    together = compute_features(bars, NAMES)
    alone = [compute_features(bars, [name]).values[:, 0] for name in NAMES]
    assert_same_bits(together.values, np.stack(alone, axis=1))
