"""Equity by close in bounded memory."""

from __future__ import annotations

import numpy as np

from crypto_bot.core.arrays import PerBar, PerBarTime


class EquityCurve:
    """Equity at each close; when full, every second value goes and half as many are taken from then on.

    Parameters
    ----------
    most : int    values kept at once, at least 2; None: all

    Notes
    -----
    The first and the newest value are always there.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self._stride = 1
        self._seen = 0
        self._times: list[int] = []
        self._values: list[float] = []
        self._newest = (0, 0.0)

    def __len__(self) -> int:
        """Closes seen, kept or not."""
        return self._seen

    def add(self, time_ns: int, equity: float) -> None:
        """Take note of one close."""
        if self._seen % self._stride == 0:
            self._times.append(time_ns)
            self._values.append(equity)
        self._newest = (time_ns, equity)
        self._seen += 1
        if self._most is not None and len(self._times) >= max(2, self._most):
            self._times, self._values = self._times[::2], self._values[::2]
            self._stride *= 2

    def times(self) -> PerBarTime:
        """int64 (kept,): closes, UTC ns."""
        return np.array(self._with_newest()[0], np.int64)

    def values(self) -> PerBar:
        """float64 (kept,): equity, quote."""
        return np.array(self._with_newest()[1], np.float64)

    def _with_newest(self) -> tuple[list[int], list[float]]:
        if not self._times or self._times[-1] == self._newest[0]:
            return self._times, self._values
        return [*self._times, self._newest[0]], [*self._values, self._newest[1]]
