"""What every command line promises: exit codes, plain errors, JSON, options in any place, quick help."""

from __future__ import annotations

import json
import os
import sys

import pytest

from candle_files_made import write_candles
from small_runs import run_line

INTEGRATED = "python -m crypto_bot.backtest.integrated_cli"
BACKTEST = "python -m crypto_bot.backtest.cli"
COMMANDS = {
    INTEGRATED: ("setup", "integrated", "backtest-only", "ml-training", "validate"),
    BACKTEST: ("run", "continuous", "portfolio", "select", "sweep", "view", "optimize"),
    "cointrainer": ("csv-train", "registry-list", "registry-smoke"),
}
HELP_S = 1.5
HEAVY = ("ccxt", "lightgbm", "sklearn", "matplotlib", "plotly", "pandas", "polars", "sqlalchemy")
IMPORTED_BY_HELP = """
import sys
from {module} import main
try:
    main({words!r})
except SystemExit as ended:
    assert not ended.code
print("heavy:", [name for name in {heavy!r} if name in sys.modules])
"""
MODULES = {
    INTEGRATED: "crypto_bot.backtest.integrated_cli",
    BACKTEST: "crypto_bot.backtest.cli",
    "cointrainer": "crypto_bot.cli.cointrainer",
    "crypto-bot": "crypto_bot.cli.bot",
}


@pytest.mark.parametrize("program", [*COMMANDS, "crypto-bot"])
def test_help_answers_at_once_and_names_every_command(program, tmp_path):
    before = os.times()
    done = run_line(f"{program} --help", tmp_path)
    after = os.times()
    # Processor time: a busy machine does not make a program slow to answer.
    seconds = sum(after[2:4]) - sum(before[2:4])
    assert (done.returncode, done.stderr) == (0, "")
    expected = COMMANDS.get(program) or COMMANDS[INTEGRATED] + COMMANDS[BACKTEST]
    assert [name for name in expected if name not in done.stdout] == []
    assert seconds < HELP_S
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("program", COMMANDS)
def test_help_of_a_command_imports_nothing_heavy(program, tmp_path):
    for words in (["--help"], *([name, "--help"] for name in COMMANDS[program][1:2])):
        code = IMPORTED_BY_HELP.format(
            module=MODULES[program], words=words, heavy=(*HEAVY, "numba")
        )
        done = run_line([sys.executable, "-c", code], tmp_path)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1] == "heavy: []"
        assert "exit codes" in done.stdout or words[0] != "--help"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (INTEGRATED, "COMMAND"),
        (f"{INTEGRATED} integrat", "invalid choice: 'integrat'"),
        (f"{INTEGRATED} integrated --onze", "--onze"),
        (f"{INTEGRATED} ml-training --symbols", "--symbols: expected at least one argument"),
        (f"{BACKTEST} runn", "invalid choice: 'runn'"),
        ("crypto-bot trade", "invalid choice: 'trade'"),
        ("crypto-bot -c c.yaml statsu", "did you mean 'status'?"),
        ("cointrainer csv-train", "--file"),
    ],
)
def test_wrong_usage_exits_2_and_does_nothing(line, message, tmp_path):
    done = run_line(line, tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


CONFIGS = {
    "top_pair_count: 3\n": "did you mean 'top_pairs_count'?",
    "ml_integration:\n  training:\n    max_bins: 9\n": "ml_integration.training.max_bins",
    'batch_size: "three"\n': "batch_size must be",
    "timeframes: [1h\n": "line",
    "ml_integration:\n  supabase:\n    key: sk-live-1234\n": "ml_integration.supabase.key",
}


@pytest.mark.parametrize("text", CONFIGS)
def test_a_wrong_configuration_exits_2_with_the_keys_path_and_shows_no_secret(text, tmp_path):
    (tmp_path / "mine.yaml").write_text(text)
    done = run_line(f"{INTEGRATED} integrated --once --config mine.yaml", tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: mine.yaml")
    assert CONFIGS[text] in done.stderr
    assert "1234" not in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["mine.yaml"]


def test_a_configuration_that_is_not_there_is_named(tmp_path):
    done = run_line(f"{INTEGRATED} -c none.yaml backtest-only --json", tmp_path)
    assert done.returncode == 2
    assert json.loads(done.stdout)["kind"] == "ConfigError"
    assert "none.yaml must be a configuration file, was not there" in done.stderr


@pytest.mark.parametrize("timeframe", ["7x", "20m"])
def test_a_timeframe_that_cannot_be_made_is_refused(timeframe, tmp_path):
    done = run_line(f"{BACKTEST} run --pairs BTC/USDT --timeframes {timeframe}", tmp_path)
    assert done.returncode in (1, 2)
    assert done.stderr.splitlines()[-1].startswith("error: timeframe")
    assert "Traceback" not in done.stderr


def test_an_unknown_symbol_and_an_unknown_strategy_are_named_with_the_nearest(tmp_path):
    line = f"{BACKTEST} run --pairs BTC/USTD --strategies trend_bot --timeframes 1h"
    done = run_line(line, tmp_path)
    assert done.returncode == 1
    assert "did you mean 'BTC/USDT'?" in done.stderr
    line = f"{BACKTEST} run --pairs BTC/USDT --strategies trend_bott --timeframes 1h"
    done = run_line(line, tmp_path)
    assert done.returncode == 2
    assert "did you mean 'trend_bot'?" in done.stderr
    assert not list(tmp_path.rglob("*.csv"))


def test_a_data_folder_that_is_not_there_is_refused_and_nothing_is_simulated_instead(tmp_path):
    done = run_line(f"{INTEGRATED} integrated --once --data nowhere --json", tmp_path)
    assert done.returncode == 1
    assert "nowhere" in json.loads(done.stdout)["error"]
    assert not list(tmp_path.rglob("*.parquet"))
    assert not list(tmp_path.rglob("report.html"))


def test_a_folder_that_cannot_be_written_is_named_before_the_work(tmp_path):
    (tmp_path / "taken").write_text("a file")
    done = run_line(f"{INTEGRATED} integrated --once", tmp_path, **{"reports.folder": "taken/runs"})
    assert done.returncode == 1
    assert "taken/runs" in done.stderr
    assert "Traceback" not in done.stderr
    done = run_line(f"{INTEGRATED} integrated --once", tmp_path, **{"logging.folder": "taken"})
    assert done.returncode == 1
    assert "set logging.folder" in done.stderr


def test_without_results_view_and_optimize_say_how_to_get_some(tmp_path):
    for command in ("view", "optimize"):
        done = run_line(f"{BACKTEST} {command}", tmp_path)
        assert done.returncode == 1
        assert "run: python -m crypto_bot.backtest.cli run" in done.stderr


def test_without_a_model_validation_fails_and_says_how_to_get_one(tmp_path):
    done = run_line(f"{INTEGRATED} validate --symbols BTC/USDT --json", tmp_path)
    assert done.returncode == 1
    (result,) = json.loads(done.stdout)["validations"]
    assert result["valid"] is False
    assert "ml-training --symbols BTC/USDT" in result["error"]


def test_options_work_before_and_after_the_command_and_json_stands_alone(tmp_path):
    write_candles(tmp_path / "candles" / "BTC_USDT-15m.csv")
    (tmp_path / "mine.yaml").write_text("results_cache_dir: mine\n")
    choice = "--pairs BTC/USDT --strategies sma_cross --timeframes 1h --data candles"
    for line in (
        f"{BACKTEST} --config mine.yaml --json run {choice}",
        f"{BACKTEST} run {choice} --json -c mine.yaml",
    ):
        done = run_line(line, tmp_path)
        assert done.returncode == 0, done.stderr
        result = json.loads(done.stdout)
        assert result["is_simulated"] is False
        assert result["backtests"] > 0
        assert all(path.startswith("mine") for path in result["files"])


def test_a_market_that_had_to_be_invented_is_announced_and_marked(tmp_path):
    line = f"{BACKTEST} run --pairs BTC/USDT --strategies sma_cross --timeframes 1h"
    done = run_line(line, tmp_path)
    assert done.returncode == 0
    announced = [text for text in done.stdout.splitlines() if text.startswith("SIMULATED market:")]
    assert len(announced) == 1
    assert "no exchange is configured" in announced[0]
    assert "SIMULATED best of" in done.stdout


def test_a_required_promotion_that_does_not_come_exits_3(tmp_path):
    done = run_line(
        f"{INTEGRATED} integrated --once --require-promotion --json",
        tmp_path,
        **{"models.trainers": ["random_forest"], "gate.min_trades": 1_000_000},
    )
    assert done.returncode == 3, done.stderr
    summary = json.loads(done.stdout)
    assert summary["promoted"] is False
    assert (tmp_path / summary["report"]).exists()
