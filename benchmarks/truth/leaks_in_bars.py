"""Features, panels and labels computed from bars: leaks and their clean twins, one a function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from crypto_bot.core import Bars
from crypto_bot.core.timeframes import HOUR_NS
from crypto_bot.features import compute_features
from crypto_bot.labels import UNLABELLED, LabelOptions, Labels, make_labels

Array = np.ndarray
OWN_FEATURES = ("sma_ratio", "bb_width", "return_5d", "volume_ratio")


# Features: Bars -> float64 (bars,)


def next_return(bars: Bars) -> Array:
    return np.append(bars.close[1:] / bars.close[:-1] - 1.0, 0.0)


def last_return(bars: Bars) -> Array:
    return np.concatenate(([np.nan], bars.close[1:] / bars.close[:-1] - 1.0))


def centred_mean(bars: Bars) -> Array:
    return np.convolve(bars.close, np.full(5, 0.2), mode="same")


def trailing_mean(bars: Bars) -> Array:
    return np.array([bars.close[max(0, t - 4) : t + 1].mean() for t in range(len(bars))])


def scaled_by_all_history(bars: Bars) -> Array:
    return (bars.close - bars.close.mean()) / bars.close.std()


def scaled_by_the_past(bars: Bars) -> Array:
    past = [bars.close[max(0, t - 49) : t + 1] for t in range(len(bars))]
    return np.array([(each[-1] - each.mean()) / (each.std() + 1e-9) for each in past])


def sparse(bars: Bars) -> Array:
    """A series known on every seventh bar only."""
    return np.where(np.arange(len(bars)) % 7 == 3, bars.volume, np.nan)


def filled_backwards(bars: Bars) -> Array:
    values = sparse(bars)
    for t in range(len(values) - 2, -1, -1):
        values[t] = values[t + 1] if np.isnan(values[t]) else values[t]
    return values


def filled_forwards(bars: Bars) -> Array:
    values = sparse(bars)
    for t in range(1, len(values)):
        values[t] = values[t - 1] if np.isnan(values[t]) else values[t]
    return values


def four_hours(bars: Bars) -> Array:
    return bars.open_time // (4 * HOUR_NS)


def open_higher_bar(bars: Bars) -> Array:
    """The close of the four hours that a bar lies in, before they are over."""
    block = four_hours(bars)
    last = np.searchsorted(block, block, side="right") - 1
    return bars.close[last] / bars.close


def closed_higher_bar(bars: Bars) -> Array:
    block = four_hours(bars)
    before = np.searchsorted(block, block) - 1
    return np.where(before >= 0, bars.close[before], np.nan) / bars.close


def resampled_at_the_left(bars: Bars) -> Array:
    """The block's mean volume, stamped with the block's start and carried on from there."""
    block = four_hours(bars)
    return np.array([bars.volume[block == each].mean() for each in block])


def joined_forwards(bars: Bars) -> Array:
    """An eight-hourly series joined by the next stamp in place of the last."""
    stamps = bars.close_time[7::8]
    place = np.minimum(np.searchsorted(stamps, bars.close_time), len(stamps) - 1)
    return bars.close[7::8][place]


def joined_backwards(bars: Bars) -> Array:
    stamps = bars.close_time[7::8]
    place = np.searchsorted(stamps, bars.close_time, side="right") - 1
    return np.where(place >= 0, bars.close[7::8][np.maximum(place, 0)], np.nan)


def known_for_ever(bars: Bars) -> Array:
    """A constant of the symbol: how much it will have risen."""
    return np.full(len(bars), bars.close[-1] / bars.close[0])


def smoothed_both_ways(bars: Bars) -> Array:
    values = bars.close.copy()
    for order in (range(1, len(values)), range(len(values) - 2, -1, -1)):
        for t in order:
            near = t - 1 if order.step > 0 else t + 1
            values[t] = 0.7 * values[t] + 0.3 * values[near]
    return values


def own_features(bars: Bars) -> Any:
    return compute_features(bars, OWN_FEATURES)


# Panels: several Bars -> one float64 (bars,) each


def panel_mean(panel: Sequence[Bars], shift: int) -> list[Array]:
    moves = np.array([last_return(each) for each in panel]).mean(axis=0)
    return [np.roll(moves, shift)] * len(panel)


def mean_of_the_next_bar(panel: Sequence[Bars]) -> list[Array]:
    return panel_mean(panel, -1)


def mean_of_this_bar(panel: Sequence[Bars]) -> list[Array]:
    return panel_mean(panel, 0)


def beta_of_all_history(panel: Sequence[Bars]) -> list[Array]:
    moves = np.array([last_return(each)[1:] for each in panel])
    market = moves.mean(axis=0)
    return [np.full(len(moves[0]) + 1, each @ market / (market @ market)) for each in moves]


# Labels: Bars -> Labels


def labels(bars: Bars, horizon: int, declared: Array) -> Labels:
    count = len(bars) - horizon
    values = np.full(len(bars), UNLABELLED, np.int8)
    values[:count] = bars.close[horizon:] > bars.close[:-horizon]
    end = np.full(len(bars), -1)
    end[:count] = np.arange(horizon, len(bars))
    end_ns = np.where(end >= 0, declared, -1)
    return Labels(values, end, end_ns, end >= 0, (0, 1), {"name": "made"})


def longer_than_declared(bars: Bars) -> Labels:
    return labels(bars, 10, bars.close_time + 5 * HOUR_NS)


def known_when_the_candle_opens(bars: Bars) -> Labels:
    return labels(bars, 1, bars.close_time)


def declared_truly(bars: Bars) -> Labels:
    return labels(bars, 10, bars.close_time + 10 * HOUR_NS)


def own_labels(options: LabelOptions) -> Callable[[Bars], Labels]:
    """The project's labels of one kind."""
    return lambda bars: make_labels(bars, options)
