"""A look at a running session: written down, alarmed, acted on once, and over when it is over."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crypto_bot.backtest.live_evidence import Champion, period_returns
from crypto_bot.backtest.live_feedback import KIND, SessionRemedies, Watched, live_evidence, look
from crypto_bot.backtest.live_picture import FILE, live_picture
from crypto_bot.backtest.own_slippage import charged, slippage_notes
from crypto_bot.backtest.promises import Promise, promise_file, promise_of
from crypto_bot.backtest.serving import champion_in_service
from crypto_bot.core.errors import StorageError
from crypto_bot.core.timeframes import ReplayClock
from crypto_bot.engine import ExitOptions, exits_for
from crypto_bot.feedback import FindingKind, LiveEvidence, take_a_look
from crypto_bot.trading import (
    LiveSession,
    LiveSymbol,
    ModelDecisions,
    PaperSession,
    TradedSymbol,
    expected_backtest,
)
from drifting_streams import FIRST_NS, drawn, trades
from paper_markets import NO_LIMITS, ModelLike, market
from paper_markets import split as split_bars
from small_runs import small_bench
from toy_model import PASSED, toy_card, toy_files, toy_registry

EXITS = ExitOptions(stop_loss_frac=0.02, take_profit_frac=0.03)
HISTORY, LIVE = 2_500, 700
MODEL = ModelLike((0, 1))
MAKER = ModelDecisions(MODEL, threshold=0.55, trained_until_ns=FIRST_NS)
CARD = toy_card(
    "GLOBAL",
    feature_names=MODEL.feature_names,
    label={
        "kind": "next_up",
        "name": "next_n_up",
        "horizon_bars": 3,
        "effective_horizon_minutes": 15.0,
    },
    metrics={"brier": 0.25, "log_loss": 0.69, "max_drawdown": 0.9},
)
SMALL = {"feedback.minimum_trades": 10}


class Hands:
    def __init__(self):
        self.calls = []

    def shrink(self, frac, reason):
        self.calls.append(("shrink", frac))
        return "shrunk"

    def stand_aside(self, reason):
        self.calls.append(("stand_aside",))
        return "aside"

    def retrain(self, alarm, reason):
        self.calls.append(("retrain",))

    def roll_back(self, version, reason):
        self.calls.append(("roll_back", version))
        return "back"


def stretches():
    found = []
    for number, symbol in enumerate(("A/USDT", "B/USDT")):
        before, stretch = split_bars(market(symbol, HISTORY + LIVE, 40 + number), HISTORY)
        found.append(TradedSymbol(stretch, MAKER, before))
    return found


def champion(version="v2", previous=None):
    return Champion("GLOBAL", version, MODEL, CARD, MAKER, EXITS, previous)


@pytest.fixture(scope="module")
def session():
    return stretches()


def traded(bench, session, run_id):
    options = bench.paper_options(EXITS).replace(limits=NO_LIMITS)
    paper = PaperSession(session, options=options, journal=bench.journal, run_id=run_id).run()
    return options, paper


def promised(paper, worse=0.0):
    """What the session itself earned, or so much more that it disappoints."""
    own = np.concatenate([t["return_frac"][t["exit_bar"] >= 0] for t in paper.trades.values()])
    return Promise(trades(np.tile(own + worse, 3)), 0.9)


def cut(paper, bars):
    """The same session some closes later than it ended: only the look's time changes."""
    return replace(paper, times_ns=paper.times_ns + bars)


def test_a_session_as_promised_is_written_down_without_an_alarm(tmp_path, session):
    with small_bench(tmp_path, **SMALL) as bench:
        run_id = bench.journal.start_run("live", {})
        options, paper = traded(bench, session, run_id)
        watched = Watched(options, promised(paper), champion())
        hands = Hands()
        done = look(bench, run_id, watched, session, paper, remedies=hands, size_before=1.0)
        (kept,) = bench.journal.feedback(run_id=run_id)
    assert done.alarms == []
    assert hands.calls == []
    assert (kept.kind, kept.symbol) == (KIND, "GLOBAL")
    assert kept.detail["agreement"]["unexplained"] == 0
    assert kept.detail["calibration"]["rows"] > 1_000
    assert kept.detail["predictions"][0]["p_value"] is not None
    assert kept.detail["drift"]
    assert len(kept.detail["trades"]["realised"]) == kept.detail["score"]["trades"]
    assert sum(len(each) for each in paper.trades.values()) > 30


def test_worse_than_promised_shrinks_once_and_ends_after_two_good_looks(tmp_path, session):
    with small_bench(tmp_path, **SMALL) as bench:
        run_id = bench.journal.start_run("live", {})
        options, paper = traded(bench, session, run_id)
        bad = Watched(options, promised(paper, 0.05), champion())
        good = Watched(options, promised(paper), champion())
        hands = Hands()
        first = look(bench, run_id, bad, session, paper, remedies=hands, size_before=1.0)
        kinds = {alarm.kind for alarm in first.alarms}
        assert "worse_than_promised:shrink" in kinds
        again = look(bench, run_id, bad, session, paper, remedies=hands, size_before=first.size)
        assert [each.number for each in again.alarms] == [each.number for each in first.alarms]
        assert len(bench.journal.feedback(run_id=run_id)) == 1
        before = list(hands.calls)
        later = look(
            bench, run_id, good, session, cut(paper, 1), remedies=hands, size_before=again.size
        )
        assert len(later.alarms) == len(first.alarms)
        over = look(
            bench, run_id, good, session, cut(paper, 2), remedies=hands, size_before=later.size
        )
        assert over.alarms == []
        assert over.size == 1.0
    assert before.count(("shrink", 0.5)) + before.count(("stand_aside",)) == 1
    assert hands.calls[len(before) :] == [("shrink", 1.0)]


def test_alarms_are_written_and_stay_open_where_acting_is_off(tmp_path, session):
    with small_bench(tmp_path, **SMALL, **{"feedback.act": False}) as bench:
        run_id = bench.journal.start_run("live", {})
        options, paper = traded(bench, session, run_id)
        hands = Hands()
        watched = Watched(options, promised(paper, 0.05), champion())
        done = look(bench, run_id, watched, session, paper, remedies=hands)
        assert {alarm.status for alarm in done.alarms} == {"open"}
        assert done.size is None
    assert hands.calls == []


def test_alarms_of_another_version_end_when_it_no_longer_trades(tmp_path, session):
    with small_bench(tmp_path, **SMALL) as bench:
        run_id = bench.journal.start_run("live", {})
        options, paper = traded(bench, session, run_id)
        look(bench, run_id, Watched(options, promised(paper, 0.05), champion("v1")), session, paper)
        done = look(
            bench, run_id, Watched(options, promised(paper), champion("v2")), session, paper
        )
        assert done.alarms == []
        outcomes = {alarm.outcome for alarm in bench.journal.alarms(symbol="GLOBAL")}
        assert outcomes == {"version v1 no longer trades"}


def test_nothing_after_the_last_close_is_read(tmp_path, session):
    with small_bench(tmp_path, **SMALL) as bench:
        run_id = bench.journal.start_run("live", {})
        until_ns = int(min(each.bars.close_time[400] for each in session))
        short = [each._replace(bars=each.bars.closed_by(until_ns)) for each in session]
        options, paper = traded(bench, short, run_id)
        watched = Watched(options, promised(paper), champion())
        one = look(bench, run_id, watched, short, paper).look
    with small_bench(tmp_path / "b", **SMALL) as bench:
        run_id = bench.journal.start_run("live", {})
        two = look(bench, run_id, watched, session, paper).look
    assert one.features == two.features
    assert one.calibration == two.calibration
    assert one.findings == two.findings


def test_the_previous_champion_is_measured_on_the_same_bars(tmp_path, session):
    with small_bench(tmp_path, **SMALL) as bench:
        run_id = bench.journal.start_run("live", {})
        options, paper = traded(bench, session, run_id)
    previous = replace(
        champion("v1"), maker=ModelDecisions(MODEL, threshold=0.99, trained_until_ns=FIRST_NS)
    )
    watched = Watched(options, promised(paper), champion("v2", previous))
    evidence, _ = live_evidence(watched, session, paper)
    assert evidence.previous_version == "v1"
    assert evidence.rival.version == "v1"
    assert len(evidence.rival.own) == len(evidence.rival.rival) > 10
    assert evidence.rival.own.tolist() != evidence.rival.rival.tolist()
    own = [
        expected_backtest(
            each, costs=options.costs, exits=exits_for(MAKER, EXITS), sizing=options.sizing
        )
        for each in session
    ]
    cash = options.sizing.initial_cash * len(own)
    whole = sum(result.equity[-1] for result in own) / cash
    assert np.prod(1.0 + period_returns(own)) == pytest.approx(whole)
    assert np.prod(1.0 + evidence.rival.own) == pytest.approx(whole)


def test_a_strategy_has_no_probabilities_to_watch(tmp_path, session):
    with small_bench(tmp_path, **SMALL) as bench:
        run_id = bench.journal.start_run("live", {})
        options, paper = traded(bench, session, run_id)
    evidence, left_out = live_evidence(Watched(options, Promise()), session, paper)
    assert (evidence.symbol, evidence.predictions, evidence.calibration) == ("ALL", None, None)
    assert left_out
    assert all(f.kind is FindingKind.FEATURE_DRIFT for f in take_a_look(evidence).findings)


class Session:
    def __init__(self):
        self.calls = []

    def resume(self):
        self.calls.append("resume")

    def shrink(self, frac, reason):
        self.calls.append(frac)

    def stand_aside(self, reason):
        self.calls.append("aside")


def test_the_remedies_of_a_session_reach_it_and_the_registry(tmp_path):
    with small_bench(tmp_path) as bench:
        session = Session()
        hands = SessionRemedies(bench, session, "run", champion("v9"))
        assert "0.5 of their normal size" in hands.shrink(0.5, "why")
        assert hands.shrink(1.0, "why") == "entries are of normal size"
        assert hands.stand_aside("why") == "no new entries"
        assert hands.retrain(1, "why") is None
        assert hands.roll_back("v9", "why") == "v9 is no longer in service"
        assert "nothing to roll back" in SessionRemedies(bench, session, "run", None).roll_back(
            "", ""
        )
    assert session.calls == ["resume", 0.5, "resume", "aside"]


def test_a_promise_is_read_back_and_a_damaged_one_refused(tmp_path):
    with small_bench(tmp_path) as bench:
        card = toy_card(run_id="r1", metrics={"max_drawdown": 0.2})
        assert len(promise_of(bench, card, "v1").trades) == 0
        folder = tmp_path / "out" / "runs" / "r1"
        folder.mkdir(parents=True)
        np.save(folder / promise_file("v1"), drawn(0.0, 40))
        found = promise_of(bench, card, "v1")
        assert (len(found.trades), found.drawdown_frac) == (40, 0.2)
        (folder / promise_file("v1")).write_bytes(b"\x93NUMPY")
        with pytest.raises(StorageError, match="must be readable, was not"):
            promise_of(bench, card, "v1")
        np.save(folder / promise_file("v1"), np.zeros(3))
        with pytest.raises(StorageError, match="must hold TRADE records, was float64"):
            promise_of(bench, card, "v1")


def test_measured_slippage_is_charged_where_asked_for_and_kept_with_the_run(tmp_path, session):
    class Candles:
        bars = tuple(each.bars for each in session)
        is_simulated = True

    asked = {"feedback.use_measured_slippage": True, "costs.slippage_frac": 0.0004}
    with small_bench(tmp_path, **asked) as bench:
        empty = bench.journal.start_run("integrated", {}, is_simulated=True)
        assert charged(bench, empty, Candles).costs.slippage_frac == 0.0004
        assert "no own fills" in slippage_notes(charged(bench, empty, Candles))[0]
        earlier = bench.journal.start_run("live", {}, is_simulated=True)
        traded(bench, session, earlier)
        run_id = bench.journal.start_run("integrated", {}, is_simulated=True)
        dearer = replace(bench, settings=bench.settings.replace(costs={"slippage_frac": 0.002}))
        found = charged(dearer, run_id, Candles)
        assert found.slippage.fills > 30
        assert found.costs.slippage_frac == pytest.approx(0.0004, rel=1e-6)
        assert found.paper_options(EXITS).costs.slippage_frac == found.costs.slippage_frac
        (words,) = slippage_notes(found)
        assert "PAPER" in words
        assert "costs.slippage_frac 0.002" in words
        again = bench.journal.start_run("live", {}, is_simulated=True)
        traded(dearer, session, again)
        assert charged(dearer, run_id, Candles).slippage == found.slippage
        assert charged(dearer, empty, Candles).slippage is None
    with small_bench(tmp_path / "off") as bench:
        assert charged(bench, "none", Candles) is bench
        assert slippage_notes(bench) == ()


def test_a_look_leaves_its_picture_in_the_folder_of_the_run(tmp_path, session):
    with small_bench(tmp_path, **SMALL) as bench:
        run_id = bench.journal.start_run("live", {})
        options, paper = traded(bench, session, run_id)
        watched = Watched(options, promised(paper, 0.05), champion())
        look(bench, run_id, watched, session, paper, folder=tmp_path)
    assert (tmp_path / FILE).read_bytes().startswith(b"\x89PNG")
    assert live_picture(take_a_look(LiveEvidence("ALL"))).startswith(b"\x89PNG")


def test_the_champion_comes_with_the_version_before_it(tmp_path, session):
    exits = {"signal_exit": "flat"}
    with small_bench(tmp_path) as bench:
        registry = toy_registry(tmp_path / "toys")
        bench = replace(bench, registry=registry)
        assert champion_in_service(bench, "BTC/USDT", is_simulated=False) is None
        versions = []
        for up in (0.6, 0.7, 0.8):
            card = toy_card(thresholds={"open": up}, trading=exits)
            versions.append(registry.publish("BTC/USDT", toy_files(up), card))
            registry.promote("BTC/USDT", versions[-1], PASSED)
        found = champion_in_service(bench, "BTC/USDT", is_simulated=False)
        assert (found.version, found.previous.version) == (versions[2], versions[1])
        hands = SessionRemedies(bench, Session(), "run", found)
        assert hands.roll_back(versions[2], "why") == f"{versions[1]} is in service again"
        assert hands.roll_back(versions[2], "why") == f"{versions[2]} is no longer in service"
        back = champion_in_service(bench, "BTC/USDT", is_simulated=False)
        assert (back.version, back.previous.version) == (versions[1], versions[0])


def test_a_live_session_that_is_shrunk_and_resumed_has_no_unexplained_trade(tmp_path, session):
    with small_bench(tmp_path, **SMALL) as bench:
        run_id = bench.journal.start_run("live", {})
        options = bench.paper_options(EXITS).replace(limits=NO_LIMITS)
        clock = ReplayClock()
        symbols = [
            LiveSymbol(each.bars.symbol, each.bars.timeframe, MAKER, each.history)
            for each in session
        ]
        live = LiveSession(
            symbols, options=options, journal=bench.journal, run_id=run_id, clock=clock
        )
        hands = SessionRemedies(bench, live, run_id, champion())
        closes = sorted({int(close) for each in session for close in each.bars.close_time})[:700]
        for number, close_ns in enumerate(closes):
            clock.set(close_ns)
            here = {
                each.bars.symbol: each.bars.between(close_ns - each.bars.interval_ns, close_ns)
                for each in session
            }
            live.on_close(close_ns, {name: bars for name, bars in here.items() if len(bars)})
            if number == 200:
                hands.shrink(0.5, "an alarm")
            if number == 400:
                hands.stand_aside("an alarm")
            if number == 600:
                hands.shrink(1.0, "over")
        paper = live.result()
        done = look(bench, run_id, Watched(options, promised(paper), champion()), session, paper)
        (kept,) = bench.journal.feedback(run_id=run_id)
    assert {step.step.value for step in paper.blocked} >= {"shrunk", "blocked_entry"}
    assert kept.detail["agreement"]["explained_by_risk"] > 0
    assert kept.detail["agreement"]["unexplained"] == 0
    assert FindingKind.UNEXPLAINED not in {found.kind for found in done.look.findings}
