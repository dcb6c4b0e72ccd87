"""When a trader may act: what backtest, sweep and paper session mean by settled, and by its exits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from crypto_bot.core.bars import OHLCV
from crypto_bot.core.errors import ConfigError
from crypto_bot.engine.options import ExitOptions, SignalExit


class DeclaresExit(Protocol):
    """A strategy or decision maker: says what direction 0 means to a position."""

    @property
    def signal_exit(self) -> str: ...


def exits_for(trader: DeclaresExit, exits: ExitOptions | None = None) -> ExitOptions:
    """The exits with `signal_exit` as given, or as the trader declares where None."""
    exits = ExitOptions() if exits is None else exits
    if exits.signal_exit is not None:
        return exits
    return exits.replace(signal_exit=SignalExit(trader.signal_exit))


def settled_bars(names: Iterable[str], timeframe: str | None = None) -> int:
    """Bars before every one of these features has forgotten where the data began.

    Parameters
    ----------
    names : of features; raw prices and volume, which are settled at once, may be among them
    timeframe : of the bars; needed for features of longer bars (`name@timeframe`)

    Returns
    -------
    int    the first bar that may be traded on, counted from the first bar of the data

    Raises
    ------
    ConfigError    for a feature that never settles: a restart would change what is traded; for one of
                   longer bars that are no multiple of the bars, or without `timeframe`
    """
    from crypto_bot.features import feature

    longest = 0
    for name in names:
        if name in OHLCV:
            continue
        settled = feature(name, timeframe).settled_bars
        if settled is None:
            raise ConfigError(
                f"feature must settle to be traded on, {name} never forgets its first bar; "
                "use a windowed form of it"
            )
        longest = max(longest, settled)
    return longest
