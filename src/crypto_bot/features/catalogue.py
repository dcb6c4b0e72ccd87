"""The catalogue: every feature's name, its definition in words, and the nodes that compute it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from crypto_bot.core.bars import OHLCV
from crypto_bot.core.errors import ConfigError, nearest
from crypto_bot.core.timeframes import SECOND_NS, timeframe_ns
from crypto_bot.features import nodes as n
from crypto_bot.features.candle_families import CANDLE_FAMILIES
from crypto_bot.features.families import WIDEST, Family, member
from crypto_bot.features.market_families import MARKET_FAMILIES
from crypto_bot.features.nodes import Node, Series
from crypto_bot.features.own import OwnFeature, own_features
from crypto_bot.features.price_families import PRICE_FAMILIES
from crypto_bot.features.scale_families import SCALE_FAMILIES

FAMILIES: tuple[Family, ...] = (*PRICE_FAMILIES, *SCALE_FAMILIES, *CANDLE_FAMILIES)
"""Every built-in definition that needs one pair's bars; the law tests enrol from here."""

EVERY_FAMILY = (*FAMILIES, *MARKET_FAMILIES)
"""Those that need other pairs or funding payments too."""

S0_FEATURES = (
    *("sma_10", "sma_30", "ema_10", "ema_30", "sma_ratio", "ema_ratio", "rsi_14"),
    *("stoch_k", "stoch_d", "bb_upper", "bb_lower", "bb_width", "atr_14"),
    *("close_to_sma10", "close_to_sma30", "close_to_bb_upper", "close_to_bb_lower"),
    *("volume_sma_10", "volume_ratio", "daily_return", "return_5d", "return_10d", "return_std_5d"),
)
"""The Bot v3.1 guide's 23 features in its order. 'Daily' and 'd' mean bars, as there."""

TRAINER_FEATURES = ("ema_8", "ema_21", "rsi_14", "atr_14", "roc_5", "obv")
"""coinTrader_Trainer's six. `obv` never settles; train on `obv_frac_20` in its place."""

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

_LAG = re.compile("[1-9][0-9]*")


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
    def needs_market(self) -> bool:
        """Whether it takes several pairs at once: `compute_panel`, `PanelStream`."""
        return any(each.is_market for each in n.outside_columns(self.node))

    @property
    def needs_funding(self) -> bool:
        """Whether it takes the pair's funding payments."""
        return any(not each.is_market for each in n.outside_columns(self.node))

    @property
    def warmup_bars(self) -> int:
        """Leading bars at which it is NaN; of `name@timeframe`, of the market at most as many.

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


def known_names() -> tuple[str, ...]:
    """Sorted names: short ones, every family's usual member, and registered own features.

    Families take any window: `sma_10` stands for `sma_N`.
    """
    named = {family.example for family in EVERY_FAMILY}
    return tuple(sorted({*named, *ALIASES, *S0_FEATURES, *TRAINER_FEATURES, *own_features()}))


def feature(name: str, timeframe: str | None = None) -> Feature:
    """Resolve a feature's name; any window may be asked for, any longer timeframe, and any lag.

    Parameters
    ----------
    name : such as 'sma_50', or 'sma_50@1d': at each bar the value of the last 1d bar closed by then,
        or 'sma_50~3': its value 3 bars ago, NaN where a bar since then is missing; of 'sma_50@1d~3'
        the bars given are counted, of 'sma_50~3@1d' the 1d bars; 'close@1d', 'close~3' and the other
        raw columns too
    timeframe : of the bars it is meant for, such as '5m'; may be left out unless `warmup_bars` or
        `settled_bars` of a longer timeframe are wanted

    Raises
    ------
    ConfigError    if no feature is called so (the nearest is named), a window or lag is out of range,
                   or the longer timeframe is no whole multiple of the bars'

    >>> feature("sma_50").definition
    'mean of the last 50 closes'
    >>> feature("stoch_d").warmup_bars
    15
    >>> feature("stoch_d~3").warmup_bars
    18
    >>> feature("sma_50@1d", "4h").settled_bars
    305
    >>> feature("obv").settled_bars is None
    True
    >>> feature("smma_10")
    Traceback (most recent call last):
        ...
    crypto_bot.core.errors.ConfigError: feature must be a known name, was 'smma_10'; did you mean 'sma_10'?
    """
    rest, at, longer = name.partition("@")
    plain, before, lag = rest.partition("~")
    found = _plain(plain, timeframe, takes_raw=bool(at or before))
    if before:
        found = _lagged(found, lag, name)
    if not at:
        return found
    longer, before, lag = longer.partition("~")
    found = _longer(found, longer)
    return _lagged(found, lag, name) if before else found


def _plain(name: str, timeframe: str | None, *, takes_raw: bool) -> Feature:
    own = own_features().get(name)
    if own is not None:
        return _described(name, _own_node(own, timeframe), own.definition, timeframe)
    if takes_raw and name in OHLCV:
        return Feature(name, (name,), name, name, timeframe)
    return _built_in(name, timeframe)


def _lagged(now: Feature, lag: str, name: str) -> Feature:
    """The feature `lag` bars ago."""
    if not _LAG.fullmatch(lag) or not 1 <= int(lag) <= WIDEST:
        raise ConfigError(
            f"lag of {name} must be one whole number of bars, 1 to {WIDEST}, was {lag!r}; "
            f"such as {now.name}~3"
        )
    bars = "1 bar" if lag == "1" else f"{lag} bars"
    return Feature(
        f"{now.name}~{lag}",
        tuple(each for each in n.RAW if each in (*now.inputs, "open_time")),
        f"{now.definition}, {bars} ago",
        n.past(now.node, int(lag)),
        now.timeframe,
    )


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
    found = member(ALIASES.get(name, name), EVERY_FAMILY)
    if found is None:
        raise ConfigError(
            f"feature must be a known name, was {name!r}{nearest(name, known_names())}"
        )
    return _described(name, found.node, found.definition, timeframe)


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
