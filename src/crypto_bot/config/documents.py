"""The configuration in words, made from the models: template file and table of all keys."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from crypto_bot.config.effects import KEY_STATUS
from crypto_bot.config.loading import leaf_keys, section_of
from crypto_bot.config.settings import Settings

_TEMPLATE_HEAD = """\
# Configuration of crypto-bot: every key with its default. Delete what you do not change.
# Secrets are never written here: set SUPABASE_URL and SUPABASE_KEY in the environment.
# Any key can be set there too: CRYPTO_BOT__ML_INTEGRATION__TRAINING__MAX_BIN=127
# What each key does: docs/configuration.md
"""

_PAGE_HEAD = """\
# Configuration

<!-- Made from src/crypto_bot/config by `python -m crypto_bot.config`; a test compares. -->

One YAML file, `config/backtest_config.yaml` unless `--config` names another. Later sources win:

1. the defaults below,
2. the file (the guide's partial examples load as printed; a missing key keeps its default),
3. `SUPABASE_URL`, `SUPABASE_SERVICE_KEY`, `SUPABASE_KEY`, `CT_MODELS_BUCKET`,
4. `CRYPTO_BOT__SECTION__KEY=value`, such as `CRYPTO_BOT__ML_INTEGRATION__TRAINING__MAX_BIN=127`
   (lists as `[1h, 4h]` or `1h,4h`),
5. options of the command line.

An unknown key, a wrong type, a duplicate key or a value out of range ends the command with exit code
2 and the key's path. `"8"` is not a number and `1` is not `true`. Keys that ask for something that
will not happen on this machine are named at the start, with the reason.

## Keys with two homes

| meaning | first that is given wins |
|---|---|
| retrain by itself | `ml_integration.training.auto_retrain`, `ml_integration.auto_retrain` |
| hours between trainings | `ml_integration.training.retrain_interval_hours`, `ml_integration.retrain_interval_hours`, `model_update_interval_hours` |
| learning at all | both `learning_enabled` and `ml_integration.enabled` must be true |
| publish models | `ml_integration.training.publish_models` (its only home) |
| exchange | `data.exchange`, the first of `data_sources.cex` |
| Supabase key | `CRYPTO_BOT__ML_INTEGRATION__SUPABASE__KEY`, `SUPABASE_SERVICE_KEY`, `SUPABASE_KEY` |

An overruled value is named at the start.

## Secrets

`ml_integration.supabase.key` comes from the environment only. In a file the guide's placeholder
(`your-service-role-key`) is accepted and means "not configured"; any other value is refused, and the
message never repeats it. `journal.url` holds no password: use `PGPASSWORD` or `~/.pgpass`. Secrets are
masked in every output, and left out of files we write.

The guide's section "Configuration Schema" prints types (`boolean`, `int`) where values go: it describes
a file and is not one.

## All keys

| key | default | values | meaning | acts on |
|---|---|---|---|---|
"""


def get_integration_config_template() -> str:
    """The file that `setup` writes: every key with its default and its help as a comment."""
    return _TEMPLATE_HEAD + _section_yaml(Settings(), Settings, "", _help)


def settings_yaml(settings: Settings) -> str:
    """The settings as a file; secrets are left out."""
    return _section_yaml(settings, Settings, "", lambda _field: "")


def configuration_page() -> str:
    """docs/configuration.md: rules of precedence and a row for every key."""
    rows = (_row(path, field) for path, field in leaf_keys())
    return _PAGE_HEAD + "".join(rows)


def _section_yaml(
    values: BaseModel, options: type[BaseModel], indent: str, note: Callable[[FieldInfo], str]
) -> str:
    lines = []
    for name, field in options.model_fields.items():
        value = getattr(values, name)
        section = section_of(options, name)
        if section is not None:
            body = _section_yaml(value, section, indent + "  ", note)
            lines.append(f"\n{indent}{name}:\n{body}" if not indent else f"{indent}{name}:\n{body}")
        elif SecretStr in get_args(field.annotation):
            lines.append(f"{indent}# {name}: {field.description}\n")
        else:
            lines.append(f"{indent}{name}: {_yaml(value)}{note(field)}\n")
    return "".join(lines)


def _help(field: FieldInfo) -> str:
    return f"  # {field.description}"


def _yaml(value: Any) -> str:
    """A value as JSON, which is YAML on one line; text without quotes where that is unmistakable."""
    if isinstance(value, tuple):
        return f"[{', '.join(_yaml(item) for item in value)}]"
    if isinstance(value, str) and _is_plain(value):
        return value
    return json.dumps(value)


def _is_plain(text: str) -> bool:
    from crypto_bot.config.yaml_file import parse_yaml
    from crypto_bot.core.errors import ConfigError

    if not text or any(mark in text for mark in ",[]{}#:"):
        return False
    try:
        return bool(parse_yaml(text, name="") == text)
    except ConfigError:
        return False


def _row(path: str, field: FieldInfo) -> str:
    effect = KEY_STATUS[path]
    acts = "; ".join(part for part in (effect.acts, _exception(path)) if part)
    default = "" if field.default is None else f"`{_yaml(field.default)}`"
    return f"| `{path}` | {default} | {_values(field)} | {field.description} | {acts} |\n"


_EXCEPTIONS: Mapping[str, str] = {
    "use_gpu": "without a GPU everything runs on the CPU",
    "gpu_memory_limit_gb": "nothing: LightGBM takes no limit of GPU memory",
    "data_sources.cex": "the others are not read: exchanges are never mixed",
    "ml_integration.training.device_type": "cpu without a GPU",
    "monitoring.monitor_gpu_utilization": "nothing without a GPU",
}


def _exception(path: str) -> str:
    effect = KEY_STATUS[path]
    if effect.never:
        return f"nothing: {effect.never}"
    if path.startswith("windows_optimizations."):
        return "nothing: max_workers and use_gpu rule on Windows too"
    if path.startswith("amd_gpu."):
        return "nothing: LightGBM drives AMD cards through OpenCL, which takes none of these"
    if path.startswith("ml_integration.supabase."):
        return "nothing yet: models go to registry.folder"
    return _EXCEPTIONS.get(path, "")


def _values(field: FieldInfo) -> str:
    kind = _kind(field.annotation)
    limits = ", ".join(_limits(field))
    return f"{kind}, {limits}" if limits else kind


def _kind(annotation: Any) -> str:
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is tuple:
        return f"list of {_kind(parts[0])}"
    if origin is Literal:
        return " or ".join(f"`{part}`" for part in parts)
    if origin is Union or (parts and type(None) in parts) or str(origin).endswith("UnionType'>"):
        return " or ".join(_kind(part) for part in parts if part is not type(None))
    if parts:
        return _kind(parts[0])
    names = {bool: "true or false", int: "whole number", float: "number", str: "text"}
    return names.get(annotation, "secret text")


def _limits(field: FieldInfo) -> Iterator[str]:
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    for rule in field.metadata:
        for name, sign in signs.items():
            limit = getattr(rule, name, None)
            if limit is not None:
                yield f"{sign} {limit:g}"
