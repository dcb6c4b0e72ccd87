"""Reading YAML without its traps: duplicate keys refused, 1e6 a number, faults with their line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from crypto_bot.core.errors import ConfigError


class _Loader(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)  # type: ignore[no-untyped-call]
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(
                    None,
                    None,
                    f"key {key!r} must be text, was {type(key).__name__}",
                    key_node.start_mark,
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None,
                    None,
                    f"key {key!r} must appear once, was there before",
                    key_node.start_mark,
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


# YAML 1.1 makes 2024-01-01 a date; a day is text here.
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
# YAML 1.1 reads 1e6 as text; everyone means the number.
_Loader.add_implicit_resolver(  # type: ignore[no-untyped-call]
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a file; an empty file is an empty mapping. ConfigError names file and line."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ConfigError(f"{path} must be UTF-8 text, was not") from None
    except OSError as error:
        raise ConfigError(f"{path} must be a readable file, was not: {error.strerror}") from None
    values = parse_yaml(text, name=str(path))
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(
            f"{path} must hold keys and values, was {_kind(values)}; "
            "see config/backtest_config.yaml"
        )
    return values


def parse_yaml(text: str, *, name: str) -> Any:
    """YAML text as plain values. Faults never quote the line: it could hold a secret."""
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader with fewer freedoms
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError(f"{name}{where} must be YAML, was not: {error.problem}") from None
    except yaml.YAMLError as error:
        problem = getattr(error, "reason", type(error).__name__)
        raise ConfigError(f"{name} must be YAML, was not: {problem}") from None


def _kind(values: Any) -> str:
    return "a list" if isinstance(values, list) else f"a single {type(values).__name__}"
