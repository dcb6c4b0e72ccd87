"""The specification's strategies on data beyond candles, each on a few bars worked out by hand."""

import numpy as np
import pytest

from crypto_bot.strategies import get_strategy
from strategies.markets import by_hand

NAN = float("nan")


def test_lstm_bot_takes_the_sign_once_its_sequence_is_whole():
    columns = {"p_up": [0.9, 0.6, 0.2, 0.5, NAN, 0.1], "p_down": [0.1, 0.3, 0.7, 0.45, NAN, 0.05]}
    found = by_hand("lstm_bot", columns, look_back=2)
    assert found == ([0, 1, -1, 0, 0, 0], [0, 0.3, 0.5, 0, 0, 0])
    assert by_hand("lstm_bot", columns, look_back=2, threshold=0.4)[0] == [0, 0, -1, 0, 0, 0]
    assert by_hand("lstm_bot", columns, look_back=3)[0] == [0, 0, -1, 0, 0, 0]
    assert get_strategy("lstm_bot").lookback_bars() == 50


def book_columns(**changes):
    """The micro price rises from 100 to 100.025 while the book leans to the bid by half."""
    base = {
        "best_bid": [99.99, 100.01], "best_ask": [100.01, 100.03],
        "bid_size": [1, 3], "ask_size": [1, 1], "book_age_seconds": [0, 0.2],
    }  # fmt: skip
    return base | changes


def test_hft_engine_goes_with_a_fresh_book():
    assert by_hand("hft_engine", book_columns()) == ([0, 1], [0, 0.50625])
    falling = {"best_bid": [99.99, 99.97], "best_ask": [100.01, 99.99], "bid_size": [1, 1]}
    falling |= {"ask_size": [1, 3]}
    assert by_hand("hft_engine", book_columns(**falling)) == ([0, -1], [0, 0.50625])


@pytest.mark.parametrize(
    ("changes", "parameters"),
    [
        ({"book_age_seconds": [0, 1.1]}, {"ttl_seconds": 2}),
        ({"book_age_seconds": [1.1, 0]}, {"ttl_seconds": 2}),
        ({"bid_size": [1, 1.1], "ask_size": [1, 0.9]}, {"imbalance_min": 0.0}),
        ({"best_bid": [99.99, 99.99], "best_ask": [100.01, 100.01]}, {"momentum_min_bp": 0.0}),
    ],
)
def test_hft_engine_needs_freshness_lean_and_momentum(changes, parameters):
    assert by_hand("hft_engine", book_columns(**changes))[0] == [0, 0]
    assert by_hand("hft_engine", book_columns(**changes), **parameters)[0] == [0, 1]


@pytest.mark.parametrize(
    "changes",
    [
        {"best_bid": [99.99, 100.04]},
        {"bid_size": [1, 0], "ask_size": [1, 0]},
        {"bid_size": [1, 1], "ask_size": [1, 3]},
        {"best_ask": [100.01, np.inf]},
        {"ask_size": [1, -0.5]},
        {"book_age_seconds": [0, -1]},
        *({name: [NAN, value[1]]} for name, value in book_columns().items()),
        *({name: [value[0], NAN]} for name, value in book_columns().items()),
    ],
)
def test_hft_engine_has_no_intent_on_a_book_that_is_crossed_empty_or_missing(changes):
    assert by_hand("hft_engine", book_columns(**changes))[0] == [0, 0]


def test_hft_engine_compares_with_the_book_it_is_told_to():
    columns = {name: [*values, values[1]] for name, values in book_columns().items()}
    assert by_hand("hft_engine", columns)[0] == [0, 1, 0]
    assert by_hand("hft_engine", columns, momentum_bars=2)[0] == [0, 0, 1]


def quote_columns(**changes):
    base = {"best_bid": 99.98, "best_ask": 100.02, "bid_size": [9, 7, 1], "ask_size": [1, 3, 9]}
    return base | changes


def test_maker_spread_quotes_the_side_that_pays():
    # A micro price of 100.016 is 3.6 bp above the bid: more than the fee of 2 and a margin of 1.
    assert by_hand("maker_spread", quote_columns()) == ([1, 0, -1], [0.4, 0, 0.4])


@pytest.mark.parametrize(
    ("parameters", "direction"),
    [
        ({"maker_fee_bp": 1.5}, [1, 1, -1]),
        ({"margin_bp": 0.5}, [1, 1, -1]),
        ({"margin_bp": 2.0}, [0, 0, 0]),
        ({"imbalance_min": 0.9}, [0, 0, 0]),
        ({"spread_max_bp": 3.9}, [0, 0, 0]),
    ],
)
def test_maker_spread_needs_a_narrow_book_an_edge_and_a_lean(parameters, direction):
    assert by_hand("maker_spread", quote_columns(), **parameters)[0] == direction


@pytest.mark.parametrize(
    "changes", [{"best_bid": 100.02}, {"best_bid": NAN}, {"bid_size": NAN}, {"best_bid": 0}]
)
def test_maker_spread_quotes_into_no_book_that_is_crossed_or_missing(changes):
    assert by_hand("maker_spread", quote_columns(**changes))[0] == [0, 0, 0]


OTHER = np.array([100.0, 102, 100, 102, 100, 102, 100, 102])
PAIR = {"window": 5, "entry_z": 1.9}


def pair_columns(**changes):
    """Twice the other price, but 1 % dearer at bar 6."""
    close = 2 * OTHER * np.where(np.arange(8) == 6, 1.01, 1.0)
    return {"close": close, "other_close": OTHER, **changes}


def test_stat_arb_bot_sells_the_dearer_of_two_until_they_meet():
    # The log ratios of the window are 0 0 0 0 d: z is 0.8 / 0.4.
    found = by_hand("stat_arb_bot", pair_columns(), **PAIR)
    assert found == ([0, 0, 0, 0, 0, 0, -1, 0], [0, 0, 0, 0, 0, 0, 0.526316, 0])
    cheap = pair_columns(close=2 * OTHER * np.where(np.arange(8) == 6, 0.99, 1.0))
    assert by_hand("stat_arb_bot", cheap, **PAIR)[0] == [0, 0, 0, 0, 0, 0, 1, 0]


def test_stat_arb_bot_needs_distance_and_correlation():
    assert by_hand("stat_arb_bot", pair_columns(), window=5, entry_z=2.1)[0] == [0] * 8
    # The five returns that end at bar 6 correlate by 0.98.
    assert by_hand("stat_arb_bot", pair_columns(), **PAIR, correlation_min=0.97)[0][6] == -1
    assert by_hand("stat_arb_bot", pair_columns(), **PAIR, correlation_min=0.99)[0] == [0] * 8


def test_stat_arb_bot_does_not_depend_on_the_scale_of_either_price():
    one = by_hand("stat_arb_bot", pair_columns(), **PAIR)
    dear = by_hand("stat_arb_bot", pair_columns(other_close=1e4 * OTHER), **PAIR)
    assert one == dear


@pytest.mark.parametrize("bad", [NAN, 0.0, -1.0, np.inf])
def test_stat_arb_bot_has_no_side_while_its_window_lacks_a_price(bad):
    other = np.where(np.arange(8) == 3, bad, OTHER)
    assert by_hand("stat_arb_bot", pair_columns(other_close=other), **PAIR)[0] == [0] * 8


def test_stat_arb_bot_ends_after_its_time_or_with_the_correlation():
    count = 40
    rng = np.random.default_rng(2)
    x = np.cumsum(0.01 * rng.normal(size=count))
    close = np.exp(x + 0.02 * (np.arange(count) >= 30))
    columns = {"close": 3 * close, "other_close": np.exp(x)}
    assert by_hand("stat_arb_bot", columns, correlation_min=-1)[0][29:] == [0] + [-1] * 10
    brief = by_hand("stat_arb_bot", columns, correlation_min=-1, hold_bars=1, entry_z=2.3)[0]
    assert 1 <= sum(np.abs(brief)) < 10
    own = np.exp(np.where(np.arange(count) <= 31, x, np.cumsum(0.01 * rng.normal(size=count))))
    lost = columns | {"other_close": own}
    assert by_hand("stat_arb_bot", lost, correlation_min=0.5)[0][-1] == 0


def plain_spread_z(close, other, window, is_hedged):
    x, y = np.log(close), np.log(other)
    z = np.full(len(x), NAN)
    for t in range(window, len(x)):
        px, py = x[t - window + 1 : t + 1], y[t - window + 1 : t + 1]
        slope = np.polyfit(py, px, 1)[0] if is_hedged else 1.0
        spread = px - slope * py
        z[t] = (spread[-1] - spread.mean()) / spread.std()
    return z


@pytest.mark.parametrize("spread", ["ratio", "hedge"])
def test_stat_arb_bot_s_spread_is_that_of_a_plain_computation(spread):
    rng = np.random.default_rng(7)
    y = np.cumsum(0.01 * rng.normal(size=3_000))
    x = 1.7 * y + 0.004 * rng.normal(size=3_000)
    close, other = 50 * np.exp(x), 3e4 * np.exp(y)
    z = plain_spread_z(close, other, 20, spread == "hedge")
    columns = {"close": close, "other_close": other}
    direction, score = by_hand("stat_arb_bot", columns, spread=spread, correlation_min=-1)
    entered = np.abs(z) >= 2.0
    assert entered.sum() > 50
    assert np.array_equal(np.array(direction)[entered], -np.sign(z[entered]))
    assert np.allclose(np.array(score)[entered], np.minimum(np.abs(z[entered]) / 4, 1), atol=1e-6)


def test_stat_arb_bot_trades_one_asset_only_when_told_to():
    columns = {"close": 1, "zscore_20": [0, -2, -1, 0.5, 2, 1, -0.1, -2, NAN, -1]}
    found = by_hand("stat_arb_bot", columns, mode="single")
    assert found[0] == [0, 1, 1, 0, -1, -1, 0, 1, 0, 0]
    assert found[1][:3] == [0, 0.5, 0.25]
    assert by_hand("stat_arb_bot", columns, mode="single", hold_bars=1)[0][:3] == [0, 1, 0]
    assert by_hand("stat_arb_bot", columns, mode="single", exit_z=1.0)[0][:3] == [0, 1, 0]
    assert get_strategy("stat_arb_bot").needs != ()
    assert get_strategy("stat_arb_bot", mode="single").needs == ()


def venue_columns(**changes):
    return {"close": 100, "other_venue_close": [100, 100.8, 100.3, 100.01, 99.2, 99.21]} | changes


def test_cross_chain_arb_bot_trades_towards_the_other_venue_until_they_meet():
    direction, score = by_hand("cross_chain_arb_bot", venue_columns())
    assert direction == [0, 1, 1, 0, -1, -1]
    assert score[1] == pytest.approx((1 - 100 / 100.8 - 0.002) / 0.01, abs=1e-6)
    assert by_hand("cross_chain_arb_bot", venue_columns(), hold_bars=1)[0] == [0, 1, 0, 0, -1, -1]


@pytest.mark.parametrize(
    ("parameters", "direction"),
    [
        ({"cost_frac": 0.01}, [0, 0, 0, 0, 0, 0]),
        ({"spread_frac": 0.01}, [0, 0, 0, 0, 0, 0]),
        ({"spread_frac": 0.004, "exit_frac": 0.0035}, [0, 1, 0, 0, -1, -1]),
    ],
)
def test_cross_chain_arb_bot_needs_a_spread_beyond_its_costs(parameters, direction):
    assert by_hand("cross_chain_arb_bot", venue_columns(), **parameters)[0] == direction


def test_cross_chain_arb_bot_trusts_no_wrong_or_stale_price():
    wrong = venue_columns(other_venue_close=[100.8, 120, 100.3, 0, 100.8, np.inf])
    assert by_hand("cross_chain_arb_bot", wrong)[0] == [1, 0, 0, 0, 1, 0]
    assert by_hand("cross_chain_arb_bot", wrong, broken_frac=0.2)[0] == [1, 1, 1, 0, 1, 0]
    stale = venue_columns(other_venue_close=[100.8, 100.8, 100.8, 100.8, 100.9])
    assert by_hand("cross_chain_arb_bot", stale, stale_bars=3)[0] == [1, 1, 0, 0, 1]
    assert by_hand("cross_chain_arb_bot", stale)[0] == [1, 1, 1, 1, 1]


def drift_columns(**changes):
    fast = [100, 100.2, 100.3, 100.25, 99.5]
    return {"close": 100, "ema_3": fast, "ema_10": 100, "gas_gwei": 10} | changes


def test_dex_scalper_goes_with_averages_that_drift_apart():
    found = by_hand("dex_scalper", drift_columns())
    assert found == ([0, 1, 1, 0, -1], [0, 0.5, 0.75, 0, 1])


@pytest.mark.parametrize("gas", [10.1, NAN, -1.0])
def test_dex_scalper_stays_out_while_gas_is_dear_or_unknown(gas):
    assert by_hand("dex_scalper", drift_columns(gas_gwei=gas))[0] == [0] * 5
    one_bar = drift_columns(gas_gwei=[5, gas, 5, 5, 5])
    assert by_hand("dex_scalper", one_bar)[0] == [0, 0, 1, 0, -1]


def test_dex_scalper_needs_a_distance_and_all_numbers():
    assert by_hand("dex_scalper", drift_columns(), divergence_frac=0.0025)[0] == [0, 0, 1, 0, -1]
    assert by_hand("dex_scalper", drift_columns(gas_gwei=20), gas_max_gwei=20)[0] == [
        0,
        1,
        1,
        0,
        -1,
    ]
    assert by_hand("dex_scalper", drift_columns(ema_3=[NAN] * 5))[0] == [0] * 5
