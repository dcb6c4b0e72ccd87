"""Is everything here that is needed? One check after another, each with the step that mends it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from crypto_bot.backtest.logs import keep_secret, masked
from crypto_bot.config import Settings, load_settings, secret_values
from crypto_bot.core.errors import ConfigError, CryptoBotError

Status = Literal["ok", "note", "failed", "skipped"]
TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check came to. `note` needs no mending; `mend` is the step that mends a failure."""

    name: str
    status: Status
    words: str
    mend: str = ""

    def to_dict(self) -> dict[str, str]:
        """JSON-ready, secrets masked."""
        return {name: masked(str(value)) for name, value in asdict(self).items()}


Look = Callable[[Settings], Sequence[Finding]]


@dataclass(frozen=True, slots=True)
class Check:
    """A thing to look at; `is_network` is left out with --offline."""

    name: str
    look: Look
    is_network: bool = False


def good(name: str, words: str) -> list[Finding]:
    """All is well."""
    return [Finding(name, "ok", words)]


def bad(name: str, words: str, mend: str) -> list[Finding]:
    """Something to mend."""
    return [Finding(name, "failed", words, mend)]


def noted(name: str, words: str, mend: str = "") -> list[Finding]:
    """Worth knowing, not wrong."""
    return [Finding(name, "note", words, mend)]


def examine(
    config: str | Path | Mapping[str, Any] | Settings | None = None,
    *,
    offline: bool = False,
    timeout_s: float = TIMEOUT_S,
    checks: Sequence[Check] | None = None,
) -> list[Finding]:
    """Look at everything and change nothing that stays.

    Parameters
    ----------
    config        as for `load_settings`
    offline       ask no network
    timeout_s     of one check; one that takes longer has failed
    checks        None: all of them

    Returns
    -------
    list of Finding    in the order of the checks; with a wrong configuration the rest is looked at by
                       the defaults
    """
    findings, settings = _configured(config)
    if checks is None:
        from crypto_bot.backtest.doctor_local import LOCAL_CHECKS
        from crypto_bot.backtest.doctor_network import NETWORK_CHECKS

        checks = (*LOCAL_CHECKS, *NETWORK_CHECKS)
    for check in checks:
        if offline and check.is_network:
            findings.append(Finding(check.name, "skipped", "not asked: --offline"))
        else:
            findings += _looked(check, settings, timeout_s)
    return findings


def _configured(
    config: str | Path | Mapping[str, Any] | Settings | None,
) -> tuple[list[Finding], Settings]:
    if isinstance(config, Settings):
        found, settings = good("configuration", "given by the caller"), config
    else:
        try:
            settings = load_settings(config)
            found = good("configuration", _source(config))
        except ConfigError as error:
            settings = load_settings({}, environ={})
            mend = "mend that key; every key is in docs/configuration.md"
            found = bad("configuration", str(error), mend)
    keep_secret(*secret_values(settings))
    return found, settings


def _source(config: str | Path | Mapping[str, Any] | None) -> str:
    from crypto_bot.config.loading import DEFAULT_FILE

    if config is None:
        read = DEFAULT_FILE if DEFAULT_FILE.is_file() else None
        return f"{read or 'no file, defaults and environment'}: every key is known"
    return f"{'given' if isinstance(config, Mapping) else config}: every key is known"


def _looked(check: Check, settings: Settings, timeout_s: float) -> list[Finding]:
    """The check's findings, or that it took too long or stumbled over something we name."""
    found: list[Finding] = []

    def look() -> None:
        try:
            found.extend(check.look(settings))
        except (CryptoBotError, OSError) as error:
            found.extend(bad(check.name, str(error), "see the reason given"))

    worker = threading.Thread(target=look, name=f"doctor-{check.name}", daemon=True)
    worker.start()
    worker.join(timeout_s)
    if worker.is_alive():
        words = f"must answer within {timeout_s:g} s, did not"
        return bad(check.name, words, "look at the network, or ask again later")
    return found or bad(check.name, "ended without an answer", "see the traceback above")


def doctor_lines(findings: Sequence[Finding]) -> list[str]:
    """A line for each check, what mends it below, and how many failed."""
    marks = {"ok": "ok    ", "note": "note  ", "failed": "FAILED", "skipped": "-     "}
    lines = []
    for finding in findings:
        lines.append(f"{marks[finding.status]} {finding.name:<14} {finding.words}")
        if finding.mend:
            lines.append(f"{'':<21} -> {finding.mend}")
    failed = sum(finding.status == "failed" for finding in findings)
    lines.append(f"{failed} of {len(findings)} checks failed" if failed else "nothing to mend")
    return lines


def doctor_result(findings: Sequence[Finding]) -> tuple[int, dict[str, Any]]:
    """(exit code, JSON result): 1 if any check failed."""
    failed = sum(finding.status == "failed" for finding in findings)
    checks = [finding.to_dict() for finding in findings]
    return int(failed > 0), {"failed": failed, "checks": checks}
