"""No look-ahead through the whole pipeline, and a hold-out that nothing sees before paper trading."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from backtest.tiny import TINY, bench_in, settings_in
from crypto_bot.backtest import learning, recipes, turn
from crypto_bot.backtest.candles import gather_candles, stored_candles
from crypto_bot.backtest.rehearsal import hold_out_stretches
from crypto_bot.backtest.sweeping import rule_strategies, run_sweep
from crypto_bot.core import OHLCV
from crypto_bot.core.timeframes import DAY_NS, HOUR_NS
from crypto_bot.dataset import build_dataset
from crypto_bot.engine import ExitOptions
from crypto_bot.features import S0_FEATURES, compute_features
from crypto_bot.journal import Journal
from crypto_bot.labels import make_labels
from crypto_bot.market import BarStore, SimulationOptions, simulate_market
from crypto_bot.strategies import get_strategy
from crypto_bot.trading import ModelDecisions, PaperSession

VALUES = {**TINY, "sizing": {"allow_short": True}, "paper": {"prediction_threshold": 0.4}}
PAIRS = 2


def market(seed=5):
    options = SimulationOptions(
        symbols=PAIRS, timeframe="1h", bars=24 * 60, seed=seed, edge_strength=1.0
    )
    return simulate_market(options)


def altered_after(bars, moment_ns, *, seed=1):
    """The same bars up to those closed at the moment; after it other prices, volumes and outages."""
    rng = np.random.default_rng(seed)
    first = int(np.searchsorted(bars.close_time, moment_ns, side="right"))
    rest = len(bars) - first
    factor = 2.0 * np.exp(np.cumsum(0.02 * rng.standard_normal(rest)))
    columns = {name: getattr(bars, name).copy() for name in OHLCV}
    for name in ("open", "high", "low", "close"):
        columns[name][first:] *= factor
    columns["volume"][first:] *= rng.uniform(0, 9, rest)
    kept = np.ones(len(bars), np.bool_)
    kept[first:] = rng.random(rest) > 0.05
    times = bars.open_time[kept]
    return replace(
        bars, open_time=times, **{name: column[kept] for name, column in columns.items()}
    )


def decided_until(bench, universe, moment_ns, *, trained_until_ns):
    """Everything the pipeline has made of these candles by the moment, stage by stage."""
    found = {}
    recipe = recipes.recipes(bench, "GLOBAL", universe[0].symbol)[0]
    for bars in universe:
        upto = int(np.searchsorted(bars.close_time, moment_ns, side="right"))
        found["features", bars.symbol] = compute_features(bars, S0_FEATURES).values[:upto].tobytes()
        for name in rule_strategies():
            signals = get_strategy(name).signals_on(bars)
            found[name, bars.symbol] = (
                signals.direction[:upto].tobytes(),
                signals.score[:upto].tobytes(),
            )
        labels = make_labels(bars, recipe.labels)
        is_decided = labels.is_labelled & (labels.end_time_ns <= moment_ns)
        found["labels", bars.symbol] = (
            bars.open_time[is_decided].tobytes(),
            labels.values[is_decided].tobytes(),
        )
    known, _ = learning.learnable(universe, S0_FEATURES, start_ns=0, end_ns=moment_ns)
    dataset = build_dataset(known, feature_names=recipe.feature_names, labels=recipe.labels)
    found["rows"] = (dataset.features.tobytes(), dataset.labels.tobytes(), dataset.fingerprint)
    assert dataset.label_end_ns.max() <= moment_ns
    rows = dataset.label_end_ns <= trained_until_ns
    model = recipe.trainer.fit(dataset.take(rows))
    found["model"] = dict(model.files)
    maker = ModelDecisions(model.predictor, threshold=recipe.threshold, allow_short=True)
    stretches = hold_out_stretches(universe, maker, trained_until_ns)
    with Journal("sqlite://") as journal:
        run_id = journal.start_run("paper")
        PaperSession(
            stretches,
            options=bench.paper_options(recipes.model_exits(bench)),
            journal=journal,
            run_id=run_id,
        ).run()
        decisions = journal.decisions(run_id)
        found["decisions"] = [d for d in decisions if d.bar_close_ns <= moment_ns]
        orders = journal.orders(run_id)
        found["orders"] = [
            replace(order, client_id=order.client_id.replace(run_id, ""))
            for order in orders
            if order.created_at_ns <= moment_ns
        ]
        fills = journal.fills(run_id)
        found["fills"] = [
            (f.filled_at_ns, f.side, f.quantity, f.price, f.fee_quote)
            for f in fills
            if f.filled_at_ns < moment_ns
        ]
    for traded in stretches:
        bars = traded.bars
        upto = int(np.searchsorted(bars.close_time, moment_ns, side="right"))
        table = compute_features(
            universe[[b.symbol for b in universe].index(bars.symbol)], S0_FEATURES
        )
        rows = len(table.values) - len(bars)
        probabilities = model.predictor.predict_proba(np.ascontiguousarray(table.values[rows:]))
        found["probabilities", bars.symbol] = probabilities[:upto].tobytes()
    return found


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    with bench_in(tmp_path_factory.mktemp("law"), VALUES) as opened:
        yield opened


@pytest.mark.parametrize("days", [36.0, 45.0, 50.0 + 7 / 24])
def test_bars_after_a_moment_change_nothing_decided_by_it(bench, days):
    bars = market()
    moment_ns = int(bars[0].open_time[0]) + int(days * 24) * HOUR_NS
    trained_until_ns = moment_ns - 5 * DAY_NS
    before = decided_until(bench, bars, moment_ns, trained_until_ns=trained_until_ns)
    other = [altered_after(each, moment_ns, seed=k) for k, each in enumerate(bars)]
    after = decided_until(bench, other, moment_ns, trained_until_ns=trained_until_ns)
    assert list(before) == list(after)
    for stage, value in before.items():
        assert after[stage] == value, stage
    assert any(decision.direction for decision in before["decisions"])
    assert len(before["orders"]) > 2
    assert len(before["fills"]) > 2


def test_the_law_notices_one_bar_of_the_future(bench):
    """Bars from the moment's own bar on are altered: the last decision must differ."""
    bars = market()
    moment_ns = int(bars[0].open_time[0]) + 45 * DAY_NS
    trained_until_ns = moment_ns - 5 * DAY_NS
    before = decided_until(bench, bars, moment_ns, trained_until_ns=trained_until_ns)
    other = [altered_after(each, moment_ns - HOUR_NS, seed=3) for each in bars]
    after = decided_until(bench, other, moment_ns, trained_until_ns=trained_until_ns)
    changed = {stage for stage, value in before.items() if after[stage] != value}
    symbols = [each.symbol for each in bars]
    assert {("features", symbol) for symbol in symbols} <= changed
    assert {("probabilities", symbol) for symbol in symbols} <= changed
    assert "decisions" in changed
    assert "rows" in changed
    assert "model" not in changed, "it learned from older rows only"


def test_paper_decides_on_the_hold_out_as_if_it_had_seen_the_whole_history(bench):
    """The bars before the stretch reach it as history: no feature starts anew at the hold-out."""
    bars = market()
    cut = int(bars[0].open_time[24 * 50])
    recipe = recipes.recipes(bench, "GLOBAL", bars[0].symbol)[0]
    known = [each.closed_by(cut) for each in bars]
    model = recipe.trainer.fit(build_dataset(known, labels=recipe.labels))
    maker = ModelDecisions(model.predictor, threshold=recipe.threshold, allow_short=True)
    with Journal("sqlite://") as journal:
        run_id = journal.start_run("paper")
        stretches = hold_out_stretches(bars, maker, cut)
        options = bench.paper_options(ExitOptions())
        PaperSession(stretches, options=options, journal=journal, run_id=run_id).run()
        decided = journal.decisions(run_id)
    strategy = get_strategy("model", threshold=recipe.threshold, allow_short=True)
    for each in bars:
        values = compute_features(each, S0_FEATURES).values
        down, _, up = model.predictor.predict_proba(np.ascontiguousarray(values)).T
        wanted = strategy.signals({"p_up": up.copy(), "p_down": down.copy()}).direction
        whole = dict(zip(each.close_time.tolist(), wanted.tolist(), strict=True))
        mine = [decision for decision in decided if decision.symbol == each.symbol]
        assert len(mine) == int((each.open_time >= cut).sum())
        assert [d.direction for d in mine] == [whole[d.bar_close_ns] for d in mine]
        assert any(d.direction for d in mine)


def stored(folder, bars):
    store = BarStore(folder / "data/market")
    for each in bars:
        store.append(replace(each, is_simulated=False))


def development_of(folder, bars):
    """One turn on stored candles: what was made before the hold-out, and the paper session after."""
    stored(folder, bars)
    with bench_in(folder, VALUES) as bench:
        summary = turn.run_turn(bench, announce=lambda line: None)
        registry = bench.registry
        made = {
            "sweep": pl.read_parquet(folder / "out/runs" / summary["run_id"] / "sweep.parquet"),
            "pairs": summary["symbols"],
            "hold_out": summary["hold_out_start"],
        }
        for symbol in registry.symbols():
            (version,) = registry.versions(symbol)
            _, card = registry.load(symbol, version)
            place = folder / "registry" / symbol.replace("/", "-") / "versions" / version
            made[symbol] = {
                path.name: path.read_bytes()
                for path in place.iterdir()
                if path.suffix in (".txt", ".npz")
            }
            made["verdict of " + symbol] = card.gate
            made["card of " + symbol] = (card.metrics, card.data_end, card.data_fingerprint)
    return made, summary


def test_the_hold_out_changes_nothing_before_the_paper_session(tmp_path):
    bars = market()
    made, summary = development_of(tmp_path / "one", bars)
    settings = settings_in(tmp_path / "one", VALUES)
    hold_out_ns = turn.hold_out_start(stored_candles(settings), settings.validation.holdout_frac)
    other = [altered_after(each, hold_out_ns, seed=k) for k, each in enumerate(bars)]
    other = [keep_last(each, original) for each, original in zip(other, bars, strict=True)]
    again, changed = development_of(tmp_path / "two", other)
    assert set(made) == set(again)
    assert len([name for name in made if name.startswith("verdict of ")]) == 2
    for name, value in made.items():
        same = value.equals(again[name]) if name == "sweep" else value == again[name]
        assert same, name
    assert changed["models"][0]["sharpe"] == summary["models"][0]["sharpe"]
    assert changed["paper"]["trader"] == summary["paper"]["trader"]
    assert changed["paper"]["total_return"] != summary["paper"]["total_return"]


def keep_last(altered, original):
    """The window ends with the last candle: an outage there would move the cut itself."""
    if altered.open_time[-1] == original.open_time[-1]:
        return altered
    return replace(
        altered,
        open_time=np.append(altered.open_time, original.open_time[-1]),
        **{name: np.append(getattr(altered, name), getattr(original, name)[-1]) for name in OHLCV},
    )


def test_the_choice_of_pairs_does_not_see_the_hold_out(tmp_path):
    bars = market()
    settings = settings_in(tmp_path, VALUES)
    stored(tmp_path, bars)
    before = gather_candles(settings)
    cut = turn.hold_out_start(before, settings.validation.holdout_frac)
    flood = []
    for each in bars:
        volume = each.volume.copy()
        if each.symbol == before.symbols[-1]:
            volume[each.open_time >= cut] *= 1e6
        flood.append(replace(each, volume=volume))
    stored(tmp_path, flood)
    after = gather_candles(settings)
    assert after.bars[0].fingerprint == before.bars[0].fingerprint
    assert after.symbols == before.symbols


def test_the_sweep_reads_no_bar_that_closes_in_the_hold_out(bench, tmp_path):
    settings = settings_in(tmp_path, VALUES)
    stored(tmp_path, market())
    universe = gather_candles(settings)
    cut = turn.hold_out_start(universe, settings.validation.holdout_frac)
    swept = run_sweep(universe, bench, end_ns=cut)
    shorter = replace(universe, bars=tuple(bars.between(None, cut) for bars in universe.bars))
    assert run_sweep(shorter, bench, end_ns=cut).table.equals(swept.table)
    later = run_sweep(universe, bench, end_ns=cut + DAY_NS)
    assert not later.table.equals(swept.table)
