"""Names, parameters and what is refused."""

import numpy as np
import pytest

from crypto_bot.core.errors import ConfigError, DataError
from crypto_bot.strategies import (
    StrategyParameters,
    get_strategy,
    list_strategies,
    strategy,
)
from crypto_bot.strategies.base import enrolled, whole_score

SPEC_NAMES = [
    "trend_bot",
    "momentum_bot",
    "mean_bot",
    "breakout_bot",
    "grid_bot",
    "sniper_bot",
    "micro_scalp_bot",
    "bounce_scalper",
    "dip_hunter",
    "flash_crash_bot",
    "lstm_bot",
    "hft_engine",
    "stat_arb_bot",
    "range_arb_bot",
    "cross_chain_arb_bot",
    "dex_scalper",
    "maker_spread",
]


def test_the_strategies_of_this_issue_exist():
    wanted = {"sma_cross", "ema_cross", "rsi", "trend_bot", "momentum_bot", "mean_bot"}
    assert wanted | {"breakout_bot", "dip_hunter", "model"} <= set(list_strategies())
    assert list(list_strategies()) == sorted(list_strategies())


def test_every_strategy_of_the_guides_exists():
    assert len(SPEC_NAMES) == 17
    assert set(SPEC_NAMES) <= set(list_strategies())


def test_the_guides_that_need_more_than_candles_say_so():
    needing = {name for name in SPEC_NAMES if get_strategy(name).needs}
    assert needing == {
        "lstm_bot", "hft_engine", "stat_arb_bot", "cross_chain_arb_bot", "dex_scalper",
        "maker_spread",
    }  # fmt: skip
    assert get_strategy("maker_spread").needs[0].data == "an order book"


def test_the_default_limits_of_the_other_bots_are_the_guides():
    def of(name, *fields):
        values = get_strategy(name).parameters
        return tuple(getattr(values, field) for field in fields)

    assert of("grid_bot", "side_levels", "step_min_frac", "step_atr") == (3, 0.003, 1.2)
    assert of("grid_bot", "breakout_ratio", "max_legs") == (1.5, 8)
    assert of("sniper_bot", "listing_bars", "move_frac", "volume_ratio_min") == (30, 0.05, 1.5)
    assert of("sniper_bot", "base_bars", "body_atr") == (3, 1.5)
    assert of("micro_scalp_bot", "fast", "slow", "atr_frac_min") == (2, 5, 0.001)
    assert of("micro_scalp_bot", "volume_z_min") == (-0.5,)
    assert of("bounce_scalper", "down_bars", "volume_z_min") == (2, 1.5)
    assert of("flash_crash_bot", "drop_frac", "volume_ratio_min", "trend_bars") == (0.1, 5, 200)
    assert of("lstm_bot", "look_back") == (50,)
    assert of("hft_engine", "ttl_seconds") == (1.0,)
    assert of("stat_arb_bot", "window", "entry_z", "correlation_min") == (20, 2.0, 0.8)
    assert of("range_arb_bot", "entry_z", "atr_z_max", "volume_z_max") == (1.5, 1.0, 1.0)
    assert of("dex_scalper", "fast", "slow", "gas_max_gwei") == (3, 10, 10)
    assert of("maker_spread", "spread_max_bp") == (10,)


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(ConfigError, match=r"strategy must be one of .*did you mean 'sma_cross'\?"):
        get_strategy("sma_cros")


@pytest.mark.parametrize(
    ("name", "features"),
    [
        ("sma_cross", ("sma_10", "sma_30")),
        ("ema_cross", ("ema_12", "ema_26")),
        ("rsi", ("rsi_14",)),
    ],
)
def test_the_defaults_are_the_guides(name, features):
    assert get_strategy(name).features() == features


def test_the_default_limits_are_the_guides():
    assert get_strategy("rsi").parameters.model_dump() == {
        "window": 14,
        "oversold": 30.0,
        "overbought": 70.0,
    }
    assert get_strategy("model").parameters.threshold == 0.6
    trend = get_strategy("trend_bot").parameters
    assert (trend.fast, trend.slow, trend.adx_min, trend.oversold, trend.overbought) == (
        3,
        10,
        15,
        30,
        70,
    )
    breakout = get_strategy("breakout_bot").parameters
    assert (breakout.squeeze_bars, breakout.keltner_atr, breakout.channel_bars) == (12, 1.5, 30)
    assert (breakout.buffer_atr, breakout.volume_ratio_min) == (0.05, 1.2)
    dip = get_strategy("dip_hunter").parameters
    assert (dip.dip_bars, dip.dip_frac, dip.rsi_max, dip.volume_ratio_min, dip.adx_max) == (
        3,
        0.03,
        30,
        1.5,
        25,
    )


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("sma_cross", {"fast": 30}, r"sma_cross.fast must be below slow \(30\), was 30"),
        ("ema_cross", {"slow": 5}, r"ema_cross.fast must be below slow \(5\), was 12"),
        ("sma_cross", {"fast": 1}, "sma_cross.fast must be greater than or equal to 2, was 1"),
        ("sma_cross", {"fast": 2.5}, "sma_cross.fast must .*valid integer.*was 2.5"),
        ("sma_cross", {"fas": 3}, "sma_cross.fas is not an option .*did you mean 'fast'"),
        ("rsi", {"overbought": 120}, "rsi.overbought must be less than or equal to 95, was 120"),
        (
            "rsi",
            {"oversold": 50, "overbought": 50},
            r"rsi.oversold must be below overbought \(50.0\)",
        ),
        ("model", {"threshold": float("nan")}, "model.threshold must be a finite number"),
        ("trend_bot", {"channel": "keltner"}, "trend_bot.channel must be 'none' or 'donchian'"),
        (
            "momentum_bot",
            {"rsi_short_max": 60},
            "momentum_bot.rsi_short_max must be below rsi_long_min",
        ),
        (
            "mean_bot",
            {"hold_bars": 0},
            "mean_bot.hold_bars must be greater than or equal to 1, was 0",
        ),
    ],
)
def test_a_wrong_parameter_is_named(name, parameters, message):
    with pytest.raises(ConfigError, match=message):
        get_strategy(name, **parameters)


def test_a_missing_column_is_named():
    with pytest.raises(DataError, match="columns must have sma_30 for sma_cross, was missing"):
        get_strategy("sma_cross").signals({"sma_10": np.ones(3)})


@pytest.mark.parametrize("bad", [np.ones(4), np.ones(3, np.float32), np.ones((3, 1))])
def test_a_column_of_another_shape_or_type_is_refused(bad):
    with pytest.raises(
        DataError, match=r"columns\['sma_30'\] must be float64 \(3,\) for sma_cross"
    ):
        get_strategy("sma_cross").signals({"sma_10": np.ones(3), "sma_30": bad})


def test_candles_alone_cannot_run_a_model():
    with pytest.raises(DataError, match="model needs a model's predictions: columns p_up, p_down"):
        get_strategy("model").signals_on(None)


def test_equal_parameters_make_equal_strategies():
    assert get_strategy("rsi") == get_strategy("rsi", window=14)
    assert hash(get_strategy("rsi")) == hash(get_strategy("rsi", window=14))
    assert get_strategy("rsi") != get_strategy("rsi", window=15)


class OneParameters(StrategyParameters):
    def features(self):
        return ("sma_5",)


def always_long(columns, parameters):
    """Want to be long, always."""
    return whole_score(np.ones(len(columns["sma_5"]), np.int8))


def test_a_strategy_of_ones_own_needs_only_the_decorator():
    enrol = strategy(
        "always_long", parameters=OneParameters, regime=("trending",), signal_exit="flat"
    )
    try:
        enrol(always_long)
        mine = get_strategy("always_long")
        assert mine.signals({"sma_5": np.ones(3)}).score.tolist() == [1, 1, 1]
        assert mine.summary == "Want to be long, always."
        assert mine.lookback_bars() == 1
    finally:
        enrolled().pop("always_long", None)


def test_a_taken_name_an_unknown_regime_and_an_unknown_column_are_refused():
    with pytest.raises(ConfigError, match="strategy name must be new, was 'rsi'"):
        strategy("rsi", parameters=OneParameters, regime=(), signal_exit="flat")(always_long)
    with pytest.raises(ConfigError, match=r"mine.regime must be among .*, was 'quiet'"):
        strategy("mine", parameters=OneParameters, regime=("quiet",), signal_exit="flat")
    with pytest.raises(ConfigError, match=r"mine.prices must be among .*, was 'bid'"):
        strategy("mine", parameters=OneParameters, regime=(), signal_exit="flat", prices=("bid",))
