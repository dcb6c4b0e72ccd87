"""Which device LightGBM can really use here: tried once on a few rows, CPU when it cannot."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Literal

import numpy as np

Device = Literal["cpu", "gpu", "cuda"]
CPU: Device = "cpu"
_STDERR = 2
_LIBRARY_LINES = (b"[LightGBM]", b"Please recompile with CMake option")
_log = logging.getLogger(__name__)


@cache
def usable_device(asked: Device, platform_id: int = -1, device_id: int = -1) -> tuple[Device, str]:
    """The device to train on and a note of it, such as ('cpu', 'cpu (gpu asked: No OpenCL device found)').

    Asks LightGBM by training one round on a few rows; the answer holds for the process. A device
    that fails is named in one logged warning.
    """
    if asked == CPU:
        return CPU, CPU
    error = _failure(asked, platform_id, device_id)
    return (asked, asked) if error is None else (CPU, cpu_instead(asked, error))


def cpu_instead(asked: Device, error: Exception) -> str:
    """Warn, in one line, that the CPU takes over; returns the note for `TrainedModel.device`."""
    reason = str(error).strip().splitlines()[0].rstrip(".")
    _log.warning("device_type %s cannot be used: %s; training on the CPU", asked, reason)
    return f"{CPU} ({asked} asked: {reason})"


def _failure(device: Device, platform_id: int, device_id: int) -> Exception | None:
    import lightgbm

    rows = np.linspace(0.0, 1.0, 256)[:, None]
    settings = {
        "objective": "binary",
        "device_type": device,
        "gpu_platform_id": platform_id,
        "gpu_device_id": device_id,
        "verbosity": -1,
        "max_bin": 63,
    }
    try:
        with _library_lines_dropped():
            data = lightgbm.Dataset(rows, label=(rows[:, 0] > 0.5), params=settings)
            lightgbm.train(settings, data, num_boost_round=1)
    except lightgbm.basic.LightGBMError as error:
        return error
    return None


@contextmanager
def _library_lines_dropped() -> Iterator[None]:
    """Hold back the lines LightGBM's C code prints to stderr before it raises; pass on all others."""
    sys.stderr.flush()
    original = os.dup(_STDERR)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), _STDERR)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(original, _STDERR)
            os.close(original)
            held.seek(0)
            for line in held:
                if not line.startswith(_LIBRARY_LINES):
                    os.write(_STDERR, line)
