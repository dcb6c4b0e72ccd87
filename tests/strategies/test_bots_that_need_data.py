"""Bots that need an order book, another venue or a chain: by hand with it, refused without it."""

import numpy as np
import pytest

from crypto_bot.core.errors import DataError
from crypto_bot.strategies import get_strategy
from crypto_bot.strategies.needs import needed_columns
from crypto_bot.strategies.others_venues import triangular_price
from strategies.markets import random_bars
from strategies.test_rules import NAN, constant


def run(name, columns, **parameters):
    one = get_strategy(name, **parameters)
    assert set(columns) == {*one.features(), *one.prices, *needed_columns(one.needs)}
    signals = one.signals({key: np.array(values, float) for key, values in columns.items()})
    return signals.direction.tolist(), signals.score.round(6).tolist()


@pytest.mark.parametrize(
    ("name", "parameters", "data"),
    [
        ("market_making_bot", {}, "an order book"),
        ("arbitrage_engine", {}, "the prices of a second venue or chain"),
        ("arbitrage_engine", {"kind": "triangular"}, "the prices of two other pairs"),
        ("solana_scalping", {}, "the chain's fee"),
        ("sniper_solana", {}, "the time of the listing and the token's pool"),
        (
            "meme_sniper",
            {},
            "the time of the listing and the token's pool and who holds the token",
        ),
        ("tradingview_signals", {}, "TradingView alerts"),
    ],
)
def test_without_its_data_it_says_what_it_needs(name, parameters, data):
    one = get_strategy(name, **parameters)
    with pytest.raises(DataError, match=f"^{name} needs {data}: columns "):
        one.signals_on(random_bars(50, seed=1))


def book(bids, asks, **changes):
    base = {"best_bid": 99.95, "best_ask": 100.05, "return_std_20": 0.001}
    return constant(len(bids), bid_size=bids, ask_size=asks, **base | changes)


def test_market_making_bot_leans_with_the_book():
    columns = book([6, 4, 5, 5, 0], [4, 6, 5, 15, 0])
    assert run("market_making_bot", columns, imbalance_bars=1, imbalance_min=0.1) == (
        [1, -1, 0, -1, 0],
        [0.2, 0.2, 0, 0.5, 0],
    )
    mean = run("market_making_bot", book([8, 5, 5, 5], [2, 5, 5, 5]), imbalance_min=0.19)
    assert mean == ([0, 0, 1, 0], [0, 0, 0.2, 0])


@pytest.mark.parametrize(
    "changes",
    [
        {"best_ask": 99.98},
        {"best_ask": 101.5},
        {"best_bid": 100.05},
        {"best_bid": NAN},
        {"return_std_20": 0.021},
        {"return_std_20": NAN},
        {"bids": [6]},
        {"bids": [NAN]},
    ],
)
def test_market_making_bot_needs_every_condition(changes):
    bids = changes.pop("bids", [8])
    asks = [4] if bids == [6] else [2]
    parameters = {"imbalance_bars": 1, "imbalance_min": 0.3}
    assert run("market_making_bot", book([8], [2]), **parameters)[0] == [1]
    assert run("market_making_bot", book(bids, asks, **changes), **parameters)[0] == [0]


def gap_columns(other, close=100.0):
    return constant(len(other), other_venue_close=other, close=close)


def test_arbitrage_engine_waits_for_a_lasting_gap_beyond_the_costs():
    other = [100.4, 100.4, 100.31, 100.3, 100.4, 99.6, 99.6, NAN, 99.6]
    direction, score = run("arbitrage_engine", gap_columns(other))
    assert direction == [0, 1, 1, 0, 0, 0, -1, 0, 0]
    assert score == [0, 0.666667, 0.516667, 0, 0, 0, 0.666667, 0, 0]
    assert run("arbitrage_engine", gap_columns(other), confirm_bars=1)[0] == [
        *(1, 1, 1, 0, 1, -1, -1, 0, -1)
    ]
    assert run("arbitrage_engine", gap_columns(other), cost_frac=0.0035)[0] == [0] * 9


def test_arbitrage_engine_without_costs_has_a_whole_score():
    free = {"cost_frac": 0.0, "margin_frac": 0.0, "confirm_bars": 1}
    assert run("arbitrage_engine", gap_columns([100.01, 100, 99]), **free) == (
        [1, 0, -1],
        [1, 0, 1],
    )


def test_arbitrage_engine_compares_moves_for_latency():
    columns = gap_columns([101, 102.01, 102.01, 0, 50], [100, 100, 101, 101, 101])
    found = run("arbitrage_engine", columns, kind="latency", confirm_bars=1)[0]
    assert found == [0, 1, -1, -1, 0]


def test_arbitrage_engine_compares_with_two_other_pairs():
    implied = triangular_price(np.array([0.05, 0.05]), np.array([60_000.0, 60_300.0]))
    columns = {"implied_close": implied, "close": [3_000.0, 3_000.0]}
    found = run("arbitrage_engine", columns, kind="triangular", confirm_bars=1)
    assert found[0] == [0, 1]


def solana_columns(**changes):
    base = {"rsi_14": 30, "macd_hist_12_26_9": 0.1, "atr_frac_14": 0.01, "chain_fee_quote": 0.25}
    return constant(1, **base | changes)


def test_solana_scalping_turns_with_the_macd_while_the_fee_allows():
    # Two fees of .25 on 500 are .1 %, of the .25 % allowed.
    assert run("solana_scalping", solana_columns()) == ([1], [0.6])
    assert run("solana_scalping", solana_columns(rsi_14=70, macd_hist_12_26_9=-1))[0] == [-1]
    assert run("solana_scalping", solana_columns(chain_fee_quote=0.0))[1] == [1]


@pytest.mark.parametrize(
    "changes",
    [
        {"rsi_14": 40},
        {"macd_hist_12_26_9": 0},
        {"chain_fee_quote": 0.626},
        {"atr_frac_14": 0.0039},
        {"chain_fee_quote": -1},
        {"chain_fee_quote": NAN},
        {"rsi_14": NAN},
        {"atr_frac_14": 0},
    ],
)
def test_solana_scalping_needs_every_condition(changes):
    assert run("solana_scalping", solana_columns(**changes)) == ([0], [0])


def pool_columns(length=1, **changes):
    base = {"listing_age_bars": 5, "pool_liquidity_quote": 60_000, "pool_buys": 30}
    return constant(length, **base | {"pool_sells": 10} | changes)


def test_sniper_solana_buys_a_young_pool_until_it_is_drained():
    columns = pool_columns(5, pool_buys=[30, 10, 10, 10, 10])
    columns["pool_liquidity_quote"] = [60_000, 60_000, 50_000, 35_000, 35_000]
    assert run("sniper_solana", columns) == ([1, 1, 1, 0, 0], [0.75, 0.5, 0.5, 0, 0])
    assert run("sniper_solana", columns, hold_bars=2)[0] == [1, 1, 0, 0, 0]


@pytest.mark.parametrize(
    "changes",
    [
        {"listing_age_bars": 0},
        {"listing_age_bars": 121},
        {"pool_liquidity_quote": 49_999},
        {"pool_buys": 14},
        {"pool_buys": 0, "pool_sells": 0},
        {"pool_sells": NAN},
        {"listing_age_bars": NAN},
    ],
)
def test_sniper_solana_needs_every_condition(changes):
    assert run("sniper_solana", pool_columns(**changes)) == ([0], [0])


def test_sniper_solana_does_not_buy_into_a_pool_that_is_being_emptied():
    columns = pool_columns(2, pool_liquidity_quote=[100_000, 60_000])
    assert run("sniper_solana", columns)[0] == [1, 0]


def meme_columns(length=1, **changes):
    return pool_columns(length, return_5=0.01, top_holders_frac=0.3, **changes)


def test_meme_sniper_snipes_a_rise_that_many_share():
    columns = meme_columns(5) | {"return_5": [0.0, 0.01, -0.01, -0.02, 0]}
    assert run("meme_sniper", columns) == ([0, 1, 1, 0, 0], [0, 0.7, 0.7, 0, 0])
    avoided = meme_columns(3) | {"return_5": [0.01, 0, 0], "top_holders_frac": [0.3, 0.41, 0.3]}
    assert run("meme_sniper", avoided)[0] == [1, 0, 0]
    assert run("meme_sniper", columns, hold_bars=1)[0] == [0, 1, 0, 0, 0]


@pytest.mark.parametrize(
    "changes",
    [
        {"return_5": 0.009},
        {"top_holders_frac": 0.41},
        {"pool_liquidity_quote": 19_999},
        {"listing_age_bars": 301},
        {"pool_sells": 30},
        {"top_holders_frac": NAN},
        {"return_5": NAN},
    ],
)
def test_meme_sniper_needs_every_condition(changes):
    assert run("meme_sniper", meme_columns())[0] == [1]
    columns = meme_columns() | {name: [value] for name, value in changes.items()}
    assert run("meme_sniper", columns) == ([0], [0])
