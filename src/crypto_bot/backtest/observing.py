"""What `crypto-bot status` and `crypto-bot doctor` do."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from crypto_bot.backtest.command import Handler, Result, say
from crypto_bot.backtest.doctor import doctor_lines, doctor_result, examine
from crypto_bot.backtest.ml_integration import create_ml_integration
from crypto_bot.backtest.status import status_lines


def status(options: argparse.Namespace) -> tuple[int, Result]:
    """What runs, serves and waits, on one screen; from the journal, whoever writes it."""
    found = create_ml_integration(options.config).get_integration_status()
    say(options, *status_lines(found))
    return 0, found


def doctor(options: argparse.Namespace) -> tuple[int, Result]:
    """Every check, each with its mending step; exit code 1 if one failed."""
    findings = examine(options.config, offline=options.offline, timeout_s=options.timeout)
    say(options, *doctor_lines(findings))
    return doctor_result(findings)


OBSERVING_COMMANDS: Mapping[str, Handler] = {"status": status, "doctor": doctor}
