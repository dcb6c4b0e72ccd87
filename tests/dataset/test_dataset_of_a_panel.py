"""Rows with features of the market and of funding: the panel's values, under a fingerprint of their own."""

from __future__ import annotations

import numpy as np
import pytest

from crypto_bot.core.errors import DataError
from crypto_bot.core.funding import FundingRates
from crypto_bot.dataset import build_dataset
from crypto_bot.features import compute_panel
from crypto_bot.market import SimulationOptions, simulate_market

PAIRS = simulate_market(SimulationOptions(symbols=3, bars=1_500, seed=5))
MARKET = ("rsi_14", "market_return_12", "return_rank_12", "beta_60")
EIGHT_HOURS_NS = 8 * 3_600 * 10**9


def test_a_name_of_the_market_is_computed_over_all_pairs():
    dataset = build_dataset(PAIRS[::-1], feature_names=MARKET)
    tables = {each.symbol: t for each, t in zip(PAIRS, compute_panel(PAIRS, MARKET), strict=True)}
    for row in range(0, len(dataset), 97):
        symbol = dataset.symbols[dataset.symbol_index[row]]
        wanted = tables[symbol].values[dataset.bar_index[row]]
        assert np.array_equal(dataset.features[row], wanted)


def test_rows_of_one_pair_have_no_market():
    with pytest.raises(DataError, match="at least two pairs for market_return_12, "):
        build_dataset(PAIRS[:1], feature_names=MARKET)


def test_rows_with_funding_are_other_rows_with_other_payments():
    times = np.arange(PAIRS[0].open_time[0], PAIRS[0].close_time[-1], EIGHT_HOURS_NS)
    rates = [
        {each.symbol: FundingRates(each.symbol, times, np.full(len(times), rate)) for each in PAIRS}
        for rate in (1e-4, 2e-4)
    ]
    names = ["rsi_14", "funding_rate"]
    one, same, other = (
        build_dataset(PAIRS, feature_names=names, funding=each)
        for each in (rates[0], dict(reversed(rates[0].items())), rates[1])
    )
    assert one.fingerprint == same.fingerprint != other.fingerprint
    assert set(one.features[:, 1]) == {1e-4}
    plain = build_dataset(PAIRS, feature_names=["rsi_14"])
    paid = build_dataset(PAIRS, feature_names=["rsi_14"], funding=rates[0])
    assert plain.fingerprint == paid.fingerprint
    with pytest.raises(DataError, match="funding must be given for funding_rate, was None"):
        build_dataset(PAIRS, feature_names=names)
    foreign = dict.fromkeys(rates[0], rates[0][PAIRS[0].symbol])
    with pytest.raises(DataError, match=r"funding .* of that symbol, was of"):
        build_dataset(PAIRS, feature_names=names, funding=foreign)
