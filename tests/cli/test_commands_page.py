"""docs/commands.md and docs/cointrainer.md name every command and every option that there is."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from crypto_bot.backtest import cli, integrated_cli
from crypto_bot.cli import cointrainer

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = ("commands.md", "cointrainer.md")


def commands_of(parser):
    (action,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    return action.choices


@pytest.mark.parametrize("program", [integrated_cli, cli, cointrainer])
def test_every_command_and_option_is_on_the_page_and_explained(program):
    page = "\n".join((DOCS / name).read_text(encoding="utf-8") for name in PAGES)
    for name, parser in commands_of(program.build_parser()).items():
        assert f"| `{name}` |" in page
        for action in parser._actions:
            assert action.help, f"{name} {action.option_strings} has no help"
            for option in action.option_strings:
                assert f"`{option}" in page, f"{name} {option}"
