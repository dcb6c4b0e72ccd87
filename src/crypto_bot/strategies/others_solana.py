"""Further bots of the originals for tokens on Solana; all need data of the chain."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from crypto_bot.core import Signals
from crypto_bot.core.arrays import Mask, PerBar
from crypto_bot.strategies.base import Columns, StrategyParameters, strategy
from crypto_bot.strategies.holding import held
from crypto_bot.strategies.needs import CHAIN_FEE, HOLDERS, LISTING, POOL, Need


class SolanaScalpingParameters(StrategyParameters):
    """Parameters of `solana_scalping`."""

    below: ClassVar[tuple[tuple[str, str], ...]] = (
        ("oversold", "overbought"),
        ("macd_fast", "macd_slow"),
    )

    rsi_bars: int = Field(default=14, ge=2, le=50, description="window of the RSI, bars")
    oversold: float = Field(default=40.0, ge=5, le=50, description="longs need a lower RSI")
    overbought: float = Field(default=60.0, ge=50, le=95, description="shorts need a higher RSI")
    macd_fast: int = Field(default=12, ge=2, le=50, description="fast span of the MACD, bars")
    macd_slow: int = Field(default=26, ge=5, le=200, description="slow span of the MACD, bars")
    macd_signal: int = Field(default=9, ge=2, le=50, description="span of its signal line, bars")
    atr_bars: int = Field(default=14, ge=3, le=50, description="window of the ATR, bars")
    trade_quote: float = Field(
        default=500.0, ge=10, le=100_000, description="size that the fee is reckoned for, quote"
    )
    fee_atr_max: float = Field(
        default=0.25, ge=0.01, le=2, description="two fees cost at most this share of an ATR"
    )

    def features(self) -> tuple[str, ...]:
        """RSI, MACD histogram and ATR."""
        return (
            f"rsi_{self.rsi_bars}",
            f"macd_hist_{self.macd_fast}_{self.macd_slow}_{self.macd_signal}",
            f"atr_frac_{self.atr_bars}",
        )

    def needs(self) -> tuple[Need, ...]:
        """What a transaction costs at every close."""
        return (CHAIN_FEE,)


@strategy(
    "solana_scalping",
    parameters=SolanaScalpingParameters,
    regime=("mean-reverting", "volatile"),
    signal_exit="opposite",
)
def solana_scalping(columns: Columns, parameters: SolanaScalpingParameters) -> Signals:
    """Scalp a turn of the MACD out of a low or high RSI, while the chain's fee leaves a profit.

    Long: RSI below `oversold` and MACD above its signal line; short: RSI above `overbought` and
    MACD below it. Neither while two fees on `trade_quote` cost more than `fee_atr_max` of an ATR.
    Score: share of that allowance which the fee leaves.

    Data: column chain_fee_quote, what a transaction with its priority fee costs at each close; open
    to close.

    Mended: the original reckoned without the fee, which on a busy chain exceeds the move it is
    after.
    """
    p = parameters
    rsi, histogram, atr_frac = (columns[name] for name in p.features())
    allowed = p.fee_atr_max * atr_frac
    cost = 2.0 * columns["chain_fee_quote"] / p.trade_quote
    is_open = (cost >= 0.0) & (cost <= allowed) & (allowed > 0.0)
    up = is_open & (rsi < p.oversold) & (histogram > 0.0)
    down = is_open & (rsi > p.overbought) & (histogram < 0.0)
    direction = np.subtract(up, down, dtype=np.int8)
    left = 1.0 - np.divide(cost, allowed, out=np.ones(len(cost)), where=direction != 0)
    return Signals(direction, left)


class SniperSolanaParameters(StrategyParameters):
    """Parameters of `sniper_solana`."""

    below: ClassVar[tuple[tuple[str, str], ...]] = (("youngest_bars", "oldest_bars"),)

    youngest_bars: int = Field(
        default=1, ge=0, le=100, description="a pool younger than this is left to the bots, bars"
    )
    oldest_bars: int = Field(
        default=120, ge=2, le=2000, description="an older pool is no news any more, bars"
    )
    liquidity_min_quote: float = Field(
        default=50_000.0, ge=1_000, le=10_000_000, description="money in the pool, quote"
    )
    buyers_ratio_min: float = Field(
        default=1.5, ge=0.5, le=10, description="buys over sells of the last bar must reach"
    )
    drained_frac: float = Field(
        default=0.3, ge=0.01, le=0.9, description="leave when the pool lost this share in a bar"
    )
    hold_bars: int = Field(default=12, ge=1, le=500, description="bars the side is wanted, at most")

    def features(self) -> tuple[str, ...]:
        """None: it reads the pool."""
        return ()

    def needs(self) -> tuple[Need, ...]:
        """The pool's age, money and transactions."""
        return (LISTING, POOL)

    def lookback_bars(self) -> int:
        """The longest time a side can be wanted, and a bar before for the pool's change."""
        return self.hold_bars + 1


@strategy(
    "sniper_solana",
    parameters=SniperSolanaParameters,
    regime=("breakout", "volatile"),
    signal_exit="flat",
)
def sniper_solana(columns: Columns, parameters: SniperSolanaParameters) -> Signals:
    """Buy a young pool that has money in it and more buyers than sellers. Long only.

    Enter while the pool is `youngest_bars` to `oldest_bars` old, holds `liquidity_min_quote` and its
    buys are at least `buyers_ratio_min` times its sells; wanted until the pool loses
    `drained_frac` of its money within a bar or `hold_bars` are over. Score: buys over all.

    Data: columns listing_age_bars, pool_liquidity_quote, pool_buys, pool_sells at each close. There
    is no candle before a listing: the original refused to be backtested at all.

    Mended: the original sniped on a bar count of its own file, so every file's beginning was a new
    listing; the age is data that must be given.
    """
    p = parameters
    age, money, buys, sells = (columns[name] for name in (*LISTING.columns, *POOL.columns))
    is_young = (age >= p.youngest_bars) & (age <= p.oldest_bars)
    is_wanted = (buys > 0.0) & (buys >= p.buyers_ratio_min * sells)
    leave = _drained(money, p.drained_frac)
    enter = is_young & is_wanted & (money >= p.liquidity_min_quote) & ~leave
    is_known = ~np.isnan(age + money + buys + sells)
    direction = held(enter.view(np.int8), leave, leave, is_known, p.hold_bars)
    share = np.divide(buys, buys + sells, out=np.zeros(len(buys)), where=direction != 0)
    return Signals(direction, share)


class MemeSniperParameters(StrategyParameters):
    """Parameters of `meme_sniper`."""

    oldest_bars: int = Field(
        default=300, ge=2, le=5000, description="an older token is no news any more, bars"
    )
    liquidity_min_quote: float = Field(
        default=20_000.0, ge=1_000, le=10_000_000, description="money in the pool, quote"
    )
    holders_max_frac: float = Field(
        default=0.4, ge=0.05, le=0.95, description="share of the ten largest holders, at most"
    )
    rise_bars: int = Field(default=5, ge=1, le=100, description="bars over which the price rose")
    rise_frac: float = Field(
        default=0.01, ge=0.001, le=2, description="rise to snipe at, fraction of price"
    )
    giveback_frac: float = Field(
        default=0.02, ge=0.001, le=0.9, description="done at such a fall over the same bars"
    )
    hold_bars: int = Field(default=24, ge=1, le=500, description="bars the side is wanted, at most")

    def features(self) -> tuple[str, ...]:
        """The rise."""
        return (f"return_{self.rise_bars}",)

    def needs(self) -> tuple[Need, ...]:
        """The token's age, its pool and who holds it."""
        return (LISTING, POOL, HOLDERS)

    def lookback_bars(self) -> int:
        """The longest time a side can be wanted."""
        return self.hold_bars


@strategy(
    "meme_sniper",
    parameters=MemeSniperParameters,
    regime=("breakout", "volatile"),
    signal_exit="flat",
)
def meme_sniper(columns: Columns, parameters: MemeSniperParameters) -> Signals:
    """Buy a young token that rises, unless few hold most of it. Long only.

    The original's labels: 'avoid' where the ten largest holders have more than `holders_max_frac` or
    the pool is thin, 'snipe' where the price rose `rise_frac` within `rise_bars` on more buys than
    sells, 'flat' otherwise. A side is wanted until the price fell `giveback_frac` over the same
    bars, the token is to be avoided, or `hold_bars` are over. Score: share of the supply outside
    the ten largest holders.

    Data: columns listing_age_bars, pool_liquidity_quote, pool_buys, pool_sells, top_holders_frac at
    each close; closes for the rise.

    Mended: the original's label looked back where it meant to look ahead and was trained on that;
    here nothing is learned and the rule is written down.
    """
    p = parameters
    rise = columns[p.features()[0]]
    needed = (*LISTING.columns, *POOL.columns, *HOLDERS.columns)
    age, money, buys, sells, holders = (columns[name] for name in needed)
    avoid = (holders > p.holders_max_frac) | (money < p.liquidity_min_quote)
    enter = ~avoid & (age <= p.oldest_bars) & (rise >= p.rise_frac) & (buys > sells)
    leave = avoid | (rise <= -p.giveback_frac)
    is_known = ~np.isnan(rise + age + money + buys + sells + holders)
    direction = held(enter.view(np.int8), leave, leave, is_known, p.hold_bars)
    outside = np.clip(1.0 - holders, 0.0, 1.0)
    return Signals(direction, np.where(direction != 0, outside, 0.0))


def _drained(money: PerBar, share: float) -> Mask:
    """Where a pool lost at least this share of its money since the bar before."""
    is_drained = np.zeros(len(money), np.bool_)
    is_drained[1:] = money[1:] <= (1.0 - share) * money[:-1]
    return is_drained
