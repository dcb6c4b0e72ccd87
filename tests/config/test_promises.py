"""A key that is said to act is read somewhere outside the configuration."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

from crypto_bot.config.effects import KEY_STATUS

SOURCES = Path(__file__).resolve().parents[2] / "src" / "crypto_bot"
# Properties and functions of the configuration that stand for keys, and are read in their place.
STAND_FOR = {
    "schedule": (
        "learning_enabled",
        "model_update_interval_hours",
        "ml_integration.enabled",
        "ml_integration.auto_retrain",
        "ml_integration.retrain_interval_hours",
        "ml_integration.training.auto_retrain",
        "ml_integration.training.retrain_interval_hours",
        "ml_integration.training.publish_models",
    ),
    "training_device": ("use_gpu", "ml_integration.training.device_type"),
    "workers": ("max_workers",),
    "secret_values": ("ml_integration.supabase.key",),
    "exchange": ("data_sources.cex",),
}
PROMISED = [path for path, effect in KEY_STATUS.items() if not effect.never and effect.acts]


@cache
def read_names() -> tuple[frozenset[str], frozenset[str]]:
    """Attributes read outside config/, and sections that are turned into options by `.of(...)`."""
    attributes, sections = set(), set()
    for path in SOURCES.rglob("*.py"):
        if path.is_relative_to(SOURCES / "config"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                attributes.add(_chain(node))
            if isinstance(node, ast.Name):
                attributes.add((node.id,))
            if isinstance(node, ast.Attribute) and node.attr == "of":
                sections.add(_chain(node)[-2])
    return frozenset(attributes), frozenset(sections)


def _chain(node: ast.Attribute) -> tuple[str, ...]:
    """a.b.c as ('a', 'b', 'c'); what is no name becomes ''."""
    inner = node.value
    before = _chain(inner) if isinstance(inner, ast.Attribute) else (getattr(inner, "id", ""),)
    return (*before, node.attr)


def is_read(path: str) -> bool:
    """`.key` of its section (or of a variable named after it), `section.of(...)`, or a stand-in."""
    attributes, sections = read_names()
    *parents, name = path.split(".")
    if parents and parents[-1] in sections:
        return True
    stand_ins = {stand_in for stand_in, keys in STAND_FOR.items() if path in keys}
    if any(stand_ins & {chain[-1]} for chain in attributes):
        return True
    homes = {parents[-1], _alias(parents[-1])} if parents else {"settings"}
    return any(len(chain) > 1 and chain[-1] == name and chain[-2] in homes for chain in attributes)


def _alias(section: str) -> str:
    """The name under which the code holds a section in a variable."""
    return {"logging": "logging_options", "parameter_ranges": "ranges", "features": "label"}.get(
        section, section
    )


@pytest.mark.parametrize("path", PROMISED)
def test_a_key_that_is_said_to_act_is_read_somewhere(path):
    assert is_read(path), f"{path} acts on {KEY_STATUS[path].acts!r}, but no code reads it"


def test_a_key_that_no_code_reads_is_found():
    assert not is_read("monitoring.no_such_key")
    assert not is_read("no_such_key")
