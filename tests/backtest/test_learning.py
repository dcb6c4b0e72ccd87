"""Which symbols are learned from: a dead one among many is left out and said, never a reason to stop."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from backtest.tiny import TINY, turn_in
from crypto_bot.core.bars import symbol_slug
from crypto_bot.core.errors import DataError, LeakError, StorageError
from crypto_bot.market import SimulationOptions, simulate_market

VALUES = {**TINY, "top_pairs_count": 10, "models": {**TINY["models"], "trainers": ["lightgbm"]}}


def candles(folder, change):
    """Three live pairs and a fourth that `change` has worked on, as files."""
    folder.mkdir()
    pairs = simulate_market(SimulationOptions(symbols=4, timeframe="1h", bars=24 * 44))
    for bars in (*pairs[:3], change(pairs[3])):
        bars.to_pandas().to_csv(folder / f"{symbol_slug(bars.symbol)}-1h.csv")
    return folder


def flat(bars):
    still = np.full(len(bars), 5.0)
    return replace(bars, open=still, high=still, low=still, close=still)


def silent(bars):
    return replace(bars, volume=np.zeros(len(bars)))


def listed_in_the_hold_out(bars):
    return bars[-40:]


def listed_shortly_before_it(bars):
    return bars[-60:]


def ended_early(bars):
    return bars[: -24 * 10]


def ended_before_the_window(bars):
    return bars[: -24 * 16]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (flat, "prices are flat"),
        (silent, "volume is 0 on every bar"),
        (listed_in_the_hold_out, "must have candles from"),
        (listed_shortly_before_it, None),
        (ended_before_the_window, "before the look-back window begins"),
        (ended_early, None),
    ],
)
def test_one_odd_pair_among_many_stops_nothing(tmp_path, change, reason):
    folder = candles(tmp_path / "candles", change)
    summary, lines = turn_in(tmp_path, VALUES, data=str(folder))
    (model,) = summary["models"]
    assert model["symbol"] == "GLOBAL"
    assert summary["not_trained"] == {}
    assert summary["paper"]["unexplained_differences"] == 0
    assert len(summary["sweep"]) > 0
    if reason is None:
        assert not any("left out" in line for line in lines)
        return
    said = [line for line in lines if "XRP/USDT" in line and reason in line]
    assert said, lines
    assert any("XRP/USDT" in note and reason in note for note in summary["notes"])
    page = (tmp_path / "out/runs" / summary["run_id"] / "report.html").read_text()
    assert "XRP/USDT" in page
    assert reason in page


def test_a_dead_pair_changes_nothing_of_what_is_learned_from_the_others(tmp_path):
    pairs = [tmp_path / "with", tmp_path / "without"]
    for folder in pairs:
        folder.mkdir()
        candles(folder / "candles", flat)
    (pairs[1] / "candles/XRP-USDT-1h.csv").unlink()
    with_dead, without = (turn_in(f, VALUES, data=str(f / "candles"))[0] for f in pairs)
    figures = ("sharpe", "accuracy", "log_loss", "rows", "trades")
    assert [with_dead["models"][0][name] for name in figures] == [
        without["models"][0][name] for name in figures
    ]


def test_only_what_lies_in_the_candles_is_skipped_a_leak_or_a_full_disk_is_not(
    tmp_path, monkeypatch
):
    for number, (error, is_fatal) in enumerate(
        [(DataError, False), (LeakError, True), (StorageError, True)]
    ):

        def fails(*given, error=error, **named):
            raise error("x must hold, did not")

        monkeypatch.setattr("crypto_bot.backtest.turn.examine", fails)
        folder = tmp_path / str(number)
        folder.mkdir()
        if is_fatal:
            with pytest.raises(error, match="x must hold"):
                turn_in(folder, VALUES)
            assert list((folder / "out/runs").iterdir()) == []
        else:
            summary, _ = turn_in(folder, VALUES)
            assert list(summary["not_trained"].values()) == ["x must hold, did not"]
