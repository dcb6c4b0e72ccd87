"""`cointrainer csv-train-batch`: a model a file; what is bad, killed or stopped costs nothing else."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from candle_files_made import write_candles
from cli.dying_work import die
from crypto_bot.cli.cointrainer import main
from crypto_bot.cli.training_commands_batch import FIELDS, FILE, SUMMARY
from crypto_bot.cli.training_commands_processes import run_processes
from crypto_bot.core.files import TEMPORARY_SUFFIX
from crypto_bot.journal import Journal
from crypto_bot.registry import open_registry
from small_runs import small_environment

SOURCE = Path(__file__).resolve().parents[2] / "src"
LINE = "csv-train-batch --folder candles --device-type cpu --publish --no-write-predictions"
NAMES = ("AAA_USDT", "BBB_USDT")


def candles(folder: Path, names=NAMES, bars: int = 900) -> Path:
    for name in names:
        write_candles(folder / "candles" / f"{name}-15m.csv", bars)
    return folder


def set_environment(monkeypatch, **changes) -> None:
    small = {"models.lightgbm.n_estimators": 2, **changes}
    for name, text in small_environment(**small).items():
        if name.startswith("CRYPTO_BOT__"):
            monkeypatch.setenv(name, text)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    set_environment(monkeypatch)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def answer(capsys):
    return json.loads(capsys.readouterr().out)


def started(folder: Path) -> subprocess.Popen[str]:
    """The batch as a process group of its own, as a terminal starts it."""
    return subprocess.Popen(
        [sys.executable, "-u", "-m", "crypto_bot.cli.cointrainer", *LINE.split()],
        cwd=folder,
        env={
            **small_environment(**{"models.lightgbm.n_estimators": 2}),
            "PYTHONPATH": str(SOURCE),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def until_first_file(process: subprocess.Popen[str]) -> None:
    assert any("rows on cpu" in line for line in process.stdout)


def members_of(group: int) -> list[int]:
    """Processes of a process group that still run."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, its_group = path.read_text().rpartition(")")[2].split()[:3]
        except (OSError, ValueError):
            continue
        if int(its_group) == group and state != "Z":
            found.append(int(path.parent.name))
    return found


def is_gone(group: int) -> bool:
    """Whether all of a process group end within ten seconds."""
    return any(
        not members_of(group) or signal.sigtimedwait([], 0.05) is not None for _ in range(200)
    )


def runs_of_files(folder: Path) -> list[tuple[str, str]]:
    with Journal(f"sqlite:///{folder / 'journal.sqlite'}") as journal:
        found = [(Path(run.config["file"]).name, str(run.status)) for run in journal.runs(FILE)]
    return sorted(found)


def test_a_bad_file_stops_no_other_and_the_summary_has_the_trainers_fields(folder, capsys):
    candles(folder, NAMES[:1])
    (folder / "candles" / "BAD_USDT-15m.csv").write_text("a,b\n1,2\n")
    assert main([*LINE.split(), "--limit-rows", "800", "--json"]) == 1
    result = answer(capsys)
    assert (result["files"], result["failed"]) == (2, 1)
    good, bad = json.loads((folder / "local_models" / SUMMARY).read_text())
    assert tuple(good)[: len(FIELDS)] == FIELDS
    assert (good["file"], good["symbol"]) == ("candles/AAA_USDT-15m.csv", "AAA/USDT")
    assert (good["status"], good["error"]) == ("trained", None)
    assert 0 < good["rows"] < 800
    assert Path(good["model"]).name == "aaa-usdt_regime_lgbm.txt"
    (version,) = open_registry("registry").versions("AAA/USDT")
    assert good["pointer"] == f"AAA-USDT/versions/{version}"
    assert (bad["status"], bad["model"], bad["pointer"]) == ("failed", None, None)
    assert "must have columns time" in bad["error"]
    assert runs_of_files(folder) == [("AAA_USDT-15m.csv", "done"), ("BAD_USDT-15m.csv", "failed")]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to see processes")
def test_a_killed_batch_goes_on_where_it_stopped_and_trains_nothing_twice(folder, capsys):
    candles(folder)
    process = started(folder)
    until_first_file(process)
    process.kill()  # kill -9 of the parent alone: its child must not go on as an orphan
    process.communicate()
    assert is_gone(process.pid)
    (first,) = json.loads((folder / "local_models" / SUMMARY).read_text())
    assert main([*LINE.split(), "--json"]) == 0
    result = answer(capsys)
    assert [each["symbol"] for each in result["models"]] == ["AAA/USDT", "BBB/USDT"]
    assert result["models"][0] == first
    registry = open_registry("registry")
    for each in result["models"]:
        assert registry.versions(each["symbol"]) == [each["pointer"].rsplit("/", 1)[1]]
    assert runs_of_files(folder) == [(f"{name}-15m.csv", "done") for name in NAMES]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to see processes")
def test_ctrl_c_ends_every_process_and_leaves_no_half_written_file(folder):
    candles(folder)
    process = started(folder)
    until_first_file(process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of them
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "interrupted\n")
    assert is_gone(process.pid)
    assert not list(folder.rglob(f"*{TEMPORARY_SUFFIX}"))
    assert len(json.loads((folder / "local_models" / SUMMARY).read_text())) == 1


def test_a_process_that_dies_is_named_by_how_and_stops_no_other():
    assert dict(run_processes(die, ["well", "badly", "signal"], 2)) == {
        "well": 0,
        "badly": 3,
        "signal": -signal.SIGKILL,
    }


@pytest.mark.parametrize(
    ("more", "message", "code"),
    [
        ("--folder nowhere", "nowhere must be a folder of candle files", 1),
        ("--glob *.feather", "must hold candle files named *.feather", 1),
        ("--symbol-from fixed", "--symbol must be given with --symbol-from fixed", 2),
        ("--symbol BTC/USDT", "--symbol must stand with --symbol-from fixed", 2),
        ("--limit-rows 0", "must be at least 1, was 0", 2),
        ("--max-bin 1", "max_bin", 2),
    ],
)
def test_wrong_usage_trains_nothing(folder, capsys, more, message, code):
    candles(folder, NAMES[:1], 50)
    try:
        found = main([*LINE.split(), *more.split()])
    except SystemExit as ended:
        found = ended.code
    assert found == code
    assert message in capsys.readouterr().err
    assert not (folder / "local_models").exists()


def jobs_of(line: str):
    from crypto_bot.cli.cointrainer import build_parser
    from crypto_bot.cli.training_commands_batch import _jobs

    found = _jobs(build_parser().parse_args([*LINE.split(), *line.split()]))
    return [(Path(job["file"]).name, job["symbol"], job["folder"]) for job in found]


def test_the_symbol_comes_from_the_name_the_folder_or_the_line(folder):
    write_candles(folder / "candles" / "ETH-EUR" / "a.csv", 10)
    write_candles(folder / "candles" / "BTC_USDT-15m.csv", 10)
    assert jobs_of("") == [("BTC_USDT-15m.csv", "BTC/USDT", "local_models")]
    assert jobs_of("--recursive --symbol-from parent --glob a.csv") == [
        ("a.csv", "ETH/EUR", "local_models")
    ]
    fixed = jobs_of("--recursive --symbol-from fixed --symbol XRP/USD")
    assert [symbol for _, symbol, _ in fixed] == ["XRP/USD"] * 2
    places = {Path(place) for *_, place in fixed}
    assert places == {
        Path("local_models/BTC_USDT-15m"),
        Path("local_models/ETH-EUR/a"),
    }
