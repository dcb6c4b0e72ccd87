"""What the doctor asks across a network: exchange, its clock, Supabase, the registry."""

from __future__ import annotations

import base64
import binascii
import json
import time
from typing import Any

from crypto_bot.backtest.doctor import Check, Finding, bad, good, noted
from crypto_bot.config import Settings
from crypto_bot.core.errors import ConfigError, CryptoBotError

SKEW_S = 2.0
"""A clock further off decides candles late, or before they close."""
_SMOKE = "DOCTOR/USDT"


def look_at_exchange(settings: Settings) -> list[Finding]:
    """Whether the exchange answers, how long its library takes, and how far the clocks are apart."""
    from crypto_bot.adapters.ccxt_clock import ask_time

    name = settings.data.exchange
    if not name:
        return noted("exchange", "data.exchange is empty: candles come from files or a simulation")
    try:
        told = ask_time(name)
    except ConfigError as error:
        return bad("exchange", str(error), "set data.exchange")
    except CryptoBotError as error:
        mend = "look at the network and the proxy variables; stored candles are used meanwhile"
        return bad("exchange", str(error), mend)
    words = f"{name} answers in {told.answer_s:.2f} s; ccxt loads in {told.load_s:.1f} s"
    if told.skew_s is None:
        return [*good("exchange", words), *noted("clock", f"{name} does not tell its time")]
    return [*good("exchange", words), clock_finding(name, told.skew_s, told.answer_s)]


def clock_finding(name: str, skew_s: float, answer_s: float) -> Finding:
    """This machine's clock against the exchange's; half the answer's way is uncertain."""
    words = f"{abs(skew_s):.2f} s {'ahead of' if skew_s > 0 else 'behind'} {name}"
    if abs(skew_s) - answer_s / 2 <= SKEW_S:
        return Finding("clock", "ok", words)
    return Finding("clock", "failed", words, "turn on time synchronisation (NTP) on this machine")


def look_at_key(settings: Settings) -> list[Finding]:
    """What can be known of Supabase's address and key without asking anybody."""
    supabase = settings.ml_integration.supabase
    if not supabase.is_configured and settings.registry.store == "supabase":
        mend = "set SUPABASE_URL and SUPABASE_SERVICE_KEY in the environment, or registry.store: folder"
        return bad("Supabase", "must be configured for registry.store: supabase, was not", mend)
    if not supabase.is_configured:
        if supabase.has_placeholders:
            mend = "set SUPABASE_URL and SUPABASE_SERVICE_KEY in the environment"
            return noted("Supabase", "the guide's placeholders are no credentials", mend)
        return noted("Supabase", "not configured: models go to registry.folder")
    if not (supabase.url or "").startswith("https://") and "//127.0.0.1" not in (
        supabase.url or ""
    ):
        mend = "set SUPABASE_URL to the project's https address"
        return bad("Supabase", "url must be https, was not", mend)
    key = "" if supabase.key is None else supabase.key.get_secret_value()
    return key_findings(key, time.time())


def key_findings(key: str, now_s: float) -> list[Finding]:
    """Kind, role and expiry of a key; a JSON web token is read, not verified."""
    mend = "set SUPABASE_SERVICE_KEY to the service-role key (project settings, API)"
    if key.startswith("sb_secret_"):
        return good("Supabase key", "a secret key")
    if key.startswith("sb_publishable_"):
        return bad("Supabase key", "must be a secret key, was a publishable one", mend)
    claims = _claims(key)
    if claims is None:
        return bad("Supabase key", "must be a service key, was of no known form", mend)
    role, ends = claims.get("role"), claims.get("exp")
    if role != "service_role":
        return bad("Supabase key", f"must have role service_role, had {role}", mend)
    if isinstance(ends, int | float) and ends <= now_s:
        day = time.strftime("%Y-%m-%d", time.gmtime(ends))
        return bad("Supabase key", f"must be valid, expired on {day}", mend)
    return good("Supabase key", "a service-role key, not expired")


def _claims(token: str) -> dict[str, Any] | None:
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        read = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, binascii.Error):
        return None
    return read if isinstance(read, dict) else None


def look_at_registry(settings: Settings) -> list[Finding]:
    """Write, list, read and remove a small file where models go; bytes of models are not touched."""
    from pathlib import Path

    from crypto_bot.backtest.workbench import open_registries

    is_bucket = settings.registry.store == "supabase" or (
        settings.ml_integration.supabase.is_configured and settings.registry.store != "folder"
    )
    if not is_bucket and not Path(settings.registry.folder).exists():
        return good("registry", "nothing was published yet; the first version makes the folder")
    registry, _ = open_registries(settings)
    try:
        registry.smoke(_SMOKE)
        symbols = registry.symbols()
    except CryptoBotError as error:
        mend = "check SUPABASE_URL, key and bucket" if is_bucket else "check registry.folder"
        return bad("registry", str(error), mend)
    where = f"bucket {settings.ml_integration.supabase.bucket}" if is_bucket else "folder"
    return good(
        "registry", f"{where} works: written, listed, read, removed; {len(symbols)} symbols"
    )


NETWORK_CHECKS = (
    Check("Supabase", look_at_key),
    Check("registry", look_at_registry, is_network=True),
    Check("exchange", look_at_exchange, is_network=True),
)
