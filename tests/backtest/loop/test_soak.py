"""The simulated day of `make soak`, shorter: no candle missed, every close in the journal."""

from __future__ import annotations

import pytest
from benchmarks.soak import DEADLINE_S, holds, soak


def test_an_hour_of_the_loop_misses_no_candle(tmp_path):
    figures = soak(tmp_path, hours=1.0, pairs=4, announce=lambda line: None)
    assert figures["closes"] >= 12
    assert figures["largest_gap_minutes"] == 5.0
    assert figures["candles_missing"] == 0
    assert figures["turns_done"] >= 1
    assert figures["trainings"] >= 1
    assert figures["symbol_bars_decided"] >= 12 * 4 - figures["candles_decided_late"]


@pytest.mark.slow
def test_a_day_of_twenty_pairs_keeps_every_deadline_in_flat_memory(tmp_path):
    figures = soak(tmp_path, announce=lambda line: None)
    assert figures["closes"] >= 288
    assert figures["lateness_p99_s"] <= DEADLINE_S
    assert holds(figures), figures
