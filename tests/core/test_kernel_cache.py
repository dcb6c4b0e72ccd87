"""The cache of compiled kernels is never stale, not even across modules."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from crypto_bot.kernel_cache import kernel_folder

CALLEE = "from numba import njit\n@njit(cache=True)\ndef inner(x):\n    return x * {factor}\n"
CALLER = (
    "from numba import njit\nfrom demo_kernels.inner import inner\n"
    "@njit(cache=True)\ndef outer(x):\n    return inner(x) + 10\n"
)


def run_outer(tmp_path: Path) -> int:
    folder = kernel_folder(tmp_path / "demo_kernels", tmp_path / "cache")
    code = "from demo_kernels.outer import outer; print(outer(10))"
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder), "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    return int(done.stdout)


def test_a_change_in_a_called_kernel_of_another_module_is_seen(tmp_path):
    package = tmp_path / "demo_kernels"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "outer.py").write_text(CALLER)
    (package / "inner.py").write_text(CALLEE.format(factor=1))
    assert run_outer(tmp_path) == 20
    (package / "inner.py").write_text(CALLEE.format(factor=1000))
    assert run_outer(tmp_path) == 10010


def test_sources_without_kernels_do_not_move_the_folder(tmp_path):
    (tmp_path / "a.py").write_text("x = 1")
    before = kernel_folder(tmp_path, tmp_path)
    (tmp_path / "a.py").write_text("x = 2")
    assert kernel_folder(tmp_path, tmp_path) == before


def test_a_cache_folder_chosen_by_the_user_is_respected():
    code = "import os, crypto_bot; print(os.environ['NUMBA_CACHE_DIR'])"
    environment = {**os.environ, "NUMBA_CACHE_DIR": "chosen"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "chosen"
