"""A market that never was: seeded, correlated, fat-tailed, without any edge unless one is planted.

Every pair follows a common factor and a shock of its own. Both have Student-t surprises and
GARCH(1,1) variance; calm and volatile regimes multiply it; volume follows it. Expected returns are
zero, so a strategy that earns here after costs is lucky or looks ahead.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit
from pydantic import Field, field_validator

from crypto_bot.core.arrays import Mask, PerBar, PerBarTime
from crypto_bot.core.bars import Bars
from crypto_bot.core.options import Options
from crypto_bot.core.timeframes import DAY_NS, DAYS_PER_YEAR, HOUR_NS, SECOND_NS, timeframe_ns

PAIRS = (
    "BTC/USDT", "ETH/USDT", "SOL/USDT", "XRP/USDT", "BNB/USDT", "DOGE/USDT", "ADA/USDT", "TRX/USDT",
    "AVAX/USDT", "LINK/USDT", "DOT/USDT", "MATIC/USDT", "LTC/USDT", "BCH/USDT", "UNI/USDT", "ATOM/USDT",
    "ETC/USDT", "NEAR/USDT", "ICP/USDT", "APT/USDT",
)  # fmt: skip
"""Names the simulated pairs carry, so that examples written for an exchange run unchanged."""

_ALPHA, _BETA = 0.06, 0.92
_TAIL_DEGREES = 5.0
_LARGEST_SURPRISE = 12.0
_LARGEST_VARIANCE = 30.0
_REGIMES = np.array([0.6, 1.0, 1.9])
_REGIME_DAYS = 2.0
_MINIMUM_BARS_FOR_OUTAGE = 500
_PATTERN_VOLUME = 3.0


class SimulationOptions(Options):
    """A simulated market, reproducible from these values alone."""

    seed: int = Field(default=42, ge=0, description="same seed, same candles")
    symbols: int = Field(default=20, ge=1, le=500, description="number of pairs")
    timeframe: str = Field(default="5m", description="interval of one candle")
    bars: int = Field(
        default=25_920, ge=10, description="length of the time grid; outages take bars out of it"
    )
    start: str = Field(default="2024-01-01", description="UTC day of the first candle")
    annual_volatility: float = Field(
        default=0.5, gt=0, le=5, description="of the common factor, fraction a year"
    )
    outages_per_year: float = Field(
        default=6.0, ge=0, description="times a year when the exchange is down, in all pairs alike"
    )
    edge_strength: float = Field(
        default=0.0,
        ge=0,
        le=3,
        description="planted edge: drift per bar while the pattern is on, in volatilities of a bar; "
        "0 none, 0.1 too faint to pay costs, 0.5 pays 0.4 % a round trip, 1 pays it many times",
    )
    edge_share: float = Field(
        default=0.25, gt=0, le=0.9, description="fraction of bars inside the planted pattern"
    )
    edge_bars: int = Field(default=36, ge=4, description="mean length of one pattern, bars")

    @field_validator("timeframe")
    @classmethod
    def _known_timeframe(cls, timeframe: str) -> str:
        timeframe_ns(timeframe)
        return timeframe

    @field_validator("start")
    @classmethod
    def _is_day(cls, start: str) -> str:
        datetime.strptime(start, "%Y-%m-%d").replace(tzinfo=UTC)
        return start


class _Pair(NamedTuple):
    log_return: PerBar
    volatility: PerBar
    pattern: npt.NDArray[np.int8]


def simulate_market(options: SimulationOptions | None = None) -> list[Bars]:
    """Make a market of correlated pairs.

    Parameters
    ----------
    options : SimulationOptions

    Returns
    -------
    list[Bars]    one for each pair, all on the same times, each with is_simulated=True

    Notes
    -----
    The planted edge: at random times, for about `edge_bars` bars, a pair drifts up or down by
    `edge_strength` times its own volatility each bar, and its volume triples. Both begin together,
    so the pattern is seen in closed candles (volume against its average, momentum) before most of
    the move: the expected move is edge_strength * edge_bars volatilities of a bar, for the default
    5m pair about 36 * 0.25 % * strength, against costs of 0.4 % a round trip. Ups and downs are
    equally likely; nothing else about the market changes.
    A pair's candles do not depend on how many other pairs are asked for.
    """
    options = SimulationOptions() if options is None else options
    market, *own = np.random.SeedSequence(options.seed).spawn(options.symbols + 1)
    rng = np.random.default_rng(market)
    times = _times(options)
    rhythm = _rhythm(times) * _regimes(rng, times, options)
    per_bar = np.sqrt(timeframe_ns(options.timeframe) / (DAYS_PER_YEAR * DAY_NS))
    factor = _shocks(rng, rhythm * options.annual_volatility * per_bar)
    is_open = _outages(rng, options)
    return [
        _simulate_pair(
            i, np.random.default_rng(seed), factor, times, rhythm * per_bar, is_open, options
        )
        for i, seed in enumerate(own)
    ]


def _times(options: SimulationOptions) -> PerBarTime:
    interval_ns = timeframe_ns(options.timeframe)
    day = datetime.strptime(options.start, "%Y-%m-%d").replace(tzinfo=UTC)
    start_ns = int(day.timestamp()) * SECOND_NS
    # Weeks open on Mondays and every other grid holds the day itself.
    start_ns -= start_ns % min(interval_ns, DAY_NS)
    return start_ns + interval_ns * np.arange(options.bars, dtype=np.int64)


def _rhythm(times: PerBarTime) -> PerBar:
    """Trading is busier in the afternoon, UTC."""
    hour = times % DAY_NS / HOUR_NS
    rhythm: PerBar = 1.0 + 0.25 * np.sin((hour - 9.0) * (np.pi / 12.0))
    return rhythm


def _regimes(rng: np.random.Generator, times: PerBarTime, options: SimulationOptions) -> PerBar:
    """Calm, usual and volatile stretches of random length, without any trend in them."""
    bars_each = max(1.0, _REGIME_DAYS * DAY_NS / timeframe_ns(options.timeframe))
    changes = rng.random(len(times)) < 1.0 / bars_each
    kinds = rng.choice(len(_REGIMES), size=len(times), p=(0.4, 0.4, 0.2))
    last_change = np.maximum.accumulate(np.where(changes, np.arange(len(times)), 0))
    regimes: PerBar = _REGIMES[kinds[last_change]]
    return regimes


class _Shocks(NamedTuple):
    log_return: PerBar
    volatility: PerBar


def _shocks(rng: np.random.Generator, scale: PerBar) -> _Shocks:
    """Returns of unit-variance Student-t surprises times a clustering volatility."""
    surprises = rng.standard_t(_TAIL_DEGREES, len(scale))
    surprises /= np.sqrt(_TAIL_DEGREES / (_TAIL_DEGREES - 2.0))
    np.clip(surprises, -_LARGEST_SURPRISE, _LARGEST_SURPRISE, out=surprises)
    volatility = scale * _clustering(surprises)
    return _Shocks(volatility * surprises, volatility)


@njit(cache=True, nogil=True)
def _clustering(surprises: PerBar) -> PerBar:
    """GARCH(1,1) volatility of mean square 1, known before each bar's surprise."""
    volatility = np.empty(len(surprises))
    variance = 1.0
    for t in range(len(surprises)):
        volatility[t] = np.sqrt(variance)
        surprise = surprises[t]
        variance = 1.0 - _ALPHA - _BETA + variance * (_ALPHA * surprise * surprise + _BETA)
        variance = min(variance, _LARGEST_VARIANCE)
    return volatility


def _outages(rng: np.random.Generator, options: SimulationOptions) -> Mask:
    """True where the exchange works; the price moves on while it does not."""
    is_open = np.ones(options.bars, np.bool_)
    interval_ns = timeframe_ns(options.timeframe)
    years = options.bars * interval_ns / (DAYS_PER_YEAR * DAY_NS)
    has_any = options.outages_per_year > 0 and options.bars >= _MINIMUM_BARS_FOR_OUTAGE
    count = max(1, round(options.outages_per_year * years)) if has_any else 0
    for start in rng.integers(50, max(51, options.bars - 100), count):
        hours = rng.exponential(2.0) + 0.5
        length = min(50, max(1, round(hours * HOUR_NS / interval_ns)))
        is_open[start : start + length] = False
    return is_open


def _simulate_pair(
    i: int,
    rng: np.random.Generator,
    factor: _Shocks,
    times: PerBarTime,
    scale: PerBar,
    is_open: Mask,
    options: SimulationOptions,
) -> Bars:
    beta = 1.0 if i == 0 else rng.uniform(0.9, 1.4)
    own = _shocks(rng, scale * rng.uniform(0.4, 0.9) * (0.4 if i == 0 else 1.0))
    volatility = np.sqrt((beta * factor.volatility) ** 2 + own.volatility**2)
    pattern = _pattern(rng.spawn(1)[0], options)
    drift = options.edge_strength * pattern * volatility - 0.5 * volatility**2
    pair = _Pair(beta * factor.log_return + own.log_return + drift, volatility, pattern)
    price = 60_000.0 / (1 + i) ** 2.5 * rng.uniform(0.5, 1.5)
    columns = _candles(rng, pair, price)
    columns["volume"] = _volume(rng, pair, columns["close"], 2e8 / (1 + i))
    kept = {name: column[is_open] for name, column in columns.items()}
    symbol = PAIRS[i] if i < len(PAIRS) else f"SIM{i + 1}/USDT"
    return Bars(symbol, options.timeframe, times[is_open], **kept, is_simulated=True)


def _pattern(rng: np.random.Generator, options: SimulationOptions) -> npt.NDArray[np.int8]:
    """+1 or -1 inside the planted stretches, 0 elsewhere and where no edge is asked for."""
    pattern = np.zeros(options.bars, np.int8)
    if options.edge_strength == 0:
        return pattern
    mean_pause = options.edge_bars * (1 - options.edge_share) / options.edge_share
    t = int(rng.exponential(mean_pause))
    while t < options.bars:
        length = max(4, int(rng.uniform(0.5, 1.5) * options.edge_bars))
        pattern[t : t + length] = rng.choice((-1, 1))
        t += length + max(1, int(rng.exponential(mean_pause)))
    return pattern


def _candles(rng: np.random.Generator, pair: _Pair, price: float) -> dict[str, PerBar]:
    """Open at the last close; high and low drawn as a Brownian bridge's between open and close."""
    tick = 10.0 ** (np.floor(np.log10(price)) - 7)
    log_close = np.log(price) + np.cumsum(pair.log_return)
    log_open = np.append(np.log(price), log_close[:-1])
    move, spread = pair.log_return, 2.0 * pair.volatility**2
    above = 0.5 * (move + np.sqrt(move**2 + spread * rng.exponential(size=len(move))))
    below = 0.5 * (move - np.sqrt(move**2 + spread * rng.exponential(size=len(move))))
    logs = {
        "open": log_open,
        "high": log_open + above,
        "low": log_open + below,
        "close": log_close,
    }
    decimals = int(-np.log10(tick).round())
    return {name: _to_tick(np.exp(values), tick, decimals) for name, values in logs.items()}


def _to_tick(price: PerBar, tick: float, decimals: int) -> PerBar:
    rounded: PerBar = np.maximum(np.round(price, decimals), tick)
    return rounded


def _volume(rng: np.random.Generator, pair: _Pair, close: PerBar, quote_per_day: float) -> PerBar:
    """Base currency; grows with the bar's volatility and the size of its move."""
    usual = float(np.sqrt(np.mean(pair.volatility**2)))
    activity = 0.9 * np.log(pair.volatility / usual)
    surprise = 0.35 * np.abs(pair.log_return) / pair.volatility
    noise = 0.35 * rng.standard_normal(len(close))
    boost = np.where(pair.pattern != 0, _PATTERN_VOLUME, 1.0)
    quote = quote_per_day / 288 * boost * np.exp(activity + surprise + noise)
    volume: PerBar = np.round(quote / close, 5)
    return volume
