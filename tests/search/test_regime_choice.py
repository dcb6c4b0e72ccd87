"""A strategy for every regime, learned on the past alone."""

import numpy as np
import pytest

from crypto_bot.core import Signals
from crypto_bot.core.errors import ConfigError, DataError
from crypto_bot.engine import CostOptions, ExitOptions, SignalExit, simulate
from crypto_bot.search.regime_choice import (
    RegimeChoice,
    RegimeChoiceOptions,
    choose_by_regime,
)
from crypto_bot.strategies import StrategyParameters, get_strategy
from crypto_bot.strategies.base import Strategy, whole_score
from strategies.markets import bars_of, random_bars

FREE = CostOptions(taker_fee_frac=0.0, maker_fee_frac=0.0, slippage_frac=0.0)
SMALL = RegimeChoiceOptions(learn_bars=20, apply_bars=10, minimum_bars=3, minimum_trades=0)


class NoParameters(StrategyParameters):
    def features(self):
        return ()


def fixed(name, function, signal_exit="flat"):
    return Strategy(
        name=name,
        regime=("trending",),
        parameters=NoParameters(),
        signal_exit=signal_exit,
        prices=("close",),
        predictions=(),
        function=lambda columns, parameters: function(len(columns["close"])),
    )


def always(side):
    return lambda count: whole_score(np.full(count, side, np.int8))


LONG, SHORT = fixed("long", always(1)), fixed("short", always(-1))


def market(moves):
    """Bars whose open grows by moves[t] from bar t to bar t + 1."""
    opens = 100 * np.cumprod(np.concatenate(([1.0], 1.0 + np.asarray(moves[:-1]))))
    return bars_of(opens, opens, opens, opens, np.ones(len(opens)))


def alternating(count=60):
    """Regimes of five bars; a side decided at a close of regime 1 earns 1 %, of regime 0 loses it."""
    labels = np.arange(count) // 5 % 2
    moves = np.zeros(count)
    moves[1:] = np.where(labels[:-1] == 1, 0.01, -0.01)
    return market(moves), labels


def test_each_regime_gets_the_strategy_that_earned_in_it():
    bars, labels = alternating()
    found = choose_by_regime(bars, [LONG, SHORT], labels, options=SMALL, costs=FREE)
    assert [(c.regime, c.strategy) for c in found.choices] == [(0, "short"), (1, "long")] * 4
    assert found.signals.direction[:20].tolist() == [0] * 20
    assert found.signals.direction[20:].tolist() == np.where(labels[20:] == 1, 1, -1).tolist()
    assert found.signals.score[20:].tolist() == [1.0] * 40
    assert (found.chosen == np.r_[[-1] * 20, 1 - labels[20:]]).all()


def test_a_choice_tells_its_grounds():
    bars, labels = alternating()
    found = choose_by_regime(bars, [LONG, SHORT], labels, options=SMALL, costs=FREE)
    first, second = found.choices[:2]
    # Bars 0-17 are known at bar 20: ten of regime 0 less two of them, and eight of regime 1.
    assert first[:10] == (0, 0, 18, 20, 30, 0, "short", 1, 10, 1)
    assert second[:10] == (0, 0, 18, 20, 30, 1, "long", 0, 8, 0)
    assert first.mean_return_frac == pytest.approx(0.01)
    table = found.table
    assert table.columns == list(RegimeChoice._fields)
    assert table["strategy"].to_list() == ["short", "long"] * 4
    assert table["applied_until"].to_list() == [30, 30, 40, 40, 50, 50, 60, 60]


def test_costs_are_taken_off_where_the_position_changes():
    bars, labels = alternating()
    flip = fixed("flip", lambda count: whole_score(np.resize(np.int8([1, 0]), count)))
    costly = CostOptions(taker_fee_frac=0.001, slippage_frac=0.002)
    found = choose_by_regime(bars, [flip], labels, options=SMALL, costs=costly)
    # Regime 1 holds bars 5-9 and 15-17: long at 6, 8 and 16, each entered there; every bar trades.
    assert [c.strategy for c in found.choices[:2]] == ["", "flip"]
    assert found.choices[1].mean_return_frac == pytest.approx((3 * 0.01 - 8 * 0.003) / 8)
    assert found.choices[1].trades == 3


def test_nothing_that_earns_means_standing_aside():
    bars = market(np.zeros(60))
    found = choose_by_regime(bars, [LONG, SHORT], np.zeros(60, int), options=SMALL, costs=FREE)
    assert {c.strategy for c in found.choices} == {""}
    assert not found.signals.direction.any()
    assert np.isnan(found.choices[0].mean_return_frac)
    assert (found.chosen == -1).all()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "swing"),
        ({"minimum_bars": 19}, ""),
        ({"minimum_bars": 18}, "swing"),
        ({"minimum_trades": 9}, "swing"),
        ({"minimum_trades": 10}, ""),
        ({"minimum_return_frac": 0.0051}, ""),
    ],
)
def test_each_demand_can_forbid_a_choice(changes, expected):
    moves = np.resize([0.0, 0.01], 60)
    swing = fixed("swing", lambda count: whole_score(np.resize(np.int8([1, 0]), count)))
    found = choose_by_regime(
        market(moves), [swing], np.zeros(60), options=SMALL.replace(**changes), costs=FREE
    )
    assert found.choices[0].strategy == expected


def test_of_equal_candidates_the_earlier_wins():
    bars, labels = alternating()
    twin = fixed("twin", always(1))
    for candidates, name in (([LONG, twin], "long"), ([twin, LONG], "twin")):
        found = choose_by_regime(bars, candidates, labels, options=SMALL, costs=FREE)
        assert found.choices[1].strategy == name


def test_what_is_not_known_at_the_boundary_is_not_learned():
    moves = np.full(60, -0.001)
    moves[19] = 0.5  # from the open of bar 19 to that of bar 20, seen only when bar 20 has opened
    labels = np.zeros(60, int)
    found = choose_by_regime(market(moves), [LONG, SHORT], labels, options=SMALL, costs=FREE)
    assert found.choices[0].strategy == "short"
    moves[18] = 0.5
    found = choose_by_regime(market(moves), [LONG, SHORT], labels, options=SMALL, costs=FREE)
    assert found.choices[0].strategy == "long"


def test_a_window_forgets_unless_told_to_learn_from_the_start():
    moves = np.r_[np.full(20, 0.05), np.full(40, -0.01)]
    labels = np.zeros(60, int)
    rolling = choose_by_regime(market(moves), [LONG, SHORT], labels, options=SMALL, costs=FREE)
    assert [c.strategy for c in rolling.choices] == ["long", "long", "short", "short"]
    options = SMALL.replace(learn_from_start=True)
    whole = choose_by_regime(market(moves), [LONG, SHORT], labels, options=options, costs=FREE)
    assert [c.strategy for c in whole.choices] == ["long"] * 4
    assert [c.learned_from for c in whole.choices] == [0] * 4


def test_a_bar_without_a_regime_stands_aside():
    bars, labels = alternating()
    holes = labels.astype(float)
    holes[[3, 33, 34]] = np.nan
    found = choose_by_regime(bars, [LONG, SHORT], holes, options=SMALL, costs=FREE)
    assert np.flatnonzero(found.signals.direction[20:] == 0).tolist() == [13, 14]
    assert found.choices[0].bars == 9


def test_a_regime_not_met_before_stands_aside():
    bars, labels = alternating()
    labels = labels.copy()
    labels[25:] = 7
    found = choose_by_regime(bars, [LONG, SHORT], labels, options=SMALL, costs=FREE)
    assert not found.signals.direction[25:30].any()
    assert {c.regime for c in found.choices if c.window == 0} == {0, 1}


def test_a_strategy_that_waits_for_the_other_side_keeps_its_position():
    bars = market(np.full(60, 0.01))
    once = lambda count: whole_score((np.arange(count) == 2).astype(np.int8))  # noqa: E731
    labels = np.zeros(60, int)
    keeper = fixed("keeper", once, "opposite")
    kept = choose_by_regime(bars, [keeper], labels, options=SMALL, costs=FREE)
    left = choose_by_regime(bars, [fixed("leaver", once)], labels, options=SMALL, costs=FREE)
    assert kept.signals.direction[20:].tolist() == [1] * 40
    assert kept.choices[0].trades == 1
    assert kept.choices[0].mean_return_frac == pytest.approx(0.01 * 16 / 18)
    assert not left.signals.direction.any()
    assert not kept.signals.score.any()


CANDIDATES = [get_strategy("sma_cross"), get_strategy("rsi"), get_strategy("mean_bot")]
REAL = RegimeChoiceOptions(learn_bars=900, apply_bars=300, minimum_bars=50, minimum_trades=1)


def regimes_of(bars):
    """Three regimes by the size and sign of the last ten bars' move."""
    labels = np.full(len(bars), np.nan)
    move = bars.close[10:] / bars.close[:-10] - 1.0
    labels[10:] = np.where(np.abs(move) < 0.005, 0, np.sign(move))
    return labels


def test_later_bars_and_labels_change_nothing_before_them():
    bars, other = random_bars(3_000, seed=11), random_bars(3_000, seed=12)
    labels = regimes_of(bars)
    whole = choose_by_regime(bars, CANDIDATES, labels, options=REAL)
    assert len({c.strategy for c in whole.choices}) > 2
    for last in (899, 900, 1_199, 1_200, 2_031):
        names = ("open", "high", "low", "close", "volume")
        mixed = bars_of(
            *(np.r_[getattr(bars, n)[: last + 1], getattr(other, n)[last + 1 :]] for n in names)
        )
        marks = np.r_[labels[: last + 1], regimes_of(other)[last + 1 :] + 4]
        changed = choose_by_regime(mixed, CANDIDATES, marks, options=REAL)
        until = slice(0, last + 1)
        assert np.array_equal(whole.signals.direction[until], changed.signals.direction[until])
        assert np.array_equal(whole.signals.score[until], changed.signals.score[until])
        assert np.array_equal(whole.chosen[until], changed.chosen[until])
        # A choice is made with the bar before it is applied to, so those up to last + 1 stand.
        made = [
            [c for c in found.choices if c.applied_from <= last + 1] for found in (whole, changed)
        ]
        assert repr(made[0]) == repr(made[1])


def test_choices_equal_those_of_a_plain_loop():
    bars = random_bars(2_000, seed=21)
    labels = regimes_of(bars)
    found = choose_by_regime(bars, CANDIDATES, labels, options=REAL)
    held = []
    for one in CANDIDATES:
        side, sides = 0, []
        settled = one.history_bars("5m") - one.lookback_bars()
        for t, wanted in enumerate(one.signals_on(bars).direction.tolist()):
            wanted = wanted if t >= settled else 0
            side = wanted if wanted or one.signal_exit == "flat" else side
            sides.append(side)
        held.append(sides)
    for choice in found.choices:
        means = []
        for sides in held:
            total, entries, count = 0.0, 0, 0
            for t in range(choice.learned_from, choice.learned_until):
                before = sides[t - 1] if t else 0
                if labels[t] == choice.regime:
                    count += 1
                    gain = bars.open[t + 2] / bars.open[t + 1] - 1.0
                    total += sides[t] * gain - abs(sides[t] - before) * 0.002
                    entries += sides[t] != 0 and sides[t] != before
            means.append(total / count if entries >= 1 and count >= 50 else -1.0)
        best = max(range(len(means)), key=means.__getitem__)
        assert choice.candidate == (best if means[best] > 0 else -1)
        if choice.candidate >= 0:
            assert choice.mean_return_frac == pytest.approx(means[best], rel=1e-9)
    assert choice.learned_until == choice.applied_from - 2


def test_the_result_can_be_simulated():
    bars = random_bars(2_000, seed=21)
    found = choose_by_regime(bars, CANDIDATES, regimes_of(bars), options=REAL)
    assert isinstance(found.signals, Signals)
    result = simulate(bars, found.signals, exits=ExitOptions(signal_exit=SignalExit.FLAT))
    assert result.metrics.trades > 0


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros(59), r"labels must be int or float \(60,\), one a bar, was float64 \(59,\)"),
        (np.array(["a"] * 60), r"labels must be int or float .*, was <U1"),
        (np.full(60, 0.5), "labels must be whole numbers, was 0.5 at bar 0"),
        (np.r_[np.zeros(59), np.inf], "labels must be whole numbers, was inf at bar 59"),
        (np.arange(65)[:60] * 1.0, None),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels, message):
    bars, _ = alternating()
    if message is None:
        choose_by_regime(bars, [LONG], labels, options=SMALL)
        return
    with pytest.raises(DataError, match=message):
        choose_by_regime(bars, [LONG], labels, options=SMALL)


def test_what_cannot_be_learned_is_refused():
    bars, labels = alternating()
    with pytest.raises(ConfigError, match="candidates must hold at least one strategy, was empty"):
        choose_by_regime(bars, [], labels, options=SMALL)
    with pytest.raises(DataError, match=r"must have more bars than learn_bars \(20\), had 20"):
        choose_by_regime(bars[:20], [LONG], labels[:20], options=SMALL)
    many = market(np.zeros(100))
    with pytest.raises(DataError, match="labels must be at most 64 different regimes, were 100"):
        choose_by_regime(many, [LONG], np.arange(100), options=SMALL)
    with pytest.raises(DataError, match="model needs a model's predictions"):
        choose_by_regime(bars, [get_strategy("model")], labels, options=SMALL)


def test_columns_that_a_candidate_needs_can_be_given():
    bars, labels = alternating()
    extra = {"p_up": np.full(60, 0.9), "p_down": np.full(60, 0.1)}
    found = choose_by_regime(
        bars, [get_strategy("model")], labels, options=SMALL, costs=FREE, extra=extra
    )
    assert [c.strategy for c in found.choices[:2]] == ["", "model"]
