"""A Python for each rival: made once under the cache folder, at pinned versions, by venv and pip."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from crypto_bot.core import Bars

HERE = Path(__file__).parent
INSTALL_SECONDS, RUN_SECONDS = 900, 300
_COLUMNS = ("open_time", "open", "high", "low", "close", "volume")


class Rival(NamedTuple):
    """What is installed, and the script that does the job."""

    name: str
    requirement: str
    script: str


class NotMeasured(Exception):  # noqa: N818
    """Why a rival has no figure."""


def cache() -> Path:
    """CRYPTO_BOT_BENCH_CACHE, or a folder of this project among the user's caches."""
    named = os.environ.get("CRYPTO_BOT_BENCH_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "crypto-bot-bench"


def rival_python(rival: Rival) -> Path:
    """The rival's Python, made at the first call; raises NotMeasured where pip cannot."""
    tag = re.sub(r"[^\w.]+", "-", rival.requirement)
    folder = cache() / f"{tag}-py{sys.version_info[0]}{sys.version_info[1]}"
    python, made = folder / "bin" / "python", folder / "installed"
    if not made.exists():
        print(f"installing {rival.requirement} into {folder} ...", file=sys.stderr)
        _call([sys.executable, "-m", "venv", "--clear", str(folder)], INSTALL_SECONDS)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _call([*pip, *rival.requirement.split()], INSTALL_SECONDS)
        made.write_text(rival.requirement + "\n", encoding="utf-8")
    return python


def ask(rival: Rival, bars: Bars, job: dict[str, Any], folder: Path) -> dict[str, Any]:
    """What the rival answers; raises NotMeasured with its last words."""
    python = rival_python(rival)
    place = folder / f"{rival.name}-{len(bars)}"
    place.mkdir(parents=True, exist_ok=True)
    for name in _COLUMNS:
        np.save(place / f"{name}.npy", getattr(bars, name))
    (place / "job.json").write_text(json.dumps(job), encoding="utf-8")
    said = _call([str(python), str(HERE / rival.script), str(place)], RUN_SECONDS)
    answer: dict[str, Any] = json.loads(said.strip().splitlines()[-1])
    return answer


def _call(command: list[str], seconds: int) -> str:
    # A rival sees neither our packages nor our compiled kernels.
    hidden = ("PYTHONPATH", "NUMBA_CACHE_DIR", "PYTHONWARNINGS")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    environment["RAPTORBT_NO_VERSION_CHECK"] = "1"
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=seconds,
            env=environment,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotMeasured(f"{Path(command[-1]).name}: {type(error).__name__}") from error
    if done.returncode != 0:
        words = [line for line in done.stderr.strip().splitlines() if line.strip()] or ["no word"]
        raise NotMeasured(f"{Path(command[-1]).name}: {words[-1][:120]}")
    return done.stdout
