"""Nodes: what a feature is made of. A small immutable tree; equal trees are one computation."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache
from typing import NamedTuple

import numpy as np

from crypto_bot.core.arrays import PerBar
from crypto_bot.core.bars import OHLCV
from crypto_bot.core.errors import ConfigError
from crypto_bot.features import driver
from crypto_bot.features.higher import BUCKET_MEMORY
from crypto_bot.features.own import OwnFeature
from crypto_bot.features.triples import REVERSAL
from crypto_bot.features.weights import fractional_weights, gaussian_weights
from crypto_bot.features.windows import window_memory

RAW = (*OHLCV, "open_time")
"""Columns a node may read: of the bars themselves, or of the longer bars of the node's clock."""
OWN = 100
"""Kind of a node whose step a user registered."""
_FULL_WINDOWS = (
    *(driver.MEAN, driver.DEVIATION, driver.HIGHEST, driver.SMOOTH),
    *(driver.LINE, driver.WEIGHTED, driver.SLOPE),
)
"""Kinds that begin with the window's last bar."""
FORGOTTEN = 1e-13
"""What is left of a smoothing's seed when it counts as forgotten; four digits below the promised
1e-9, because a seed may be thousands of times the present value."""


MARKET_RETURN, RETURN_RANK = "market_return", "return_rank"
FUNDING_RATE, FUNDING_MEAN = "funding_rate", "funding_mean"


class Outside(NamedTuple):
    """A column that the pair's own bars do not hold: of the market, or of funding."""

    kind: str
    window: int

    @property
    def is_market(self) -> bool:
        """Whether it needs the other pairs."""
        return self.kind in (MARKET_RETURN, RETURN_RANK)


@dataclass(frozen=True)
class Node:
    """One computation: a kind of step, its inputs (raw column names or nodes), window and scalar.

    `clock` is the length in seconds of the longer bars it runs over, 0 for the bars themselves. A
    HOLD runs over the bars and reads what runs over longer bars of `window` seconds.
    """

    kind: int
    inputs: tuple[Node | str, ...]
    window: int = 0
    scalar: float = 0.0
    delay: int = 0
    own: OwnFeature | None = None
    clock: int = 0
    thresholds: tuple[float, ...] = ()
    outside: Outside | None = None


Series = Node | str


@cache
def warmup_bars(series: Series, interval_s: int = 0) -> int:
    """Leading bars at which the series is not defined yet (NaN); held values: at most as many.

    `interval_s`, the length of the bars, is needed for held values only; ConfigError without it.
    """
    if isinstance(series, str):
        return 0
    if series.own is not None:
        return series.own.warmup_bars
    before = max((warmup_bars(each, interval_s) for each in series.inputs), default=0)
    if series.kind == driver.HOLD:
        return _until_closed(before, series, interval_s)
    return before + series.delay + _begins(series)


def _until_closed(longer_bars: int, node: Node, interval_s: int) -> int:
    """Bars before one more than `longer_bars` longer bars have surely closed.

    Up to one bucket's bars pass before the first bucket that counts begins; with outages fewer.
    """
    if interval_s <= 0:
        raise ConfigError(
            "timeframe of the bars must be given where a feature of longer bars is counted in bars, "
            "was None; feature(name, timeframe='5m')"
        )
    return (longer_bars + 2) * (node.window // interval_s) - 1


def _begins(node: Node) -> int:
    if node.kind in _FULL_WINDOWS:
        return node.window - 1
    if node.kind in (driver.LAG, driver.RSI, driver.PAST):
        return node.window
    if node.kind == driver.DIRECTION:
        return 2 * node.window - 1 if node.scalar == 0 else node.window
    if node.outside is not None:
        return node.window if node.outside.is_market else 0
    if node.kind == driver.TRIPLE:
        return 2
    return 1 if node.kind in (driver.TRUE_RANGE, driver.SIGNED_VOLUME, driver.PAIR) else 0


@cache
def settled_bars(series: Series, interval_s: int = 0) -> int | None:
    """Leading bars whose value still depends on where the series began; None if every one does."""
    if isinstance(series, str):
        return 0
    if series.own is not None:
        return series.own.settled_bars
    before = [settled_bars(each, interval_s) for each in series.inputs]
    settled = [bars for bars in before if bars is not None]
    if series.kind == driver.BALANCE or len(settled) < len(before):
        return None
    if series.kind == driver.HOLD:
        return _until_closed(max(settled), series, interval_s)
    return max(settled, default=0) + series.delay + _begins(series) + _fades(series)


def _fades(node: Node) -> int:
    if node.kind in (driver.SMOOTH, driver.RSI):
        return fading_bars(node.scalar)
    if node.kind == driver.DIRECTION:
        return fading_bars(1.0 / node.window, stages=2)
    return 0


def fading_bars(weight: float, *, stages: int = 1) -> int:
    """Steps of an exponential average until `FORGOTTEN` of its past is left.

    Two stages, one smoothing another of equal weight, leave (1 + weight * n) * (1 - weight)**n.

    >>> fading_bars(1 / 14), fading_bars(1 / 14, stages=2), fading_bars(1.0)
    (404, 452, 0)
    """
    if weight >= 1.0:
        return 0
    bars = math.log(FORGOTTEN) / math.log1p(-weight)
    for _ in range(stages - 1):
        for _ in range(8):
            bars = (math.log(FORGOTTEN) - math.log1p(weight * bars)) / math.log1p(-weight)
    return math.ceil(bars)


def start_memory(node: Node) -> PerBar:
    """The state of a node that has seen nothing."""
    if node.own is not None:
        return np.array(node.own.start, np.float64)
    nan, window = math.nan, node.window
    if node.kind == driver.MEAN:
        return window_memory((0.0, 0.0, nan, 0.0), window)
    if node.kind == driver.DEVIATION:
        return window_memory((0.0, 0.0, 0.0), 2 * window)
    if node.kind == driver.HIGHEST:
        return window_memory((0.0, -math.inf), window)
    if node.kind in (driver.LAG, driver.PAST):
        return window_memory((0.0,), window)
    if node.kind == driver.LINE:
        return window_memory((0.0, 0.0, 0.0, 0.0), 3 * window)
    if node.kind == driver.WEIGHTED:
        return window_memory(_weights(node), window)
    if node.kind == driver.SLOPE:
        return window_memory((0.0,) * 5, 4 * window)
    scalars = {
        driver.SMOOTH: (-float(node.delay), 0.0),
        driver.RSI: (0.0, nan, 0.0, 0.0, nan),
        driver.TRUE_RANGE: (nan,),
        driver.SIGNED_VOLUME: (nan,),
        driver.BALANCE: (nan, 0.0),
        driver.DIRECTION: (0.0,) * 8,
        driver.HOLD: (nan,),
        driver.PAIR: (nan, nan),
        driver.TRIPLE: (nan,) * 8,
        driver.UNBROKEN: (nan, 0.0),
        driver.REGIME: node.thresholds,
    }
    return np.array(scalars.get(node.kind, ()), np.float64)


def _weights(node: Node) -> tuple[float, ...]:
    order = node.thresholds
    weights = fractional_weights(order[0]) if order else gaussian_weights(node.window)
    return tuple(weights.tolist())


def bucket_memory() -> PerBar:
    """The state of a maker of longer bars that has seen nothing."""
    return np.array([math.nan, *(0.0,) * (BUCKET_MEMORY - 1)])


def held(series: Series, every_s: int) -> Node:
    """The series over longer bars of `every_s` seconds, at each bar that of the last one closed."""
    return Node(driver.HOLD, (_lifted(series, every_s),), every_s)


def _lifted(series: Series, every_s: int) -> Series:
    if isinstance(series, str):
        return series
    if series.kind == driver.HOLD:
        raise ConfigError(
            "a feature of longer bars must be of one timeframe, was of one in another"
        )
    if series.outside is not None:
        raise ConfigError(
            f"{series.outside.kind} must be of the bars' own timeframe, was of longer bars; ask "
            "for more bars in its name"
        )
    inputs = tuple(_lifted(each, every_s) for each in series.inputs)
    return replace(series, inputs=inputs, clock=every_s)


def outside_columns(series: Series) -> tuple[Outside, ...]:
    """What the series reads that its own bars do not hold."""
    if isinstance(series, str):
        return ()
    if series.outside is not None:
        return (series.outside,)
    return tuple(dict.fromkeys(each for x in series.inputs for each in outside_columns(x)))


def outside(kind: str, window: int) -> Node:
    """A column that is given beside the bars."""
    return Node(driver.OUTSIDE, (), window, outside=Outside(kind, window))


def mean(x: Series, window: int) -> Node:
    return Node(driver.MEAN, (x,), window)


def deviation(x: Series, window: int, *, spent: int = 0) -> Node:
    """Standard deviation with divisor window - spent."""
    return Node(driver.DEVIATION, (x,), window, spent)


def highest(x: Series, window: int) -> Node:
    return Node(driver.HIGHEST, (x,), window, 1.0)


def lowest(x: Series, window: int) -> Node:
    return Node(driver.HIGHEST, (x,), window, -1.0)


def lag(x: Series, window: int) -> Node:
    return Node(driver.LAG, (x,), window)


def past(x: Series, window: int) -> Node:
    """x `window` bars ago; NaN across an outage."""
    return Node(driver.PAST, (x, UNBROKEN), window)


def aligned_return(window: int) -> Node:
    """close / close `window` bars ago - 1; NaN across an outage."""
    return change("close", past("close", window))


def smooth(x: Series, window: int, *, delay: int = 0) -> Node:
    """Exponential average of weight 2 / (window + 1)."""
    return Node(driver.SMOOTH, (x,), window, 2.0 / (window + 1), delay)


def wilder(x: Series, window: int) -> Node:
    """Exponential average of weight 1 / window."""
    return Node(driver.SMOOTH, (x,), window, 1.0 / window)


def rsi(x: Series, window: int) -> Node:
    return Node(driver.RSI, (x,), window, 1.0 / window)


def direction(window: int, which: int) -> Node:
    """Wilder's ADX (0), +DI (1) or -DI (2)."""
    return Node(driver.DIRECTION, ("high", "low", "close"), window, which)


def ratio(a: Series, b: Series) -> Node:
    return Node(driver.RATIO, (a, b))


def change(a: Series, b: Series) -> Node:
    """a / b - 1."""
    return Node(driver.CHANGE, (a, b))


def band(a: Series, b: Series, scale: float) -> Node:
    """a + scale * b."""
    return Node(driver.BAND, (a, b), scalar=scale)


def spread(a: Series, b: Series, c: Series) -> Node:
    """(a - b) / c."""
    return Node(driver.SPREAD, (a, b, c))


def place(a: Series, low: Series, high: Series, scale: float) -> Node:
    """scale * (a - low) / (high - low)."""
    return Node(driver.PLACE, (a, low, high), scalar=scale)


def zscore(x: Series, window: int) -> Node:
    """x less its mean, in population standard deviations of the window."""
    return spread(x, mean(x, window), deviation(x, window))


def product(a: Series, b: Series) -> Node:
    return Node(driver.PRODUCT, (a, b))


def minus(a: Series, b: Series) -> Node:
    return Node(driver.MINUS, (a, b))


def scaled(a: Series, scale: float) -> Node:
    return Node(driver.SCALED, (a,), scalar=scale)


def line(x: Series, window: int, which: int) -> Node:
    """Of the least squares line: its last value (0), slope (1), the deviation from it (2)."""
    return Node(driver.LINE, (x,), window, which)


def gaussian(x: Series, window: int) -> Node:
    """Mean weighted by half a Gaussian of width window / 4, its peak at the present bar."""
    return Node(driver.WEIGHTED, (x,), window, 1.0)


def fractional(x: Series, order: float) -> Node:
    """Fractional difference of this order over the window its weights take."""
    return Node(driver.WEIGHTED, (x,), len(fractional_weights(order)), thresholds=(order,))


def slope(y: Series, x: Series, window: int) -> Node:
    """Least squares slope of the last y on x."""
    return Node(driver.SLOPE, (y, x), window)


def shape(which: int) -> Node:
    """A pattern of one candle, of `features.candles`."""
    return Node(driver.SHAPE, ("open", "high", "low", "close"), which)


def pair(first: str, second: str, which: int) -> Node:
    """A pattern of two candles, of `features.candles`, by two of their prices."""
    return Node(driver.PAIR, (first, second), which)


def triple(which: int) -> Node:
    """A pattern of three candles, of `features.triples`; the close stands in for prices not read."""
    columns = ("close", "high", "low", "close") if which == REVERSAL else ("open", *("close",) * 3)
    return Node(driver.TRIPLE, columns, which)


def clock_time(which: int) -> Node:
    """A figure of the close's time, of `features.candles`; the plan sets the bars' length."""
    return Node(driver.CLOCK_TIME, ("open_time",), which)


def regime(inputs: tuple[Series, ...], thresholds: tuple[float, ...]) -> Node:
    """Code of the market's regime from the inputs of `features.regimes`, in their order."""
    return Node(driver.REGIME, inputs, thresholds=thresholds)


def is_value(x: Series, value: float) -> Node:
    """1 where x is the value, else 0."""
    return Node(driver.IS, (x,), scalar=value)


UNBROKEN = Node(driver.UNBROKEN, ("open_time",))
"""Bars that lead to this one without an outage; the plan sets the bars' length."""
LOG_CLOSE = Node(driver.LOG, ("close",))
FLOW = Node(driver.FLOW, ("high", "low", "close", "volume"))
TRUE_RANGE = Node(driver.TRUE_RANGE, ("high", "low", "close"))
SIGNED_VOLUME = Node(driver.SIGNED_VOLUME, ("close", "volume"))
BALANCE = Node(driver.BALANCE, ("close", "volume"))
TYPICAL = Node(driver.TYPICAL, ("high", "low", "close"))
