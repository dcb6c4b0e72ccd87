"""LightGBM's OpenCL path on a device that every machine can have: PoCL's CPU driver.

`pip install pyopencl[pocl]`, or any OpenCL driver the loader knows, is enough; without one it skips.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

SCRIPT = """
import json
import numpy as np
from crypto_bot.training import LightGBMOptions, LightGBMTrainer
from training.learnable_rows import dataset

def trained(device):
    options = LightGBMOptions(n_estimators=5, num_leaves=7, n_jobs=1, device_type=device)
    return LightGBMTrainer(options).fit(dataset())

gpu, cpu = trained("gpu"), trained("cpu")
rows = dataset().features
apart = np.abs(gpu.predictor.predict_proba(rows) - cpu.predictor.predict_proba(rows)).mean()
print(json.dumps({"device": gpu.device, "apart": float(apart)}))
"""


def environment(folder):
    """PoCL's wheel registers its driver by a relative path, which LightGBM's loader does not follow."""
    found = {**os.environ, "POCL_CACHE_DIR": str(folder)}
    wheel = find_spec("pyopencl")
    if wheel is not None and "OCL_ICD_FILENAMES" not in found:
        for driver in Path(wheel.origin).parent.rglob("libpocl*.so*"):
            found["OCL_ICD_FILENAMES"] = str(driver)
    found["PYTHONPATH"] = os.pathsep.join(
        [str(Path(__file__).resolve().parents[1]), found.get("PYTHONPATH", "")]
    )
    return found


@pytest.mark.slow
def test_the_opencl_path_trains_what_the_cpu_trains_or_says_why_not(tmp_path):
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        capture_output=True,
        text=True,
        check=True,
        env=environment(tmp_path),
    )
    found = json.loads(result.stdout.splitlines()[-1])
    if found["device"] != "gpu":
        assert found["device"].startswith("cpu (gpu asked: ")
        assert found["apart"] == 0.0
        pytest.skip(f"no OpenCL device here: {found['device']}")
    assert found["apart"] < 0.01
