"""The specification's strategies on candles, each on a few bars worked out by hand."""

import numpy as np
import pytest

from crypto_bot.strategies import get_strategy
from crypto_bot.strategies.kernel_price import kernel_weights
from strategies.markets import by_hand

NAN = float("nan")


def grid_columns(close, **changes):
    """VWAP 100, steps of 0.3 %, levels at 0.3, 0.6 and 0.9; no squeeze, a far channel."""
    quiet = {
        "vwap_20": 100, "atr_frac_14": 0.0, "atr_12": 1, "volume_ratio_20": 2,
        "bb_upper_12": 110, "bb_lower_12": 90, "keltner_upper_12": 101, "keltner_lower_12": 99,
        "donchian_high_30": 101, "donchian_low_30": 99,
    }  # fmt: skip
    return {"close": close, **quiet, **changes}


SQUEEZE = {"bb_upper_12": 100.5, "bb_lower_12": 99.5}


def test_grid_bot_trades_the_edge_and_closes_leg_by_leg():
    down = [100, 99.5, 99.09, 99.35, 99.5, 99.75, 99.95, 100, 99.5]
    third = round(1 / 3, 6)
    scores = [0, 0, 1, 1, round(2 / 3, 6), third, third, 0, 0]
    assert by_hand("grid_bot", grid_columns(down)) == ([0, 0, 1, 1, 1, 1, 1, 0, 0], scores)
    up = [200 - price for price in down]
    assert by_hand("grid_bot", grid_columns(up)) == ([0, 0, -1, -1, -1, -1, -1, 0, 0], scores)


def test_grid_bot_widens_its_steps_with_volatility():
    assert by_hand("grid_bot", grid_columns([99.09]))[0] == [1]
    assert by_hand("grid_bot", grid_columns([99.09], atr_frac_14=0.005))[0] == [0]
    assert by_hand("grid_bot", grid_columns([99.09]), step_min_frac=0.004)[0] == [0]
    assert by_hand("grid_bot", grid_columns([99.09], atr_frac_14=0.005), step_atr=0.5)[0] == [1]


def test_grid_bot_can_trade_inside_the_edge_and_with_fewer_legs():
    assert by_hand("grid_bot", grid_columns([99.5])) == ([0], [0])
    assert by_hand("grid_bot", grid_columns([99.5]), edge_frac=0.5) == ([1], [0.333333])
    assert by_hand("grid_bot", grid_columns([99.09]), max_legs=1) == ([1], [0.333333])
    assert by_hand("grid_bot", grid_columns([99.5]), side_levels=1) == ([0], [0])


def test_grid_bot_opens_and_closes_legs_exactly_on_their_levels():
    step = 2.0**-6
    closes = 1024 * (1 - step * np.array([2.0, 1.0, 0.5, 0.0, 1.0]))
    columns = grid_columns(closes, vwap_20=1024)
    found = by_hand("grid_bot", columns, step_min_frac=step, side_levels=2)
    assert found == ([1, 1, 1, 0, 0], [1, 0.5, 0.5, 0, 0])


def test_grid_bot_wants_a_leg_for_a_limited_time():
    closes = [99.09, 99.35, 99.35]
    assert by_hand("grid_bot", grid_columns(closes))[0] == [1, 1, 1]
    assert by_hand("grid_bot", grid_columns(closes), hold_bars=2)[0] == [1, 1, 0]


def test_grid_bot_drops_its_legs_where_the_range_breaks():
    assert by_hand("grid_bot", grid_columns([99.09, 98.5, 99.35]))[0] == [1, 0, 0]
    assert by_hand("grid_bot", grid_columns([99.09, 98.5, 99.35]), breakout_ratio=2)[0] == [1, 1, 1]


def test_grid_bot_follows_a_breakout_while_the_price_stays_beyond():
    closes, volume = [101.5, 101.6, 101.2], [2, 1, 1]
    columns = grid_columns(closes, volume_ratio_20=volume, **SQUEEZE)
    direction, score = by_hand("grid_bot", columns)
    assert direction == [1, 1, -1]
    assert score == [0.555556, 0.592593, 1]
    assert by_hand("grid_bot", columns, hold_bars=1)[0] == [1, 0, -1]
    for broken in ({"volume_ratio_20": 1}, {"bb_upper_12": 110}, {"donchian_high_30": 102}):
        assert by_hand("grid_bot", columns | broken)[0] == [0, 0, -1]
    assert by_hand("grid_bot", grid_columns([98.5, 101.5], **SQUEEZE))[0] == [-1, 1]


def test_grid_bot_forgets_an_old_squeeze():
    upper = [100.5, 110, 110, 110]
    columns = grid_columns([100, 100, 100, 101.5], **SQUEEZE | {"bb_upper_12": upper})
    assert by_hand("grid_bot", columns, breakout_memory_bars=3)[0] == [0, 0, 0, 0]
    assert by_hand("grid_bot", columns, breakout_memory_bars=4)[0] == [0, 0, 0, 1]


@pytest.mark.parametrize("name", ["vwap_20", "atr_frac_14", "donchian_low_30"])
def test_grid_bot_loses_its_legs_where_a_number_is_missing(name):
    columns = grid_columns([99.09, 99.35, 99.35])
    columns[name] = [columns[name], NAN, columns[name]]
    assert by_hand("grid_bot", columns)[0] == [1, 0, 0]


def body_columns(close, **changes):
    base = {"open": 100, "close": close, "volume": 1, "atr_14": 1, "volume_ratio_20": 1.5}
    return base | changes


def test_sniper_bot_goes_with_an_outsized_body_for_its_time():
    columns = body_columns([100, 102, 100, 100, 98])
    direction, score = by_hand("sniper_bot", columns, hold_bars=2)
    assert direction == [0, 1, 1, 0, -1]
    assert score == [0, 0.666667, 0.666667, 0, 0.666667]


@pytest.mark.parametrize(
    "changes",
    [{"close": [100, 101.5]}, {"volume_ratio_20": 1.49}, {"atr_14": [NAN, 1]}, {"atr_14": [2, 1]}],
)
def test_sniper_bot_needs_body_and_volume(changes):
    assert by_hand("sniper_bot", body_columns([100, 102]))[0] == [0, 1]
    assert by_hand("sniper_bot", body_columns([100, 102]) | changes)[0] == [0, 0]


def test_sniper_bot_measures_a_body_by_the_bars_before_it():
    assert by_hand("sniper_bot", body_columns([100, 102], atr_14=[1, 9]))[0] == [0, 1]
    assert by_hand("sniper_bot", body_columns([102]))[0] == [0]


def listing_columns(close, volume, age=None):
    age = np.arange(len(close)) if age is None else age
    return {"open": 1, "close": close, "volume": volume, "listing_age_bars": age}


def test_sniper_bot_follows_a_new_listing_that_runs():
    close, volume = [100, 101, 102, 104, 106, 105], [10, 10, 10, 15, 15, 14]
    found = by_hand("sniper_bot", listing_columns(close, volume), mode="listing", hold_bars=1)
    assert found == ([0, 0, 0, 0, 1, 0], [0, 0, 0, 0, 0.6, 0])
    close = [100, 99, 98, 97, 94, 96]
    found = by_hand("sniper_bot", listing_columns(close, volume), mode="listing", hold_bars=2)
    assert found[0] == [0, 0, 0, 0, -1, -1]


def listing(close, volume, age=None, **parameters):
    return by_hand("sniper_bot", listing_columns(close, volume, age), mode="listing", **parameters)[
        0
    ]


def test_sniper_bot_needs_a_move_volume_and_youth():
    jump, volume = [100, 100, 100, 100, 110], [10, 10, 10, 10, 15]
    assert listing(jump, volume) == [0, 0, 0, 0, 1]
    assert listing(jump, [10, 10, 10, 10, 14.9]) == [0, 0, 0, 0, 0]
    assert listing([100, 100, 100, 100, 104.9], volume) == [0, 0, 0, 0, 0]
    assert listing(jump, volume, base_bars=4) == [0, 0, 0, 0, 1]
    assert listing([100, 100, 110], [10, 10, 100]) == [0, 0, 0], "within the first bars"
    late = [100] * 6 + [110]
    assert listing(late, [10] * 6 + [15], listing_bars=6)[-1] == 1
    assert listing(late, [10] * 6 + [15], listing_bars=5)[-1] == 0


def test_sniper_bot_takes_no_slice_of_an_old_market_for_a_listing():
    jump, volume = [100, 100, 100, 100, 110], [10, 10, 10, 10, 15]
    assert listing(jump, volume, age=np.arange(5) + 400) == [0] * 5
    assert listing(jump, volume, age=np.arange(5) + 3) == [0] * 5, "its first bars are not given"
    assert listing(jump, volume, age=[0, 1, 2, 3, NAN]) == [0] * 5
    before = [NAN, NAN, 0, 1, 2, 3, 4]
    assert listing([50, 50, *jump], [99, 99, *volume], age=before) == [0] * 6 + [1]


def scalp_columns(**changes):
    base = {
        "open": 100, "high": 100.6, "low": 99.9, "close": 100.5, "ema_2": 100.2, "ema_5": 100,
        "ema_60": 99, "atr_frac_14": 0.005, "volume_z_20": -0.5,
    }  # fmt: skip
    return base | changes


MIRRORED = {"high": 100.1, "low": 99.4, "close": 99.5, "ema_2": 99.8, "ema_60": 101}


def test_micro_scalp_bot_rides_a_confirmed_move():
    assert by_hand("micro_scalp_bot", scalp_columns()) == ([1], [0.39801])
    assert by_hand("micro_scalp_bot", scalp_columns(**MIRRORED)) == ([-1], [0.40201])


@pytest.mark.parametrize(
    ("changes", "parameters"),
    [
        ({"ema_60": 100.6}, {"trend_bars": 60}),
        ({"volume_z_20": -0.6}, {"volume_z_min": -0.7}),
        ({"atr_frac_14": 0.0009}, {"atr_frac_min": 0.0}),
        ({"high": 102}, {"wick_frac_max": 1.0}),
        ({"ema_2": 100.04}, {"momentum_atr": 0.01}),
    ],
)
def test_micro_scalp_bot_needs_every_filter(changes, parameters):
    assert by_hand("micro_scalp_bot", scalp_columns(**changes))[0] == [0]
    if "ema_60" not in changes:
        assert by_hand("micro_scalp_bot", scalp_columns(**changes), **parameters)[0] == [1]
    for name in ("ema_2", "ema_5", "ema_60", "atr_frac_14", "volume_z_20"):
        assert by_hand("micro_scalp_bot", scalp_columns(**{name: NAN}))[0] == [0]


def test_micro_scalp_bot_asks_the_book_only_if_told_to():
    sizes = {"bid_size": [6, 7, 0, NAN], "ask_size": [5, 5, 0, 5]}
    assert by_hand("micro_scalp_bot", scalp_columns(**sizes))[0] == [1, 1, 1, 1]
    assert by_hand("micro_scalp_bot", scalp_columns(**sizes), book="imbalance")[0] == [0, 1, 0, 0]
    short = scalp_columns(**MIRRORED, bid_size=[5, 5], ask_size=[7, 4])
    assert by_hand("micro_scalp_bot", short, book="imbalance")[0] == [-1, 0]
    assert get_strategy("micro_scalp_bot").needs == ()


FALLEN = {
    "open": [103.2, 103, 102, 101, 102.2, 102.5],
    "high": [103.3, 103.1, 102.1, 102.3, 102.6, 103.1],
    "low": [102.9, 101.8, 100.7, 100.8, 102.1, 102.4],
    "close": [103, 102, 101, 102.2, 102.5, 103],
    "rsi_z_14": [0, -0.5, -1.5, 0, 0, 0],
    "volume_z_20": [0, 0, 0, 2, 0, 0],
}


def changed(columns, **changes):
    """The columns with some values replaced, given as name -> {bar: value}."""
    found = {name: list(values) for name, values in columns.items()}
    for name, values in changes.items():
        for bar, value in values.items():
            found[name][bar] = value
    return found


def mirrored(columns):
    """The same market upside down."""
    found = {name: [200 - value for value in columns[name]] for name in ("open", "close")}
    found["high"] = [200 - value for value in columns["low"]]
    found["low"] = [200 - value for value in columns["high"]]
    found["rsi_z_14"] = [-value for value in columns["rsi_z_14"]]
    return found | {"volume_z_20": columns["volume_z_20"]}


def test_bounce_scalper_buys_the_turn_for_its_time():
    found = by_hand("bounce_scalper", FALLEN, hold_bars=2)
    assert found == ([0, 0, 0, 1, 1, 0], [0, 0, 0, 0.583333, 0.583333, 0])
    found = by_hand("bounce_scalper", mirrored(FALLEN), hold_bars=2)
    assert found == ([0, 0, 0, -1, -1, 0], [0, 0, 0, 0.583333, 0.583333, 0])


def test_bounce_scalper_gives_up_below_the_turn():
    broken = changed(FALLEN, close={4: 100.69}, low={4: 100.5})
    assert by_hand("bounce_scalper", broken)[0] == [0, 0, 0, 1, 0, 0]
    held = changed(FALLEN, close={4: 100.71}, low={4: 100.5})
    assert by_hand("bounce_scalper", held)[0] == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize(
    ("changes", "parameters"),
    [
        ({"volume_z_20": {3: 1.5}}, {"volume_z_min": 1.4}),
        ({"rsi_z_14": {2: -0.9}}, {"rsi_z_min": 0.9}),
        ({"low": {3: 100.6}}, {"higher_low": False}),
        ({"close": {0: 101.5}}, {"down_bars": 1}),
        ({"close": {3: 101.9}}, {"pattern": "none"}),
    ],
)
def test_bounce_scalper_needs_every_condition(changes, parameters):
    columns = changed(FALLEN, **changes)
    assert by_hand("bounce_scalper", columns)[0][3] == 0
    assert by_hand("bounce_scalper", columns, **parameters)[0][3] == 1
    assert by_hand("bounce_scalper", mirrored(columns))[0][3] == 0
    assert by_hand("bounce_scalper", mirrored(columns), **parameters)[0][3] == -1


def test_bounce_scalper_needs_a_close_against_the_fall():
    assert by_hand("bounce_scalper", changed(FALLEN, close={3: 101}), pattern="none")[0][3] == 0


def test_bounce_scalper_tells_its_patterns_apart():
    hammer = changed(FALLEN, open={3: 101.3}, close={3: 101.5}, high={3: 101.6})
    for columns, kind in ((FALLEN, "engulfing"), (hammer, "hammer")):
        for pattern in ("engulfing", "hammer", "either", "none"):
            found = by_hand("bounce_scalper", columns, pattern=pattern)[0][3]
            assert found == (pattern in (kind, "either", "none"))


def crash_columns(**changes):
    base = {
        "close": [100, 88, 90, 93.9, 94, 90], "return_1": [0, -0.12, 0.02, 0.04, 0, -0.04],
        "volume_ratio_20": 5, "ema_200": 101,
    }  # fmt: skip
    return base | changes


@pytest.mark.parametrize(
    ("low", "high", "turns"), [(100.8, 101.6, 1), (101.0, 101.6, 0), (100.8, 101.8, 0)]
)
def test_bounce_scalper_s_hammer_has_a_long_wick_behind_and_a_short_one_ahead(low, high, turns):
    hammer = changed(FALLEN, open={3: 101.3}, close={3: 101.5}, high={3: high}, low={3: low})
    assert by_hand("bounce_scalper", hammer, pattern="hammer")[0][3] == turns
    assert by_hand("bounce_scalper", mirrored(hammer), pattern="hammer")[0][3] == -turns


def test_flash_crash_bot_buys_a_crash_until_half_of_it_is_regained():
    found = by_hand("flash_crash_bot", crash_columns())
    assert found == ([0, 1, 1, 1, 0, 0], [0, 0.6, 0.6, 0.6, 0, 0])
    assert by_hand("flash_crash_bot", crash_columns(), recovery_frac=1)[0] == [0, 1, 1, 1, 1, 1]
    assert by_hand("flash_crash_bot", crash_columns(), hold_bars=2)[0] == [0, 1, 1, 0, 0, 0]


@pytest.mark.parametrize(
    "changes",
    [{"volume_ratio_20": 4.99}, {"ema_200": 88}, {"return_1": -0.0999}, {"ema_200": NAN}],
)
def test_flash_crash_bot_needs_every_condition(changes):
    assert by_hand("flash_crash_bot", crash_columns(**changes))[0] == [0] * 6


def plain_residual_z(close, window, length_bars, noise, z_bars):
    """The kernel regression solved anew at every bar, and its residual's z-score."""
    residual = np.full(len(close), NAN)
    for t in range(window - 1, len(close)):
        past = close[t - window + 1 : t + 1]
        place = np.arange(window)
        kernel = np.exp(-((place[:, None] - place) ** 2) / (2 * length_bars**2))
        fitted = kernel[-1] @ np.linalg.inv(kernel + noise * np.eye(window)) @ (past - past.mean())
        residual[t] = close[t] - past.mean() - fitted
    z = np.full(len(close), NAN)
    for t in range(window + z_bars - 2, len(close)):
        seen = residual[t - z_bars + 1 : t + 1]
        z[t] = (residual[t] - seen.mean()) / seen.std()
    return z


SMALL = {"window": 5, "length_bars": 2.0, "noise": 0.5, "z_bars": 5}
DROP = np.array(
    [100, 100.1, 100, 100.1, 100, 100.1, 100, 100.1, 100, 97, 97.5, 99.9, 100, 110, 100]
)


def range_columns(**changes):
    wave = np.array([1.0, 1.1, 0.9, 1.1, 0.9] * 3) * 0.01
    return {"close": DROP, "atr_frac_14": wave, "volume_z_20": 0.0, **changes}


def test_range_arb_bot_fades_what_leaves_its_kernel_price():
    z = plain_residual_z(DROP, *SMALL.values())
    columns = range_columns(atr_frac_14=np.where(np.arange(15) % 2, 0.01, 0.0101))
    direction, score = by_hand("range_arb_bot", columns, **SMALL)
    assert z[8:].round(1).tolist() == [-0.8, -2.0, 0.2, 1.5, 0.5, 1.8, -1.5]
    assert z[14] > -1.5 < 1.5 < z[11]
    assert direction == [0] * 9 + [1, 0, -1, -1, -1, 0]
    wanted = np.where(direction, np.abs(z) / 3, 0.0)
    assert score == pytest.approx(wanted.tolist(), abs=1e-6)


@pytest.mark.parametrize(
    ("changes", "parameters"),
    [
        ({"volume_z_20": 1.0}, {"volume_z_max": 1.1}),
        ({"atr_frac_14": np.where(np.arange(15) == 9, 0.02, 0.01)}, {"atr_z_max": 4.0}),
    ],
)
def test_range_arb_bot_enters_only_quiet_markets(changes, parameters):
    assert by_hand("range_arb_bot", range_columns(**changes), **SMALL)[0][9] == 0
    assert by_hand("range_arb_bot", range_columns(**changes), **SMALL, **parameters)[0][9] == 1


def test_range_arb_bot_wants_a_side_for_a_limited_time_and_stands_still_with_the_price():
    close = np.where(np.arange(15) < 9, DROP, 97 + 0.01 * np.arange(15))
    columns = range_columns(close=close, atr_frac_14=np.where(np.arange(15) % 2, 0.01, 0.0101))
    whole = by_hand("range_arb_bot", columns, **SMALL, exit_z=-1.0)[0]
    brief = by_hand("range_arb_bot", columns, **SMALL, exit_z=-1.0, hold_bars=1)[0]
    assert whole[9] == brief[9] == 1
    assert sum(brief) < sum(whole)
    flat = by_hand("range_arb_bot", range_columns(close=100 / 3), **SMALL)
    assert flat == ([0] * 15, [0] * 15)


def test_the_kernel_s_weights_are_a_mean_and_follow_the_present_with_little_noise():
    weights = kernel_weights(40, 10.0, 0.5)
    assert weights.sum() == pytest.approx(1.0, abs=1e-12)
    assert weights[-1] == max(weights)
    assert kernel_weights(40, 1.0, 0.01)[-1] > 0.9
    assert kernel_weights(40, 10.0, 10.0)[-1] < 0.2
