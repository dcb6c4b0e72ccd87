"""Shell completion of the command lines; `shtab` writes the scripts and is imported when asked."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

SHELLS = ("bash", "zsh", "tcsh", "fish")
"""Shells a script can be printed for."""


class PrintCompletion(argparse.Action):
    """Print the script for a shell and end, before a command is asked for."""

    def __init__(self, option_strings: Sequence[str], dest: str, **settings: Any) -> None:
        settings.setdefault("choices", SHELLS)
        settings.setdefault("default", argparse.SUPPRESS)
        settings.setdefault("help", "print the shell's completion script, then end")
        super().__init__(option_strings, dest, **settings)

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> NoReturn:
        del namespace, option_string
        print(completion(parser, str(values)), end="")
        parser.exit()


def completion(parser: argparse.ArgumentParser, shell: str) -> str:
    """The script that makes a shell complete this command line."""
    import shtab

    return str(shtab.complete(parser, shell))


def add_completion(parser: argparse.ArgumentParser) -> None:
    """Let a command line print its own completion."""
    parser.add_argument("--print-completion", action=PrintCompletion, metavar="SHELL")


def joined_parser(
    name: str, description: str, parts: Sequence[argparse.ArgumentParser]
) -> argparse.ArgumentParser:
    """One command line of the commands of several, for a program that hands lines on."""
    joined = argparse.ArgumentParser(prog=name, description=description, allow_abbrev=False)
    add_completion(joined)
    commands = joined.add_subparsers(dest="command", metavar="COMMAND")
    for part in parts:
        for command, (parser, about) in commands_of(part).items():
            if command not in commands.choices:
                made = commands.add_parser(command, parents=[parser], add_help=False, help=about)
                made.epilog = parser.epilog
    return joined


def commands_of(
    parser: argparse.ArgumentParser,
) -> dict[str, tuple[argparse.ArgumentParser, str]]:
    """The commands of a command line: name -> its parser and its line of help."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            about = {each.dest: each.help or "" for each in action._choices_actions}
            return {name: (each, about.get(name, "")) for name, each in action.choices.items()}
    return {}
