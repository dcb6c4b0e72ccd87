"""A turn whose model is searched: its rows lie in every stretch and are shown at their own prices."""

from __future__ import annotations

import polars as pl

from backtest.tiny import TINY, turn_in, write_market
from crypto_bot.market import BarStore

SEARCHED = {
    **TINY,
    "lookback_days": 40,
    "strategies_to_test": ["sma_cross"],
    "models": {
        "trainers": ["search"],
        "feature_set": "trainer",
        "search": {"trials": 1, "folds": 2, "models": ["logistic"], "horizon_bars": [4]},
    },
}


def test_a_searched_model_is_shown_beside_the_prices_of_all_its_stretches(tmp_path):
    storage = {"models.search.storage_folder": str(tmp_path / "searches")}
    candles = write_market(tmp_path / "candles", symbols=2)
    summary, _ = turn_in(tmp_path, SEARCHED, data=str(candles), **storage)

    (folder,) = (tmp_path / "out/runs").iterdir()
    shown = pl.read_csv(folder / "predictions.csv", comment_prefix="#", try_parse_dates=True)
    bars = BarStore(tmp_path / "data/market").load(summary["symbols"][0], "1h")
    at = bars.close_time.searchsorted(shown["date"].dt.epoch("ns").to_numpy())
    assert len(shown) > 100
    assert (bars.close_time[at] == shown["date"].dt.epoch("ns").to_numpy()).all()
    assert (bars.close[at] == shown["close"].to_numpy()).all()
