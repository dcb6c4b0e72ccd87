"""Has a stream of numbers changed its mean? ADWIN and Page-Hinkley, one value at a time.

Both hold a bounded amount of plain data, which can be written as JSON and taken up again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from math import isfinite, log, sqrt
from typing import Any, Literal, Protocol, Self

from crypto_bot.core.errors import ConfigError, DataError

Bound = Literal["variance", "hoeffding"]


class Detector(Protocol):
    """Watches a stream for changes of its mean."""

    @property
    def mean(self) -> float:
        """Of the values since the last change, as far as they are kept; 0 before the first."""
        ...

    @property
    def change(self) -> float:
        """Mean after the last change minus the mean before it; 0 where nothing ever changed."""
        ...

    def update(self, value: float) -> bool:
        """Take the next value; True when the mean has changed. DataError unless it is finite."""
        ...

    def to_state(self) -> dict[str, Any]:
        """Everything it knows, as JSON values; `from_state` goes on identically."""
        ...


@dataclass
class Adwin:
    """Adaptive window: cut wherever two parts of it differ by more than chance allows.

    Parameters
    ----------
    delta : float               chance of a false cut at one check of an unchanging stream, 0..1
    clock : int                 checks every so many values
    per_row : int               buckets of one size before two of them are merged
    minimum_part : int          values in the smaller of two compared parts
    grace : int                 values before the first check
    bound : 'variance' or 'hoeffding'    how far two means may differ; values should lie in 0..1:
                                'variance' uses the window's own variance and is far sharper,
                                'hoeffding' holds for any values in 0..1

    Notes
    -----
    Bifet and Gavalda, Learning from time-changing data with adaptive windowing (2007). The window is
    kept as an exponential histogram: row k holds up to `per_row` buckets of 2**k values (sum and
    scatter of each), so memory grows with the logarithm of the window. Looks at no value but the past.
    """

    delta: float = 0.002
    clock: int = 32
    per_row: int = 5
    minimum_part: int = 5
    grace: int = 10
    bound: Bound = "variance"
    rows: list[list[list[float]]] = field(default_factory=lambda: [[]])
    """Row k, oldest bucket first: [sum, scatter around its mean]."""
    width: int = 0
    total: float = 0.0
    scatter: float = 0.0
    seen: int = 0
    changes: int = 0
    last_change: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 < self.delta < 1.0:
            raise ConfigError(f"delta must be > 0 and < 1, was {self.delta}")
        for name in ("clock", "per_row", "minimum_part"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be >= 1, was {getattr(self, name)}")

    @property
    def mean(self) -> float:
        return self.total / self.width if self.width else 0.0

    @property
    def change(self) -> float:
        return self.last_change

    def update(self, value: float) -> bool:
        _require_finite(value)
        self._insert(float(value))
        self.seen += 1
        if self.seen % self.clock or self.width <= self.grace:
            return False
        has_changed = False
        while (cut := self._cut()) is not None:
            before, after = cut
            self.last_change = after - before
            self._drop_oldest()
            has_changed = True
        self.changes += has_changed
        return has_changed

    def to_state(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """Take up a saved detector. DataError for anything but `to_state`'s content."""
        return cls(**_checked(cls, state))

    def _insert(self, value: float) -> None:
        if self.width:
            self.scatter += self.width * (value - self.mean) ** 2 / (self.width + 1)
        self.width += 1
        self.total += value
        self.rows[0].append([value, 0.0])
        size = 1
        for place, row in enumerate(self.rows):
            if len(row) <= self.per_row:
                return
            if place + 1 == len(self.rows):
                self.rows.append([])
            self.rows[place + 1].append(_merged(row[0], row[1], size))
            del row[:2]
            size *= 2

    def _cut(self) -> tuple[float, float] | None:
        """Means of the older and the newer part at the oldest cut that chance does not explain."""
        before, after = 0, self.width
        total_before, total_after = 0.0, self.total
        for place in range(len(self.rows) - 1, -1, -1):
            size = 2**place
            for total, _ in self.rows[place]:
                before, after = before + size, after - size
                total_before, total_after = total_before + total, total_after - total
                if after < self.minimum_part:
                    return None
                if before < self.minimum_part:
                    continue
                older, newer = total_before / before, total_after / after
                if abs(older - newer) > self._allowed(before, after):
                    return older, newer
        return None

    def _allowed(self, before: int, after: int) -> float:
        # The smallest part that is compared counts as one value: a few values prove little.
        inverse = 1.0 / (before - self.minimum_part + 1) + 1.0 / (after - self.minimum_part + 1)
        if self.bound == "hoeffding":
            return sqrt(0.5 * inverse * log(4.0 * log(self.width) / self.delta))
        doubt = log(2.0 * log(self.width) / self.delta)
        variance = self.scatter / self.width
        return sqrt(2.0 * inverse * variance * doubt) + 2.0 / 3.0 * inverse * doubt

    def _drop_oldest(self) -> None:
        while len(self.rows) > 1 and not self.rows[-1]:
            self.rows.pop()
        size = 2 ** (len(self.rows) - 1)
        total, scatter = self.rows[-1].pop(0)
        self.width -= size
        self.total -= total
        gap = total / size - self.mean
        self.scatter -= scatter + size * self.width * gap**2 / (size + self.width)
        self.scatter = max(self.scatter, 0.0)
        while len(self.rows) > 1 and not self.rows[-1]:
            self.rows.pop()


@dataclass
class PageHinkley:
    """Cumulated deviations from the running mean: a change when they leave their extreme too far.

    Parameters
    ----------
    delta : float            deviations smaller than this count as none
    threshold : float        how far the sum may leave its extreme
    forgetting : float       the sum is multiplied by this at each value, 0..1
    minimum : int            values before the first verdict

    Notes
    -----
    Page, Continuous inspection schemes (1954); Hinkley (1971). Both directions are watched. It starts
    afresh after a change. Looks at no value but the past.
    """

    delta: float = 0.005
    threshold: float = 50.0
    forgetting: float = 0.9999
    minimum: int = 30
    count: int = 0
    average: float = 0.0
    rising: float = 0.0
    falling: float = 0.0
    lowest: float | None = None
    highest: float | None = None
    changes: int = 0
    last_change: float = 0.0
    is_over: bool = False

    def __post_init__(self) -> None:
        if self.threshold <= 0.0:
            raise ConfigError(f"threshold must be > 0, was {self.threshold}")
        if not 0.0 < self.forgetting <= 1.0:
            raise ConfigError(f"forgetting must be > 0 and <= 1, was {self.forgetting}")

    @property
    def mean(self) -> float:
        return self.average

    @property
    def change(self) -> float:
        return self.last_change

    def update(self, value: float) -> bool:
        _require_finite(value)
        if self.is_over:
            self._start_afresh()
        self.count += 1
        self.average += (float(value) - self.average) / self.count
        gap = float(value) - self.average
        self.rising = self.forgetting * self.rising + gap - self.delta
        self.falling = self.forgetting * self.falling + gap + self.delta
        self.lowest = self.rising if self.lowest is None else min(self.lowest, self.rising)
        self.highest = self.falling if self.highest is None else max(self.highest, self.falling)
        risen, fallen = self.rising - self.lowest, self.highest - self.falling
        if self.count < self.minimum or max(risen, fallen) <= self.threshold:
            return False
        self.is_over = True
        self.changes += 1
        self.last_change = risen if risen > fallen else -fallen
        return True

    def to_state(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """Take up a saved detector. DataError for anything but `to_state`'s content."""
        return cls(**_checked(cls, state))

    def _start_afresh(self) -> None:
        self.count, self.average, self.rising, self.falling = 0, 0.0, 0.0, 0.0
        self.lowest = self.highest = None
        self.is_over = False


def _merged(older: list[float], newer: list[float], size: int) -> list[float]:
    gap = (older[0] - newer[0]) / size
    return [older[0] + newer[0], older[1] + newer[1] + 0.5 * size * gap**2]


def _require_finite(value: float) -> None:
    if not isfinite(value):
        raise DataError(f"value must be finite, was {value}; leave unknown scores out")


def _checked(kind: type[Any], state: Mapping[str, Any]) -> dict[str, Any]:
    wanted = set(kind.__dataclass_fields__)
    if set(state) != wanted:
        raise DataError(
            f"state of {kind.__name__} must hold {sorted(wanted)}, differed in "
            f"{sorted(set(state) ^ wanted)}; start a new detector"
        )
    values = dict(state)
    if "rows" in values:
        values["rows"] = [[list(bucket) for bucket in row] for row in values["rows"]]
    return values
