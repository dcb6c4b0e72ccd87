"""What the judges are asked about: markets, rules, and what a strategist of these rules asks for.

A rival gets our directions and decides nothing but how they are executed; `wish` is the one thing
said twice, in plain words, because two of the rivals want orders and not directions.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from crypto_bot.core import Bars
from crypto_bot.engine import (
    CostOptions,
    ExitOptions,
    Reentry,
    SignalExit,
    SizingMethod,
    SizingOptions,
    settled_bars,
)
from crypto_bot.features import compute_features
from crypto_bot.market import read_candles
from crypto_bot.strategies import get_strategy
from reference.engine_cases import random_bars
from shared_data import shared_data

REAL, SIMULATED = "real", "simulated"
MARKETS = (REAL, SIMULATED)
FREE = CostOptions(taker_fee_frac=0, maker_fee_frac=0, slippage_frac=0)
FEES = CostOptions(taker_fee_frac=0.001, maker_fee_frac=0.001, slippage_frac=0)
SLIPPED = CostOptions(taker_fee_frac=0.00075, maker_fee_frac=0.00075, slippage_frac=0.0004)


@dataclass(frozen=True)
class Setting:
    """One set of rules on one excerpt of candles."""

    name: str
    strategy: str
    parameters: dict[str, float]
    candles: str
    first: int
    costs: CostOptions = FEES
    exits: ExitOptions = field(default_factory=ExitOptions)
    sizing: SizingOptions = field(default_factory=SizingOptions)
    bars: int = 2_500
    move: float = 0.01
    """Standard deviation of a simulated bar."""

    def market(self, kind: str) -> Bars:
        """The excerpt of real candles (skips without them), or simulated ones with gaps."""
        if kind == REAL:
            bars, _ = read_candles(shared_data(f"binance/{self.candles}.parquet"))
            return bars[self.first : self.first + self.bars]
        return random_bars(len(self.name) + self.first, self.bars, move=self.move, outages=0.01)

    def direction(self, bars: Bars) -> np.ndarray:
        """int8 (bars,): the wanted side at each close; 0 until everything read is settled."""
        if self.strategy == "channel":
            return _channel(bars, int(self.parameters["bars"]))
        strategy = get_strategy(self.strategy, **self.parameters)
        direction = strategy.signals_on(bars).direction.copy()
        direction[: self.settled] = 0
        return direction

    @property
    def settled(self) -> int:
        """Bars at the start on which nothing is wanted; one rival looks a bar later than we could."""
        return 1 + settled_bars(get_strategy(self.strategy, **self.parameters).features())


def _channel(bars: Bars, length: int) -> np.ndarray:
    """Long above the highest high of the bars before, short below the lowest low."""
    names = (f"donchian_high_{length}", f"donchian_low_{length}")
    table = compute_features(bars, names)
    high, low = (table.column(name) for name in names)
    above, below = bars.close > high, bars.close < low
    return above.astype(np.int8) - below.astype(np.int8)


def wish(
    side: int, wanted: int, before: int, setting: Setting, *, held: int, since_exit: int
) -> tuple[bool, int]:
    """Whether to leave, and the side to enter (0: none), at the open after this close.

    `held` counts closes since entry, `since_exit` closes since the bar of the last exit, both with
    their own bar as the first.
    """
    exits, may = setting.exits, wanted > 0 or (wanted < 0 and setting.sizing.allow_short)
    if side == 0:
        is_new = wanted != before or exits.reentry is Reentry.WHILE_SIGNAL
        return False, wanted if may and is_new and since_exit > exits.cooldown_bars else 0
    rule = exits.signal_exit or SignalExit.FLAT
    if wanted == -side and rule is not SignalExit.NEVER:
        return True, wanted if may else 0
    leaves = wanted == 0 and rule is SignalExit.FLAT
    return leaves or (exits.max_holding_bars is not None and held >= exits.max_holding_bars), 0


OPPOSITE, FLAT, NEVER = SignalExit.OPPOSITE, SignalExit.FLAT, SignalExit.NEVER
WHILE = Reentry.WHILE_SIGNAL
FIXED = SizingOptions(method=SizingMethod.FIXED_QUOTE, quote=20_000.0)
NINE_TENTHS = SizingOptions(fraction=0.9)
LONG_ONLY = SizingOptions(fraction=0.9, allow_short=False)

SMA_LONG = Setting(
    "sma cross, long only",
    *("sma_cross", {"fast": 10, "slow": 30}, "BTC_USDT-1h", 500),
    exits=ExitOptions(signal_exit=OPPOSITE),
    sizing=LONG_ONLY,
)
SMA_REVERSAL = Setting(
    "sma cross, reversed, no costs",
    *("sma_cross", {"fast": 5, "slow": 21}, "ETH_USDT-1h", 3_000),
    costs=FREE,
    exits=ExitOptions(signal_exit=OPPOSITE),
    sizing=NINE_TENTHS,
)
SMA_REVERSAL_SLIPPED = Setting(
    "sma cross, reversed, fees and slippage",
    *("sma_cross", {"fast": 7, "slow": 40}, "LTC_USDT-1h", 12_000),
    costs=SLIPPED,
    exits=ExitOptions(signal_exit=OPPOSITE),
    sizing=FIXED,
)
SMA_REVERSAL_FIXED = Setting(
    "sma cross, reversed, fixed quote, no costs",
    *("sma_cross", {"fast": 3, "slow": 12}, "TRX_USDT-1h", 8_000),
    costs=FREE,
    exits=ExitOptions(signal_exit=OPPOSITE),
    sizing=FIXED,
)
EMA_FIXED = Setting(
    "ema cross, fixed quote",
    *("ema_cross", {"fast": 12, "slow": 26}, "SOL_USDT-5m", 20_000),
    exits=ExitOptions(signal_exit=OPPOSITE),
    sizing=FIXED,
)
ALL_IN = Setting(
    "rsi, long only, all of the equity",
    *("rsi", {"window": 10, "oversold": 30, "overbought": 60}, "ETC_USDT-5m", 5_000),
    exits=ExitOptions(signal_exit=OPPOSITE),
    sizing=SizingOptions(allow_short=False),
)
STEPPED = Setting(
    "ema cross in steps of a thousandth",
    *("ema_cross", {"fast": 9, "slow": 30}, "BTC_USDT-1h", 40_000),
    costs=FEES.replace(quantity_step=0.001),
    exits=ExitOptions(signal_exit=OPPOSITE, stop_loss_frac=0.03),
    sizing=NINE_TENTHS,
)
RSI_FLAT = Setting(
    "rsi, left at direction 0",
    *("rsi", {"window": 14, "oversold": 35, "overbought": 65}, "XRP_USDT-1h", 4_000),
    exits=ExitOptions(signal_exit=FLAT),
    sizing=NINE_TENTHS,
)
RSI_STOP = Setting(
    "rsi with a stop",
    *("rsi", {"window": 14, "oversold": 30, "overbought": 70}, "PEPE_USDT-5m", 30_000),
    exits=ExitOptions(signal_exit=OPPOSITE, stop_loss_frac=0.02),
    sizing=NINE_TENTHS,
)
STOP_SLIPPED = Setting(
    "sma cross with a stop, slippage",
    *("sma_cross", {"fast": 8, "slow": 24}, "DOGE_USDT-1h", 13_500),
    costs=SLIPPED,
    exits=ExitOptions(signal_exit=OPPOSITE, stop_loss_frac=0.03, reentry=WHILE),
    sizing=NINE_TENTHS,
)
CHANNEL_TARGET = Setting(
    "channel breakout with a target",
    *("channel", {"bars": 20}, "BNB_USDT-1h", 2_000),
    exits=ExitOptions(signal_exit=OPPOSITE, take_profit_frac=0.03),
    sizing=FIXED,
)
TARGET_MAKER = Setting(
    "rsi with a target, cheaper as maker",
    *("rsi", {"window": 7, "oversold": 25, "overbought": 75}, "LINK_USDT-5m", 15_000),
    costs=CostOptions(taker_fee_frac=0.001, maker_fee_frac=0.0002, slippage_frac=0.0005),
    exits=ExitOptions(signal_exit=OPPOSITE, take_profit_frac=0.01),
    sizing=NINE_TENTHS,
)
CHANNEL_BOTH = Setting(
    "channel breakout with stop and target",
    *("channel", {"bars": 30}, "BTC_USDT-5m", 40_000),
    exits=ExitOptions(signal_exit=NEVER, stop_loss_frac=0.004, take_profit_frac=0.006),
    sizing=NINE_TENTHS,
    move=0.002,
)
SMA_BOTH = Setting(
    "sma cross with stop and target, entered again",
    *("sma_cross", {"fast": 10, "slow": 50}, "ETH_USDT-1h", 20_000),
    exits=ExitOptions(
        signal_exit=OPPOSITE, stop_loss_frac=0.015, take_profit_frac=0.02, reentry=WHILE
    ),
    sizing=FIXED,
)
TRAILING = Setting(
    "ema cross with a trailing stop",
    *("ema_cross", {"fast": 6, "slow": 18}, "SOL_USDT-5m", 45_000),
    exits=ExitOptions(signal_exit=OPPOSITE, trailing_stop_frac=0.01),
    sizing=NINE_TENTHS,
    move=0.003,
)
TRAILING_SLIPPED = Setting(
    "channel breakout, long only, trailing stop and slippage",
    *("channel", {"bars": 15}, "DOGE_USDT-5m", 10_000),
    costs=SLIPPED,
    exits=ExitOptions(signal_exit=OPPOSITE, trailing_stop_frac=0.015),
    sizing=LONG_ONLY,
)
BREAKOUT_TIME = Setting(
    "squeeze breakout, left after 12 bars, cooldown",
    *("breakout_bot", {"volume_ratio_min": 0.5}, "AVAX_USDT-1h", 6_000),
    exits=ExitOptions(
        signal_exit=NEVER, max_holding_bars=12, cooldown_bars=3, reentry=WHILE, stop_loss_frac=0.05
    ),
    sizing=NINE_TENTHS,
)
