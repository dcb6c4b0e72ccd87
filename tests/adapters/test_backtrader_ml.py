"""`MLStrategy`: the guide's strategy on a promoted model, without the guide's faults."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest

from crypto_bot.adapters.backtrader_feed import bars_feed
from crypto_bot.adapters.backtrader_ml import MLStrategy
from crypto_bot.adapters.backtrader_models import load_model
from crypto_bot.adapters.backtrader_package import bt
from crypto_bot.adapters.backtrader_run import run_backtrader
from crypto_bot.core import Bars
from crypto_bot.core.errors import ConfigError, ModelError
from crypto_bot.core.timeframes import MINUTE_NS
from crypto_bot.dataset import build_dataset
from crypto_bot.engine import CostOptions
from crypto_bot.features import compute_features
from crypto_bot.market import SimulationOptions, simulate_market
from crypto_bot.ml.feature_engineering import create_features
from crypto_bot.ml.train_model import train_ml_model
from crypto_bot.registry import open_registry
from crypto_bot.training import ForestOptions, ForestTrainer, make_card

(MARKET,) = simulate_market(SimulationOptions(seed=3, symbols=1, bars=1_200))
FREE = CostOptions(taker_fee_frac=0, maker_fee_frac=0, slippage_frac=0)
NEAR = {"stop_loss_pct": 0.004, "take_profit_pct": 0.006, "minperiod": 1}


class Opinion:
    """Sure of a rise where the last return was above 0, of a fall where it was below."""

    feature_names = ("return_1",)

    def __init__(self, classes=(0, 1), least=0.0):
        self.classes = classes
        self.least = least

    def predict_proba(self, features):
        value = features[:, 0]
        up = np.where(value > self.least, 0.9, np.where(value < -self.least, 0.1, 0.5))
        up = np.where(np.isnan(value), np.nan, up)
        by_label = {1: up, 0: 1.0 - up, -1: 1.0 - up}
        if self.classes == (-1, 0, 1):
            by_label[0] = np.zeros(len(up))
        return np.column_stack([by_label[label] for label in self.classes])


def bars_of(rows):
    prices = np.array(rows, np.float64).T
    count = prices.shape[1]
    return Bars("BTC/USDT", "5m", 5 * MINUTE_NS * np.arange(count), *prices, np.ones(count))


def run(bars=MARKET, costs=None, **parameters):
    parameters = {"predictor": Opinion(), **NEAR, **parameters}
    return run_backtrader(MLStrategy, bars, costs=costs, parameters=parameters)


# What is written down.


def test_there_is_one_prediction_a_bar_with_the_bar_s_own_date():
    strategy = run().strategy
    values = compute_features(MARKET, ["return_1"]).values
    wanted = Opinion().predict_proba(values)[:, 1]
    dates = MARKET.close_time.astype("datetime64[ns]").astype("datetime64[us]").tolist()
    assert [each.date for each in strategy.predictions] == dates
    assert [each.close for each in strategy.predictions] == MARKET.close.tolist()
    assert np.array_equal([each.prediction for each in strategy.predictions], wanted, True)
    assert len(strategy.trades) > 20, "predictions go on while a position is held"


def test_a_closed_trade_is_thirteen_fields_that_agree_with_its_orders():
    result = run(allow_short=True)
    strategy, trades = result.strategy, result.trades[result.trades["exit_bar"] >= 0]
    assert len(strategy.trades_info) == len(strategy.trades) == len(trades) > 20
    assert {info.side for info in strategy.trades_info} == {"LONG", "SHORT"}
    for info, trade in zip(strategy.trades_info, trades, strict=True):
        assert len(info) == 13
        assert info[:5] == (
            "MLStrategy",
            info.ref,
            "BTC/USDT",
            "LONG" if trade["direction"] > 0 else "SHORT",
            "CLOSED",
        )
        assert info.size == pytest.approx(trade["quantity"] * trade["direction"], rel=1e-12)
        assert info.open_price == pytest.approx(trade["entry_price"], rel=1e-12)
        assert info.close_price == pytest.approx(trade["exit_price"], rel=1e-12)
        assert info.difference == info.close_price - info.open_price
        moved = 100 * (info.close_price / info.open_price - 1)
        assert info.percent == pytest.approx(moved if info.side == "LONG" else -moved)
        assert info.pnl == pytest.approx(trade["pnl_quote"], rel=1e-9)
        assert info.opened <= info.closed


def test_a_short_that_gains_has_a_gain_in_percent():
    shorts = [info for info in run(allow_short=True).strategy.trades_info if info.side == "SHORT"]
    gained = [info for info in shorts if info.close_price < info.open_price]
    assert gained
    assert all(info.percent > 0 > info.difference for info in gained)


def test_orders_and_positions_are_kept():
    result = run()
    strategy = result.strategy
    assert len(strategy.orders) == len(result.fills)
    assert {order.getstatusname() for order in strategy.orders} == {"Completed"}
    held = np.count_nonzero(result.position)
    assert len(strategy.positions_info) == held > 100
    one = strategy.positions_info[0]
    assert one.pnl == pytest.approx(one.size * (one.price - one.open_price))
    assert one.value - one.initial_value == pytest.approx(one.pnl)
    assert np.sign(one.percent) == np.sign(one.pnl)


# How it trades.


def test_a_share_of_the_portfolio_is_bought_however_dear_the_coin():
    dear = bars_of([(60_000 + k, 60_100 + k, 59_900 + k, 60_000 + k + k % 2) for k in range(40)])
    result = run(dear, stop_loss_pct=0.02, take_profit_pct=0.04)
    (trade,) = result.trades
    assert 0 < trade["quantity"] < 1
    assert trade["quantity"] * trade["entry_price"] == pytest.approx(1_000, rel=0.01)


def test_stop_and_target_hang_on_the_fill_and_not_on_the_close_before_it():
    rows = [(100, 100, 100, 100), (100, 101, 100, 101), (130, 131, 129, 130)]
    rows += [(130, 130.5, 129.5, 130)] * 3
    result = run(bars_of(rows), costs=FREE, stop_loss_pct=0.02, take_profit_pct=0.04)
    assert result.fills["price"].tolist() == [130.0], "the gap would have passed a target of 105"
    working = result.strategy.broker.get_orders_open()
    assert sorted(order.created.price for order in working) == pytest.approx([127.4, 135.2])
    assert {order.size for order in working} == {-result.fills["quantity"][0]}


def test_they_act_from_the_bar_after_the_fill():
    rows = [(100, 100, 100, 100), (100, 101, 100, 101), (101, 102, 90, 101), (101, 101, 80, 85)]
    (trade,) = run(bars_of(rows), costs=FREE, stop_loss_pct=0.02).trades
    assert (trade["entry_bar"], trade["exit_bar"]) == (2, 3)
    assert trade["exit_price"] == pytest.approx(101 * 0.98)


def test_it_holds_one_position_at_a_time_and_is_long_only_unless_allowed():
    result = run()
    assert set(result.trades["direction"]) == {1}
    assert (result.trades["exit_bar"][:-1] <= result.trades["entry_bar"][1:]).all()
    assert set(run(allow_short=True).trades["direction"]) == {-1, 1}


def test_the_leg_that_is_not_needed_is_cancelled_and_not_called_refused(caplog):
    caplog.set_level(logging.DEBUG, logger="crypto_bot.backtrader")
    strategy = run().strategy
    assert len(strategy.trades) > 20
    assert "REFUSED" not in caplog.text
    assert caplog.text.count("was cancelled: the other leg") == len(strategy.trades)
    assert caplog.text.count("TRADE P&L") == len(strategy.trades)


def test_an_order_without_the_cash_for_it_is_called_refused(caplog):
    caplog.set_level(logging.INFO, logger="crypto_bot.backtrader")
    rows = [(100, 100, 100, 100), (100, 101, 100, 101), (130, 131, 129, 130), (130, 131, 129, 130)]
    result = run(bars_of(rows), position_size=100.0)
    assert len(result.trades) == 0
    assert "ORDER REFUSED: Margin" in caplog.text


def test_it_runs_under_backtrader_s_own_broker_and_feeds():
    frame = MARKET.to_pandas()
    frame.index = frame.index.tz_localize(None)
    cerebro = bt.Cerebro()
    cerebro.adddata(bt.feeds.PandasData(dataname=frame, name="BTC/USDT"))
    cerebro.addstrategy(MLStrategy, predictor=Opinion(), **NEAR)
    cerebro.broker.setcommission(commission=0.001)
    cerebro.broker.set_slippage_perc(0.001)
    (strategy,) = cerebro.run()
    assert len(strategy.trades_info) == len(strategy.trades) > 20
    assert strategy.trades_info[0].symbol == "BTC/USDT"


def test_flat_prices_give_no_trade_and_no_error():
    result = run(bars_of([(50, 50, 50, 50)] * 60))
    assert len(result.trades) == 0
    assert len(result.strategy.predictions) == 60


# What it knows.


def test_no_order_is_given_before_the_features_have_settled(trained):
    predictor, card = load_model(trained)
    always = type("Always", (), {"feature_names": predictor.feature_names, "classes": (0, 1)})
    always.predict_proba = lambda self, rows: np.tile([0.1, 0.9], (len(rows), 1))
    settled = card.feature_settled_bars
    first = run(predictor=always()).trades["entry_bar"][0]
    assert first == settled + 1, "decided at the close of the first settled bar"
    late = run(MARKET[600:], predictor=always(), history=MARKET[:600], minperiod=1)
    assert late.trades["entry_bar"][0] == 1
    assert run(predictor=Opinion(least=-1), minperiod=200).trades["entry_bar"][0] == 200


@pytest.mark.parametrize("classes", [(0, 1), (-1, 1), (-1, 0, 1), (1,), (0,)])
def test_probabilities_are_read_by_the_name_of_their_class(classes):
    result = run(predictor=Opinion(classes), allow_short=True)
    wanted = {label for label in (1, -1) if label in classes or (label == -1 and 0 in classes)}
    assert set(result.trades["direction"]) == wanted


@pytest.mark.parametrize("threshold", [0.5, 0.95])
def test_the_threshold_decides(threshold):
    assert (len(run(prediction_threshold=threshold).trades) > 0) == (threshold < 0.9)


def test_an_error_of_the_model_is_not_a_missing_signal():
    broken = Opinion()

    def fails(features):
        raise ModelError("the model is broken")

    broken.predict_proba = fails
    with pytest.raises(ModelError, match="the model is broken"):
        run(predictor=broken)


def test_features_that_never_settle_are_refused():
    predictor = Opinion()
    predictor.feature_names = ("obv",)
    with pytest.raises(ConfigError, match="obv never forgets"):
        run(predictor=predictor)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("position_size", 0),
        ("position_size", 101),
        ("stop_loss_pct", 1.5),
        ("take_profit_pct", -0.1),
        ("minperiod", 0),
        ("prediction_threshold", 0.1),
    ],
)
def test_a_parameter_out_of_range_is_refused(name, value):
    shown = "threshold" if name == "prediction_threshold" else name
    with pytest.raises(ConfigError, match=f"{shown} must be"):
        run(MARKET[:50], **{name: value})


# Where the model comes from.


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ml")
    train_ml_model(create_features(MARKET.to_pandas()), output_folder=folder)
    return folder


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    root = tmp_path_factory.mktemp("registry")
    dataset = build_dataset([MARKET])
    model = ForestTrainer(ForestOptions(n_estimators=10)).fit(dataset)
    store = open_registry(str(root))
    version = store.publish("BTC/USDT", model.files, make_card(dataset, model))
    store.promote("BTC/USDT", version, {"promoted": True, "reason": "a test"})
    return root


def test_it_works_from_the_files_of_the_training(trained):
    strategy = run(predictor=None, model_path=str(trained / "rf_model.npz")).strategy
    whole = compute_features(MARKET, strategy.model.feature_names).values
    wanted = strategy.model.predict_proba(whole)[:, 1]
    found = [each.prediction for each in strategy.predictions]
    assert np.array_equal(found, wanted, True)
    assert strategy.p.model_path == str(trained / "rf_model.npz")
    assert MLStrategy.params.model_path == "ml/rf_model.npz"


def test_it_works_from_a_registry_s_champion(registry):
    result = run(predictor=None, model_path=str(registry), prediction_threshold=0.55)
    champion, _ = open_registry(str(registry)).load("BTC/USDT")
    assert result.strategy.model.feature_names == champion.feature_names
    assert len(result.trades) > 0
    with pytest.raises(ModelError, match="ETH/USDT"):
        run(predictor=None, model_path=str(registry), symbol="ETH/USDT")


def test_a_model_file_and_its_folder_are_the_same_model(trained):
    rows = compute_features(MARKET).values[500:510]
    one, other = (load_model(path)[0] for path in (trained, trained / "rf_model.npz"))
    assert np.array_equal(one.predict_proba(rows), other.predict_proba(rows))


def test_the_guide_s_scaler_is_compared_with_the_model_s_own(trained, tmp_path):
    load_model(trained, scaler_path=trained / "scaler.json")
    changed = json.loads((trained / "scaler.json").read_text())
    changed["mean"][0] += 1.0
    other = tmp_path / "scaler.json"
    other.write_text(json.dumps(changed))
    with pytest.raises(ModelError, match="must name the model's own scaler"):
        load_model(trained, scaler_path=other)
    other.write_text("[1, 2]")
    with pytest.raises(ModelError, match=r"scaler_path must name a scaler\.json"):
        load_model(trained, scaler_path=other)


def test_a_model_that_cannot_be_trusted_is_refused(trained, registry, tmp_path):
    with pytest.raises(ModelError, match=r"safe format.*was ml/rf_model\.pkl"):
        load_model("ml/rf_model.pkl")
    with pytest.raises(ModelError, match="model_path must exist, was nowhere"):
        load_model("nowhere")
    with pytest.raises(ModelError, match="symbol must say whose champion"):
        load_model(registry)
    for name in ("card.json", "rf_model.npz"):
        (tmp_path / name).write_bytes((trained / name).read_bytes())
    content = bytearray((tmp_path / "rf_model.npz").read_bytes())
    content[len(content) // 2] ^= 255
    (tmp_path / "rf_model.npz").write_bytes(content)
    with pytest.raises(ModelError):
        load_model(tmp_path)
    (tmp_path / "rf_model.npz").unlink()
    with pytest.raises(ModelError, match="must be a model and its card"):
        load_model(tmp_path)


def test_the_feed_s_name_says_whose_champion(registry):
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(bars_feed(MARKET[:50]))
    cerebro.addstrategy(MLStrategy, model_path=str(registry))
    (strategy,) = cerebro.run()
    assert strategy.predictions
