"""`python -m crypto_bot.ml.run_bt_ml`: the guide's step 5, its figures and its files."""

from __future__ import annotations

import ast
import csv
import io
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

import crypto_bot
from crypto_bot.adapters.backtrader_report import summary_lines
from crypto_bot.adapters.backtrader_run import standard_analyzers
from crypto_bot.core.errors import ConfigError, DataError, ModelError
from crypto_bot.core.timeframes import iso_time
from crypto_bot.dataset import build_dataset
from crypto_bot.market import SimulationOptions, read_candles, simulate_market
from crypto_bot.ml.run_bt_ml import main, run_bt_ml, run_ml_strategy
from crypto_bot.ml.run_figures import predictions_png
from crypto_bot.ml.train_model import load_ml_model
from crypto_bot.registry import open_registry
from crypto_bot.training import ForestOptions, ForestTrainer, make_card
from shared_data import shared_data

(MARKET,) = simulate_market(SimulationOptions(seed=3, symbols=1, bars=2_000))
FILES = ("ml_strategy_backtest.png", "predictions.csv", "predictions.png")
MODEL = ("rf_model.npz", "scaler.json", "card.json")
BUSY = {"prediction_threshold": 0.5, "stop_loss_pct": 0.002, "take_profit_pct": 0.002}


@pytest.fixture(scope="module")
def first_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "ml"
    return folder, run_bt_ml(MARKET, output_folder=folder, **BUSY)


def rows_of(path):
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))


def is_blank(picture):
    return float(imread(picture)[..., :3].std()) < 0.02


def test_without_a_model_it_trains_one_in_the_safe_format_and_trades_it(first_run):
    folder, result = first_run
    assert all((folder / name).is_file() for name in (*FILES, *MODEL))
    assert not list(folder.rglob("*.pkl"))
    assert load_ml_model(folder).feature_names == result.strategy.model.feature_names
    assert len(result.trades) > 5
    assert not (folder / "ml").exists()


def test_only_bars_the_model_has_not_learned_from_are_traded(first_run):
    _, result = first_run
    first = len(MARKET) - len(result.bars)
    assert result.bars.open_time[0] == MARKET.open_time[first]
    assert 0.2 < len(result.bars) / (len(MARKET) - 479) < 0.4
    assert result.trades["entry_bar"][0] < 60, "features settled on the bars before"


def test_the_predictions_have_a_row_a_bar_with_its_own_date(first_run):
    folder, result = first_run
    rows = rows_of(folder / "predictions.csv")
    assert list(rows[0]) == ["date", "close", "prediction"]
    assert [row["date"] for row in rows] == list(map(iso_time, result.bars.close_time.tolist()))
    assert [float(row["close"]) for row in rows] == result.bars.close.tolist()
    kept = [each.prediction for each in result.strategy.predictions]
    assert [float(row["prediction"]) for row in rows] == kept


def test_the_pictures_are_not_blank(first_run, tmp_path):
    folder, _ = first_run
    for name in FILES[::2]:
        assert (folder / name).read_bytes().startswith(b"\x89PNG")
        assert not is_blank(folder / name)
    (tmp_path / "blank.png").write_bytes(predictions_png([], 0.5))
    assert imread(tmp_path / "blank.png").shape[:2] == (600, 1600)


def test_the_guide_s_figures_are_printed(tmp_path, capsys):
    frame = MARKET.to_pandas()
    result = run_ml_strategy(frame, output_folder=tmp_path, symbol="BTC/USDT", **BUSY)
    out = capsys.readouterr().out
    assert "Model not found. Training model first..." in out
    assert "Starting Portfolio Value: 100000.00\n" in out
    assert f"Final Portfolio Value: {result.equity[-1]:.2f}\n" in out
    closed = result.trades[result.trades["exit_bar"] >= 0]
    assert f"Number of trades: {len(result.trades)} ({len(closed)} closed)" in out
    won = np.mean(closed["pnl_quote"] > 0)
    assert f"Win Rate: {won:.4f}\n" in out
    assert f"Average P&L: {closed['pnl_quote'].mean():.2f}\n" in out
    assert f"Sharpe Ratio: {result.metrics.sharpe:.4f}\n" in out
    assert f"Max Drawdown: {100 * result.metrics.max_drawdown:.2f} %\n" in out
    assert f"Return: {100 * result.metrics.total_return:.2f} % (log return rtot " in out


def test_without_a_closed_trade_the_figures_say_so(first_run, tmp_path, capsys):
    folder, _ = first_run
    run_bt_ml(
        MARKET, output_folder=tmp_path, model_path=folder, prediction_threshold=0.99, minperiod=30
    )
    out = capsys.readouterr().out
    assert "Number of trades: 0 (0 closed)" in out
    assert "Win Rate: undefined (no closed trade)" in out
    assert "Sharpe Ratio: undefined" in out
    assert "Average" not in out
    assert not is_blank(tmp_path / "ml_strategy_backtest.png")


def test_a_second_run_takes_the_model_there_is_and_gives_the_same(first_run, tmp_path, capsys):
    folder, result = first_run
    again = run_bt_ml(MARKET, output_folder=tmp_path, model_path=folder / "rf_model.npz", **BUSY)
    assert "Training" not in capsys.readouterr().out
    assert again.bars.fingerprint == result.bars.fingerprint
    assert again.trades.tobytes() == result.trades.tobytes()
    assert (tmp_path / "predictions.csv").read_bytes() == (folder / "predictions.csv").read_bytes()


def test_all_bars_are_traded_only_when_asked_for_and_with_a_warning(first_run, tmp_path, capsys):
    folder, _ = first_run
    result = run_bt_ml(MARKET, output_folder=tmp_path, model_path=folder, all_bars=True, **BUSY)
    assert len(result.bars) == len(MARKET)
    assert "Warning: the model learned from some of these bars" in capsys.readouterr().out
    rows = rows_of(tmp_path / "predictions.csv")
    assert rows[0]["prediction"] == ""
    assert rows[-1]["prediction"] != ""


def test_of_other_candles_only_those_after_the_training_s_end_are_traded(first_run, tmp_path):
    folder, _ = first_run
    longer = replace(
        MARKET, **{name: 2 * getattr(MARKET, name) for name in ("open", "high", "low", "close")}
    )
    shifted = replace(longer, open_time=MARKET.open_time + 500 * MARKET.interval_ns)
    result = run_bt_ml(shifted, output_folder=tmp_path, model_path=folder, **BUSY)
    card_end = MARKET.open_time[-6]
    assert result.bars.open_time[0] == card_end + 6 * MARKET.interval_ns
    with pytest.raises(DataError, match="candles must reach past what the model learned from"):
        run_bt_ml(MARKET[:900], output_folder=tmp_path, model_path=folder)


def test_a_registry_s_champion_is_traded_after_its_training(tmp_path):
    dataset = build_dataset([MARKET[:1_500]])
    model = ForestTrainer(ForestOptions(n_estimators=10)).fit(dataset)
    registry = open_registry(str(tmp_path / "registry"))
    card = make_card(dataset, model)
    version = registry.publish("BTC/USDT", model.files, card)
    registry.promote("BTC/USDT", version, {"promoted": True, "reason": "a test"})
    result = run_bt_ml(
        MARKET, output_folder=tmp_path / "ml", model_path=tmp_path / "registry", **BUSY
    )
    assert result.bars.close_time[0] > dataset.label_end_ns.max()
    assert len(result.trades) > 5


def test_real_candles_run_too(tmp_path):
    bars, _ = read_candles(shared_data("binance/BTC_USDT-5m.parquet"))
    result = run_bt_ml(bars[-3_000:], output_folder=tmp_path, **BUSY)
    assert len(result.trades) > 5
    assert "SIMULATED" not in "".join(summary_lines(result))
    assert not is_blank(tmp_path / "predictions.png")


def test_unknown_parameters_and_other_model_files_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"parameters must be among .*had 'stop_loss'"):
        run_bt_ml(MARKET, output_folder=tmp_path, stop_loss=0.1)
    with pytest.raises(ConfigError, match="had 'predictor'"):
        run_bt_ml(MARKET, output_folder=tmp_path, predictor=None)
    with pytest.raises(ModelError, match="safe format"):
        run_bt_ml(MARKET, output_folder=tmp_path, model_path="ml/rf_model.pkl")
    assert list(tmp_path.iterdir()) == []


def test_standard_analyzers_are_the_guide_s_four():
    assert list(standard_analyzers(MARKET)) == ["sharpe", "drawdown", "returns", "trades"]


# As a command.


@pytest.fixture
def candle_file(tmp_path):
    path = tmp_path / "BTC_USDT-5m.csv"
    MARKET[:1_000].to_pandas().to_csv(path)
    return path


def test_the_command_writes_below_the_working_folder_of_a_fresh_process(candle_file):
    folder = candle_file.parent
    command = [sys.executable, "-W", "error", "-m", "crypto_bot.ml.run_bt_ml", "--verbose"]
    result = subprocess.run(
        [*command, "--data", candle_file.name, "--threshold", "0.5"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "BUY EXECUTED" in result.stdout
    assert "Wrote ml/ml_strategy_backtest.png, predictions.csv and predictions.png" in result.stdout
    assert {path.name for path in (folder / "ml").iterdir()} >= {*FILES, *MODEL}
    assert {path.name for path in folder.iterdir()} == {candle_file.name, "ml"}


def test_without_the_extra_one_line_names_how_to_install_it(candle_file):
    code = (
        "import sys; sys.modules['backtrader'] = None\n"
        "from crypto_bot.ml.run_bt_ml import main\n"
        f"sys.exit(main(['--data', {str(candle_file)!r}]))"
    )
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=candle_file.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert result.stderr == (
        "error: backtrader must be installed for this, was missing; "
        "run: pip install 'crypto-bot[backtrader]'\n"
    )
    assert not (candle_file.parent / "ml").exists()


def test_faults_exit_with_their_code_and_a_line(candle_file, tmp_path, capsys):
    assert main(["--data", str(tmp_path / "none.csv")]) == 1
    assert "none.csv" in capsys.readouterr().err
    bad = ["--data", str(candle_file), "--output", str(tmp_path / "ml"), "--position-size", "200"]
    assert main(bad) == 2
    assert "error: position_size must be above 0" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])


def imported(node):
    """Packages that an import statement names."""
    if isinstance(node, ast.Import):
        return {alias.name.split(".")[0] for alias in node.names}
    return {(node.module or "").split(".")[0]} if isinstance(node, ast.ImportFrom) else set()


def test_backtrader_is_met_in_its_adapters_alone():
    package = Path(crypto_bot.__file__).parent
    meeting = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if "backtrader" in imported(node)
    }
    assert meeting == {"adapters/backtrader_package.py"}
    using = [
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if "adapters.backtrader_" in path.read_text(encoding="utf-8")
    ]
    assert all(
        name.startswith(("adapters/backtrader_", "ml/run_bt_ml.py", "ml/run_figures.py"))
        for name in using
    )
