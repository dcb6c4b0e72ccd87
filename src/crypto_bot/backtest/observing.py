"""What `crypto-bot status`, `doctor` and `retrain` do."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from crypto_bot.backtest.command import Handler, Result, say
from crypto_bot.backtest.doctor import doctor_lines, doctor_result, examine
from crypto_bot.backtest.loop.plan import RETRAIN
from crypto_bot.backtest.ml_integration import create_ml_integration
from crypto_bot.backtest.status import loop_holder, status_lines
from crypto_bot.config import load_settings
from crypto_bot.core.errors import ConfigError
from crypto_bot.journal import Journal

ON_DEMAND = "on_demand"
NOBODYS = "-"
"""The symbol of an alarm that is no model's: looks at models neither see nor clear it."""


def status(options: argparse.Namespace) -> tuple[int, Result]:
    """What runs, serves and waits, on one screen; from the journal, whoever writes it."""
    found = create_ml_integration(options.config).get_integration_status()
    say(options, *status_lines(found))
    return 0, found


def doctor(options: argparse.Namespace) -> tuple[int, Result]:
    """Every check, each with its mending step; exit code 1 if one failed."""
    if not options.timeout > 0:
        raise ConfigError(f"--timeout must be above 0 seconds, was {options.timeout:g}")
    findings = examine(options.config, offline=options.offline, timeout_s=options.timeout)
    say(options, *doctor_lines(findings))
    return doctor_result(findings)


def retrain(options: argparse.Namespace) -> tuple[int, Result]:
    """Write down that a training is wanted; the loop that works on this store makes it at once."""
    settings = load_settings(options.config)
    with Journal(settings.journal.url) as journal:
        run_id = journal.start_run("request", {"reason": options.reason})
        alarm = journal.raise_alarm(run_id, NOBODYS, ON_DEMAND, RETRAIN, {"reason": options.reason})
        journal.finish_run(run_id, "done", {"alarm": alarm.number})
        holder = loop_holder(settings, journal)
    pid = None if holder is None else holder["pid"]
    who = "the next start of the loop" if pid is None else f"the loop in process {pid}"
    learns = "" if settings.schedule.is_enabled else "; but learning is switched off here"
    say(options, f"a training is asked for (alarm {alarm.number}): {who} makes it{learns}")
    return 0, {"alarm": alarm.number, "loop": pid}


OBSERVING_COMMANDS: Mapping[str, Handler] = {
    "status": status,
    "doctor": doctor,
    "retrain": retrain,
}
