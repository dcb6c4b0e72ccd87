"""What may be done to signals afterwards: scale them by volatility, blend a model in, fuse several.

Pure functions of columns known at each bar's close; none changes a side by what comes later. They are
called by whoever joins strategies, never silently inside one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crypto_bot.core import Signals
from crypto_bot.core.arrays import PerBar
from crypto_bot.core.errors import DataError


def scale_by_volatility(
    signals: Signals, atr_fast: PerBar, atr_slow: PerBar, *, most: float = 1.5
) -> Signals:
    """Score times min(atr_fast / atr_slow, most), cut at 1.

    Parameters
    ----------
    signals : Signals
    atr_fast, atr_slow : float64 (bars,)    the original's are `atr_14` and `atr_50`
    most : float                            largest factor, > 0

    Notes
    -----
    The side stays. Where a ratio is missing (NaN, or an ATR of 0) the signal is dropped: a missing
    volatility is not a usual one.
    """
    _check_lengths(signals, atr_fast, atr_slow)
    is_known = (atr_slow > 0.0) & (atr_fast > 0.0)
    ratio = np.divide(atr_fast, atr_slow, out=np.zeros(len(atr_fast)), where=is_known)
    direction = np.where(is_known, signals.direction, 0).astype(np.int8)
    score = np.minimum(signals.score * np.minimum(ratio, most), 1.0)
    return Signals(direction, score)


def blend_with_model(
    signals: Signals, p_up: PerBar, p_down: PerBar, *, weight: float = 0.5
) -> Signals:
    """Score (1 - weight) * score + weight * the model's probability of that side.

    Parameters
    ----------
    signals : Signals
    p_up, p_down : float64 (bars,)    a model's probabilities
    weight : float                    of the model, 0..1

    Notes
    -----
    The side stays, and so does the score where the model has no prediction (NaN).
    """
    _check_lengths(signals, p_up, p_down)
    wanted = np.where(signals.direction > 0, p_up, p_down)
    blended = (1.0 - weight) * signals.score + weight * np.clip(wanted, 0.0, 1.0)
    is_blended = (signals.direction != 0) & ~np.isnan(wanted)
    return Signals(signals.direction, np.where(is_blended, blended, signals.score))


def fuse(several: Sequence[Signals], weights: Sequence[float] | None = None) -> Signals:
    """The side most weight is for, with the weighted mean of the scores for it.

    Parameters
    ----------
    several : sequence of Signals      of equal length, at least one
    weights : sequence of float        >= 0, not all 0; None: equal

    Notes
    -----
    Those without a side weigh for none: a side needs more weight than the other side and more than
    no side. A tie has no side. The mean is over all weights, so lonely votes score low.
    """
    given = [1.0] * len(several) if weights is None else list(weights)
    if not several or len(given) != len(several) or min(given) < 0.0 or sum(given) == 0.0:
        raise DataError(
            f"weights must be one >= 0 for each of at least one signals, some above 0, "
            f"were {given} for {len(several)}"
        )
    _check_lengths(*(each.direction for each in several))
    shares = np.array(given) / sum(given)
    sides = np.stack([each.direction for each in several])
    scores = np.stack([each.score for each in several])
    up, down, aside = (shares @ (sides == side) for side in (1, -1, 0))
    is_up, is_down = (up > down) & (up > aside), (down > up) & (down > aside)
    direction = np.subtract(is_up, is_down, dtype=np.int8)
    score = shares @ np.where(sides == direction, scores, 0.0)
    return Signals(direction, np.minimum(np.where(direction != 0, score, 0.0), 1.0))


def _check_lengths(*columns: object) -> None:
    lengths = {len(each.direction if isinstance(each, Signals) else each) for each in columns}  # type: ignore[arg-type]
    if len(lengths) > 1:
        raise DataError(f"columns must be of one length, were {sorted(lengths)}")
