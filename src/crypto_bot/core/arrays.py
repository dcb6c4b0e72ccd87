"""Names for array shapes; the axis words are fixed: bars, assets, features, trades, rows, classes."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

PerBar: TypeAlias = npt.NDArray[np.float64]
"""float64 (bars,)"""
PerBarTime: TypeAlias = npt.NDArray[np.int64]
"""int64 (bars,), UTC nanoseconds"""
PerBarDirection: TypeAlias = npt.NDArray[np.int8]
"""int8 (bars,) in {-1, 0, +1}"""
PerBarFeature: TypeAlias = npt.NDArray[np.float64]
"""float64 (bars, features)"""
PerRowClass: TypeAlias = npt.NDArray[np.float64]
"""float64 (rows, classes), probabilities"""
PerRow: TypeAlias = npt.NDArray[np.float64]
"""float64 (rows,)"""
PerTrade: TypeAlias = npt.NDArray[Any]
"""structured (trades,), dtype `crypto_bot.core.orders.TRADE`"""
Index: TypeAlias = npt.NDArray[np.int64]
Mask: TypeAlias = npt.NDArray[np.bool_]
