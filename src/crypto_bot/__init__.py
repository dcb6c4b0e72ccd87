"""Unified trading intelligence: candles in; honest backtests, trained models and guarded orders out."""

import os

from crypto_bot.kernel_cache import use_kernel_folder

# LightGBM's threads wait for each other thousands of times a fit. Spinning long starves them where another
# process has a core; sleeping at once is four times slower on a quiet machine. A short spin does well in
# both. Read when the library is first imported; what a user has set is left alone.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
use_kernel_folder()

__version__ = "0.1.0"
