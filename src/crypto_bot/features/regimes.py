"""What kind of market a bar stands in, by rules in a fixed order: the first that holds gives the name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit
from pydantic import Field

from crypto_bot.core.arrays import PerBar, PerBarDirection, PerBarFeature
from crypto_bot.core.errors import ConfigError, DataError
from crypto_bot.core.options import Options
from crypto_bot.features.compiling import inner_njit

if TYPE_CHECKING:
    from crypto_bot.core.bars import Bars

REGIMES = ("trending", "sideways", "mean-reverting", "breakout", "volatile")
"""Names; a regime's code is its place here."""
TRENDING, SIDEWAYS, MEAN_REVERTING, BREAKOUT, VOLATILE = range(5)
UNKNOWN = -1
"""The code where an indicator is not defined."""
INPUTS = 11


class RegimeOptions(Options):
    """Thresholds and windows of the rules; widths and distances are fractions of the close."""

    adx_trending_min: float = Field(
        default=12.0, ge=0, le=100, description="trending: ADX above this, fast average above slow"
    )
    both_directions: bool = Field(
        default=False, description="trending: the fast average below the slow one counts too"
    )
    adx_sideways_max: float = Field(
        default=20.0, ge=0, le=100, description="sideways: ADX below this"
    )
    bb_width_sideways_max: float = Field(
        default=0.02, ge=0, le=1, description="sideways: and band width / close below this"
    )
    bb_width_breakout_max: float = Field(
        default=0.035, ge=0, le=1, description="breakout: band width / close below this"
    )
    breakout_volume_mult: float = Field(
        default=1.5, ge=0, le=100, description="breakout: and volume above this many mean volumes"
    )
    rsi_mean_rev_min: float = Field(
        default=30.0, ge=0, le=100, description="mean-reverting: RSI at least this"
    )
    rsi_mean_rev_max: float = Field(
        default=70.0, ge=0, le=100, description="mean-reverting: RSI at most this"
    )
    ema_distance_mean_rev_max: float = Field(
        default=0.04, ge=0, le=1, description="mean-reverting: and close within this of the average"
    )
    normalized_range_volatility_min: float = Field(
        default=1.3, ge=0, le=100, description="volatile: high - low above this many ATR"
    )
    ema_fast: int = Field(default=6, ge=2, le=10_000, description="fast average, bars")
    ema_slow: int = Field(default=18, ge=3, le=10_000, description="slow average, bars")
    indicator_window: int = Field(default=12, ge=2, le=10_000, description="ADX, RSI, ATR, bars")
    bb_window: int = Field(default=18, ge=2, le=10_000, description="Bollinger bands, bars")
    ma_window: int = Field(default=18, ge=1, le=10_000, description="mean volume, bars")

    def model_post_init(self, context: Any) -> None:
        """Check pairs; raises ConfigError naming the first."""
        del context
        for low, high in (("ema_fast", "ema_slow"), ("rsi_mean_rev_min", "rsi_mean_rev_max")):
            smaller, larger = getattr(self, low), getattr(self, high)
            if smaller >= larger:
                raise ConfigError(f"{low} must be below {high} ({larger}), was {smaller}")

    def columns(self) -> tuple[str, ...]:
        """Names of the features and raw columns read, in the order of the rules' inputs."""
        window = self.indicator_window
        averages = (f"ema_{self.ema_fast}", f"ema_{self.ema_slow}")
        volumes = ("volume", f"volume_sma_{self.ma_window}")
        return (
            *(f"adx_{window}", *averages, f"bb_width_{self.bb_window}", *volumes),
            *(f"rsi_{window}", "close", "high", "low", f"atr_{window}"),
        )

    def features(self) -> tuple[str, ...]:
        """Of those the features, for a strategy that declares what it reads."""
        return tuple(name for name in self.columns() if "_" in name)

    def thresholds(self) -> tuple[float, ...]:
        """What the compiled rules compare with, in the order of `Thresholds`."""
        return tuple(float(getattr(self, name)) for name in Thresholds._fields)


class Thresholds(NamedTuple):
    """The options the rules compare with; `both_directions` is 1 or 0."""

    adx_trending_min: float
    both_directions: float
    adx_sideways_max: float
    bb_width_sideways_max: float
    bb_width_breakout_max: float
    breakout_volume_mult: float
    rsi_mean_rev_min: float
    rsi_mean_rev_max: float
    ema_distance_mean_rev_max: float
    normalized_range_volatility_min: float


@inner_njit
def regime_step(
    t: Thresholds,
    adx: float,
    fast: float,
    slow: float,
    width: float,
    volume: float,
    mean_volume: float,
    rsi: float,
    close: float,
    high: float,
    low: float,
    atr: float,
) -> float:
    """Code of the first rule that holds, sideways where none does; NaN where an input is NaN."""
    if np.isnan(adx + fast + slow + width + mean_volume + rsi + atr):
        return np.nan
    if adx > t.adx_trending_min and (fast > slow or (t.both_directions > 0.0 and fast < slow)):
        return TRENDING
    if adx < t.adx_sideways_max and width < t.bb_width_sideways_max:
        return SIDEWAYS
    if width < t.bb_width_breakout_max and volume > t.breakout_volume_mult * mean_volume:
        return BREAKOUT
    is_inside = t.rsi_mean_rev_min <= rsi <= t.rsi_mean_rev_max
    if is_inside and abs(close / fast - 1.0) < t.ema_distance_mean_rev_max:
        return MEAN_REVERTING
    if high - low > t.normalized_range_volatility_min * atr:
        return VOLATILE
    return SIDEWAYS


@njit(cache=True, nogil=True, error_model="numpy")
def regime_history(
    thresholds: PerBar, board: PerBarFeature, rows: npt.NDArray[np.int64], out: PerBar
) -> None:
    """Every bar's `regime_step`; the inputs lie in these rows of the board."""
    t = Thresholds(
        thresholds[0],
        thresholds[1],
        thresholds[2],
        thresholds[3],
        thresholds[4],
        thresholds[5],
        thresholds[6],
        thresholds[7],
        thresholds[8],
        thresholds[9],
    )
    for i in range(out.size):
        out[i] = regime_step(
            t,
            board[rows[0], i],
            board[rows[1], i],
            board[rows[2], i],
            board[rows[3], i],
            board[rows[4], i],
            board[rows[5], i],
            board[rows[6], i],
            board[rows[7], i],
            board[rows[8], i],
            board[rows[9], i],
            board[rows[10], i],
        )


def classify_regimes(
    market: Bars | Mapping[str, PerBar], options: RegimeOptions | None = None
) -> PerBarDirection:
    """The regime of every bar.

    Parameters
    ----------
    market : Bars, or columns by name, float64 (bars,): those of `options.columns()`, more are ignored
    options : RegimeOptions    None: the defaults, which are also those of the feature `regime`

    Returns
    -------
    int8 (bars,)    a place in `REGIMES`; -1 (UNKNOWN) where an indicator is not defined: before its
                    warm-up, and in a market whose price has never moved

    Raises
    ------
    DataError    if a column is missing, not float64 or of another length

    Notes
    -----
    Known at the bar's close. Rules in order: trending, sideways, breakout, mean-reverting, volatile;
    sideways where none holds.

    >>> from crypto_bot.market import SimulationOptions, simulate_market
    >>> bars = simulate_market(SimulationOptions(symbols=1, bars=200))[0]
    >>> codes = classify_regimes(bars)
    >>> codes[0], REGIMES[codes[-1]] in REGIMES
    (np.int8(-1), True)
    """
    options = RegimeOptions() if options is None else options
    columns = market if isinstance(market, Mapping) else _columns(market, options)
    board = _stacked(columns, options.columns())
    codes = np.empty(board.shape[1])
    regime_history(np.array(options.thresholds()), board, np.arange(INPUTS), codes)
    return np.where(np.isnan(codes), UNKNOWN, codes).astype(np.int8)


def _columns(bars: Bars, options: RegimeOptions) -> Mapping[str, PerBar]:
    from crypto_bot.features.history import compute_features

    table = compute_features(bars, options.features())
    raw = {name: getattr(bars, name) for name in ("close", "high", "low", "volume")}
    return raw | {name: table.column(name) for name in table.names}


def _stacked(columns: Mapping[str, PerBar], names: tuple[str, ...]) -> PerBarFeature:
    for name in names:
        if name not in columns:
            raise DataError(
                f"columns must have {name} for the regimes, was missing; "
                "compute options.features() first"
            )
        first, values = columns[names[0]], columns[name]
        if values.dtype != np.float64 or values.shape != first.shape or values.ndim != 1:
            raise DataError(
                f"columns[{name!r}] must be float64 {first.shape} for the regimes, "
                f"was {values.dtype} {values.shape}"
            )
    return np.stack([columns[name] for name in names])
