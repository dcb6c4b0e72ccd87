"""Laws of every command of every program: an example, JSON, help that is there at once."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from crypto_bot.backtest import cli, integrated_cli
from crypto_bot.cli import bot, cointrainer
from crypto_bot.cli.completion import SHELLS, commands_of, completion

PROGRAMS = {module.__name__: module.build_parser() for module in (integrated_cli, cli, cointrainer)}
PROGRAMS[bot.__name__] = bot.completion_parser()


def leaves(parser, words=()):
    """Every command that can be run, with the words that lead to it."""
    below = commands_of(parser)
    if not below:
        yield words, parser
    for name, (each, _) in below.items():
        yield from leaves(each, (*words, name))


COMMANDS = [(name, words) for name, parser in PROGRAMS.items() for words, _ in leaves(parser)]


def parser_of(program, words):
    return dict(leaves(PROGRAMS[program]))[words]


@pytest.mark.parametrize(("program", "words"), COMMANDS)
def test_every_command_shows_an_example_of_itself(program, words):
    text = " ".join(parser_of(program, words).format_help().split())
    assert "example" in text
    assert " ".join(words) in text.partition("example")[2]


@pytest.mark.parametrize(("program", "words"), COMMANDS)
def test_every_command_answers_in_json_and_explains_every_option(program, words):
    parser = parser_of(program, words)
    assert "--json" in parser._option_string_actions
    for action in parser._actions:
        assert action.help, f"{words} {action.option_strings or action.dest} has no help"


PROBE = """
import json, resource, sys
from crypto_bot.cli import cointrainer
try:
    cointrainer.main(sys.argv[1:])
except SystemExit:
    pass
used = resource.getrusage(resource.RUSAGE_SELF)
heavy = ("pandas polars scipy lightgbm sklearn optuna ccxt storage3 httpx cryptography "
         "prometheus_client alembic sqlalchemy numba matplotlib plotly shtab").split()
print(json.dumps({"cpu": used.ru_utime + used.ru_stime,
                  "heavy": [name for name in heavy if name in sys.modules]}))
"""


@pytest.mark.parametrize("command", ["--help", "optimize --help", "keys --help"])
def test_help_is_there_at_once(command):
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *command.split()], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["heavy"] == []
    assert found["cpu"] < 0.4


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_completes_every_command(program, shell):
    script = completion(PROGRAMS[program], shell)
    missing = [name for name in commands_of(PROGRAMS[program]) if name not in script]
    assert missing == []


@pytest.mark.parametrize("main", [cointrainer.main, bot.main])
def test_the_script_is_printed_without_a_command_and_nothing_else_is(main, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--print-completion", "bash"])
    assert ended.value.code == 0
    script = capsys.readouterr().out
    checked = subprocess.run(["bash", "-n"], input=script, text=True, check=False)
    assert checked.returncode == 0
    with pytest.raises(SystemExit) as ended:
        main(["--print-completion", "cmd"])
    assert ended.value.code == 2
