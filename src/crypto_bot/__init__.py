"""Unified trading intelligence: candles in; honest backtests, trained models and guarded orders out."""

from crypto_bot.kernel_cache import use_kernel_folder

use_kernel_folder()

__version__ = "0.1.0"
