"""Features of funding: of the payments made by the close, never of one to come."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crypto_bot.core.errors import ConfigError, DataError
from crypto_bot.core.funding import FundingRates
from crypto_bot.core.timeframes import HOUR_NS
from crypto_bot.features import FeatureStream, PanelStream, compute_features, compute_panel, feature
from features.sample_bars import random_bars
from reference.market_twins import last_payments

NAMES = ("funding_rate", "funding_mean_3", "funding_rate~2", "rsi_3")
BARS = replace(random_bars(200), timeframe="1h", open_time=np.arange(200) * HOUR_NS)
RATES = FundingRates(
    "BTC/USDT",
    np.arange(1, 21) * 8 * HOUR_NS,
    np.random.default_rng(4).normal(1e-4, 1e-4, 20),
)


def test_the_rate_is_that_of_the_last_payment_by_the_close():
    values = compute_features(BARS, NAMES, funding=RATES)
    for t, time in enumerate(BARS.close_time.tolist()):
        for name, count in (("funding_rate", 1), ("funding_mean_3", 3)):
            twin = last_payments(RATES, time, count)
            assert values.column(name)[t] == pytest.approx(twin, rel=1e-12, nan_ok=True)
    at_payment = 8 - 1
    assert BARS.close_time[at_payment] == RATES.time_ns[0]
    assert values.column("funding_rate")[at_payment] == RATES.rate[0]
    assert np.isnan(values.column("funding_rate")[at_payment - 1])


def test_a_payment_a_moment_after_the_close_is_not_known_yet():
    late = FundingRates("BTC/USDT", RATES.time_ns + 3_000_000, RATES.rate)
    values = compute_features(BARS, ["funding_rate"], funding=late).values[:, 0]
    assert np.isnan(values[7])
    assert values[8] == late.rate[0]


def test_other_payments_to_come_change_nothing():
    whole = compute_features(BARS, NAMES, funding=RATES).values
    for count in (5, 12):
        cut = int(RATES.time_ns[count])
        known = BARS.close_time < cut
        rate = RATES.rate.copy()
        rate[count:] = 0.5
        for other in (replace(RATES, rate=rate), RATES.between(0, cut - 1)):
            now = compute_features(BARS[: known.sum()], NAMES, funding=other).values
            assert np.array_equal(now, whole[known], equal_nan=True)


def test_rates_that_have_ended_are_not_carried_on_for_ever():
    values = compute_features(BARS, ["funding_rate"], funding=RATES).values[:, 0]
    last = int(np.searchsorted(BARS.close_time, RATES.time_ns[-1]))
    assert np.isfinite(values[last : last + 25]).all()
    assert np.isnan(values[last + 25 :]).all()


def test_funding_is_the_same_live_with_no_more_than_the_last_payments():
    wanted = compute_features(BARS, NAMES, funding=RATES).values
    stream = FeatureStream(NAMES, "1h")
    for t, bar in enumerate(BARS):
        if t == 120:
            stream = FeatureStream.from_history(BARS[:120], NAMES, funding=RATES)
        known = RATES.between(0, int(BARS.close_time[t]) + 16 * HOUR_NS)
        last = FundingRates("BTC/USDT", known.time_ns[-5:], known.rate[-5:])
        values = stream.update(bar, funding=last)
        assert np.array_equal(values, wanted[t], equal_nan=True), t


def test_a_panel_takes_each_pairs_own_payments():
    other = replace(
        random_bars(200, seed=9), symbol="ETH/USDT", timeframe="1h", open_time=BARS.open_time
    )
    rates = {"BTC/USDT": RATES, "ETH/USDT": FundingRates("ETH/USDT", RATES.time_ns, -RATES.rate)}
    names = ["funding_rate", "market_return_2"]
    tables = compute_panel([BARS, other], names, funding=rates)
    assert np.array_equal(tables[0].values[9:, 0], -tables[1].values[9:, 0], equal_nan=True)
    stream = PanelStream(names, rates, "1h")
    for t, (one, two) in enumerate(zip(BARS, other, strict=True)):
        live = stream.update({"BTC/USDT": one, "ETH/USDT": two}, funding=rates)
        for table, symbol in zip(tables, rates, strict=True):
            assert np.array_equal(live[symbol], table.values[t], equal_nan=True)
    with pytest.raises(
        DataError, match="ETH/USDT funding must be given for funding_rate, was None"
    ):
        compute_panel([BARS, other], names, funding={"BTC/USDT": RATES})


@pytest.mark.parametrize(
    ("rates", "message"),
    [
        (None, "BTC/USDT funding must be given for funding_rate, funding_mean_3, was None"),
        (RATES.between(0, 0), "BTC/USDT funding must be given .*, was without a payment"),
        (replace(RATES, symbol="ETH/USDT"), "BTC/USDT funding must be of that symbol, was of ETH"),
    ],
)
def test_missing_or_foreign_rates_are_refused(rates, message):
    with pytest.raises(DataError, match=message):
        compute_features(BARS, NAMES, funding=rates)


def test_a_stream_without_rates_is_refused_and_stays_as_it_was():
    stream = FeatureStream(["funding_rate"], "1h")
    saved = stream.to_bytes()
    with pytest.raises(DataError, match="the pair funding must be given for funding_rate"):
        stream.update(next(iter(BARS)))
    assert stream.to_bytes() == saved
    with pytest.raises(ConfigError, match="timeframe must be given for features of time"):
        FeatureStream(["funding_rate"])
    with pytest.raises(ConfigError, match="funding_rate must be of the bars' own timeframe"):
        feature("funding_rate@1d", "1h")
