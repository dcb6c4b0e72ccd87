"""Every command and program of the guide "Enhanced Backtesting + coinTrader_Trainer ML", as printed.

Each runs in a fresh process in one working folder, with a small market in its store; the settings
that make it small come from the environment, so no line of the guide is changed.
"""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from crypto_bot.backtest.candles import WARM_UP_DAYS
from crypto_bot.core.timeframes import DAY_NS, timeframe_ns
from crypto_bot.market import BarStore, SimulationOptions, simulate_market
from small_runs import SMALL, run_line, small_environment

GUIDE = Path(__file__).resolve().parents[3] / "shared" / "spec" / "001_295c1b1fcca22d7c.txt"
SETUP = "python -m crypto_bot.backtest.integrated_cli setup"
INTEGRATED = """python -m crypto_bot.backtest.integrated_cli integrated \\
  --config config/backtest_config.yaml"""
VERBOSE = """python -m crypto_bot.backtest.integrated_cli integrated \\
  --config config/backtest_config.yaml \\
  --verbose"""
BACKTEST_ONLY = """python -m crypto_bot.backtest.integrated_cli backtest-only \\
  --config config/backtest_config.yaml"""
TRAINING = """python -m crypto_bot.backtest.integrated_cli ml-training \\
  --symbols BTC/USDT ETH/USDT SOL/USDC"""
VALIDATE = """python -m crypto_bot.backtest.integrated_cli validate \\
  --symbols BTC/USDT"""
VIEW = "python -m crypto_bot.backtest.cli view"
TRAINER_HELP = "cointrainer --help"
RANKING = "cointrainer registry-list --symbol BTC/USDT"
SMOKE = "cointrainer registry-smoke --symbol BTC/USDT"
GPU = """python -c "from crypto_bot.backtest.gpu_accelerator import get_gpu_info; print(get_gpu_info())\""""
LINES = {
    *(SETUP, INTEGRATED, VERBOSE, BACKTEST_ONLY, TRAINING, VALIDATE),
    *(VIEW, TRAINER_HELP, RANKING, SMOKE, GPU),
}
CONFIG = """
ml_integration:
  enabled: true
  auto_retrain: true
  retrain_interval_hours: 24

  supabase:
    url: "https://your-project.supabase.co"
    key: "your-service-role-key"
    bucket: "models"

  features:
    horizon_minutes: 15
    hold_threshold: 0.0015
"""
PROGRAM = """
from crypto_bot.backtest.ml_integration import create_ml_integration

# Create integration
config = {
    'ml_integration': {
        'enabled': True,
        'auto_retrain': True,
        'supabase': {
            'url': 'https://your-project.supabase.co',
            'key': 'your-service-role-key',
            'bucket': 'models'
        }
    }
}

integration = create_ml_integration(config)

# Run integrated system
await integration.run_continuous_learning_loop()
"""
STATUS = """
from crypto_bot.backtest.ml_integration import create_ml_integration

integration = create_ml_integration(config)
status = integration.get_integration_status()

print(f"ML Integration: {status['ml_integration_enabled']}")
print(f"coinTrader_Trainer: {status['cointrainer_available']}")
print(f"Supabase: {status['supabase_configured']}")
print(f"GPU: {status['gpu_acceleration']['status']}")
"""
STOPPED_AFTER_A_TURN = """
import asyncio
from pathlib import Path

async def program():
{program}

async def main():
    task = asyncio.create_task(program())
    while not task.done() and not list(Path("out/runs").glob("*/report.html")):
        await asyncio.sleep(0.05)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        print("stopped when asked to")

asyncio.run(main())
"""


def small_store(folder: Path) -> None:
    """Three simulated pairs, one under the name that the guide trains."""
    interval = str(SMALL["data.base_timeframe"])
    days = int(SMALL["lookback_days"]) + WARM_UP_DAYS
    options = SimulationOptions(
        symbols=3, timeframe=interval, bars=days * DAY_NS // timeframe_ns(interval)
    )
    store = BarStore(folder / "data" / "market")
    for bars in simulate_market(options):
        store.append(replace(bars, symbol=bars.symbol.replace("SOL/USDT", "SOL/USDC")))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A working folder with the guide's configuration and a small market."""
    place = tmp_path_factory.mktemp("guide")
    (place / "config").mkdir()
    (place / "config" / "backtest_config.yaml").write_text(CONFIG)
    small_store(place)
    return place


def run(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The line as a shell would split it."""
    return run_line(shlex.split(line.replace("\\\n", " ")), folder)


@pytest.fixture(scope="module")
def trained(folder):
    return run(TRAINING, folder)


@pytest.fixture(scope="module")
def backtested(folder):
    return run(BACKTEST_ONLY, folder)


def until_stopped(line: str, folder: Path, last_words: str) -> SimpleNamespace:
    """Start a line that never ends by itself, ask it to stop once it has said `last_words`."""
    said = []
    with (folder / "stderr.txt").open("w") as errors:
        process = subprocess.Popen(
            shlex.split(line.replace("\\\n", " ")),
            cwd=folder,
            env=small_environment(),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    try:
        for text in process.stdout:
            said.append(text.rstrip("\n"))
            if last_words in text:
                process.send_signal(signal.SIGTERM)
                break
        rest, _ = process.communicate(timeout=200)
    finally:
        process.kill()
    told = (folder / "stderr.txt").read_text()
    return SimpleNamespace(code=process.returncode, lines=said + rest.splitlines(), errors=told)


def test_every_command_of_the_guide_is_here():
    if not GUIDE.exists():
        pytest.skip("the guide is not present: ../shared/spec")
    blocks = re.findall(r"```bash\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    joined = re.findall(r"^(?:python|cointrainer)(?:.*\\\n)*.*$", "\n".join(blocks), re.MULTILINE)
    assert set(joined) == LINES
    programs = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert PROGRAM.strip() in [text.strip() for text in programs]
    assert STATUS.strip() in [text.strip() for text in programs]


def test_setup_makes_the_folders_and_a_template_and_keeps_what_is_there(tmp_path):
    done = run(SETUP, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    for name in ("data/ml_training", "local_models", "out/backtests", "out/opt"):
        assert (tmp_path / name).is_dir()
    template = tmp_path / "config" / "ml_integration_template.yaml"
    template.write_text("mine: true\n")
    again = run(SETUP, tmp_path)
    assert again.returncode == 0
    assert "everything was there already" in again.stdout
    assert template.read_text() == "mine: true\n"


def test_the_integrated_system_turns_until_it_is_told_to_stop(folder):
    ended = until_stopped(INTEGRATED, folder, "next turn 2")
    assert ended.code == 0, ended.errors
    assert ended.lines[-1].endswith("stopped after 1 turns")
    assert "Traceback" not in ended.errors
    text = "\n".join(ended.lines)
    for part in ("sweep ", "model ", "gate ", "promoted ", "paper ", "feedback ", "report "):
        assert f"SIMULATED {part}" in text or f": {part}" in text
    (report,) = folder.glob("out/runs/*/report.html")
    summary = json.loads((report.parent / "summary.json").read_text())
    assert summary["is_simulated"] is True
    assert (folder / "integrated_backtest.log").stat().st_size > 0
    assert (folder / "gpu_acceleration.log").stat().st_size > 0


@pytest.mark.skipif(sys.platform == "win32", reason="SIGTERM ends a process at once on Windows")
def test_verbose_after_the_command_shows_details_and_a_stop_may_come_early(folder):
    ended = until_stopped(VERBOSE, folder, "next turn 2")
    assert ended.code == 0, ended.errors
    assert "stopped after " in ended.lines[-1]
    assert any(" DEBUG crypto_bot." in line or " INFO crypto_bot." in line for line in ended.lines)
    assert "Traceback" not in ended.errors


def test_backtests_alone_rank_every_strategy_and_leave_their_files(folder, backtested):
    assert backtested.returncode == 0, backtested.stderr
    assert "backtests, means over the pairs, in sample" in backtested.stdout
    names = {
        path.stem[:-16]
        for path in (folder / "crypto_bot/logs/backtest_results-simulated").glob("*.csv")
    }
    assert names >= {"trend_bot", "momentum_bot", "mean_bot", "breakout_bot", "rsi"}
    if "dip_hunter" not in names:
        assert re.search(r"\d+ settings skipped; first: .* must have at least", backtested.stdout)
    assert (folder / "backtest.log").exists()


def test_training_gives_every_symbol_its_model(folder, trained):
    assert trained.returncode == 0, trained.stdout + trained.stderr
    for symbol in ("BTC/USDT", "ETH/USDT", "SOL/USDC"):
        assert re.search(rf"^SIMULATED {symbol}: \d{{8}}T.*promoted", trained.stdout, re.MULTILINE)


def test_validation_backtests_the_models_predictions(folder, trained):
    done = run(VALIDATE, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SIMULATED BTC/USDT: valid:" in done.stdout
    assert re.search(r"\d+ predictions: \d+ buy, \d+ sell, \d+ hold", done.stdout)
    as_json = run(VALIDATE + " --json", folder)
    (result,) = json.loads(as_json.stdout)["validations"]
    signals = result["signal_distribution"]
    assert sum(signals.values()) == result["total_predictions"] > 0
    said = re.search(r"(\d+) predictions: (\d+) buy, (\d+) sell, (\d+) hold", done.stdout)
    assert [int(text) for text in said.groups()] == [
        result["total_predictions"],
        *(signals[side] for side in ("buy", "sell", "hold")),
    ]


def test_view_shows_the_newest_results(folder, backtested):
    done = run(VIEW, folder)
    assert (done.returncode, done.stderr) == (0, "")
    heads, *rows, last = done.stdout.splitlines()
    assert heads.split() == ["file", "records", "Sharpe", "return", "drawdown"]
    assert last.startswith("in sample: ")
    assert 1 <= len(rows) <= 5
    assert all(row.startswith("SIMULATED ") for row in rows)
    assert len(json.loads(run(VIEW + " --json", folder).stdout)["files"]) == len(rows)


def test_the_trainers_help_names_its_commands(tmp_path):
    done = run(TRAINER_HELP, tmp_path)
    assert done.returncode == 0
    for name in ("csv-train", "registry-list", "registry-smoke"):
        assert name in done.stdout


def test_the_registry_ranks_the_published_models(folder, trained):
    done = run(RANKING, folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1].split()[:3] == ["version", "stage", "gate"]
    assert "candidate" in done.stdout or "champion" in done.stdout
    assert "SIMULATED" in done.stdout


def test_the_registry_can_be_tested(folder):
    done = run(SMOKE, folder)
    assert done.returncode == 0, done.stderr
    assert "works" in done.stdout


def test_the_gpu_is_told_truthfully(tmp_path):
    done = run(GPU, tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.match(r"\{'status': '(available|no_gpu)'", done.stdout)


def test_the_guides_program_learns_until_it_is_cancelled(tmp_path):
    small_store(tmp_path)
    program = textwrap.indent(PROGRAM, "    ")
    done = run_line(
        [
            sys.executable,
            "-W",
            "error::RuntimeWarning",
            "-c",
            STOPPED_AFTER_A_TURN.format(program=program),
        ],
        tmp_path,
    )
    assert (done.returncode, done.stdout) == (0, "stopped when asked to\n"), done.stderr
    assert list(tmp_path.glob("out/runs/*/summary.json"))
    assert "service-role" not in (tmp_path / "integrated_backtest.log").read_text()


def test_the_guides_status_program_tells_how_things_stand(tmp_path):
    config = PROGRAM[PROGRAM.index("config = {") : PROGRAM.index("integration = ")]
    done = run_line([sys.executable, "-c", config + STATUS], tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[:3] == [
        "ML Integration: True",
        "coinTrader_Trainer: True",
        "Supabase: False",
    ]
    assert re.match(r"GPU: (available|no_gpu)", done.stdout.splitlines()[3])
