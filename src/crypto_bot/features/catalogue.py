"""The catalogue: every feature's name, its definition in words, and the nodes that compute it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property

from crypto_bot.core.bars import OHLCV
from crypto_bot.core.errors import ConfigError, nearest
from crypto_bot.core.timeframes import SECOND_NS, timeframe_ns
from crypto_bot.features import nodes as n
from crypto_bot.features.nodes import Node, Series
from crypto_bot.features.own import OwnFeature, own_features

S0_FEATURES = (
    *("sma_10", "sma_30", "ema_10", "ema_30", "sma_ratio", "ema_ratio", "rsi_14"),
    *("stoch_k", "stoch_d", "bb_upper", "bb_lower", "bb_width", "atr_14"),
    *("close_to_sma10", "close_to_sma30", "close_to_bb_upper", "close_to_bb_lower"),
    *("volume_sma_10", "volume_ratio", "daily_return", "return_5d", "return_10d", "return_std_5d"),
)
"""The Bot v3.1 guide's 23 features in its order. 'Daily' and 'd' mean bars, as there."""

TRAINER_FEATURES = ("ema_8", "ema_21", "rsi_14", "atr_14", "roc_5", "obv")
"""coinTrader_Trainer's six. `obv` never settles; train on `obv_frac_20` in its place."""

WIDEST = 100_000
"""The largest window a name may ask for."""

ALIASES = {
    "bb_lower": "bb_lower_20",
    "bb_percent": "bb_percent_20",
    "bb_upper": "bb_upper_20",
    "bb_width": "bb_width_20",
    "close_to_bb_lower": "close_to_bb_lower_20",
    "close_to_bb_upper": "close_to_bb_upper_20",
    "close_to_sma10": "close_to_sma_10",
    "close_to_sma30": "close_to_sma_30",
    "daily_return": "return_1",
    "ema_ratio": "ema_ratio_10_30",
    "macd_hist": "macd_hist_12_26_9",
    "macd_line": "macd_line_12_26",
    "macd_signal": "macd_signal_12_26_9",
    "return_10d": "return_10",
    "return_5d": "return_5",
    "return_std_5d": "return_std_5",
    "sma_ratio": "sma_ratio_10_30",
    "stoch_d": "stoch_d_14",
    "stoch_k": "stoch_k_14",
    "volume_ratio": "volume_ratio_10",
}
"""Short names and the one definition each stands for."""


@dataclass(frozen=True)
class Feature:
    """A named number per bar.

    Attributes
    ----------
    name : str                  as asked for
    inputs : tuple of str       the raw columns it reads
    definition : str            in words, for model cards
    node : Node or str          the computation, or the raw column it is
    timeframe : str or None     of the bars it is asked for; needed to count bars of `name@timeframe`
    """

    name: str
    inputs: tuple[str, ...]
    definition: str
    node: Series
    timeframe: str | None = None

    @property
    def warmup_bars(self) -> int:
        """Leading bars at which it is NaN; of `name@timeframe` at most as many.

        Raises ConfigError for `name@timeframe` if the bars' own timeframe was not given.
        """
        return n.warmup_bars(self.node, _interval_s(self.timeframe))

    @property
    def settled_bars(self) -> int | None:
        """Leading bars whose value still depends, by more than 1e-9 of the feature's size, on where
        the bars began; None: it never settles.

        Raises ConfigError for `name@timeframe` if the bars' own timeframe was not given.
        """
        return n.settled_bars(self.node, _interval_s(self.timeframe))


def _interval_s(timeframe: str | None) -> int:
    return 0 if timeframe is None else timeframe_ns(timeframe) // SECOND_NS


@dataclass(frozen=True)
class Family:
    """Features of one definition and any windows; `template` is such as 'sma_{}'."""

    template: str
    definition: str
    windows: tuple[int, ...]
    build: Callable[..., Node]
    narrowest: int = 1

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Matches the family's names, one group a window."""
        return re.compile(self.template.replace("{}", "([1-9][0-9]*)"))

    @property
    def example(self) -> str:
        """The member with the usual windows."""
        return self.template.format(*self.windows)

    def node(self, windows: tuple[int, ...]) -> Node:
        """The computation for these windows; ConfigError if one is out of range."""
        name = self.template.format(*windows)
        for window in windows:
            if not self.narrowest <= window <= WIDEST:
                raise ConfigError(
                    f"windows of {name} must be {self.narrowest} to {WIDEST} bars, was {window}"
                )
        if len(windows) > 1 and windows[0] >= windows[1]:
            raise ConfigError(
                f"windows of {name} must be fast then slow, was {windows[0]} before {windows[1]}"
            )
        return self.build(*windows)


def _atr(window: int) -> Node:
    return n.wilder(n.TRUE_RANGE, window)


def _return(window: int) -> Node:
    return n.change("close", n.lag("close", window))


def _stoch(window: int) -> Node:
    return n.place("close", n.lowest("low", window), n.highest("high", window), 100.0)


def _bollinger(window: int, scale: float) -> Node:
    return n.band(n.mean("close", window), n.deviation("close", window), scale)


def _keltner(window: int, scale: float) -> Node:
    return n.band(n.smooth("close", window), _atr(window), scale)


def _vwap(window: int) -> Node:
    money = n.mean(n.product(n.TYPICAL, "volume"), window)
    return n.ratio(money, n.mean("volume", window))


def _z(x: Node | str, window: int) -> Node:
    return n.spread(x, n.mean(x, window), n.deviation(x, window))


def _macd_line(fast: int, slow: int) -> Node:
    """As in TA-Lib the fast average is seeded late, so that both begin at the same bar."""
    return n.minus(n.smooth("close", fast, delay=slow - fast), n.smooth("close", slow))


def _macd_signal(fast: int, slow: int, signal: int) -> Node:
    return n.smooth(_macd_line(fast, slow), signal)


def _volume_balance(window: int) -> Node:
    return n.ratio(n.mean(n.SIGNED_VOLUME, window), n.mean("volume", window))


FAMILIES = (
    Family("sma_{}", "mean of the last {0} closes", (10,), lambda w: n.mean("close", w)),
    Family(
        "ema_{}",
        "exponential mean of closes, weight 2/({0}+1), seeded by the mean of the first {0}",
        (10,),
        lambda w: n.smooth("close", w),
        2,
    ),
    Family(
        "sma_ratio_{}_{}",
        "sma_{0} / sma_{1}",
        (10, 30),
        lambda f, s: n.ratio(n.mean("close", f), n.mean("close", s)),
    ),
    Family(
        "ema_ratio_{}_{}",
        "ema_{0} / ema_{1}",
        (10, 30),
        lambda f, s: n.ratio(n.smooth("close", f), n.smooth("close", s)),
        2,
    ),
    Family(
        "close_to_sma_{}",
        "close / sma_{0} - 1",
        (10,),
        lambda w: n.change("close", n.mean("close", w)),
    ),
    Family(
        "close_to_ema_{}",
        "close / ema_{0} - 1",
        (10,),
        lambda w: n.change("close", n.smooth("close", w)),
        2,
    ),
    Family(
        "rsi_{}",
        "Wilder's relative strength index of {0} closes, 0..100",
        (14,),
        lambda w: n.rsi("close", w),
        2,
    ),
    Family(
        "rsi_z_{}",
        "rsi_14 less its mean over {0} bars, in population standard deviations of those bars",
        (20,),
        lambda w: _z(n.rsi("close", 14), w),
        2,
    ),
    Family(
        "stoch_k_{}",
        "fast %K: close between the lowest low (0) and highest high (100) of the last {0} bars",
        (14,),
        _stoch,
    ),
    Family("stoch_d_{}", "mean of the last 3 stoch_k_{0}", (14,), lambda w: n.mean(_stoch(w), 3)),
    Family(
        "bb_upper_{}",
        "sma_{0} + 2 population standard deviations of the last {0} closes",
        (20,),
        lambda w: _bollinger(w, 2.0),
    ),
    Family(
        "bb_lower_{}",
        "sma_{0} - 2 population standard deviations of the last {0} closes",
        (20,),
        lambda w: _bollinger(w, -2.0),
    ),
    Family(
        "bb_width_{}",
        "(bb_upper_{0} - bb_lower_{0}) / close",
        (20,),
        lambda w: n.spread(_bollinger(w, 2.0), _bollinger(w, -2.0), "close"),
    ),
    Family(
        "bb_percent_{}",
        "close between bb_lower_{0} (0) and bb_upper_{0} (1)",
        (20,),
        lambda w: n.place("close", _bollinger(w, -2.0), _bollinger(w, 2.0), 1.0),
        2,
    ),
    Family(
        "close_to_bb_upper_{}",
        "close / bb_upper_{0} - 1",
        (20,),
        lambda w: n.change("close", _bollinger(w, 2.0)),
    ),
    Family(
        "close_to_bb_lower_{}",
        "close / bb_lower_{0} - 1",
        (20,),
        lambda w: n.change("close", _bollinger(w, -2.0)),
    ),
    Family("atr_{}", "Wilder's mean of the true range over {0} bars", (14,), _atr),
    Family("atr_frac_{}", "atr_{0} / close", (14,), lambda w: n.ratio(_atr(w), "close")),
    Family(
        "adx_{}",
        "Wilder's average directional index of {0} bars, 0..100",
        (14,),
        lambda w: n.direction(w, 0),
        2,
    ),
    Family("plus_di_{}", "Wilder's +DI of {0} bars", (14,), lambda w: n.direction(w, 1), 2),
    Family("minus_di_{}", "Wilder's -DI of {0} bars", (14,), lambda w: n.direction(w, 2), 2),
    Family(
        "macd_line_{}_{}",
        "exponential mean of {0} closes less that of {1}, both begun at bar {1}",
        (12, 26),
        _macd_line,
        2,
    ),
    Family(
        "macd_signal_{}_{}_{}",
        "exponential mean of {2} macd_line_{0}_{1}",
        (12, 26, 9),
        _macd_signal,
        2,
    ),
    Family(
        "macd_hist_{}_{}_{}",
        "macd_line_{0}_{1} - macd_signal_{0}_{1}_{2}",
        (12, 26, 9),
        lambda f, s, g: n.minus(_macd_line(f, s), _macd_signal(f, s, g)),
        2,
    ),
    Family(
        "donchian_high_{}",
        "highest high of the {0} bars before this one",
        (20,),
        lambda w: n.lag(n.highest("high", w), 1),
    ),
    Family(
        "donchian_low_{}",
        "lowest low of the {0} bars before this one",
        (20,),
        lambda w: n.lag(n.lowest("low", w), 1),
    ),
    Family("keltner_upper_{}", "ema_{0} + 1.5 atr_{0}", (20,), lambda w: _keltner(w, 1.5), 2),
    Family("keltner_lower_{}", "ema_{0} - 1.5 atr_{0}", (20,), lambda w: _keltner(w, -1.5), 2),
    Family(
        "keltner_width_{}",
        "(keltner_upper_{0} - keltner_lower_{0}) / close",
        (20,),
        lambda w: n.spread(_keltner(w, 1.5), _keltner(w, -1.5), "close"),
        2,
    ),
    Family(
        "vwap_{}",
        "mean of (high + low + close) / 3 over {0} bars, weighted by volume",
        (20,),
        _vwap,
    ),
    Family(
        "close_to_vwap_{}",
        "close / vwap_{0} - 1",
        (20,),
        lambda w: n.change("close", _vwap(w)),
    ),
    Family("volume_sma_{}", "mean of the last {0} volumes", (10,), lambda w: n.mean("volume", w)),
    Family(
        "volume_ratio_{}",
        "volume / volume_sma_{0}",
        (10,),
        lambda w: n.ratio("volume", n.mean("volume", w)),
        2,
    ),
    Family(
        "volume_z_{}",
        "volume less its mean over {0} bars, in population standard deviations of those bars",
        (20,),
        lambda w: _z("volume", w),
        2,
    ),
    Family(
        "zscore_{}",
        "close less sma_{0}, in population standard deviations of those closes",
        (20,),
        lambda w: _z("close", w),
        2,
    ),
    Family("return_{}", "close / close {0} bars ago - 1, a fraction", (1,), _return),
    Family("roc_{}", "100 return_{0}, percent", (5,), lambda w: n.scaled(_return(w), 100.0)),
    Family(
        "return_std_{}",
        "sample standard deviation (divisor {0} - 1) of the last {0} return_1",
        (5,),
        lambda w: n.deviation(_return(1), w, spent=1),
        2,
    ),
    Family(
        "obv_frac_{}",
        "volume of rising closes less that of falling ones over {0} bars, as a share of all volume",
        (20,),
        _volume_balance,
        2,
    ),
    Family("obv", "on-balance volume since the first bar", (), lambda: n.BALANCE),
)
"""Every built-in definition; the law tests enrol from here."""


def known_names() -> tuple[str, ...]:
    """Sorted names: short ones, every family's usual member, and registered own features.

    Families take any window: `sma_10` stands for `sma_N`.
    """
    named = {family.example for family in FAMILIES}
    return tuple(sorted({*named, *ALIASES, *S0_FEATURES, *TRAINER_FEATURES, *own_features()}))


def feature(name: str, timeframe: str | None = None) -> Feature:
    """Resolve a feature's name; any window may be asked for, and any longer timeframe.

    Parameters
    ----------
    name : such as 'sma_50', or 'sma_50@1d': at each bar the value of the last 1d bar closed by then;
        'close@1d' and the other raw columns too
    timeframe : of the bars it is meant for, such as '5m'; may be left out unless `warmup_bars` or
        `settled_bars` of a longer timeframe are wanted

    Raises
    ------
    ConfigError    if no feature is called so (the nearest is named), a window is out of range, or the
                   longer timeframe is no whole multiple of the bars'

    >>> feature("sma_50").definition
    'mean of the last 50 closes'
    >>> feature("stoch_d").warmup_bars
    15
    >>> feature("sma_50@1d", "4h").settled_bars
    305
    >>> feature("obv").settled_bars is None
    True
    >>> feature("smma_10")
    Traceback (most recent call last):
        ...
    crypto_bot.core.errors.ConfigError: feature must be a known name, was 'smma_10'; did you mean 'sma_10'?
    """
    plain, at, longer = name.partition("@")
    own = own_features().get(plain)
    if own is not None:
        found = _described(plain, _own_node(own, timeframe), own.definition, timeframe)
    elif at and plain in OHLCV:
        found = Feature(plain, (plain,), plain, plain, timeframe)
    else:
        found = _built_in(plain, timeframe)
    return _longer(found, longer) if at else found


def _longer(plain: Feature, longer: str) -> Feature:
    """The feature over longer bars; over the bars themselves where the timeframes are equal."""
    name = f"{plain.name}@{longer}"
    every_s, interval_s = _interval_s(_checked(name, longer)), _interval_s(plain.timeframe)
    if interval_s and every_s % interval_s:
        raise ConfigError(
            f"timeframe of {name} must be a whole multiple of the bars' {plain.timeframe}, "
            f"was {longer}"
        )
    node = plain.node if every_s == interval_s else n.held(plain.node, every_s)
    definition = f"{plain.definition}, of the last {longer} bar closed by then"
    return Feature(name, plain.inputs, definition, node, plain.timeframe)


def _checked(name: str, longer: str) -> str:
    try:
        timeframe_ns(longer)
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from None
    return longer


@cache
def _built_in(name: str, timeframe: str | None) -> Feature:
    canonical = ALIASES.get(name, name)
    for family in FAMILIES:
        match = family.pattern.fullmatch(canonical)
        if match is not None:
            windows = tuple(map(int, match.groups()))
            node, definition = family.node(windows), family.definition.format(*windows)
            return _described(name, node, definition, timeframe)
    raise ConfigError(f"feature must be a known name, was {name!r}{nearest(name, known_names())}")


def _described(name: str, node: Node, definition: str, timeframe: str | None) -> Feature:
    return Feature(name, _raw(node), definition, node, timeframe)


def _own_node(own: OwnFeature, timeframe: str | None) -> Node:
    inputs = tuple(each if each in OHLCV else feature(each, timeframe).node for each in own.inputs)
    return Node(n.OWN, inputs, own=own)


def _raw(node: Node) -> tuple[str, ...]:
    found: set[str] = set()
    for each in node.inputs:
        found.update((each,) if isinstance(each, str) else _raw(each))
    return tuple(column for column in n.RAW if column in found)
