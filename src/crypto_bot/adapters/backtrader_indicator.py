"""Our features as a Backtrader indicator: the guide's `FeatureEngineering`, or any other names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from crypto_bot.adapters.backtrader_feed import bar_of, timeframe_of
from crypto_bot.adapters.backtrader_package import bt
from crypto_bot.core.arrays import PerRow
from crypto_bot.core.bars import Bars
from crypto_bot.core.errors import ConfigError
from crypto_bot.features import S0_FEATURES, FeatureStream


class _Features(bt.Indicator):  # type: ignore[misc]
    """Lines fed bar by bar from one `FeatureStream`."""

    params: tuple[tuple[str, Any], ...] = (("history", None),)
    feature_names: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.stream = stream_of(self.data, self.feature_names, self.p.history)

    def next(self) -> None:
        """Take the bar just closed."""
        values = self.stream.update(bar_of(self.data)).tolist()
        for line, value in zip(self.lines.itersize(), values, strict=True):
            line[0] = value


class FeatureEngineering(_Features):
    """The 23 features of the Bot v3.1 guide as lines, in its order.

    Parameters
    ----------
    feature_count : int    23; another number is refused
    history : Bars         bars before the feed's first, on which the features settle; None: none

    Notes
    -----
    Equal bit for bit to `compute_features` over the same bars. NaN while a value is not defined yet
    and where it is 0 / 0 (flat prices, no volume). The minimum period is 1: lines are fed from the
    first bar on, a strategy asks for its own with `addminperiod`.

    Raises
    ------
    ConfigError    if feature_count is not 23
    DataError      if a bar has prices no market has, or is not after the one before
    """

    lines = S0_FEATURES
    params = (("feature_count", len(S0_FEATURES)),)
    feature_names = S0_FEATURES

    def __init__(self) -> None:
        if self.p.feature_count != len(S0_FEATURES):
            raise ConfigError(
                f"feature_count must be {len(S0_FEATURES)}, the guide's features, was "
                f"{self.p.feature_count}; for others use feature_indicator(names)"
            )
        super().__init__()


def feature_indicator(names: Sequence[str]) -> Any:
    """An indicator class with a line for each of these features; `FeatureEngineering` for the 23.

    Lines are named as the features, with `_` for what Python does not allow in a name.
    """
    return _indicator_of(tuple(names))


@lru_cache(maxsize=64)
def _indicator_of(names: tuple[str, ...]) -> Any:
    if names == S0_FEATURES:
        return FeatureEngineering
    lines = tuple(re.sub(r"\W", "_", name) for name in names)
    members = {"lines": lines, "feature_names": names, "__module__": __name__}
    made: Any = type(_Features)
    return made("SomeFeatures", (_Features,), members)


def stream_of(data: Any, names: tuple[str, ...], history: Bars | None = None) -> FeatureStream:
    """A stream for what this feed will show, after `history`."""
    if history is not None and len(history):
        return FeatureStream.from_history(history, names)
    return FeatureStream(names, timeframe_of(data))


def values_now(indicator: Any) -> PerRow:
    """What an indicator's lines show at this bar, float64 (lines,)."""
    return np.array([line[0] for line in indicator.lines.itersize()], np.float64)
