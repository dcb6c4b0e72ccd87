"""`load_settings`: defaults, then the file, then the environment, then the command line."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo

from crypto_bot.config.secrets import refuse_secrets, supabase_from
from crypto_bot.config.settings import Settings
from crypto_bot.config.yaml_file import parse_yaml, read_yaml
from crypto_bot.core.errors import ConfigError, nearest
from crypto_bot.core.options import explain

DEFAULT_FILE = Path("config/backtest_config.yaml")
PREFIX = "CRYPTO_BOT__"


def load_settings(
    path: str | Path | Mapping[str, Any] | None = None,
    *,
    overrides: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Settings:
    """Read the configuration; later sources win: defaults, file, environment, `overrides`.

    Parameters
    ----------
    path : str, Path, mapping or None    YAML file, or its content as a mapping; None reads
        config/backtest_config.yaml if it is there, else only the defaults
    overrides : mapping, optional        values by section, or by dotted path: {"data.quote": "EUR"}
    environ : mapping                    CRYPTO_BOT__SECTION__KEY=value, SUPABASE_URL,
        SUPABASE_SERVICE_KEY (wins) or SUPABASE_KEY

    Raises
    ------
    ConfigError    naming the file, the line or the key's path, the rule and the value (never a secret)
    """
    values, source = _given(path)
    refuse_secrets(values, source=source)
    changes = _nested(overrides or {})
    refuse_secrets(changes, source="command line")
    merged = _merge(values, {"ml_integration": {"supabase": supabase_from(environ)}})
    merged = _merge(merged, _from_environment(environ))
    return _checked(_merge(merged, changes), source)


def leaf_keys(
    options: type[BaseModel] = Settings, path: str = ""
) -> Iterator[tuple[str, FieldInfo]]:
    """Every key that can be set, as (dotted path, field), in the order of the file."""
    for name, field in options.model_fields.items():
        where = f"{path}.{name}" if path else name
        section = section_of(options, name)
        if section is not None:
            yield from leaf_keys(section, where)
        else:
            yield where, field


def _given(path: str | Path | Mapping[str, Any] | None) -> tuple[Mapping[str, Any], str]:
    if isinstance(path, Mapping):
        return path, "config"
    if path is None:
        return (read_yaml(DEFAULT_FILE), str(DEFAULT_FILE)) if DEFAULT_FILE.is_file() else ({}, "")
    file = Path(path)
    if not file.is_file():
        raise ConfigError(
            f"{file} must be a configuration file, was not there; "
            "make one with: python -m crypto_bot.backtest.integrated_cli setup"
        )
    return read_yaml(file), str(file)


def _checked(values: Mapping[str, Any], source: str) -> Settings:
    try:
        return Settings.model_validate(_without_empty_sections(_plain(values)), strict=True)
    except ValidationError as error:
        reason = _plainly(explain(error, Settings))
    except ConfigError as error:
        reason = str(error)
    raise ConfigError(f"{source}: {reason}" if source else reason)


def _without_empty_sections(
    values: dict[str, Any], options: type[BaseModel] = Settings
) -> dict[str, Any]:
    """`costs:` with nothing below it is a section without keys, not a wrong value."""
    kept = {}
    for name, value in values.items():
        section = section_of(options, name)
        if section is not None and isinstance(value, dict):
            value = _without_empty_sections(value, section)
        if section is None or value is not None:
            kept[name] = value
    return kept


def section_of(options: type[BaseModel], name: str) -> type[BaseModel] | None:
    """The model of a section, or None where the name is a key or unknown."""
    field = options.model_fields.get(name)
    annotation: Any = None if field is None else field.annotation
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return None


def _plainly(reason: str) -> str:
    reason = reason.replace("must be a valid tuple", "must be a list")
    return re.sub(r"be a valid dictionary or instance of \w+", "hold keys and values", reason)


def _plain(value: Any) -> Any:
    """Values as strict checking wants them: lists as tuples, sections as mappings, paths as text."""
    if isinstance(value, BaseModel):
        return _plain(value.model_dump(exclude_unset=True))
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return tuple(_plain(item) for item in value)
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        return _plain(value.tolist())
    return str(value) if isinstance(value, Path) else value


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    leaves = dict(leaf_keys())
    found: dict[str, Any] = {}
    for variable, text in sorted(environ.items()):
        if not variable.upper().startswith(PREFIX):
            continue
        path = variable[len(PREFIX) :].lower().replace("__", ".")
        if path not in leaves:
            raise ConfigError(f"{variable} must name a key, {path} is none{nearest(path, leaves)}")
        found[path] = _typed(text, leaves[path].annotation, variable)
    return _nested(found)


def _typed(text: str, annotation: Any, variable: str) -> Any:
    """The text as the key's type: lists by YAML or commas, text as it is, the rest by YAML."""
    kinds = _kinds(annotation)
    if str in kinds or SecretStr in kinds:
        return text
    if tuple in kinds and not text.lstrip().startswith("["):
        text = f"[{text}]"
    return parse_yaml(text, name=variable)


def _kinds(annotation: Any) -> set[Any]:
    origin = get_origin(annotation)
    if origin in (Union, UnionType):
        return set().union(*(_kinds(part) for part in get_args(annotation)))
    return {origin or annotation}


def _nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted paths as sections: {"a.b": 1} -> {"a": {"b": 1}}."""
    nested: dict[str, Any] = {}
    for path, value in values.items():
        first, _, rest = path.partition(".")
        nested = _merge(nested, {first: _nested({rest: value}) if rest else value})
    return nested


def _merge(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `change` laid over it, section by section; an empty section is no section."""
    merged = dict(base)
    for name, value in change.items():
        there = merged.get(name)
        if isinstance(value, Mapping) and (there is None or isinstance(there, Mapping)):
            merged[name] = _merge(there or {}, value)
        else:
            merged[name] = value
    return merged
