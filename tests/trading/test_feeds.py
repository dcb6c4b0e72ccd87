"""Feeds release closed candles only, once, and keep them before they are seen."""

from __future__ import annotations

import pytest

from crypto_bot.core.errors import ConfigError, StorageError
from crypto_bot.core.timeframes import MINUTE_NS, ReplayClock
from crypto_bot.market import BarStore
from crypto_bot.trading import KeptFeed, ReplayFeed, StoreFeed
from paper_markets import market

BARS = [market(f"A{seed}/USDT", 50, seed, outages=0) for seed in range(2)]
SYMBOLS = [bars.symbol for bars in BARS]


def times(found):
    return {symbol: bars.close_time.tolist() for symbol, bars in found.items()}


@pytest.fixture(params=["replay", "store"])
def feed_on(request, tmp_path):
    if request.param == "replay":
        return lambda clock: ReplayFeed(BARS, clock)
    store = BarStore(tmp_path / "store")
    for bars in BARS:
        store.append(bars)
    return lambda clock: StoreFeed(store, "5m", clock)


def test_nothing_is_released_before_its_close(feed_on):
    first, second, third = BARS[0].close_time[:3].tolist()
    clock = ReplayClock(second - 1)
    feed = feed_on(clock)
    assert times(feed.closed(SYMBOLS[:1], {}, third)) == {SYMBOLS[0]: [first]}
    clock.set(second)
    assert times(feed.closed(SYMBOLS[:1], {SYMBOLS[0]: first}, third)) == {SYMBOLS[0]: [second]}


def test_what_was_had_is_not_given_again_and_who_has_nothing_is_left_out(feed_on):
    closes = BARS[0].close_time.tolist()
    feed = feed_on(ReplayClock(10**19))
    found = feed.closed([*SYMBOLS, "X/USDT"], {SYMBOLS[0]: closes[9]}, closes[12])
    assert times(found)[SYMBOLS[0]] == closes[10:13]
    assert "X/USDT" not in found
    assert SYMBOLS[0] not in feed.closed(SYMBOLS, {SYMBOLS[0]: closes[12]}, closes[12])


def test_bars_are_the_stored_ones_to_the_last_bit(feed_on):
    feed = feed_on(ReplayClock(10**19))
    found = feed.closed(SYMBOLS, {}, 10**19)
    assert {bars.fingerprint for bars in found.values()} == {bars.fingerprint for bars in BARS}


def test_kept_candles_are_in_the_store_before_they_are_seen(tmp_path):
    store, clock = BarStore(tmp_path), ReplayClock(int(BARS[0].close_time[3]))
    feed = KeptFeed(ReplayFeed(BARS[:1], clock), store)
    found = feed.closed(SYMBOLS, {}, clock.now_ns())
    assert store.load(SYMBOLS[0], "5m").fingerprint == found[SYMBOLS[0]].fingerprint
    clock.set(clock.now_ns() + 5 * MINUTE_NS)
    feed.closed(SYMBOLS, {SYMBOLS[0]: int(BARS[0].close_time[3])}, clock.now_ns())
    assert len(store.load(SYMBOLS[0], "5m")) == 5


def test_candles_that_cannot_be_kept_are_not_given(tmp_path):
    class Full(BarStore):
        def append(self, bars):
            raise StorageError("no room")

    feed = KeptFeed(ReplayFeed(BARS, ReplayClock(10**19)), Full(tmp_path))
    with pytest.raises(StorageError, match="no room"):
        feed.closed(SYMBOLS, {}, 10**19)


def test_a_symbol_without_a_timeframe_is_refused(tmp_path):
    feed = StoreFeed(BarStore(tmp_path), {"A/USDT": "5m"}, ReplayClock())
    with pytest.raises(ConfigError, match="timeframes must name every symbol, lacked B/USDT"):
        feed.closed(["B/USDT"], {}, 10**19)
