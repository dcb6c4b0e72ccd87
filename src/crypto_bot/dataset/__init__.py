"""Stage 5b, rows to learn from. In: `Bars`, feature names, label options. Out: `Dataset`.

A row is one decision: features known at a bar's close, the label that came later, and when.
"""

from crypto_bot.dataset.building import MINIMUM_ROWS, build_dataset, check_defined
from crypto_bot.dataset.rows import Dataset

__all__ = ["MINIMUM_ROWS", "Dataset", "build_dataset", "check_defined"]
