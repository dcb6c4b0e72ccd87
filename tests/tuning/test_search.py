"""A search of models: seeded, resumable, blind to what it must not see, honest about what it cannot do."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from crypto_bot.core.errors import ConfigError, DataError
from crypto_bot.core.funding import FundingRates
from crypto_bot.tuning import ModelSearchOptions, ModelSetting, RowBoard, search_models
from crypto_bot.tuning.trading import threshold_for
from tuning.small_searches import NAMES, SEARCH, TERMS, board, end_ns


@cache
def found():
    """The search that most tests look at."""
    return search_models(board(), TERMS, SEARCH, end_ns=end_ns(board()))


def table(search):
    """Everything a search found, comparable."""
    return [
        (
            one.setting,
            one.sharpe,
            one.threshold,
            one.trades,
            one.is_pruned,
            one.daily_returns.tolist(),
        )
        for one in search.tried
    ]


def test_the_same_seed_tries_the_same_settings_and_another_seed_others():
    rows = board()
    again = search_models(rows, TERMS, SEARCH, end_ns=end_ns(rows))
    assert table(found()) == table(again)
    other = search_models(rows, TERMS, SEARCH.replace(seed=7, trials=1), end_ns=end_ns(rows))
    assert table(found())[0] != table(other)[0]


def test_every_model_is_traded_in_every_way_of_the_space():
    search = found()
    assert len(search.tried) == 3 * 2 * 2
    ways = {(one.setting.open_share, str(one.setting.signal_exit)) for one in search.tried[:4]}
    assert ways == {(0.3, "opposite"), (0.6, "opposite"), (0.3, "flat"), (0.6, "flat")}
    assert search.best.sharpe == max(one.sharpe for one in search.tried)


def test_a_planted_edge_is_found_out_of_fold():
    assert found().best.sharpe > 3.0


def test_a_search_that_was_cut_off_goes_on_and_gives_what_an_unbroken_one_gives(tmp_path):
    rows, end = board(), end_ns(board())
    whole = found()
    search_models(rows, TERMS, SEARCH.replace(trials=1), end_ns=end, storage=tmp_path)
    told = []
    resumed = search_models(rows, TERMS, SEARCH, end_ns=end, storage=tmp_path, on_tried=told.append)
    assert table(resumed) == table(whole)
    assert [one.setting for one in told] == [one.setting for one in whole.tried]
    assert len(list(tmp_path.glob("*.jsonl"))) == 1


def test_a_search_killed_inside_a_trial_tries_that_trial_again(tmp_path, monkeypatch):
    from crypto_bot.tuning import study

    rows, end = board(), end_ns(board())
    real, calls = study.try_settings, []

    def dies(*given, **named):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*given, **named)

    monkeypatch.setattr(study, "try_settings", dies)
    with pytest.raises(KeyboardInterrupt):
        search_models(rows, TERMS, SEARCH, end_ns=end, storage=tmp_path)
    monkeypatch.setattr(study, "try_settings", real)
    resumed = search_models(rows, TERMS, SEARCH, end_ns=end, storage=tmp_path)
    assert table(resumed) == table(found())


def test_a_stored_search_of_other_candles_is_not_taken_up(tmp_path):
    rows = board()
    search_models(rows, TERMS, SEARCH.replace(trials=1), end_ns=end_ns(rows), storage=tmp_path)
    other = RowBoard(rows.bars[:2], NAMES)
    search_models(other, TERMS, SEARCH.replace(trials=1), end_ns=end_ns(rows), storage=tmp_path)
    assert len(list(tmp_path.glob("*.jsonl"))) == 2


def test_a_stored_search_from_another_start_or_under_other_funding_is_not_taken_up(tmp_path):
    rows, one = board(), SEARCH.replace(trials=1)
    later = RowBoard(rows.bars, NAMES, start_ns=int(rows.bars[0].close_time[800]))
    symbol, times = rows.bars[0].symbol, rows.bars[0].open_time[::8]
    paid = [
        {symbol: FundingRates(symbol, times, np.full(len(times), rate))} for rate in (1e-4, 2e-4)
    ]
    terms = [TERMS, *(replace(TERMS, funding=each) for each in paid)]
    for board_, given in ((later, TERMS), *((rows, each) for each in terms)):
        search_models(board_, given, one, end_ns=end_ns(rows), storage=tmp_path)
    assert len(list(tmp_path.glob("*.jsonl"))) == 4


def test_bars_after_the_end_change_nothing_of_a_search():
    rows = board()
    end = int(rows.bars[0].close_time[1_800])
    altered = [
        replace(
            bars,
            **{
                name: np.where(
                    bars.close_time > end, getattr(bars, name) * 1.7, getattr(bars, name)
                )
                for name in ("open", "high", "low", "close")
            },
        )
        for bars in rows.bars
    ]
    options = SEARCH.replace(trials=1)
    blind = search_models(rows, TERMS, options, end_ns=end)
    again = search_models(RowBoard(altered, NAMES), TERMS, options, end_ns=end)
    assert table(blind) == table(again)


def test_a_hopeless_setting_is_given_up_and_cannot_win():
    options = ModelSearchOptions(
        trials=6,
        folds=2,
        startup_trials=2,
        sampler="random",
        space=SEARCH.space.replace(open_shares=(0.5,), signal_exits=("opposite",)),
    )
    search = search_models(board(), TERMS, options, end_ns=end_ns(board()))
    assert any(one.is_pruned for one in search.tried)
    assert not search.best.is_pruned


def test_a_horizon_longer_than_the_data_is_said_and_nothing_is_chosen():
    rows = RowBoard([bars[:900] for bars in board().bars], NAMES)
    options = SEARCH.replace(trials=1, space=SEARCH.space.replace(horizon_bars=(5_000,)))
    search = None
    with pytest.raises(
        DataError, match=r"must have a setting that trades, had none of 1: .*horizon"
    ):
        search = search_models(rows, TERMS, options, end_ns=end_ns(rows)).best
    assert search is None


def test_a_threshold_lets_the_asked_share_of_decisions_through():
    up = np.linspace(0.4, 0.7, 1_001)
    both = np.column_stack((1 - up, up))
    threshold = threshold_for(both, (0, 1), 0.25)
    assert np.mean(both.max(axis=1) > threshold) == pytest.approx(0.25, abs=0.002)
    three = np.column_stack((0.3 * np.ones(1_001), 0.4 - 0.3 * up, 0.3 + 0.3 * up))
    assert threshold_for(three, (-1, 0, 1), 0.5) == pytest.approx(np.median(three[:, 2]))
    with pytest.raises(DataError, match="known on some row"):
        threshold_for(np.full((3, 2), np.nan), (0, 1), 0.5)


def test_a_setting_survives_json_and_refuses_what_it_does_not_know():
    setting = found().best.setting
    again = ModelSetting.from_mapping(setting.model_dump(mode="json"), path="card")
    assert again == setting
    assert again.trainer().name == setting.trainer().name
    with pytest.raises(ConfigError, match="model"):
        ModelSetting.from_mapping({**setting.model_dump(mode="json"), "model": "oracle"}, path="x")
