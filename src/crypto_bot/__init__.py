"""Unified trading intelligence: candles in; honest backtests, trained models and guarded orders out."""

import os

from crypto_bot.kernel_cache import use_kernel_folder

# Threads of LightGBM that spin while they wait starve each other where another process has a core:
# a fit on 2 threads beside a loaded machine took 28.8 s, waiting passively 2.0 s. Read at its import.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
use_kernel_folder()

__version__ = "0.1.0"
