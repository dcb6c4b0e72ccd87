"""Every command that a page shows exists, with every option it shows."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import re
import shlex
from pathlib import Path

import pytest

from crypto_bot.cli import bot, cointrainer
from crypto_bot.cli.completion import SHELLS
from pages import PAGES, README, ROOT, blocks, prose

_SHOWN = re.compile(r"`([^`\n]+)`")
_STARTS = ("python ", "cointrainer ", "crypto-bot ", "make ", "scripts/")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.search(r"^\.PHONY: (.+)$", MAKEFILE, re.MULTILINE)[1].split())


def shown_commands(page: Path) -> list[str]:
    """Lines of shell blocks, and commands inside a sentence."""
    lines = [
        line for b in blocks(page) if b.language in {"bash", "sh"} for line in b.code.split("\n")
    ]
    for sentence in prose(page).splitlines():
        lines += _SHOWN.findall(sentence)
        lines += further_commands(sentence)
    found = (re.sub(r"^([A-Z_]+=\S+ )+|\s+#.*$", "", line).strip() for line in lines)
    return [line for line in found if line.startswith(_STARTS)]


def further_commands(row: str) -> list[str]:
    """Of a table row that begins `program one`, `two`, `three`: program two, program three."""
    first, *more = _SHOWN.findall(row.strip("| ").split(" | ")[0]) or [""]
    if not (row.startswith("| `") and first.startswith(_STARTS)):
        return []
    words = first.split()
    program = words[:3] if words[1:2] == ["-m"] else words[:1]
    return [" ".join([*program, word]) for word in more if " " not in word]


def parser_of(module: str) -> argparse.ArgumentParser | None:
    owner = importlib.import_module(module)
    build = getattr(owner, "build_parser", None) or getattr(owner, "_parser", None)
    return None if build is None else build()


def subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    found = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    return dict(found[0].choices) if found else {}


def check_options(parser: argparse.ArgumentParser, words: list[str], line: str) -> None:
    """The command is one, and each option is an option of it; values and required ones aside."""
    commands = subparsers(parser)
    options = {*parser._option_string_actions}
    command = next((word for word in words if not word.startswith("-")), None)
    if commands and command not in (None, "COMMAND"):
        assert command in commands, f"{line}: {command} is no command, {sorted(commands)} are"
        options |= set(commands[command]._option_string_actions)
    unknown = [word for word in words if word.startswith("-") and word not in options]
    assert unknown == [], f"{line}: {unknown} are no options"


def check_module(words: list[str], line: str) -> None:
    module, rest = words[0], words[1:]
    if module == "pytest":
        assert [w for w in rest if not w.startswith("-") and not (ROOT / w).exists()] == [], line
    elif module == "benchmarks":
        assert all((ROOT / "benchmarks" / f"{word}.py").exists() for word in rest), line
    else:
        assert importlib.util.find_spec(module) is not None, f"{line}: no such module"
        parser = None if module == "crypto_bot.config" else parser_of(module)
        if parser is not None:
            check_options(parser, rest, line)


def check_command(line: str) -> None:
    program, *words = shlex.split(line)
    if program == "make":
        for word in words:
            variable = word.partition("=")[0]
            known = f"$({variable})" in MAKEFILE if "=" in word else word in TARGETS
            assert known, f"{line}: make knows no {word}"
    elif program == "python":
        check_module(words[1:], line) if words[0] == "-m" else exists(words[0], line)
    elif words[:1] == ["--print-completion"]:
        build = {"cointrainer": cointrainer.build_parser, "crypto-bot": bot.completion_parser}
        parser = build[program]()
        assert words[0] in parser._option_string_actions, line
        assert words[1:] in ([], *([shell] for shell in SHELLS)), line
    elif program == "cointrainer":
        check_options(parser_of("crypto_bot.cli.cointrainer"), words, line)
    elif program == "crypto-bot":
        names = ("backtest.integrated_cli", "backtest.cli", "cli.bot")
        both = [parser_of(f"crypto_bot.{name}") for name in names]
        command = next((word for word in words if not word.startswith("-")), None)
        owner = next((p for p in both if command in subparsers(p)), both[0])
        check_options(owner, words, line)
    else:
        exists(program, line)


def exists(path: str, line: str) -> None:
    assert (ROOT / path).exists(), f"{line}: there is no {path}"


COMMANDS = sorted({line for page in PAGES for line in shown_commands(page)})


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_that_is_shown_exists_with_its_options(line):
    check_command(line)


@pytest.mark.parametrize(
    "line",
    [
        "make demos",
        "make demo DATUM=here",
        "python -m crypto_bot.nothing",
        "python -m crypto_bot.backtest.integrated_cli integrate --once",
        "python -m crypto_bot.backtest.integrated_cli integrated --twice",
        "cointrainer csv-train --files a.csv",
        "crypto-bot runs",
        "python -m benchmarks bench_nothing",
        "scripts/nothing",
    ],
)
def test_a_command_that_does_not_exist_is_caught(line):
    with pytest.raises(AssertionError):
        check_command(line)


def test_the_readme_shows_every_command_and_the_two_of_a_newcomer():
    shown = [line.split() for line in shown_commands(README)]
    assert ["make", "demo"] in shown
    assert ["make", "test"] in shown
    for module in ("backtest.integrated_cli", "backtest.cli", "cli.cointrainer"):
        for command in subparsers(parser_of(f"crypto_bot.{module}")):
            assert any(command in words for words in shown), f"README does not show {command}"
