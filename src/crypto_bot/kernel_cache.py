"""Where compiled kernels are kept: one folder per state of the sources, so none is ever stale.

numba keys its disk cache on the file that defines a kernel; a change in a kernel it calls from
another module would keep serving the old machine code. Naming the folder by the hash of every
kernel source, the compiler's version and the processor removes that whole class of error.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path

VARIABLE = "NUMBA_CACHE_DIR"
_FOUND = "CRYPTO_BOT_KERNELS_FOUND"
_FOLDERS_KEPT = 4


def kernel_folder(sources: Path, root: Path) -> Path:
    """The cache folder that belongs to the present state of the kernel sources below `sources`."""
    digest = hashlib.sha256(
        f"{sys.version_info[:2]} {version('numba')} {platform.machine()}".encode()
    )
    for path in sorted(sources.rglob("*.py")):
        content = path.read_bytes()
        if b"njit" in content:
            digest.update(str(path.relative_to(sources)).encode() + content)
    return root / digest.hexdigest()[:16]


def use_kernel_folder() -> None:
    """Point numba at our folder unless the user chose one. Must run before numba is imported."""
    if VARIABLE in os.environ or "numba" in sys.modules:
        return
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    root = Path(home) / "crypto-bot" / "kernels"
    folder = kernel_folder(Path(__file__).parent, root)
    os.environ[VARIABLE] = str(folder)
    os.environ[_FOUND] = "yes" if folder.is_dir() else "no"
    _forget_old(root, folder)


def kernels_were_cached() -> bool:
    """True when this process started with kernels that an earlier one had compiled."""
    return os.environ.get(_FOUND) == "yes"


def _forget_old(root: Path, current: Path) -> None:
    import shutil

    if current.is_dir() or not root.is_dir():
        return
    others = sorted((p for p in root.iterdir() if p.is_dir()), key=lambda p: p.stat().st_mtime)
    for stale in others[: -(_FOLDERS_KEPT - 1)]:
        shutil.rmtree(stale, ignore_errors=True)
