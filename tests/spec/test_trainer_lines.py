"""The trainer's shell lines of guide S1, verbatim, with a double of Supabase as the model store.

`test_guide_s1` runs every line on a folder; here those that reach the registry run on the service,
and the help of every command of `cointrainer` is held to what it promises.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from crypto_bot.cli.cointrainer import build_parser
from small_runs import small_environment
from spec.test_guide_s1 import (
    CONFIG,
    RANKING,
    SMOKE,
    TRAINER_HELP,
    TRAINING,
    VALIDATE,
    small_store,
)
from supabase_double.server import SupabaseDouble

SOURCE = Path(__file__).resolve().parents[2] / "src"
HELP_S = 1.5
"""Processor time on a machine with other work; on a quiet one it is below 0.4 s."""
HEAVY = (
    "polars", "pandas", "numba", "lightgbm", "sklearn", "sqlalchemy", "scipy", "httpx",
    "storage3", "cryptography", "optuna", "ccxt",
)  # fmt: skip
COMMANDS = next(
    action.choices
    for action in build_parser()._actions
    if hasattr(action, "choices") and action.dest == "command"
)
TRAINERS = {
    "import-data": ("--table", "--start", "--end", "--symbol", "--out"),
    "import-csv": ("--file", "--out"),
    "import-csv7": ("--file", "--symbol", "--out"),
    "csv-train": (
        "--file", "--symbol", "--horizon", "--hold", "--publish", "--outdir", "--write-predictions",
        "--no-write-predictions", "--device-type", "--gpu-platform-id", "--gpu-device-id",
        "--max-bin", "--gpu-use-dp", "--n-jobs",
    ),
    "csv-train-batch": (
        "--folder", "--glob", "--recursive", "--symbol-from", "--symbol", "--limit-rows", "--publish",
        "--device-type", "--max-bin",
    ),
    "csv-train-aggregate": (
        "--folder", "--glob", "--recursive", "--global-symbol", "--per-pair",
        "--limit-rows-per-file", "--cap-rows-per-pair", "--max-total-rows", "--downsample-flat",
        "--random-state", "--horizon", "--hold", "--publish",
    ),
    "train": (
        "--symbol", "--optuna", "--use-gpu", "--federated", "--true-federated", "--horizon",
        "--config", "--publish",
    ),
}  # fmt: skip
DEFAULTS = {
    "import-data supabase --out x.csv": {"table": "trade_logs"},
    "import-csv7 --file x --out x": {"symbol": "XRPUSD"},
    "csv-train --file x": {
        "horizon": 15,
        "hold": 0.0015,
        "outdir": "local_models",
        "device_type": "gpu",
        "max_bin": 63,
        "write_predictions": True,
    },
    "csv-train-batch --folder x": {"glob": "*.csv", "symbol_from": "filename"},
    "csv-train-aggregate --folder x": {
        "glob": "*.csv",
        "global_symbol": "GLOBAL",
        "random_state": 42,
    },
    "train regime": {"symbol": "BTCUSDT", "horizon": "15m"},
}
IMPORTED_BY_HELP = """
import sys
from crypto_bot.cli.cointrainer import main
try:
    main(sys.argv[1:])
except SystemExit as ended:
    assert not ended.code
print("heavy:", *(name for name in {heavy!r} if name in sys.modules))
"""


@pytest.mark.parametrize("command", TRAINERS)
def test_the_help_of_a_command_is_quick_and_shows_every_option_and_an_example(command, tmp_path):
    code = IMPORTED_BY_HELP.format(heavy=HEAVY)
    before = os.times()
    done = subprocess.run(
        [sys.executable, "-c", code, command, "--help"],
        cwd=tmp_path,
        env={**small_environment(), "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    after = os.times()
    # Processor time: a busy machine does not make a program slow to answer.
    seconds = sum(after[2:4]) - sum(before[2:4])
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "heavy:"
    assert [name for name in TRAINERS[command] if name not in done.stdout] == []
    assert f"cointrainer {command} " in done.stdout.split("example:")[1]
    assert "exit codes" in done.stdout
    assert seconds < HELP_S
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("line", DEFAULTS)
def test_the_defaults_are_the_trainers(line):
    options = vars(build_parser().parse_args(line.split()))
    assert {name: options[name] for name in DEFAULTS[line]} == DEFAULTS[line]


def test_the_example_of_every_help_can_be_parsed():
    for name in TRAINERS:
        words = shlex.split(COMMANDS[name].epilog.split("example:\n")[1].splitlines()[0])
        assert words[0] == "cointrainer"
        assert build_parser().parse_args(words[1:]).command == name


@pytest.fixture(scope="module")
def service():
    with SupabaseDouble() as double:
        double.make_bucket("models")
        yield double


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("guide-on-a-service")
    (place / "config").mkdir()
    (place / "config" / "backtest_config.yaml").write_text(CONFIG)
    small_store(place)
    return place


def run(line: str, folder: Path, service: SupabaseDouble) -> subprocess.CompletedProcess[str]:
    """The line as a shell would split it, url and key in the environment as the guide has them."""
    return subprocess.run(
        shlex.split(line.replace("\\\n", " ")),
        cwd=folder,
        env={
            **small_environment(),
            "SUPABASE_URL": service.url,
            "SUPABASE_KEY": service.service_key,
            "PYTHONPATH": str(SOURCE),
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def trained(folder, service):
    return run(TRAINING, folder, service)


def test_the_help_names_every_command(folder, service):
    done = run(TRAINER_HELP, folder, service)
    assert (done.returncode, done.stderr) == (0, "")
    assert [name for name in TRAINERS if name not in done.stdout] == []


def test_models_go_to_the_service_and_nowhere_else(trained, folder, service):
    assert trained.returncode == 0, trained.stdout + trained.stderr
    assert not (folder / "registry").exists()
    assert not (folder / "registry-simulated").exists()
    assert service.service_key not in trained.stdout + trained.stderr
    assert service.service_key not in (folder / "integrated_backtest.log").read_text()


def test_the_ranking_is_of_the_models_on_the_service(trained, folder, service):
    done = run(RANKING, folder, service)
    assert done.returncode == 0, done.stderr
    assert "candidate" in done.stdout or "champion" in done.stdout
    found = json.loads(run(RANKING + " --json", folder, service).stdout)
    assert len(found["versions"]) == 1


def test_the_service_can_be_tested(folder, service):
    done = run(SMOKE, folder, service)
    assert done.returncode == 0, done.stderr
    assert "works" in done.stdout


def test_validation_reads_the_model_from_the_service(trained, folder, service):
    done = run(VALIDATE, folder, service)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "BTC/USDT: valid:" in done.stdout
