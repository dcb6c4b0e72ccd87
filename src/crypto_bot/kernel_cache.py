"""Where compiled kernels are kept: one folder per state of the sources, so none is ever stale.

numba keys its disk cache on the file that defines a kernel; a change in a kernel it calls from
another module would keep serving the old machine code. Naming the folder by the hash of every
kernel source, the compiler's version and the processor removes that whole class of error.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import sys
from importlib.metadata import version
from pathlib import Path

VARIABLE = "NUMBA_CACHE_DIR"
_FOUND = "CRYPTO_BOT_KERNELS_FOUND"
_FOLDERS_KEPT = 4
_PREFIX = "sources-"
_COMPILED = (b"njit", b"uncounted")
"""What a source of kernels mentions: numba's decorator, or the engine's own over it."""
_OURS = re.compile(_PREFIX + "[0-9a-f]{16}")


def kernel_folder(sources: Path, root: Path) -> Path:
    """The cache folder that belongs to the present state of the kernel sources below `sources`."""
    digest = hashlib.sha256(
        f"{sys.version_info[:2]} {version('numba')} {platform.machine()}".encode()
    )
    for path in sorted(sources.rglob("*.py")):
        content = path.read_bytes()
        if any(word in content for word in _COMPILED):
            digest.update(str(path.relative_to(sources)).encode() + content)
    return root / f"{_PREFIX}{digest.hexdigest()[:16]}"


def use_kernel_folder() -> None:
    """Point numba at the folder of these sources, below the one the user chose if there is one.

    Must run before numba is imported. A process that inherits the variable stays with its folder.
    """
    if "numba" in sys.modules:
        return
    chosen = os.environ.get(VARIABLE)
    root = _root(Path(chosen)) if chosen else _default_root()
    folder = kernel_folder(Path(__file__).parent, root)
    if chosen == str(folder):
        return
    os.environ[VARIABLE] = str(folder)
    os.environ[_FOUND] = "yes" if folder.is_dir() else "no"
    _forget_old(root, folder)


def _default_root() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "crypto-bot" / "kernels"


def _root(chosen: Path) -> Path:
    """The user's folder, also where a parent process has already named one of ours below it."""
    return chosen.parent if _OURS.fullmatch(chosen.name) else chosen


def kernels_were_cached() -> bool:
    """True when this process started with kernels that an earlier one had compiled."""
    return os.environ.get(_FOUND) == "yes"


def _forget_old(root: Path, current: Path) -> None:
    import shutil

    if current.is_dir() or not root.is_dir():
        return
    others = sorted(
        (p for p in root.iterdir() if p.is_dir() and _OURS.fullmatch(p.name)),
        key=lambda p: p.stat().st_mtime,
    )
    for stale in others[: -(_FOLDERS_KEPT - 1)]:
        shutil.rmtree(stale, ignore_errors=True)
