"""Markets whose truth is known: none has an edge, or all have one of a known size.

Candle noise comes from two sources: the simulator (fat tails, volatility clustering) and, where the
shared candles are present, real hourly candles in permuted blocks. In both every candle is turned
upside down or not by a coin, the same coin for all pairs: size, shape, volume, clustering and
correlation stay, and nothing is left that tells up from down.

The planted edge is a drift: the next candle moves on average by `edge` of its volatility times
tanh(distance of the close from its 100-bar EMA, in volatilities), up above the average and down
below it, or the other way round. Every number of it is in closed candles.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from numba import njit

from crypto_bot.core import Bars, Signals
from crypto_bot.core.timeframes import HOUR_NS
from crypto_bot.engine import ExitOptions, SignalExit, SizingOptions, simulate
from crypto_bot.gate import pool_results
from crypto_bot.market import SimulationOptions, simulate_market

Array = npt.NDArray[np.float64]
REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "binance"
YEARS = 3
BARS = YEARS * 365 * 24
PAIRS = 3
BLOCK_BARS = 48
START_NS = 1_609_459_200_000_000_000  # 2021-01-01
EMA_BARS = 100
VOLATILITY_BARS = 100
REACH = 4.0
"""Distance from the average, in volatilities of a bar, at which the drift is three quarters of its most."""


@dataclass(frozen=True)
class Shapes:
    """Candles of several pairs without their level: float64 (pairs, bars) each, logarithms."""

    gap: Array
    body: Array
    above: Array
    below: Array
    volume: Array


def null_market(seed: int, *, bars: int = BARS, real: bool | None = None) -> list[Bars]:
    """Candles without any edge; real noise where `real`, or by the seed's parity where present."""
    return planted_market(seed, 0.0, bars=bars, real=real)


def planted_market(
    seed: int, edge: float, *, bars: int = BARS, real: bool | None = None, trend: bool | None = None
) -> list[Bars]:
    """Candles with a drift of `edge` volatilities a bar; it follows or fades the distance by parity."""
    use_real = REAL.is_dir() and seed % 2 == 1 if real is None else real
    follows = seed // 2 % 2 == 0 if trend is None else trend
    random = np.random.default_rng([seed, 7])
    shapes = _tossed(_real(random, bars) if use_real else _simulated(seed, bars), random)
    names = ("AAA/USDT", "BBB/USDT", "CCC/USDT")
    return [
        _bars(names[pair], shapes, pair, edge if follows else -edge)
        for pair in range(len(shapes.body))
    ]


def state_of(bars: Bars) -> Array:
    """tanh(distance / volatility / REACH) at each close, as the drift of the next candle reads it."""
    return state(np.log(bars.close), EMA_BARS, VOLATILITY_BARS)


def _simulated(seed: int, bars: int) -> Shapes:
    options = SimulationOptions(
        symbols=PAIRS, timeframe="1h", bars=bars, seed=seed, outages_per_year=0.0
    )
    return _stacked([_shape(each) for each in simulate_market(options)])


def _real(random: np.random.Generator, bars: int) -> Shapes:
    pairs = random.choice(len(_real_shapes()), PAIRS, replace=False)
    chosen = [_real_shapes()[pair] for pair in sorted(pairs)]
    length = min(len(each[1]) for each in chosen)
    joined = _stacked([tuple(column[-length:] for column in each) for each in chosen])
    starts = random.permutation(length // BLOCK_BARS) * BLOCK_BARS
    while len(starts) * BLOCK_BARS < bars:
        starts = np.append(starts, random.permutation(length // BLOCK_BARS) * BLOCK_BARS)
    rows = (starts[:, None] + np.arange(BLOCK_BARS)).ravel()[:bars]
    return Shapes(*(getattr(joined, name)[:, rows] for name in Shapes.__dataclass_fields__))


@cache
def _real_shapes() -> list[tuple[Array, ...]]:
    import polars as pl

    found = []
    for path in sorted(REAL.glob("*-1h.parquet")):
        frame = (
            pl.read_parquet(path)
            .sort("timestamp")
            .unique("timestamp", keep="first", maintain_order=True)
        )
        columns = [frame[name].to_numpy() for name in ("open", "high", "low", "close", "volume")]
        if len(frame) > 20_000:
            found.append(_shape_of(*columns))
    return found


def _shape(bars: Bars) -> tuple[Array, ...]:
    return _shape_of(bars.open, bars.high, bars.low, bars.close, bars.volume)


def _shape_of(
    open_: Array, high: Array, low: Array, close: Array, volume: Array
) -> tuple[Array, ...]:
    first, top, bottom, last = (np.log(column[1:]) for column in (open_, high, low, close))
    usual = np.convolve(volume, np.full(720, 1 / 720), mode="full")[: len(volume)]
    usual[:720] = usual[719]
    return (
        first - np.log(close[:-1]),
        last - first,
        top - np.maximum(first, last),
        np.minimum(first, last) - bottom,
        volume[1:] / np.maximum(usual[:-1], 1e-12),
    )


def _stacked(shapes: list[tuple[Array, ...]]) -> Shapes:
    length = min(len(each[0]) for each in shapes)
    return Shapes(*(np.stack([each[k][-length:] for each in shapes]) for k in range(5)))


def _tossed(shapes: Shapes, random: np.random.Generator) -> Shapes:
    turned = random.random(shapes.body.shape[1]) < 0.5
    sign = np.where(turned, -1.0, 1.0)
    return Shapes(
        shapes.gap * sign,
        shapes.body * sign,
        np.where(turned, shapes.below, shapes.above),
        np.where(turned, shapes.above, shapes.below),
        shapes.volume,
    )


def _bars(symbol: str, shapes: Shapes, pair: int, edge: float) -> Bars:
    gap, body, above, below = (
        getattr(shapes, name)[pair] for name in ("gap", "body", "above", "below")
    )
    open_, close = grown(gap, body, edge, EMA_BARS, VOLATILITY_BARS)
    high = np.maximum(open_, close) + above
    low = np.minimum(open_, close) - below
    return Bars(
        symbol,
        "1h",
        START_NS + HOUR_NS * np.arange(len(close)),
        *(np.exp(column) for column in (open_, high, low, close)),
        1_000.0 * shapes.volume[pair],
        is_simulated=True,
    )


@njit(cache=True, nogil=True)
def grown(gap: Array, body: Array, edge: float, ema_bars: int, volatility_bars: int):  # type: ignore[no-untyped-def]
    """Log opens and closes whose next candle drifts by `edge` x volatility x state."""
    open_, close = np.empty(len(body)), np.empty(len(body))
    level, average, variance = np.log(100.0), np.log(100.0), 1e-4
    for t in range(len(body)):
        deviation = np.sqrt(variance)
        drift = edge * deviation * np.tanh((level - average) / deviation / REACH)
        open_[t] = level + gap[t]
        close[t] = open_[t] + body[t] + drift
        move = close[t] - level
        level = close[t]
        average += (level - average) * 2.0 / (ema_bars + 1.0)
        variance += (move * move - variance) * 2.0 / (volatility_bars + 1.0)
    return open_, close


@njit(cache=True, nogil=True)
def state(log_close: Array, ema_bars: int, volatility_bars: int):  # type: ignore[no-untyped-def]
    """What `grown` read after each close."""
    out = np.empty(len(log_close))
    level, average, variance = np.log(100.0), np.log(100.0), 1e-4
    for t in range(len(log_close)):
        move = log_close[t] - level
        level = log_close[t]
        average += (level - average) * 2.0 / (ema_bars + 1.0)
        variance += (move * move - variance) * 2.0 / (volatility_bars + 1.0)
        out[t] = np.tanh((level - average) / np.sqrt(variance) / REACH)
    return out


EDGES = {
    True: {1: 0.0222, 2: 0.0353, 3: 0.0482, 4: 0.0604},
    False: {1: 0.0249, 2: 0.0438, 3: 0.0649, 4: 0.0860},
}
"""Whether the drift follows -> annual Sharpe ratio of the ideal predictor after costs -> edge.

Found by trading `ideal_account` on 16 markets of each edge; the run shows what it earned on its own.
"""
STATES = (0.35, 0.5, 0.65)
"""Sizes of the state above which the ideal predictor takes its side; the best of them counts."""


def market_of(seed: int, sharpe: int) -> list[Bars]:
    """A market whose ideal predictor is expected to earn this annual Sharpe ratio; 0: none."""
    follows = seed // 2 % 2 == 0
    return planted_market(seed, EDGES[follows][sharpe]) if sharpe else null_market(seed)


def ideal_sharpe(seed: int, bars: list[Bars]) -> float:
    """What the predictor that knows the drift earned after costs, annual; the best of `STATES`."""
    sign = 1.0 if seed // 2 % 2 == 0 else -1.0
    return max(_traded(bars, sign, least) for least in STATES)


def _traded(bars: list[Bars], sign: float, least: float) -> float:
    exits = ExitOptions(signal_exit=SignalExit.OPPOSITE)
    results = []
    for each in bars:
        pull = sign * state_of(each)
        side = np.where(np.abs(pull) > least, np.sign(pull), 0.0).astype(np.int8)
        signals = Signals(side, np.abs(pull))
        results.append(simulate(each, signals, exits=exits, sizing=SizingOptions(fraction=0.1)))
    return pool_results(results).sharpe or 0.0
