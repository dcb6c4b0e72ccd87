"""A hold-out is spent by the first version judged on it."""

from __future__ import annotations

import pytest

from backtest.tiny import TINY, bench_in
from crypto_bot.backtest.hold_outs import USED, spend_hold_out
from crypto_bot.core.errors import DataError
from crypto_bot.core.timeframes import DAY_NS
from crypto_bot.market import SimulationOptions, simulate_market

BARS = simulate_market(SimulationOptions(symbols=1, timeframe="1h", bars=24 * 60))[0]
FIRST = int(BARS.open_time[0])
SYMBOL = BARS.symbol


def days(first, last):
    return BARS.between(FIRST + first * DAY_NS, FIRST + last * DAY_NS)


@pytest.fixture
def judged(tmp_path):
    """A journal, and a way to judge versions in it."""
    with bench_in(tmp_path, TINY) as bench:
        run_id = bench.journal.start_run("validation", {})

        def spend(version, unseen):
            spend_hold_out(bench, run_id, SYMBOL, version, unseen)
            return bench.journal.model_events(symbol=SYMBOL, event=USED)

        yield spend


def test_a_second_version_on_the_same_candles_is_refused_and_leaves_no_mark(judged):
    assert len(judged("v1", days(0, 20))) == 1
    with pytest.raises(
        DataError, match=r"hold-out from .* must judge at most 1 version, was spent on v1; give"
    ):
        judged("v2", days(0, 20))
    assert [event.version for event in judged("v1", days(0, 20))] == ["v1", "v1"]


def test_candles_that_are_mostly_newer_are_another_hold_out(judged):
    judged("v1", days(0, 20))
    assert len(judged("v2", days(11, 40))) == 2
    with pytest.raises(DataError, match="was spent on v2"):
        judged("v3", days(12, 40))


def test_more_uses_are_allowed_by_a_setting_only(tmp_path):
    values = {**TINY, "validation": {"folds": 2, "hold_out_uses": 2}}
    with bench_in(tmp_path, values) as bench:
        run_id = bench.journal.start_run("validation", {})
        for version in ("v1", "v2"):
            spend_hold_out(bench, run_id, SYMBOL, version, days(0, 20))
        with pytest.raises(DataError, match="at most 2 versions, was spent on v1, v2"):
            spend_hold_out(bench, run_id, SYMBOL, "v3", days(0, 20))
