"""`crypto-bot`: one door to the commands of the workbench."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

_COMMANDS = {
    "integrated": ("setup", "integrated", "backtest-only", "ml-training", "validate"),
    "backtest": ("run", "continuous", "portfolio", "select", "sweep", "view", "optimize"),
}
_HELP = """usage: crypto-bot COMMAND [options]

  setup, integrated, backtest-only, ml-training, validate   the integrated system
  run, continuous, portfolio, sweep, view, optimize         backtests without learning
  select                                                    learn which strategy to take

`crypto-bot COMMAND --help` explains one; `crypto-bot --print-completion bash` (zsh, tcsh, fish) prints
the shell's completion. Example: crypto-bot integrated --once --data ./candles
"""


def build_parser() -> argparse.ArgumentParser:
    """Every command of both programs as one command line, for the shell's completion."""
    from crypto_bot.backtest.cli import build_parser as backtest
    from crypto_bot.backtest.integrated_cli import build_parser as integrated
    from crypto_bot.cli.completion import joined_parser

    return joined_parser("crypto-bot", "The workbench.", [integrated(), backtest()])


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; hands the line to the module that owns the command."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in {"-h", "--help"}:
        print(_HELP, end="")
        return 0 if words else 2
    if words[0] == "--version":
        from crypto_bot import __version__

        print(f"crypto-bot {__version__}")
        return 0
    if words[0].startswith("--print-completion"):
        build_parser().parse_args(words)
    if any(word in _COMMANDS["backtest"] for word in words):
        from crypto_bot.backtest.cli import main as backtest

        return backtest(words)
    from crypto_bot.backtest.integrated_cli import main as integrated

    return integrated(words)


if __name__ == "__main__":
    sys.exit(main())
