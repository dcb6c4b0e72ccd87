"""The picture in ARCHITECTURE.md is the code: layers, names, sizes of rooms, public surfaces."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "crypto_bot"
PACKAGES = sorted(p.name for p in PACKAGE.iterdir() if (p / "__init__.py").exists())


def test_a_stage_imports_earlier_stages_only():
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_layers_that_are_enforced_are_the_layers_that_are_documented():
    enforced = re.search(r"layers =\n((?:    .+\n)+)", (ROOT / ".importlinter").read_text())
    assert enforced is not None
    names = [name for name in re.findall(r"\w+", enforced[1]) if name != "kernel_cache"]
    documented = re.findall(r"^  (\w+)/", (ROOT / "ARCHITECTURE.md").read_text(), re.MULTILINE)
    assert sorted(documented) == sorted(names)


def test_nothing_is_called_utils_or_helpers():
    forbidden = re.compile(r"(utils?|helpers?|common|misc|managers?)(\.py)?")
    assert [str(p) for p in PACKAGE.rglob("*") if forbidden.fullmatch(p.name)] == []


def in_order(name: str) -> tuple[bool, bool, str]:
    """CONSTANTS, then Classes, then functions."""
    return not name.isupper(), not name[0].isupper(), name


@pytest.mark.parametrize("package", PACKAGES)
def test_the_public_names_of_a_stage_exist_and_are_sorted(package):
    module = importlib.import_module(f"crypto_bot.{package}")
    names = getattr(module, "__all__", None)
    if package in {"backtest", "adapters", "cli", "ml"}:
        return
    assert names, f"crypto_bot.{package} names nothing in __all__"
    assert list(names) == sorted(names, key=in_order)
    assert [name for name in names if not hasattr(module, name)] == []


def test_no_pickle_is_named_anywhere_in_the_sources():
    pattern = re.compile(r"^\s*(import|from)\s+(pickle|joblib|cloudpickle|dill)\b", re.MULTILINE)
    assert [str(p) for p in PACKAGE.rglob("*.py") if pattern.search(p.read_text())] == []


def test_no_array_file_is_read_with_pickle_allowed():
    assert [str(p) for p in PACKAGE.rglob("*.py") if "allow_pickle=True" in p.read_text()] == []


def test_no_registry_address_stands_in_a_lock_file():
    for lock in ROOT.glob("requirements*.lock"):
        assert "://" not in lock.read_text()


def is_broad(handler: ast.ExceptHandler) -> bool:
    """Catches everything and does not raise it again."""
    names = (
        {node.id for node in ast.walk(handler.type) if isinstance(node, ast.Name)}
        if handler.type
        else {"BaseException"}
    )
    catches_all = bool(names & {"BaseException", "Exception"})
    ends = handler.body[-1]
    return catches_all and not (isinstance(ends, ast.Raise))


def test_no_error_is_swallowed_by_a_broad_except():
    found = [
        f"{path.name}:{node.lineno}"
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ExceptHandler) and is_broad(node)
    ]
    assert found == []


HEAVY = (
    "ccxt",
    "lightgbm",
    "sklearn",
    "matplotlib",
    "plotly",
    "pandas",
    "torch",
    "keras",
    "jax",
    "onnx",
    "onnxruntime",
    "sqlalchemy",
    "numba",
)


@pytest.mark.parametrize(
    "module",
    [
        "crypto_bot",
        "crypto_bot.backtest.integrated_cli",
        "crypto_bot.backtest.cli",
        "crypto_bot.cli.cointrainer",
    ],
)
def test_command_modules_import_nothing_heavy(module):
    code = f"import sys, {module}; print([m for m in {HEAVY!r} if m in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
