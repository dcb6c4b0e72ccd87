"""Several pairs at once: what the market makes of each, over history and live alike."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_bot.core import OHLCV, Bars
from crypto_bot.core.errors import ConfigError, DataError
from crypto_bot.features import (
    FeatureStream,
    PanelStream,
    compute_features,
    compute_panel,
    feature,
)
from crypto_bot.features.market_families import MARKET_FAMILIES
from features.sample_bars import random_bars
from reference.market_twins import MARKET_TWINS

SYMBOLS = ("ETH/USDT", "BTC/USDT", "SOL/USDT", "ADA/USDT")
NAMES = (
    *("market_return_1", "market_return_5", "return_rank_3", "market_relative_5", "beta_10"),
    *("sma_3", "beta_4~2", "return_rank_3~1", "sma_3@5m"),
)


def pair(symbol: str, length: int, seed: int, *, dropped: float = 0.0, first: int = 0) -> Bars:
    rng = np.random.default_rng(seed)
    whole = random_bars(length + first, seed=seed)[first:]
    keep = rng.random(len(whole)) >= dropped
    return replace(
        whole, symbol=symbol, **{c: getattr(whole, c)[keep] for c in ("open_time", *OHLCV)}
    )


def panel(length: int = 120, *, dropped: float = 0.03) -> list[Bars]:
    return [
        pair(symbol, length, 50 + k, dropped=dropped, first=9 * k)
        for k, symbol in enumerate(SYMBOLS)
    ]


def closes(bars: list[Bars]) -> list[dict]:
    """The bars of each close, in order of time."""
    found: dict[int, dict] = {}
    for each in bars:
        for bar in each:
            found.setdefault(bar.open_time, {})[each.symbol] = bar
    return [found[time] for time in sorted(found)]


def streamed(stream: PanelStream, bars: list[Bars]) -> dict[str, np.ndarray]:
    rows: dict[str, list] = {each.symbol: [] for each in bars}
    for one in closes(bars):
        for symbol, values in stream.update(one).items():
            rows[symbol].append(values)
    return {
        symbol: np.array(values).reshape(-1, len(stream.names)) for symbol, values in rows.items()
    }


def assert_same_bits(tables, live, bars, start=0):
    for table, each in zip(tables, bars, strict=True):
        wanted = table.values[len(table) - len(live[each.symbol]) :]
        assert np.array_equal(wanted, live[each.symbol], equal_nan=True), each.symbol


@pytest.mark.parametrize("template", MARKET_TWINS)
def test_a_feature_of_the_market_agrees_with_its_plain_twin(template):
    bars = panel()
    for window in (2, 7):
        name = template.format(window)
        for each, table in zip(bars, compute_panel(bars, [name]), strict=True):
            twin = [MARKET_TWINS[template](bars, each, t, window) for t in each.close_time.tolist()]
            assert np.isfinite(twin).sum() > 40
            np.testing.assert_allclose(table.values[:, 0], twin, rtol=1e-9, atol=1e-12)


def test_every_market_family_has_a_twin():
    of_market = [f.template for f in MARKET_FAMILIES if feature(f.example).needs_market]
    assert sorted(MARKET_TWINS) == sorted(of_market)


@settings(deadline=None, derandomize=True, max_examples=15)
@given(seed=st.integers(0, 999), length=st.integers(1, 60), dropped=st.sampled_from([0.0, 0.2]))
def test_the_panel_is_the_same_over_history_and_live(seed, length, dropped):
    bars = [pair(s, length, seed + k, dropped=dropped, first=3 * k) for k, s in enumerate(SYMBOLS)]
    live = streamed(PanelStream(NAMES, SYMBOLS, "1m"), bars)
    assert_same_bits(compute_panel(bars, NAMES), live, bars)


def test_a_panel_carries_on_from_history_and_from_a_saved_state():
    bars = panel(200)
    cut = random_bars(200).open_time[110]
    tables = compute_panel(bars, NAMES)
    past = [each.between(None, cut) for each in bars]
    rest = [each.between(cut, None) for each in bars]
    stream = PanelStream.from_history(past, NAMES)
    saved = PanelStream.from_bytes(stream.to_bytes())
    assert_same_bits(tables, streamed(stream, rest), bars)
    assert_same_bits(tables, streamed(saved, rest), bars)
    assert stream.is_settled("BTC/USDT")
    assert not PanelStream(NAMES, SYMBOLS, "1m").is_settled("BTC/USDT")


def test_the_order_of_the_pairs_changes_no_bit():
    bars = panel()
    one, other = compute_panel(bars, NAMES), compute_panel(bars[::-1], NAMES)[::-1]
    for first, second in zip(one, other, strict=True):
        assert np.array_equal(first.values, second.values, equal_nan=True)


def test_no_value_depends_on_a_later_bar_of_any_pair():
    bars = panel(dropped=0.0)
    whole = compute_panel(bars, NAMES)
    for t in (30, 77):
        cut = bars[0].open_time[t]
        for changed in range(len(bars)):
            wild = random_bars(200, seed=900 + changed, volatility=0.2)
            later = replace(wild, symbol=bars[changed].symbol).between(int(cut), None)
            early = bars[changed].between(None, int(cut))
            joined = replace(
                early,
                **{
                    c: np.concatenate([getattr(early, c), getattr(later, c)])
                    for c in ("open_time", *OHLCV)
                },
            )
            other = compute_panel([*bars[:changed], joined, *bars[changed + 1 :]], NAMES)
            for k, each in enumerate(bars):
                known = each.open_time < cut
                now = other[k].values[: known.sum()]
                assert np.array_equal(now, whole[k].values[known], equal_nan=True)


def test_a_pair_that_is_missing_is_left_out_of_the_mean_and_comes_back():
    bars = panel(60, dropped=0.0)
    bars = [replace(each, open_time=bars[0].open_time) for each in bars]
    gone = bars[0]
    kept = np.arange(60) != 30
    gapped = replace(gone, **{c: getattr(gone, c)[kept] for c in ("open_time", *OHLCV)})
    table = compute_panel([gapped, *bars[1:]], ["market_return_1"])[1]
    three = np.mean([each.close[30] / each.close[29] - 1 for each in bars[1:]])
    four = np.mean([each.close[33] / each.close[32] - 1 for each in bars])
    assert table.values[30, 0] == pytest.approx(three, rel=1e-12)
    assert table.values[33, 0] == pytest.approx(four, rel=1e-12)


def test_ranks_run_from_0_to_1_and_equal_returns_share_theirs():
    rising = [random_bars(5, seed=1) for _ in range(3)]
    prices = [np.full(5, 10.0), np.full(5, 10.0), np.arange(10.0, 15.0)]
    bars = [
        replace(each, symbol=symbol, open=p, high=p, low=p, close=p)
        for each, symbol, p in zip(rising, SYMBOLS, prices, strict=False)
    ]
    ranks = [table.values[4, 0] for table in compute_panel(bars, ["return_rank_1"])]
    assert ranks == [0.25, 0.25, 1.0]


def test_the_betas_of_all_pairs_average_1():
    bars = [pair(symbol, 300, k) for k, symbol in enumerate(SYMBOLS)]
    betas = np.array([table.values[20:, 0] for table in compute_panel(bars, ["beta_20"])])
    np.testing.assert_allclose(betas.mean(axis=0), 1.0, rtol=1e-9)


def test_one_pair_alone_is_told_to_use_the_panel():
    with pytest.raises(
        ConfigError, match=r"market_return_5, beta_9~1 need all pairs .*compute_panel"
    ):
        compute_features(random_bars(9), ["sma_3", "market_return_5", "beta_9~1"])
    with pytest.raises(ConfigError, match="use PanelStream"):
        FeatureStream(["return_rank_5"], "1m")
    with pytest.raises(ConfigError, match="market_return must be of the bars' own timeframe"):
        feature("market_relative_5@1h", "1m")


def test_a_panel_needs_no_feature_of_the_market():
    bars = panel(40)
    for each, table in zip(bars, compute_panel(bars, ["sma_3", "rsi_3"]), strict=True):
        wanted = compute_features(each, ["sma_3", "rsi_3"]).values
        assert np.array_equal(table.values, wanted, equal_nan=True)
    assert len(compute_panel(bars[:1], ["sma_3"])) == 1


def test_a_panel_that_cannot_be_is_refused():
    bars = panel(40)
    refusals = [
        ([], "at least one pair, was empty"),
        ([bars[0], bars[0]], "had ETH/USDT 2 times"),
        (bars[:1], "at least two pairs for market_return_5, were of ETH/USDT alone"),
        ([bars[0], replace(bars[1], timeframe="30s")], "of one timeframe, were of 1m, 30s"),
    ]
    for wrong, message in refusals:
        with pytest.raises(DataError, match=message):
            compute_panel(wrong, ["market_return_5"])
    with pytest.raises(DataError, match="at least two pairs"):
        PanelStream(["beta_5"], ["BTC/USDT"], "1m")


def test_a_close_that_cannot_be_is_refused_and_changes_nothing():
    bars = panel(40, dropped=0.0)
    stream = PanelStream.from_history(bars[:2], NAMES)
    saved = stream.to_bytes()
    time = int(bars[1].open_time[-1]) + bars[0].interval_ns
    good = next(iter(bars[0]))._replace(open_time=time)
    refusals = [
        ({"XRP/USDT": good}, "bars must be of BTC/USDT, ETH/USDT, had XRP/USDT"),
        ({"BTC/USDT": good, "ETH/USDT": good._replace(open_time=time + 1)}, "open at one time"),
        (
            {"BTC/USDT": good._replace(open_time=0), "ETH/USDT": good._replace(open_time=0)},
            "must be after",
        ),
        (
            {"BTC/USDT": good, "ETH/USDT": good._replace(low=0.0)},
            "ETH/USDT bar at .* must have 0 < low",
        ),
    ]
    for wrong, message in refusals:
        with pytest.raises(DataError, match=message):
            stream.update(wrong)
        assert stream.to_bytes() == saved
    with pytest.raises(DataError, match="panel state must be what to_bytes wrote"):
        PanelStream.from_bytes(saved[:100])
