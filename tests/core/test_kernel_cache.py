"""The cache of compiled kernels is never stale, not even across modules."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import crypto_bot
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


def test_a_changed_constant_or_decorator_beside_a_kernel_moves_the_folder(tmp_path):
    for name in ("engine", "report", "core"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "constants.py").write_text("x = 1")
    (tmp_path / "engine" / "kernel.py").write_text(CALLEE)
    seen = [kernel_folder(tmp_path, tmp_path)]
    for name in ("report", "core", "engine"):
        (tmp_path / name / "constants.py").write_text("x = 2")
        seen.append(kernel_folder(tmp_path, tmp_path))
    assert seen[0] == seen[1], "no kernel is there, nor what kernels share"
    assert len(set(seen)) == 3


def folder_of(chosen: str, code: str = "") -> list[Path]:
    shown = "import os, crypto_bot; print(os.environ['NUMBA_CACHE_DIR'])\n" + code
    environment = {**os.environ, "NUMBA_CACHE_DIR": chosen}
    done = subprocess.run(
        [sys.executable, "-c", shown], env=environment, capture_output=True, text=True, check=True
    )
    return [Path(line) for line in done.stdout.split()]


def test_a_folder_chosen_by_the_user_holds_one_for_each_state_of_the_sources(tmp_path):
    (folder,) = folder_of(str(tmp_path / "chosen"))
    assert folder == kernel_folder(Path(crypto_bot.__file__).parent, tmp_path / "chosen")
    assert folder.parent == tmp_path / "chosen"


def test_a_child_process_stays_in_the_folder_of_its_parent(tmp_path):
    child = "import subprocess, sys\nprint(subprocess.check_output([sys.executable, '-c', "
    child += (
        "'import os, crypto_bot; print(os.environ[chr(78) + \"UMBA_CACHE_DIR\"])'], text=True))"
    )
    own, inherited = folder_of(str(tmp_path), child)
    assert inherited == own


def test_a_child_with_other_sources_gets_its_own_folder_beside_its_parents(tmp_path):
    (folder,) = folder_of(str(tmp_path / "sources-0123456789abcdef"))
    assert folder.parent == tmp_path
    assert folder.name != "sources-0123456789abcdef"


def test_folders_of_others_are_never_deleted(tmp_path):
    for name in ("mine", "index", *(f"sources-{number:016x}" for number in range(6))):
        (tmp_path / name).mkdir()
    folder_of(str(tmp_path))
    left = {path.name for path in tmp_path.iterdir()}
    assert {"mine", "index"} <= left
    assert sum(name.startswith("sources-") for name in left) == 3


def test_every_source_that_compiles_moves_the_folder(tmp_path):
    whole = Path(crypto_bot.__file__).parent / "engine"
    sources = tmp_path / "sources"
    copy = shutil.copytree(whole, sources / "engine", ignore=shutil.ignore_patterns("*.pyc"))
    for name in ("matching.py", "event_kernel.py", "sides.py", "blocks.py", "sweep_kernel.py"):
        before = kernel_folder(sources, tmp_path)
        (copy / name).write_text((copy / name).read_text() + "\n# changed\n")
        assert kernel_folder(sources, tmp_path) != before, name
