"""The live side: what it refuses, what it saves, when it is settled."""

from __future__ import annotations

import io

import numpy as np
import pytest

from crypto_bot.core import Bar
from crypto_bot.core.errors import ConfigError, DataError
from crypto_bot.features import FeatureStream, compute_features
from features.sample_bars import random_bars

BAR = Bar(60_000_000_000, 10.0, 11.0, 9.0, 10.5, 1.0)


@pytest.mark.parametrize(
    ("bar", "message"),
    [
        (BAR, r"bar.open_time must be after 60000000000, was 60000000000; skip bars already seen"),
        (BAR._replace(open_time=1), "must be after 60000000000, was 1"),
        (BAR._replace(open_time=2 * BAR.open_time, close=float("nan")), "was .*nan"),
        (BAR._replace(open_time=2 * BAR.open_time, high=float("inf")), "was .*inf"),
        (BAR._replace(open_time=2 * BAR.open_time, low=0.0), "must have 0 < low"),
        (BAR._replace(open_time=2 * BAR.open_time, close=12.0), "close <= high"),
        (BAR._replace(open_time=2 * BAR.open_time, volume=-1.0), "volume >= 0"),
        (BAR._replace(open_time=2 * BAR.open_time, volume=float("nan")), "volume >= 0"),
    ],
)
def test_a_bar_that_cannot_be_is_refused_and_changes_nothing(bar, message):
    stream = FeatureStream(["sma_2", "rsi_2"])
    stream.update(BAR)
    saved = stream.to_bytes()
    with pytest.raises(DataError, match=message):
        stream.update(bar)
    assert stream.to_bytes() == saved


def test_values_of_one_bar_stay_when_the_next_comes():
    stream = FeatureStream(["sma_1"])
    first = stream.update(BAR)
    stream.update(BAR._replace(open_time=2 * BAR.open_time, close=9.5))
    assert first.tolist() == [10.5]


def test_a_stream_is_settled_when_its_last_value_is():
    bars = random_bars(40)
    stream = FeatureStream(["sma_30", "bb_width"])
    states = []
    for bar in bars:
        stream.update(bar)
        states.append(stream.is_settled)
    assert states == [False] * 29 + [True] * 11
    assert not FeatureStream.from_history(random_bars(2000), ["obv"]).is_settled
    assert FeatureStream.from_history(bars, ["sma_30"]).last_open_time == bars.open_time[-1]


def test_a_damaged_state_is_refused():
    content = FeatureStream(["sma_10"]).to_bytes()
    for damaged in (b"", b"no npz", content[: len(content) // 2], content[:-30]):
        with pytest.raises(DataError, match="stream state must be what to_bytes wrote"):
            FeatureStream.from_bytes(damaged)


def test_a_state_of_other_definitions_is_refused():
    content = FeatureStream(["sma_10"]).to_bytes()
    with np.load(io.BytesIO(content)) as saved:
        header, memory = str(saved["header"]), saved["memory"]
    for changed, message in [
        (header.replace('"definitions": "', '"definitions": "0'), "saved under others"),
        (header.replace('"format": 2', '"format": 1'), "format 2, was 1"),
    ]:
        file = io.BytesIO()
        np.savez(file, header=np.array(changed), memory=memory)
        with pytest.raises(DataError, match=message):
            FeatureStream.from_bytes(file.getvalue())
    file = io.BytesIO()
    np.savez(file, header=np.array(header.replace("sma_10", "smma_10")), memory=memory)
    with pytest.raises(ConfigError, match="smma_10"):
        FeatureStream.from_bytes(file.getvalue())


def test_a_saved_state_holds_no_pickle():
    content = FeatureStream(["sma_10"]).to_bytes()
    with np.load(io.BytesIO(content), allow_pickle=False) as saved:
        assert {saved[name].dtype.kind for name in saved} == {"U", "f"}


def test_a_restart_with_short_history_shifts_no_settled_value():
    bars = random_bars(1500, seed=8)
    names = ["ema_30", "rsi_14", "atr_14"]
    restarted = FeatureStream.from_history(bars[700:], names)
    assert restarted.is_settled
    bar = random_bars(1501, seed=8)[1500:]
    later = Bar(int(bars.open_time[-1]) + bars.interval_ns, *next(iter(bar))[1:])
    whole = FeatureStream.from_history(bars, names).update(later)
    np.testing.assert_allclose(restarted.update(later), whole, rtol=1e-9)
    assert np.isfinite(compute_features(bars, names).values[-1]).all()
