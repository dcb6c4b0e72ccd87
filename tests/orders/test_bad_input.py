"""What is asked for wrongly is refused with the item, the rule, the value and the bar."""

from __future__ import annotations

import math

import pytest

from crypto_bot.core.errors import ConfigError, DataError
from crypto_bot.engine import SizingOptions
from crypto_bot.orders import OnBarStrategy, OrderAccount, simulate_on_bar
from reference.engine_cases import random_bars

BARS = random_bars(0, 40)


class Asks(OnBarStrategy):
    """Does one thing at the close of bar 3, with one bought before."""

    def __init__(self, act):
        super().__init__()
        self.act = act

    def on_bar(self, context):
        if context.index == 1:
            context.buy(1.0)
        if context.index == 3:
            self.act(context)


def refused(act, match, *, sizing=None, error=ConfigError):
    with pytest.raises(error, match=match) as found:
        simulate_on_bar(BARS, Asks(act), sizing=sizing)
    assert "Asks" in str(found.value)
    assert "at bar 3, closed 20" in str(found.value)
    account = OrderAccount("BTC/USDT", "1h", Asks(act), sizing=sizing)
    for bar in BARS[:3]:
        account.on_bar(bar)
    with pytest.raises(error, match=match):
        account.on_bar(next(iter(BARS[3:])))


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0, 0, "2", None, True])
@pytest.mark.parametrize(
    "name", ["quantity", "quote", "limit", "stop", "take_profit", "good_till_bars"]
)
def test_a_number_that_is_not_finite_and_above_0_is_refused(name, value):
    if (name, value) == ("quantity", None):
        return
    rule = "whole number|finite number > 0"
    refused(lambda context: context.buy(**{name: value}), f"{name} must be a ({rule}), was")


@pytest.mark.parametrize(
    ("terms", "match"),
    [
        ({"fraction": 1.5}, "fraction must be <= 1, was 1.5"),
        ({"stop_loss_frac": 1.0}, "stop_loss_frac must be < 1, was 1.0"),
        ({"good_till_bars": 1.5}, "good_till_bars must be a whole number, was 1.5"),
        ({"good_till_ns": 5}, r"good_till_ns must be after this close \(\d+\), was 5"),
        ({"quantity": 1, "quote": 5}, "must have one of quantity, quote and fraction, had more"),
        ({"stop_los": 90}, "stop_los is not a term of an order; did you mean 'stop_loss'"),
        ({"reduce_only": "yes"}, "reduce_only must be True or False, was 'yes'"),
        ({"tag": 5}, "tag must be a text, was 5"),
        ({"reduce_only": True, "stop_loss": 9}, "reduce_only order must be .* given stop_loss"),
        ({"trailing_atr": 1.0}, "trailing_atr must be used where ATR is known"),
    ],
    ids=str,
)
def test_terms_that_make_no_sense_are_refused(terms, match):
    refused(lambda context: context.buy(**terms), match)


@pytest.mark.parametrize(
    ("side", "terms", "match"),
    [
        ("buy", {"stop_loss": 1e6}, "stop_loss must be below the entry of a buy .*was 1000000.0"),
        ("buy", {"take_profit": 1}, "take_profit must be above the entry of a buy .*was 1"),
        ("sell", {"stop_loss": 1}, "stop_loss must be above the entry of a sell .*was 1"),
        ("sell", {"take_profit": 1e6}, "take_profit must be below the entry of a sell .*was"),
        ("buy", {"limit": 50, "stop_loss": 60}, r"stop_loss must be below .*\(50\), was 60"),
        ("buy", {"stop": 500, "take_profit": 400}, r"take_profit must be above .*\(500\), was 400"),
    ],
    ids=str,
)
def test_the_prices_of_a_bracket_must_lie_on_their_sides(side, terms, match):
    refused(lambda context: getattr(context, side)(**terms), match)


@pytest.mark.parametrize("order_id", [-1, 99, 1.0, "0", None])
@pytest.mark.parametrize("verb", ["cancel", "replace", "order"])
def test_an_unknown_order_is_refused(verb, order_id):
    refused(
        lambda c: getattr(c, verb)(order_id), "order id must be one that was given, was .* of 1"
    )


@pytest.mark.parametrize(
    ("act", "match"),
    [
        (
            lambda c: c.replace(c.buy(1), limit=9),
            "limit must be something order 1 has, it is a market",
        ),
        (
            lambda c: c.replace(c.buy(1, limit=9), limit=math.nan),
            "limit must be a finite number > 0",
        ),
        (lambda c: c.replace(c.buy(1, limit=9), price=9), "price is not a term of an order"),
        (lambda c: c.oco(0), r"oco must be given two or more orders, was \(0,\)"),
        (lambda c: c.oco(0, c.buy(1)), "order 0 must be open and in no other pair, was filled"),
        (lambda c: c.close_position(0), "fraction must be > 0 and <= 1, was 0"),
        (lambda c: c.close_position(math.nan), "fraction must be > 0 and <= 1, was nan"),
        (lambda c: c.reverse(limit=9), "reverse must enter at once, was given limit"),
        (lambda c: c.window("rsi_14", 1), "window must be of a raw price or one of features"),
        (
            lambda c: c.window("close", 2),
            "bars must be 1..1, was 2; set the strategy's lookback_bars",
        ),
        (lambda c: 1 / 0, "Asks must not fail, raised ZeroDivisionError: division by zero"),
        (lambda c: c.nothing, "Asks must not fail, raised AttributeError"),
    ],
)
def test_what_cannot_be_done_is_refused_and_names_the_bar(act, match):
    refused(act, match)


def test_a_flat_account_has_nothing_to_reverse():
    class Reverses(OnBarStrategy):
        def on_bar(self, context):
            context.reverse()

    with pytest.raises(ConfigError, match=r"Reverses at bar 0, .*must have a position to reverse"):
        simulate_on_bar(BARS, Reverses())


def test_risk_to_a_stop_needs_a_stop():
    sizing = SizingOptions(method="risk_to_stop")
    with pytest.raises(ConfigError, match=r"at bar 1, .*stop_loss_frac must be given"):
        simulate_on_bar(BARS, BuysByRule(), sizing=sizing)


class BuysByRule(OnBarStrategy):
    def on_bar(self, context):
        if context.index == 1:
            context.buy()


class Reads(OnBarStrategy):
    def __init__(self, name):
        super().__init__()
        self.read = name

    def features(self):
        return (self.read,)

    def on_bar(self, context):
        pass


def test_an_unknown_feature_or_one_that_never_settles_is_refused():
    with pytest.raises(ConfigError, match="smaa_20"):
        simulate_on_bar(BARS, Reads("smaa_20"))
    with pytest.raises(ConfigError, match="feature must settle to be traded on, obv"):
        simulate_on_bar(BARS, Reads("obv"))
    with pytest.raises(ConfigError, match="smaa_20"):
        OrderAccount("BTC/USDT", "1h", Reads("smaa_20"))


def test_a_forgotten_comma_and_a_forgotten_call_are_told():
    class Bare(Reads):
        def features(self):
            return self.read

    for ask in (
        lambda strategy: simulate_on_bar(BARS, strategy),
        lambda strategy: OrderAccount("BTC/USDT", "1h", strategy),
    ):
        with pytest.raises(ConfigError, match=r"gave 'rsi_14'; write \('rsi_14',\)"):
            ask(Bare("rsi_14"))
        with pytest.raises(ConfigError, match=r"was the class Bare; write Bare\(\)"):
            ask(Bare)


def test_an_unknown_parameter_and_a_missing_on_bar_are_refused():
    with pytest.raises(ConfigError, match=r"Reads2.fats is not a parameter; did you mean 'fast'"):
        type("Reads2", (OnBarStrategy,), {"defaults": {"fast": 1}})(fats=2)
    with pytest.raises(ConfigError, match="OnBarStrategy must define on_bar"):
        simulate_on_bar(BARS, OnBarStrategy())


def test_no_bars_and_history_that_does_not_fit_are_refused():
    with pytest.raises(DataError, match="bars"):
        simulate_on_bar(BARS[:0], BuysByRule())
    with pytest.raises(DataError, match="history must end before the bars begin"):
        simulate_on_bar(BARS, BuysByRule(), history=BARS)
