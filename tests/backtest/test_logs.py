"""Log files: the guide's names, rotated, without secrets."""

from __future__ import annotations

import logging

import pytest

from backtest.tiny import TINY
from crypto_bot.backtest import logs
from crypto_bot.backtest.command import CommandParser, complain, run_command, say, shared_options
from crypto_bot.backtest.logs import MASK, close_logging, configure_logging
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
