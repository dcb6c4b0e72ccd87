"""Secrets come from the environment. This refuses them elsewhere, without ever repeating one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import SecretStr

from crypto_bot.config.guide import KEY_PLACEHOLDERS
from crypto_bot.config.settings import Settings, has_password
from crypto_bot.core.errors import ConfigError

SUPABASE_URL = "SUPABASE_URL"
SUPABASE_KEYS = ("SUPABASE_SERVICE_KEY", "SUPABASE_KEY")
MODELS_BUCKET = "CT_MODELS_BUCKET"
"""The original trainer's name of the bucket."""
"""The first that is set wins: publishing needs the service key."""
_ELSEWHERE = (
    ("notifications", "webhook_secret"),
    ("notifications", "email_password"),
    ("operations", "token"),
)


def refuse_secrets(values: Mapping[str, Any], *, source: str) -> None:
    """Raise ConfigError if a file or mapping carries a key, or a password in a URL.

    The guide's printed placeholder and a `SecretStr` made by the caller are no offence.
    """
    supabase = _section(_section(values, "ml_integration", source), "supabase", source)
    key = supabase.get("key")
    is_placeholder = isinstance(key, str) and key in KEY_PLACEHOLDERS
    if not (key is None or isinstance(key, SecretStr) or is_placeholder):
        raise ConfigError(
            f"{source}: ml_integration.supabase.key must come from the environment, was in the file; "
            "remove it and set SUPABASE_KEY (and replace the key: it has been written down)"
        )
    for section, name in _ELSEWHERE:
        value = _section(values, section, source).get(name)
        if not (value is None or isinstance(value, SecretStr)):
            variable = f"CRYPTO_BOT__{section}__{name}".upper()
            raise ConfigError(
                f"{source}: {section}.{name} must come from the environment, was in the file; "
                f"remove it and set {variable} (and replace it: it has been written down)"
            )
    url = _section(values, "journal", source).get("url")
    if isinstance(url, str) and has_password(url):
        raise ConfigError(
            f"{source}: journal.url must hold no password, did; give it by PGPASSWORD or ~/.pgpass"
        )


def supabase_from(environ: Mapping[str, str]) -> dict[str, Any]:
    """url, key and bucket as the usual variables give them; empty ones count as absent."""
    found: dict[str, Any] = {}
    if environ.get(SUPABASE_URL):
        found["url"] = environ[SUPABASE_URL]
    key = next((environ[name] for name in SUPABASE_KEYS if environ.get(name)), None)
    if key is not None:
        found["key"] = key
    if environ.get(MODELS_BUCKET):
        found["bucket"] = environ[MODELS_BUCKET]
    return found


def _section(values: Mapping[str, Any], name: str, source: str) -> Mapping[str, Any]:
    section = values.get(name, {})
    if section is None:
        return {}
    if not isinstance(section, Mapping):
        raise ConfigError(
            f"{source}: {name} must hold keys and values, was a single {type(section).__name__}"
        )
    return section


def secret_values(settings: Settings) -> list[str]:
    """Every secret in plain text, for whoever must keep them out of a log."""
    told, shown = settings.notifications, settings.operations
    found = (
        settings.ml_integration.supabase.key,
        settings.webhook_url,
        told.webhook_secret,
        told.email_password,
        shown.token,
    )
    return [secret.get_secret_value() for secret in found if secret is not None]
