"""`FundingRates`: what holders of a perpetual pay each other, as a series of rates."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from crypto_bot.core.arrays import PerBarTime as PerPaymentTime
from crypto_bot.core.arrays import PerRow
from crypto_bot.core.bars import symbol_slug
from crypto_bot.core.errors import DataError


@dataclass(frozen=True, eq=False)
class FundingRates:
    """Funding payments of one perpetual, oldest first.

    Attributes
    ----------
    symbol : str
    time_ns : int64 (payments,)   UTC ns, strictly increasing
    rate : float64 (payments,)    fraction of the position's value; longs pay a positive rate,
                                  shorts receive it; finite, between -1 and 1

    Raises
    ------
    DataError    naming the first row that breaks a rule
    """

    symbol: str
    time_ns: PerPaymentTime
    rate: PerRow

    def __post_init__(self) -> None:
        symbol_slug(self.symbol)
        times = np.ascontiguousarray(self.time_ns, np.int64)
        rates = np.ascontiguousarray(self.rate, np.float64)
        object.__setattr__(self, "time_ns", times)
        object.__setattr__(self, "rate", rates)
        if times.shape != rates.shape or times.ndim != 1:
            raise DataError(
                f"{self.symbol} funding must have one rate a time, had {times.shape} times and "
                f"{rates.shape} rates"
            )
        late = np.flatnonzero(np.diff(times) <= 0)
        if late.size:
            raise DataError(
                f"{self.symbol} funding times must increase, did not at row {int(late[0]) + 1}; "
                "sort the file and drop its duplicates"
            )
        wrong = np.flatnonzero(~(np.abs(rates) <= 1.0))
        if wrong.size:
            raise DataError(
                f"{self.symbol} funding rate must be a fraction between -1 and 1, was "
                f"{rates[wrong[0]]} at row {int(wrong[0])}"
            )

    def __len__(self) -> int:
        return len(self.time_ns)

    def between(self, after_ns: int, until_ns: int) -> FundingRates:
        """Payments after one time and not after the other."""
        first, last = np.searchsorted(self.time_ns, (after_ns, until_ns), side="right")
        return FundingRates(self.symbol, self.time_ns[first:last], self.rate[first:last])

    @property
    def fingerprint(self) -> str:
        """SHA-256 of symbol, times and rates."""
        content = self.symbol.encode() + self.time_ns.tobytes() + self.rate.tobytes()
        return hashlib.sha256(content).hexdigest()


def check_keys(funding: Mapping[str, FundingRates]) -> None:
    """Raise DataError where rates stand under another symbol, which would charge nobody."""
    for key, rates in funding.items():
        if key != rates.symbol:
            raise DataError(
                f"funding[{key!r}] must be rates of {key}, was of {rates.symbol}; "
                f"write funding[{rates.symbol!r}]"
            )
