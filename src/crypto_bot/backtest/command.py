"""What every command shares: options in any place, plain errors, honest exit codes, JSON on demand.

Exit codes: 0 done, 1 failed, 2 bad usage or configuration, 3 nothing promoted although
`--require-promotion` asked for it, 130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from crypto_bot.backtest.logs import masked
from crypto_bot.core.errors import CryptoBotError

Result = Mapping[str, Any] | None
Handler = Callable[[argparse.Namespace], tuple[int, Result]]
"""A command: takes the parsed arguments, prints for people, returns exit code and JSON result."""

_EVERYWHERE: dict[str, Any] = {
    "config": None,
    "verbose": False,
    "json": False,
}


class CommandParser(argparse.ArgumentParser):
    """A parser whose shared options work before and after the command's name."""

    def __init__(self, **settings: Any) -> None:
        settings.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        settings.setdefault("allow_abbrev", False)
        super().__init__(**settings)


def shared_options() -> CommandParser:
    """Options every command takes; absent ones leave no trace, so either place may set them."""
    parser = CommandParser(add_help=False, argument_default=argparse.SUPPRESS)
    parser.add_argument(
        "-c",
        "--config",
        metavar="FILE",
        help="YAML configuration (default: config/backtest_config.yaml if present)",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="log details to the terminal")
    parser.add_argument(
        "--json", action="store_true", help="print the result as one JSON object on stdout"
    )
    return parser


def show_examples(commands: Any, program: str, lines: Mapping[str, str]) -> None:
    """End each command's help with a line that runs, unless it has an ending of its own.

    `lines` holds what follows the program's name, by command.
    """
    for name, line in lines.items():
        parser = commands.choices[name]
        if parser.epilog is None:
            parser.epilog = f"example: {program} {line}"


def run_command(
    parser: argparse.ArgumentParser,
    arguments: Sequence[str] | None,
    load_handlers: Callable[[], Mapping[str, Handler]],
) -> int:
    """Parse, run the handler, print what went wrong in one line, return the exit code.

    `load_handlers` is called after parsing, so that `--help` and usage errors import nothing heavy.
    """
    options = parser.parse_args(arguments)
    for name, default in _EVERYWHERE.items():
        if not hasattr(options, name):
            setattr(options, name, default)
    try:
        code, result = load_handlers()[options.command](options)
    except CryptoBotError as error:
        return _failed(options, error)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    if options.json and result is not None:
        print(_json(result))
    return code


def _failed(options: argparse.Namespace, error: CryptoBotError) -> int:
    complain(f"error: {error}")
    if options.json:
        print(_json({"error": str(error), "kind": type(error).__name__}))
    return error.exit_code


def complain(line: str) -> None:
    """Print a line on stderr, secrets masked."""
    print(masked(line), file=sys.stderr, flush=True)


def _json(result: Mapping[str, Any]) -> str:
    return json.dumps(_masked(result), indent=2, default=_as_text, allow_nan=False)


def _as_text(value: Any) -> str:
    return masked(str(value))


def _masked(value: Any) -> Any:
    """The same with every text in it masked; before JSON escapes what would be looked for."""
    if isinstance(value, Mapping):
        return {_masked(name): _masked(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(item) for item in value]
    return masked(value) if isinstance(value, str) else value


def say(options: argparse.Namespace, *lines: str) -> None:
    """Print lines for a person, secrets masked; silent when JSON was asked for."""
    if not options.json:
        for line in lines:
            print(masked(line), flush=True)
