"""Log files: the guide's names, rotated, without secrets."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import threading

import pytest

from backtest.tiny import TINY
from crypto_bot.backtest import logs
from crypto_bot.backtest.command import CommandParser, complain, run_command, say, shared_options
from crypto_bot.backtest.logs import (
    MASK,
    close_logging,
    configure_logging,
    get_logger,
    keep_secret,
    log_context,
)
from crypto_bot.backtest.workbench import open_workbench
from crypto_bot.core.errors import ConfigError, DataError, StorageError

SECRET = "s3cret-value-of-a-key"
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoic2VydmljZSJ9.c2lnbmF0dXJl"
LOG = logging.getLogger("crypto_bot.somewhere")


@pytest.fixture(autouse=True)
def closed_afterwards():
    package = logging.getLogger("crypto_bot")
    level = package.level
    yield
    close_logging()
    package.setLevel(level)


@pytest.mark.parametrize("command", ["backtest", "integrated_backtest"])
def test_a_commands_log_has_the_guides_name(tmp_path, command):
    path = configure_logging(command, tmp_path / "logs")
    LOG.info("hello")
    assert path == tmp_path / "logs" / f"{command}.log"
    assert path.read_text().endswith("Z INFO crypto_bot.somewhere: hello\n")


def test_gpu_lines_go_to_their_own_file_too(tmp_path):
    path = configure_logging("backtest", tmp_path)
    logging.getLogger("crypto_bot.gpu").info("found")
    LOG.info("hello")
    assert "found" in path.read_text()
    own = (tmp_path / "gpu_acceleration.log").read_text()
    assert "found" in own
    assert "hello" not in own


def test_only_warnings_reach_the_terminal_unless_asked(tmp_path, capsys):
    for verbose, shown in ((False, ["W"]), (True, ["I", "W"])):
        configure_logging("backtest", tmp_path, verbose)
        LOG.info("I")
        LOG.warning("W")
        lines = capsys.readouterr().err.splitlines()
        assert [line[-1] for line in lines] == shown


def test_no_secret_reaches_a_file_or_the_terminal(tmp_path, capsys):
    path = configure_logging("backtest", tmp_path, secrets=[SECRET, ""])
    try:
        raise ValueError(f"refused {SECRET}")
    except ValueError:
        LOG.exception("key %s at postgresql://user:hidden@host/name with %s", SECRET, TOKEN)
    for text in (path.read_text(), capsys.readouterr().err):
        assert SECRET not in text
        assert TOKEN not in text
        assert "hidden" not in text
        assert f"key {MASK} at postgresql://user:{MASK}@host/name with {MASK}" in text
        assert f"ValueError: refused {MASK}" in text


def test_files_are_rotated_and_old_ones_go(tmp_path):
    configure_logging("backtest", tmp_path, max_bytes=1000, files_kept=2)
    for number in range(200):
        LOG.info("line %d", number)
    names = sorted(path.name for path in tmp_path.glob("backtest.log*"))
    assert names == ["backtest.log", "backtest.log.1", "backtest.log.2"]


def test_configuring_again_does_not_write_lines_twice(tmp_path):
    configure_logging("backtest", tmp_path)
    path = configure_logging("backtest", tmp_path)
    LOG.info("once")
    assert path.read_text().count("once") == 1


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match=r"backtest\.log must be writable, .*logging\.folder"):
        configure_logging("backtest", tmp_path / "file")


def test_an_unknown_command_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="command must have a log file, was 'backtests'"):
        configure_logging("backtests", tmp_path)


@pytest.fixture
def secretive(tmp_path, monkeypatch):
    """A command whose settings hold a secret that only its file names."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(logs, "_known", set())
    address = f"https://hooks.example/{SECRET}"
    config = {**TINY, "webhook_url": address, "logging": {"folder": str(tmp_path)}}

    def command(fault=None, *words):
        def handler(options):
            with open_workbench(config, log="backtest"):
                LOG.warning("posting to %s", address)
                say(options, f"posted to {address}")
                if fault is not None:
                    raise fault(f"{address} must answer, did not")
            return 0, {"url": address, "more": [{"to": ("x", address)}], address: OSError(address)}

        parser = CommandParser(parents=[shared_options()])
        parser.add_argument("command")
        return run_command(parser, ["post", *words], lambda: {"post": handler})

    return command


@pytest.mark.parametrize("words", [(), ("--json",)])
@pytest.mark.parametrize("fault", [None, DataError])
def test_no_output_of_a_command_holds_a_secret_of_its_settings(
    secretive, capsys, tmp_path, words, fault
):
    assert secretive(fault, *words) == (0 if fault is None else 1)
    shown = capsys.readouterr()
    assert SECRET not in shown.out + shown.err
    assert MASK in shown.err
    assert f"posting to {MASK}" in (tmp_path / "backtest.log").read_text()
    assert MASK in shown.out


def test_a_secret_of_the_environment_is_masked_before_any_settings_are_read(monkeypatch, capsys):
    monkeypatch.setattr(logs, "_known", set())
    monkeypatch.setenv("SUPABASE_KEY", SECRET)
    complain(f"error: {SECRET}")
    assert capsys.readouterr().err == f"error: {MASK}\n"


def test_context_is_on_every_line_within_and_on_none_after(tmp_path):
    path = configure_logging("backtest", tmp_path)
    with log_context(run_id="r-1", step="train"):
        LOG.info("first")
        with log_context(symbol="BTC/USDT"):
            LOG.warning("second")
    LOG.info("third")
    lines = [line.partition(": ")[2] for line in path.read_text().splitlines()]
    assert lines == [
        "first run_id=r-1 step=train",
        "second run_id=r-1 step=train symbol=BTC/USDT",
        "third",
    ]


def test_context_stays_with_its_thread_and_its_task(tmp_path):
    path = configure_logging("backtest", tmp_path)

    async def told(symbol):
        with log_context(symbol=symbol):
            await asyncio.sleep(0)
            LOG.info("task")

    async def program():
        await asyncio.gather(told("A"), told("B"))

    with log_context(run_id="r-1"):
        thread = threading.Thread(target=lambda: LOG.info("thread"))
        thread.start()
        thread.join()
    asyncio.run(program())
    lines = [line.partition(": ")[2] for line in path.read_text().splitlines()]
    assert lines == ["thread", "task symbol=A", "task symbol=B"]


def test_json_lines_are_objects_with_their_context(tmp_path):
    path = configure_logging("backtest", tmp_path, log_format="json")
    with log_context(run_id="r-1"):
        LOG.info("done %d of %d", 3, 4)
        get_logger("crypto_bot.loop").info(
            "100% trained", symbol="BTC/USDT", psi=0.25, bad=float("nan")
        )
    try:
        raise ValueError("broken")
    except ValueError:
        LOG.exception("failed")
    first, second, third = (json.loads(line) for line in path.read_text().splitlines())
    assert first.pop("time").endswith("Z")
    assert first == {
        "level": "info",
        "logger": "crypto_bot.somewhere",
        "event": "done 3 of 4",
        "run_id": "r-1",
    }
    assert (second["event"], second["symbol"], second["psi"]) == ("100% trained", "BTC/USDT", 0.25)
    assert (second["run_id"], second["bad"]) == ("r-1", "nan")
    assert third["exception"].endswith("ValueError: broken")


def test_a_structured_line_is_readable_as_text(tmp_path):
    path = configure_logging("backtest", tmp_path)
    log = get_logger("crypto_bot.loop").bind(run_id="r-1")
    log.info("trained", symbol="BTC/USDT")
    log.debug("not shown")
    assert path.read_text().endswith(" INFO crypto_bot.loop: trained run_id=r-1 symbol=BTC/USDT\n")


@pytest.mark.parametrize("shape", ["text", "json"])
def test_masking_holds_in_either_shape_and_in_the_context(tmp_path, capsys, shape):
    awkward = 'quo"te\\slash-s3cret'
    path = configure_logging(
        "backtest", tmp_path, secrets=[SECRET, awkward], log_format=shape, verbose=True
    )
    keep_secret("made-at-the-start-token")
    try:
        raise ValueError(f"refused {awkward}")
    except ValueError:
        with log_context(key=SECRET, nested={"inner": [awkward, {SECRET: 1}]}):
            LOG.exception("token made-at-the-start-token and %s", TOKEN)
    get_logger("crypto_bot.loop").warning("posting", url=f"https://user:{SECRET}@host")
    for text in (path.read_text(), capsys.readouterr().err):
        assert MASK in text
        for secret in (
            SECRET,
            TOKEN,
            "made-at-the-start-token",
            "slash-s3cret",
            'quo"te',
            'quo\\"te',
        ):
            assert secret not in text
        if shape == "json":
            assert [json.loads(line) for line in text.splitlines()]


def test_in_the_foreground_details_go_to_stdout_and_warnings_to_stderr_once_each(tmp_path, capsys):
    for verbose in (False, True):
        configure_logging("integrated_backtest", tmp_path, verbose, foreground=True)
        LOG.debug("D")
        LOG.info("I")
        LOG.warning("W")
        shown = capsys.readouterr()
        assert [line[-1] for line in shown.out.splitlines()] == (["D", "I"] if verbose else ["I"])
        assert [line[-1] for line in shown.err.splitlines()] == ["W"]


def test_the_settings_choose_the_shape(tmp_path):
    config = {**TINY, "logging": {"folder": str(tmp_path)}, "operations": {"log_format": "json"}}
    with open_workbench(config, log="backtest") as bench:
        LOG.info("hello")
        assert json.loads(bench.log.read_text().splitlines()[-1])["event"] == "hello"
    assert "structlog" in sys.modules
