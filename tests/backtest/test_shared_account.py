"""The portfolio command: one account, files a person can read, the exits that hung on a rule."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from crypto_bot.backtest.candles import Universe
from crypto_bot.backtest.cli import main
from crypto_bot.backtest.exit_order import exit_order
from crypto_bot.backtest.rehearsal import hold_out_stretches
from crypto_bot.backtest.shared_account import shown_places
from crypto_bot.config import Settings
from crypto_bot.engine import CostOptions, ExitOptions
from crypto_bot.market import SimulationOptions, resample, simulate_market
from crypto_bot.strategies import get_strategy
from crypto_bot.trading import PaperOptions, StrategyDecisions

CONFIG = """
top_pairs_count: 3
lookback_days: 12
data: {base_timeframe: 15m, symbols: []}
sizing: {fraction: 0.3}
portfolio: {max_open_positions: 2}
simulation: {seed: 4}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.yaml").write_text(CONFIG)
    for bars in simulate_market(SimulationOptions(symbols=3, timeframe="15m", bars=9_000, seed=4)):
        name = bars.symbol.replace("/", "_")
        bars.to_pandas().rename_axis("timestamp").reset_index().to_csv(
            tmp_path / f"{name}-15m.csv", index=False
        )
    return tmp_path


def test_the_command_writes_an_account_that_adds_up(folder, capsys):
    words = ["portfolio", "-c", "c.yaml", "--data", ".", "--strategies", "sma_cross", "rsi"]
    assert main([*words, "--timeframes", "15m", "1h", "--output", "out", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    gains = sum(row["gain_quote"] for row in summary["attribution"])
    assert summary["metrics"]["final_equity"] == pytest.approx(100_000 + gains, abs=0.005)
    assert len(summary["attribution"]) == 3 * 2 * 2
    assert summary["refused"]["max_open_positions"] > 0
    trades = pl.read_csv(folder / "out" / "trades.csv")
    assert trades["pnl_quote"].sum() == pytest.approx(gains, abs=0.005)
    assert (folder / "out" / "portfolio.png").stat().st_size > 10_000
    assert {f.name for f in (folder / "out").iterdir()} == {
        "attribution.csv",
        "equity.csv",
        "portfolio.png",
        "refusals.csv",
        "summary.json",
        "trades.csv",
    }


def test_people_see_who_earned_what(folder, capsys):
    words = ["portfolio", "-c", "c.yaml", "--data", ".", "--strategies", "sma_cross"]
    assert main([*words, "--timeframes", "1h", "--pairs", "BTC/USDT"]) == 0
    shown = capsys.readouterr().out
    assert "account: return" in shown
    assert "together" in shown
    assert "files in out/portfolio/" in shown


def test_what_is_named_twice_is_traded_once_and_a_whole_account_is_cut_into_equal_parts(
    folder, capsys
):
    (folder / "c.yaml").write_text(CONFIG.replace("fraction: 0.3", "fraction: 1.0"))
    words = ["portfolio", "-c", "c.yaml", "--data", ".", "--strategies", "rsi", "sma_cross", "rsi"]
    assert main([*words, "--timeframes", "1h", "1h", "--output", "out"]) == 0
    attribution = pl.read_csv(folder / "out" / "attribution.csv")
    slots = attribution.select("strategy", "symbol", "timeframe").rows()
    assert len(slots) == len(set(slots)) == 3 * 2
    shown = capsys.readouterr().out
    assert "an entry takes 1/2 of the account" in shown
    trades = pl.read_csv(folder / "out" / "trades.csv")
    spent = trades["quantity"].abs() * trades["entry_price"]
    assert 0.4 * 100_000 < spent.max() < 0.7 * 100_000
    (folder / "c.yaml").write_text(CONFIG)
    main([*words, "--timeframes", "1h", "--output", "out"])
    assert "an entry takes" not in capsys.readouterr().out


def test_funding_is_charged_in_the_window_only_and_a_search_says_whose_it_charges(folder, capsys):
    hours = np.datetime64("2000-01-01T00:00") + np.arange(0, 30 * 365 * 24, 8) * np.timedelta64(
        1, "h"
    )
    rates = pl.DataFrame({"timestamp": hours.astype(str), "funding_rate": 0.002})
    rates.write_csv(folder / "BTC_USDT-funding.csv")
    words = ["-c", "c.yaml", "--data", ".", "--pairs", "BTC/USDT", "ETH/USDT", "--timeframes", "1h"]
    assert main(["portfolio", *words, "--strategies", "sma_cross", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    paid = {row["symbol"]: row["financing_quote"] for row in told["attribution"]}
    assert abs(paid["BTC/USDT"]) > 1
    assert paid["ETH/USDT"] == 0
    begin, end = (np.datetime64(told[name].rstrip("Z")) for name in ("from", "to"))
    assert np.timedelta64(11, "D") < end - begin <= np.timedelta64(12, "D")
    search = ["optimize", "--strategy", "sma_cross", "--trials", "4", "--minimum-trades", "1"]
    main([*search, *words, "--folds", "0"])
    assert "funding of BTC/USDT is charged at its stored rates" in capsys.readouterr().out


def test_no_extreme_of_the_curve_is_left_out_of_the_picture():
    equity = np.full(50_000, 100.0)
    equity[31_234], equity[44_321], equity[-1] = 20.0, 180.0, 101.0
    places = shown_places(equity)
    assert {0, 31_234, 44_321, 49_999} <= set(places.tolist())
    assert len(places) <= 2_002
    assert shown_places(equity[:1]).tolist() == [0]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--strategies", "sma_cros"], 2, "sma_cross"),
        (["--timeframes", "7m"], 2, "multiple|7m"),
        (["--pairs", "NOPE/USDT"], 1, "symbol must be one of"),
    ],
)
def test_wrong_words_are_refused_in_one_line(folder, capsys, words, code, message):
    assert main(["portfolio", "-c", "c.yaml", "--data", ".", *words]) == code
    (line,) = [each for each in capsys.readouterr().err.splitlines() if each.startswith("error")]
    assert any(part in line for part in message.split("|"))
    assert not (folder / "out" / "portfolio").exists()


def test_finer_candles_decide_exits_and_the_report_counts_them():
    base = simulate_market(SimulationOptions(symbols=1, timeframe="5m", bars=20_000, seed=2))[0]
    hours = resample(base, "1h")
    universe = Universe((base,), "5m", int(base.open_time[0]), int(base.close_time[-1]), "test")
    maker = StrategyDecisions(get_strategy("sma_cross", fast=2, slow=5))
    width = float(np.median((hours.high - hours.low) / hours.open)) / 3
    exits = ExitOptions(stop_loss_frac=width, take_profit_frac=width, reentry="while_signal")
    options = PaperOptions(exits=exits, costs=CostOptions(slippage_frac=0.0))
    stretches = hold_out_stretches([hours], maker, int(hours.open_time[500]))
    found = exit_order(Settings(), universe, stretches, options)
    assert found.timeframe == "5m"
    assert found.by_finer > 20
    assert found.by_finer > found.by_rule
    assert found.finer_return > found.rule_return
    assert f"{found.by_finer} decided by 5m candles" in found.describe()
    alone = exit_order(Settings(), Universe((hours,), "1h", 0, 1, ""), stretches, options)
    assert (alone.by_finer, alone.by_rule) == (0, found.by_finer + found.by_rule)
    assert "so the stop came first" in alone.describe()
