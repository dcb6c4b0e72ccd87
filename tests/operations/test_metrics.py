"""The loop's metrics: named with units, documented, true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from crypto_bot import __version__
from crypto_bot.core.errors import ConfigError
from crypto_bot.core.timeframes import SECOND_NS, ReplayClock
from crypto_bot.operations import METRICS, LoopMetrics
from crypto_bot.operations.metrics import LATENESS_BUCKETS, _make

PAGE = Path(__file__).resolve().parents[2] / "docs" / "operations.md"
GPU = {"name": "NVIDIA H100", "load_percent": 40, "memory_used_gb": 2.0}


def filled():
    metrics = LoopMetrics(
        clock=ReplayClock(100 * SECOND_NS), memory=lambda: 123, devices=lambda: [GPU]
    )
    metrics.step_done("backtest", 3.0)
    metrics.step_failed("train", 1.0)
    for lateness in (0.2, 0.7, 1.2):
        metrics.bar_decided(lateness)
    metrics.bar_missed(2)
    metrics.model_in_service("BTC/USDT", 40 * SECOND_NS)
    metrics.training_done(50 * SECOND_NS)
    metrics.drift({"BTC/USDT": 0.3})
    metrics.alarms({"drift": 2})
    metrics.outbox(3, 1)
    metrics.account(10_500.0, 4)
    metrics.lease(is_held=True)
    return metrics


def samples(metrics):
    families = text_string_to_metric_families(metrics.exposition().decode())
    return {
        (s.name, *sorted(s.labels.items())): s.value for family in families for s in family.samples
    }


def test_every_metric_is_in_the_pages_table_and_the_page_names_no_other():
    rows = re.findall(r"^\| `(crypto_bot_\w+)` \| (\w+) \|", PAGE.read_text(), re.M)
    assert dict(rows) == {spec.name: spec.kind for spec in METRICS}
    assert len(rows) == len(METRICS)


def test_every_metric_shows_once_each_was_told_something():
    shown = {name for name, *_ in samples(filled())}
    for spec in METRICS:
        name = spec.name + ("_count" if spec.kind == "histogram" else "")
        assert name in shown, name


@pytest.mark.parametrize("spec", METRICS, ids=lambda spec: spec.name)
def test_a_metric_is_named_with_its_unit_and_says_what_it_is(spec):
    assert re.fullmatch(r"crypto_bot(_[a-z]+)+", spec.name)
    unit = spec.name.rsplit("_", 1)[1]
    units = {"seconds", "bytes", "ratio", "total", "info", "quote", "open", "messages", "held"}
    assert unit in units
    assert spec.text
    assert (spec.kind == "counter") == (unit == "total")


def test_the_values_are_what_was_told():
    shown = samples(filled())
    assert shown["crypto_bot_build_info", ("version", __version__)] == 1
    assert shown["crypto_bot_step_seconds_sum", ("step", "backtest")] == 3.0
    assert shown["crypto_bot_steps_failed_total", ("step", "train")] == 1
    assert shown["crypto_bot_bars_decided_total",] == 3
    assert shown["crypto_bot_bars_missed_total",] == 2
    assert shown["crypto_bot_bar_lateness_seconds_bucket", ("le", "1.0")] == 2
    assert shown["crypto_bot_model_age_seconds", ("symbol", "BTC/USDT")] == 60
    assert shown["crypto_bot_last_training_timestamp_seconds",] == 50
    assert shown["crypto_bot_outbox_messages", ("status", "dead")] == 1
    assert shown["crypto_bot_gpu_load_ratio", ("device", "0: NVIDIA H100")] == 0.4
    assert shown["crypto_bot_gpu_memory_used_bytes", ("device", "0: NVIDIA H100")] == 2**31
    assert shown["crypto_bot_resident_memory_bytes",] == 123
    assert shown["crypto_bot_equity_quote",] == 10_500
    assert shown["crypto_bot_lease_held",] == 1


def test_the_buckets_of_lateness_part_at_the_deadline():
    assert 1.0 in LATENESS_BUCKETS
    assert sum(0.1 <= bound <= 2.5 for bound in LATENESS_BUCKETS) >= 6


def test_percentiles_of_lateness_are_over_the_last_bars_alone():
    metrics = LoopMetrics(sampled=100)
    assert metrics.lateness_s(0.99) is None
    for hundredths in range(200):
        metrics.bar_decided(hundredths / 100)
    assert metrics.lateness_s(0.0) == 1.0
    assert metrics.lateness_s(0.5) == pytest.approx(1.49)
    assert metrics.lateness_s(0.99) == pytest.approx(1.98)
    assert metrics.lateness_s(1.0) == pytest.approx(1.99)
    with pytest.raises(ConfigError, match=r"share must be in 0\.\.1, was 99"):
        metrics.lateness_s(99)


def test_what_is_gone_is_shown_no_more():
    metrics = filled()
    metrics.exposition()
    metrics.model_withdrawn("BTC/USDT")
    metrics.model_withdrawn("BTC/USDT")
    metrics.alarms({})
    names = {name for name, *_ in samples(metrics)}
    assert not names & {"crypto_bot_model_age_seconds", "crypto_bot_alarms_open"}


def test_unknown_levels_are_left_out_rather_than_guessed():
    unknown = {"name": "AMD", "load_percent": None, "memory_used_gb": None}
    shown = samples(LoopMetrics(memory=lambda: 1, devices=lambda: [unknown]))
    assert {name for name, *_ in shown} == {
        "crypto_bot_build_info",
        "crypto_bot_resident_memory_bytes",
    }


def test_two_loops_in_one_process_share_nothing():
    LoopMetrics()
    first, second = LoopMetrics(), LoopMetrics()
    first.bar_decided(0.1)
    assert second.lateness_s(0.5) is None
    assert not any(m.name.startswith("crypto_bot_") for m in REGISTRY.collect())


def test_a_metric_that_is_not_declared_cannot_be_made():
    with pytest.raises(ConfigError, match="did you mean 'crypto_bot_lease_held'"):
        _make("crypto_bot_lease_hold", LoopMetrics().registry)
