"""Trading by the clock: hours and weekdays, UTC."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from crypto_bot.core import Signals
from crypto_bot.core.arrays import Mask, PerBar
from crypto_bot.strategies.base import Columns, StrategyParameters, strategy, whole_score


class TimeOfDayParameters(StrategyParameters):
    """Parameters of `time_of_day`."""

    enter_hour: int = Field(
        default=13, ge=0, le=23, description="first hour in which the side is wanted, UTC"
    )
    leave_hour: int = Field(
        default=21, ge=0, le=23, description="first hour in which it is not; enter_hour: all day"
    )
    first_weekday: int = Field(
        default=0, ge=0, le=6, description="first day it is wanted, Monday 0 to Sunday 6"
    )
    last_weekday: int = Field(
        default=4, ge=0, le=6, description="last day it is wanted; before the first: over Sunday"
    )
    side: Literal["long", "short"] = Field(default="long", description="side that is wanted")

    def features(self) -> tuple[str, ...]:
        """Hour and weekday of the close."""
        return ("hour", "weekday")


@strategy(
    "time_of_day",
    parameters=TimeOfDayParameters,
    regime=("trending", "sideways"),
    signal_exit="flat",
)
def time_of_day(columns: Columns, parameters: TimeOfDayParameters) -> Signals:
    """Hold one side between two hours of some weekdays, and nothing otherwise.

    The moment is the close of a bar, which is when its successor opens and the order is filled: with
    `enter_hour` 13 the position is taken at the open of 13:00. Hours and days may run over midnight
    and over Sunday; a day is the one the moment lies in. Score is 1.

    Data: the times of the bars, at most an hour long for every hour to count.

    Mended: the original compared the local clock of the machine with the stamps of a file, and a
    bar's stamp is its open: it decided on bars that had not closed.
    """
    p = parameters
    hour, weekday = (columns[name] for name in p.features())
    last_hour = (p.leave_hour - 1) % 24
    is_now = _within(hour, p.enter_hour, last_hour)
    is_now &= _within(weekday, p.first_weekday, p.last_weekday)
    side = 1 if p.side == "long" else -1
    return whole_score(np.multiply(is_now, side, dtype=np.int8))


def _within(value: PerBar, first: int, last: int) -> Mask:
    """Where the value lies from first to last, both included, round the end if last is smaller."""
    if first <= last:
        return (value >= first) & (value <= last)
    return (value >= first) | (value <= last)
