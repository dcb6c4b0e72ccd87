"""Where the candles of a run come from, in which order, and what is said about it."""

from __future__ import annotations

import json
import logging
from dataclasses import replace

import numpy as np
import pytest

from backtest.tiny import TINY, bench_in, settings_in, turn_in, write_market
from crypto_bot.backtest.candles import (
    DefaultPairs,
    describe,
    gather_candles,
    stored_candles,
)
from crypto_bot.backtest.downloading import download_universe, refresh_store
from crypto_bot.backtest.sweeping import run_sweep
from crypto_bot.backtest.warm_up import runs_at, warm_up_days
from crypto_bot.core import Bar
from crypto_bot.core.bars import symbol_slug
from crypto_bot.core.errors import DataError
from crypto_bot.core.timeframes import DAY_NS, HOUR_NS, ReplayClock, SystemClock, timeframe_ns
from crypto_bot.market import (
    BarStore,
    ExchangeUnreachable,
    SimulationOptions,
    resample,
    simulate_market,
)
from crypto_bot.strategies import get_strategy, list_strategies

PAIRS = ("BTC/USDT", "ETH/USDT", "SOL/USDT")


class FakeExchange:
    """A source of candles that knows every hour of a few pairs, or answers as it is told to."""

    def __init__(self, name="binance", *, refuses=(), unreachable=(), top=PAIRS):
        self.refuses, self.unreachable, self.top = refuses, unreachable, list(top)
        self.asked, self.closed = [], False

    def __call__(self, name):
        self.name, self.closed = name, False
        return self

    async def top_symbols(self, quote, count, min_volume_quote=0.0):
        if "top" in self.unreachable:
            raise ExchangeUnreachable("binance must answer, did not")
        return self.top[:count]

    async def fetch_candles(self, symbol, timeframe, since_ns, limit):
        self.asked.append(symbol)
        if symbol in self.refuses:
            raise DataError(f"{symbol} must be a symbol of binance, was not")
        if symbol in self.unreachable:
            raise ExchangeUnreachable("binance must answer, hung up")
        step = timeframe_ns(timeframe)
        first = -(-since_ns // step) * step
        last = min(first + limit * step, SystemClock().now_ns())
        size = 10.0 - PAIRS.index(symbol)
        return [
            Bar(t, 100.0, 101.0, 99.0, 100.0 + (t // step % 7) / 10, size)
            for t in range(first, last, step)
        ]

    async def close(self):
        self.closed = True


@pytest.fixture
def exchange(monkeypatch):
    """`exchange(...)` puts a fake in the exchange's place and gives it."""

    def put(**behaviour):
        fake = FakeExchange(**behaviour)
        monkeypatch.setattr("crypto_bot.adapters.ccxt_source.CcxtSource", fake)
        return fake

    return put


def online(folder, **overrides):
    values = {**TINY, "data": {"exchange": "binance", "base_timeframe": "1h"}}
    return settings_in(folder, values, **overrides)


def offline(folder, **overrides):
    return settings_in(folder, TINY, **overrides)


def market(symbols=3, *, bars=24 * 44, timeframe="1h", **options):
    found = simulate_market(
        SimulationOptions(symbols=symbols, timeframe=timeframe, bars=bars, **options)
    )
    return [replace(each, is_simulated=False) for each in found]


def store_of(settings, bars):
    store = BarStore(settings.data.store_folder)
    for each in bars:
        store.append(each)
    return store


def csv_of(bars, folder):
    folder.mkdir(exist_ok=True)
    path = folder / f"{symbol_slug(bars.symbol)}-{bars.timeframe}.csv"
    bars.to_pandas().to_csv(path)
    return path


def test_a_named_folder_comes_before_the_store_and_the_exchange(tmp_path, exchange):
    fake = exchange()
    settings = online(tmp_path)
    store_of(settings, market(3)[2:])
    folder = write_market(tmp_path / "candles", symbols=2)
    universe = gather_candles(settings, data=str(folder))
    assert set(universe.symbols) == {"BTC/USDT", "ETH/USDT"}
    assert not universe.is_simulated
    assert str(folder) in universe.origin
    assert "2 files imported" in universe.origin
    assert fake.asked == []
    again = gather_candles(settings, data=str(folder))
    assert "0 files imported, 2 already stored" in again.origin
    assert [b.fingerprint for b in again.bars] == [b.fingerprint for b in universe.bars]


def test_the_store_comes_before_the_exchange(tmp_path, exchange):
    fake = exchange()
    settings = online(tmp_path)
    store_of(settings, market(2))
    universe = gather_candles(settings)
    assert universe.symbols == ("BTC/USDT", "ETH/USDT")
    assert "re-used" in universe.origin
    assert fake.asked == []


def test_an_empty_store_is_filled_from_the_exchange_with_the_top_pairs(tmp_path, exchange):
    fake = exchange()
    universe = gather_candles(online(tmp_path, top_pairs_count=2))
    assert universe.symbols == ("BTC/USDT", "ETH/USDT")
    assert "binance, downloaded now" in universe.origin
    assert not universe.is_simulated
    assert universe.notes == ()
    assert fake.name == "binance"
    assert fake.closed
    span = universe.end_ns - int(universe.bars[0].open_time[0])
    assert 13 * DAY_NS < span <= 14 * DAY_NS
    fake.asked.clear()
    assert gather_candles(online(tmp_path, top_pairs_count=2)).symbols == universe.symbols
    assert fake.asked == []


def test_only_an_exchange_out_of_reach_gives_a_simulated_market_and_says_so_once(
    tmp_path, exchange, caplog
):
    exchange(unreachable=("top",))
    with caplog.at_level(logging.WARNING, logger="crypto_bot.backtest.candles"):
        universe = gather_candles(online(tmp_path))
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("SIMULATED market: binance must answer, did not")
    assert "\n" not in line
    assert universe.is_simulated
    assert all(bars.is_simulated for bars in universe.bars)
    assert describe(universe).startswith("SIMULATED 3 pairs at 1h")
    assert any(note.startswith("SIMULATED market: ") for note in universe.notes)
    assert BarStore(online(tmp_path).data.store_folder).catalog() == []


def test_no_exchange_configured_is_a_simulated_market(tmp_path, exchange):
    fake = exchange()
    universe = gather_candles(offline(tmp_path))
    assert universe.is_simulated
    assert "no exchange is configured" in universe.notes[0]
    assert fake.asked == []


def test_an_exchange_that_refuses_is_an_error_not_a_simulation(tmp_path, exchange):
    fake = exchange()

    async def nothing_traded(quote, count, least=0.0):
        raise DataError("binance must trade pairs against XYZ, had none")

    fake.top_symbols = nothing_traded
    with pytest.raises(DataError, match="must trade pairs against XYZ"):
        gather_candles(online(tmp_path))


def test_pairs_that_could_not_be_downloaded_are_named(tmp_path, exchange):
    exchange(refuses=("ETH/USDT",))
    universe = gather_candles(online(tmp_path))
    assert universe.symbols == ("BTC/USDT", "SOL/USDT")
    (note,) = universe.notes
    assert note.startswith("ETH/USDT: download incomplete: ETH/USDT must be a symbol of binance")


def test_a_download_cut_short_goes_on_with_the_next_run(tmp_path, exchange):
    exchange(unreachable=("SOL/USDT",))
    first = gather_candles(online(tmp_path))
    assert first.symbols == ("BTC/USDT", "ETH/USDT")
    assert "SOL/USDT: download incomplete" in first.notes[0]

    exchange(unreachable=("top", *PAIRS))
    offline_now = gather_candles(online(tmp_path))
    assert offline_now.symbols == ("BTC/USDT", "ETH/USDT")
    assert not offline_now.is_simulated
    assert "cut short and cannot go on" in offline_now.notes[0]

    back = exchange()
    whole = gather_candles(online(tmp_path))
    assert set(whole.symbols) == set(PAIRS)
    assert whole.notes == ()
    assert "SOL/USDT" in back.asked
    back.asked.clear()
    assert set(gather_candles(online(tmp_path)).symbols) == set(PAIRS)
    assert back.asked == []


def test_a_killed_download_leaves_the_names_it_was_to_fetch(tmp_path, exchange, monkeypatch):
    fake = exchange()

    class Killed(BaseException):
        pass

    async def dies(symbol, timeframe, since_ns, limit):
        if symbol == "ETH/USDT":
            raise Killed
        return await FakeExchange.fetch_candles(fake, symbol, timeframe, since_ns, limit)

    fake.fetch_candles = dies
    with pytest.raises(Killed):
        gather_candles(online(tmp_path))
    named = json.loads((tmp_path / "data/market/download.json").read_text())
    assert named == {"symbols": list(PAIRS)}
    exchange(top=("BTC/USDT",))
    assert set(gather_candles(online(tmp_path)).symbols) == set(PAIRS)
    assert not (tmp_path / "data/market/download.json").exists()


def test_an_unknown_symbol_names_the_nearest(tmp_path):
    settings = offline(tmp_path)
    store_of(settings, market(3))
    with pytest.raises(DataError, match=r"was 'ETH/USD'; did you mean 'ETH/USDT'\?"):
        gather_candles(settings, symbols=["BTC/USDT", "ETH/USD"])
    with pytest.raises(DataError, match=r"was 'XYZ/ABC'$"):
        stored_candles(settings, ["XYZ/ABC"])


def test_the_top_pairs_are_those_of_the_largest_traded_value(tmp_path):
    settings = offline(tmp_path, top_pairs_count=2)
    bars = market(3)
    scaled = [
        replace(b, volume=b.volume * f) for b, f in zip(bars, (0.001, 50.0, 1.0), strict=True)
    ]
    value = {b.symbol: float((b.close * b.volume).sum()) for b in scaled}
    store_of(settings, scaled)
    universe = gather_candles(settings)
    assert list(universe.symbols) == sorted(value, key=value.get, reverse=True)[:2]
    assert universe.symbols[0] == "ETH/USDT"


def test_symbols_that_are_asked_for_are_never_cut_to_the_top(tmp_path):
    settings = offline(tmp_path, top_pairs_count=1)
    store_of(settings, market(3))
    assert len(gather_candles(settings).symbols) == 1
    assert set(gather_candles(settings, symbols=PAIRS).symbols) == set(PAIRS)


def test_configured_symbols_are_the_universe(tmp_path):
    settings = offline(tmp_path, **{"data.symbols": ["SOL/USDT", "ETH/USDT"]})
    store_of(settings, market(3))
    assert set(gather_candles(settings).symbols) == {"SOL/USDT", "ETH/USDT"}
    assert gather_candles(settings, symbols=["BTC/USDT"]).symbols == ("BTC/USDT",)
    assert gather_candles(settings, symbols=["BTCUSDT", "btc-usdt"]).symbols == ("BTC/USDT",)


def test_a_folder_of_coarser_candles_works_at_their_timeframe_and_says_so(tmp_path):
    settings = offline(tmp_path, **{"data.base_timeframe": "5m", "timeframes": ["15m", "1h", "4h"]})
    folder = write_market(tmp_path / "candles", symbols=2)
    universe = gather_candles(settings, data=str(folder))
    assert universe.timeframe == "1h"
    assert [bars.timeframe for bars in universe.bars] == ["1h", "1h"]
    assert any("no candles of 5m or finer are stored; working at 1h" in n for n in universe.notes)
    with bench_in(
        tmp_path, TINY, **{"data.base_timeframe": "5m", "timeframes": ["15m", "4h"]}
    ) as b:
        swept = run_sweep(universe, b, end_ns=universe.end_ns)
        with pytest.raises(DataError, match="timeframes must be multiples of 1h, were 15m"):
            run_sweep(universe, b, end_ns=universe.end_ns, timeframes=["15m"])
    assert set(swept.table["timeframe"]) == {"4h"}
    finer = [(s.timeframe, s.reason) for s in swept.skipped if s.timeframe == "15m"]
    assert finer == [("15m", "15m is no multiple of 1h")]


def test_the_whole_loop_turns_on_coarser_candles(tmp_path):
    folder = write_market(tmp_path / "candles", symbols=2)
    changes = {"data.base_timeframe": "5m", "timeframes": ["15m", "1h"]}
    summary, lines = turn_in(tmp_path, TINY, data=str(folder), **changes)
    assert any("working at 1h" in line for line in lines)
    assert any("working at 1h" in note for note in summary["notes"])
    assert summary["paper"]["unexplained_differences"] == 0
    assert summary["sweep"]["skipped"] == 1


def test_finer_candles_are_resampled_to_the_base(tmp_path):
    settings = offline(tmp_path, top_pairs_count=1)
    (fine,) = market(1, bars=24 * 4 * 30, timeframe="15m")
    store_of(settings, [fine])
    universe = gather_candles(settings)
    (bars,) = universe.bars
    assert bars.timeframe == "1h"
    assert universe.timeframe == "1h"
    at = int(np.searchsorted(fine.open_time, bars.open_time[5]))
    assert bars.open[5] == fine.open[at]
    assert bars.volume[5] == pytest.approx(fine.volume[at : at + 4].sum())


def test_refused_and_unused_files_are_named(tmp_path):
    settings = offline(tmp_path)
    folder = tmp_path / "candles"
    good, other, bad = market(3)
    csv_of(good, folder)
    path = csv_of(bad, folder)
    lines = path.read_text().splitlines()
    lines[40] = lines[40].replace(lines[40].split(",")[1], "-5")
    path.write_text("\n".join(lines) + "\n")
    (fine,) = market(1, bars=2000, timeframe="15m", seed=3)
    csv_of(replace(fine, symbol=other.symbol), folder)
    universe = gather_candles(settings, data=str(folder))
    assert universe.symbols == (good.symbol,)
    assert any("SOL-USDT-1h.csv" in note and "row" in note for note in universe.notes)
    assert "no 1h files of ETH/USDT; left out" in universe.notes
    assert [str(o.status) for o in universe.outcomes] == ["imported", "skipped", "refused"]


def test_a_pair_that_ended_before_the_window_is_left_out_and_named(tmp_path):
    settings = offline(tmp_path)
    first, second, dead = market(3)
    store_of(settings, [first, second, dead[: -24 * 20]])
    universe = gather_candles(settings)
    assert set(universe.symbols) == {first.symbol, second.symbol}
    (note,) = universe.notes
    assert note.startswith(f"{dead.symbol}: left out, its candles end 2024-")


def test_older_candles_are_loaded_before_the_window_so_that_features_settle(tmp_path):
    settings = offline(tmp_path)
    store_of(settings, market(1, bars=24 * 200))
    universe = gather_candles(settings)
    assert universe.end_ns - universe.start_ns == 14 * DAY_NS
    before = universe.start_ns - int(universe.bars[0].open_time[0])
    assert before == pytest.approx(warm_up_days("1h") * DAY_NS, abs=HOUR_NS)


def test_the_warm_up_is_as_long_as_the_longest_memory_of_a_strategy():
    names = [name for name in list_strategies() if not get_strategy(name).predictions]
    for timeframe, bars_a_day in (("1h", 24), ("5m", 288)):
        longest = max(get_strategy(name).history_bars(timeframe) for name in names)
        days = warm_up_days(timeframe)
        assert days * bars_a_day >= longest > (days - 1) * bars_a_day
    assert warm_up_days("1d") == 365


def test_strategies_of_two_timeframes_do_not_stop_bars_longer_than_theirs():
    assert warm_up_days("1w") == 365
    daily = get_strategy("daily_pivot")
    possible = {"5m": True, "1h": True, "8h": True, "1d": True, "7h": False, "2d": False}
    assert {timeframe: runs_at(daily, timeframe) for timeframe in possible} == possible
    assert runs_at(get_strategy("rsi"), "1w")


def test_each_coarser_timeframe_begins_as_early_as_its_strategies_need(tmp_path):
    changes = {"data.base_timeframe": "15m", "timeframes": ["1h", "4h"]}
    settings = offline(tmp_path, **changes)
    (fine,) = market(1, bars=96 * 420, timeframe="15m")
    store_of(settings, [fine])
    universe = gather_candles(settings)
    base_days = warm_up_days("15m")
    for name in ("15m", "1h", "4h"):
        (bars,) = universe.at(name)
        before = universe.start_ns - int(bars.open_time[0])
        assert before == pytest.approx(warm_up_days(name) * DAY_NS, abs=timeframe_ns(name)), name
        whole = resample(fine, name)
        first = int(np.searchsorted(whole.open_time, bars.open_time[0]))
        assert bars.fingerprint == whole[first:].fingerprint
    (other,) = universe.at("2h")
    assert universe.start_ns - int(other.open_time[0]) < (base_days + 1) * DAY_NS
    asked = gather_candles(settings, timeframes=["2h"])
    assert universe.start_ns - int(asked.at("2h")[0].open_time[0]) > 200 * DAY_NS


def test_a_long_warm_up_changes_neither_the_pairs_nor_the_window(tmp_path):
    settings = offline(tmp_path, top_pairs_count=1)
    first, second = market(2, bars=24 * 120)
    volume = first.volume.copy()
    volume[: 24 * 60] *= 1e6
    whole = [replace(first, volume=volume * 1e-3), second]
    store_of(settings, whole)
    known = gather_candles(settings)
    short = offline(tmp_path / "short", top_pairs_count=1)
    store_of(short, [bars[-24 * 44 - 1 :] for bars in whole])
    assert known.symbols == gather_candles(short).symbols == (second.symbol,)
    assert known.start_ns == gather_candles(short).start_ns


def test_a_simulated_market_left_half_made_is_completed(tmp_path):
    settings = offline(tmp_path)
    whole = gather_candles(settings)
    (folder,) = (tmp_path / "data/market-simulated").iterdir()
    (folder / "complete.json").unlink()
    for path in (folder / "symbol=SOL-USDT").rglob("*.parquet"):
        path.unlink()
    again = gather_candles(settings)
    assert [b.fingerprint for b in again.bars] == [b.fingerprint for b in whole.bars]
    assert (folder / "complete.json").exists()


def test_every_simulation_key_changes_the_market(tmp_path):
    base = gather_candles(offline(tmp_path))
    changes = {
        "simulation.seed": 1,
        "simulation.edge_strength": 0.5,
        "simulation.annual_volatility": 0.9,
        "simulation.start": "2024-03-01",
    }
    for key, value in changes.items():
        other = gather_candles(offline(tmp_path, **{key: value}))
        assert other.bars[0].fingerprint != base.bars[0].fingerprint, key
    fewer = gather_candles(offline(tmp_path, top_pairs_count=2))
    assert len(fewer.symbols) == 2


def downloaded(tmp_path, exchange, *, days_ago=2, **behaviour):
    """A store that was downloaded some days ago; the settings and the fake exchange of today."""
    today = SystemClock().now_ns()
    exchange()
    settings = online(tmp_path)
    download_universe(
        settings, BarStore(settings.data.store_folder), clock=ReplayClock(today - days_ago * DAY_NS)
    )
    return settings, exchange(**behaviour), ReplayClock(today)


def test_a_downloaded_store_is_brought_up_to_date_before_a_turn(tmp_path, exchange):
    settings, fake, clock = downloaded(tmp_path, exchange)
    before = gather_candles(settings)
    assert fake.asked == []
    assert refresh_store(settings, clock=clock) == ()
    assert set(fake.asked) == set(PAIRS)
    assert fake.closed
    after = gather_candles(settings)
    assert after.end_ns - before.end_ns == 2 * DAY_NS
    assert clock.now_ns() - after.end_ns < HOUR_NS
    assert not (tmp_path / "data/market/download.json").exists()
    for bars in after.bars:
        assert np.all(np.diff(bars.open_time) == HOUR_NS)


def test_only_the_pairs_that_are_used_are_brought_up_to_date(tmp_path, exchange):
    settings, fake, clock = downloaded(tmp_path, exchange)
    refresh_store(settings, ["ETH/USDT"], clock=clock)
    assert set(fake.asked) == {"ETH/USDT"}


def test_an_exchange_out_of_reach_leaves_the_store_as_it_is_with_a_note(tmp_path, exchange):
    settings, _, clock = downloaded(tmp_path, exchange, unreachable=("top", *PAIRS))
    before = gather_candles(settings)
    (note,) = refresh_store(settings, clock=clock)
    assert note.startswith("going on with the stored candles, they could not be brought up to date")
    after = gather_candles(settings)
    assert [b.fingerprint for b in after.bars] == [b.fingerprint for b in before.bars]
    assert after.notes == ()


def test_a_pair_that_cannot_be_brought_up_to_date_is_named(tmp_path, exchange):
    settings, _, clock = downloaded(tmp_path, exchange, refuses=("ETH/USDT",))
    (note,) = refresh_store(settings, clock=clock)
    assert note.startswith("ETH/USDT: not brought up to date: ETH/USDT must be a symbol")


def test_candles_of_files_and_simulated_ones_are_never_brought_up_to_date(tmp_path, exchange):
    fake = exchange()
    imported = online(tmp_path / "imported")
    gather_candles(imported, data=str(write_market(tmp_path / "candles", symbols=2)))
    simulated = offline(tmp_path / "simulated")
    gather_candles(simulated)
    for settings in (imported, simulated):
        assert refresh_store(settings) == ()
    assert fake.asked == []


def test_pairs_of_files_beside_downloaded_ones_stay_as_they_are(tmp_path, exchange):
    settings, fake, clock = downloaded(tmp_path, exchange)
    (other,) = market(1)
    store_of(settings, [replace(other, symbol="XRP/USDT")])
    refresh_store(settings, clock=clock)
    assert set(fake.asked) == set(PAIRS)


def test_a_store_of_another_exchange_is_not_brought_up_to_date_and_says_so(tmp_path, exchange):
    _, fake, clock = downloaded(tmp_path, exchange)
    (note,) = refresh_store(online(tmp_path, **{"data.exchange": "kraken"}), clock=clock)
    assert "was downloaded from binance" in note
    assert refresh_store(online(tmp_path, **{"data.exchange": ""}), clock=clock) == ()
    assert fake.asked == []


def test_default_pairs_without_candles_are_left_out_with_a_note(tmp_path):
    settings = offline(tmp_path)
    store_of(settings, market(2))
    defaults = DefaultPairs(("BTC/USDT", "SOL/USDC"))
    universe = gather_candles(settings, symbols=defaults)
    assert universe.symbols == ("BTC/USDT",)
    assert universe.notes == ("SOL/USDC: left out, the default pair has no candles here",)
    with pytest.raises(DataError, match=r"one of the default pairs SOL/USDC, had none; .*BTC/USDT"):
        gather_candles(settings, symbols=DefaultPairs(("SOL/USDC",)))
    with pytest.raises(DataError, match="was 'SOL/USDC'"):
        gather_candles(settings, symbols=tuple(defaults))


def test_default_pairs_come_from_the_exchange_or_a_simulation_alike(tmp_path, exchange):
    defaults = DefaultPairs(("BTC/USDT", "SOL/USDC"))
    simulated = gather_candles(offline(tmp_path / "simulated"), symbols=defaults)
    assert simulated.symbols == ("BTC/USDT",)
    fake = exchange(refuses=("SOL/USDC",))
    assert gather_candles(online(tmp_path), symbols=defaults).symbols == ("BTC/USDT",)
    assert set(fake.asked) == {"BTC/USDT", "SOL/USDC"}


def test_a_bad_funding_file_is_a_note_and_the_candles_are_used(tmp_path):
    folder = write_market(tmp_path / "candles", symbols=1)
    (folder / "BTC_USDT-funding.csv").write_text("timestamp,rate\n1700006400000,7\n")
    universe = gather_candles(offline(tmp_path), data=str(folder))
    assert any("funding not kept" in note and "was 7.0" in note for note in universe.notes)
