"""`simulate_portfolio`: strategies and symbols in, one account's curve and its attribution out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl

from crypto_bot.core.arrays import Index, PerBar, PerBarTime, PerTrade
from crypto_bot.core.bars import PRICES, Bars
from crypto_bot.core.errors import ConfigError, DataError
from crypto_bot.core.funding import FundingRates, check_keys
from crypto_bot.core.orders import Signals
from crypto_bot.core.timeframes import timeframe_ns
from crypto_bot.engine.financing import borrow_due, funding_due
from crypto_bot.engine.ledger import round_trips
from crypto_bot.engine.matching import AccountState, open_account
from crypto_bot.engine.metrics import Metrics, metrics_of, tally
from crypto_bot.engine.options import CostOptions, ExitOptions, SizingOptions
from crypto_bot.engine.rules import (
    MatchingRules,
    conditions_of,
    known_features,
    matching_rules,
)
from crypto_bot.engine.settling import exits_for, settled_bars
from crypto_bot.engine.simulate import check_bars, check_signals
from crypto_bot.portfolio.account import Intents, Limits, Markets, trade_together
from crypto_bot.portfolio.options import PortfolioOptions
from crypto_bot.portfolio.timeline import CLOSE, Timeline, timeline_of
from crypto_bot.strategies import Strategy

REFUSALS = (
    "",
    "max_open_positions",
    "max_exposure_frac",
    "max_symbol_exposure_frac",
    "no equity",
    "below the venue's minimum",
)


@dataclass(frozen=True)
class Slot:
    """One strategy on one symbol.

    Attributes
    ----------
    name : str              of the strategy, for the attribution
    bars : Bars             slots of one symbol and timeframe share the same candles
    signals : Signals       one a bar; the score ranks entries that compete
    exits : ExitOptions
    funding : FundingRates or None
    history : Bars or None    bars just before, on which ATR and the like settle
    """

    name: str
    bars: Bars
    signals: Signals = field(repr=False)
    exits: ExitOptions = field(default_factory=ExitOptions)
    funding: FundingRates | None = field(default=None, repr=False)
    history: Bars | None = field(default=None, repr=False)


@dataclass(frozen=True, eq=False)
class PortfolioResult:
    """What the shared account came to.

    Attributes
    ----------
    times_ns : int64 (times,)          every close of some market
    equity : float64 (times,)          quote, all positions at their last price
    gains : float64 (times, slots)     what each slot has earned since the start, quote; they add
                                       up to equity less the initial cash
    trades : tuple of TRADE (trades,)  of each slot, bars counted as in its own candles
    attribution : DataFrame            a row per slot: strategy, symbol, timeframe, trades, wins,
                                       fees_quote, financing_quote, gain_quote, share of all gains
    refusals : DataFrame               entries not made: time_ns, strategy, symbol, limit
    metrics : Metrics                  of the account; buy and hold is an equal weight of the symbols
    is_simulated : bool
    """

    times_ns: PerBarTime
    equity: PerBar
    gains: npt.NDArray[np.float64]
    trades: tuple[PerTrade, ...]
    attribution: pl.DataFrame
    refusals: pl.DataFrame
    metrics: Metrics
    is_simulated: bool


def portfolio_slots(
    bars: Sequence[Bars],
    strategies: Sequence[Strategy],
    *,
    exits: ExitOptions | None = None,
    costs: CostOptions | None = None,
    sizing: SizingOptions | None = None,
    start_ns: int | None = None,
    funding: Mapping[str, FundingRates] | None = None,
) -> list[Slot]:
    """Every strategy on every symbol, in this order: strategies, then symbols.

    Parameters
    ----------
    bars : Sequence[Bars]
    strategies : Sequence[Strategy]    of rules; each reads its own features
    exits : ExitOptions                None: none but the signals; signal_exit as the strategy says
    costs, sizing                      those of the run: their averages must have settled too
    start_ns : int                     trade only bars that open from here on; features use those
                                       before too
    funding : symbol -> FundingRates   of perpetuals

    Returns
    -------
    list of Slot    direction 0 at bars whose features still depend on where the candles began
    """
    costs, sizing = costs or CostOptions(), sizing or SizingOptions()
    check_keys(funding or {})
    slots = []
    for strategy in strategies:
        own = exits_for(strategy, exits)
        names = (*strategy.features(), *known_features(costs, own, sizing))
        for one in bars:
            signals = strategy.signals_on(one)
            is_settled = np.arange(len(one)) >= settled_bars(names, one.timeframe)
            wanted = np.where(is_settled, signals.direction, 0).astype(np.int8)
            first = 0 if start_ns is None else int(np.searchsorted(one.open_time, start_ns))
            traded = Signals(wanted[first:], signals.score[first:])
            rates = None if funding is None else funding.get(one.symbol)
            slots.append(
                Slot(strategy.name, one[first:], traded, own, rates, one[:first] if first else None)
            )
    return slots


def simulate_portfolio(
    slots: Sequence[Slot],
    *,
    costs: CostOptions | None = None,
    sizing: SizingOptions | None = None,
    options: PortfolioOptions | None = None,
) -> PortfolioResult:
    """Trade many strategies and symbols on one cash account.

    Parameters
    ----------
    slots : Sequence[Slot]    at least one; their order breaks ties
    costs, sizing, options    None: their defaults; sizing takes its share of the whole account

    Returns
    -------
    PortfolioResult

    Raises
    ------
    ConfigError    for no slot, or leverage: the account is a cash account
    DataError      if bars or signals do not fit, or the spans of the symbols do not overlap

    Notes
    -----
    At one moment: closes first (stops and targets inside the bar, then decisions), then opens:
    all exits, then the entries by score, highest first, of equals the slot given first. What an
    exit frees can be spent at the same open. The parts are those of `engine.advance`: a portfolio
    of one slot is `simulate`, bit for bit. Nothing up to t depends on later bars.
    """
    costs, sizing = costs or CostOptions(), sizing or SizingOptions()
    options = options or PortfolioOptions()
    _check(slots, sizing)
    markets = list({(s.bars.symbol, s.bars.timeframe): s.bars for s in slots}.values())
    number = {(bars.symbol, bars.timeframe): place for place, bars in enumerate(markets)}
    market_of = np.array([number[s.bars.symbol, s.bars.timeframe] for s in slots], np.int64)
    timeline = timeline_of(markets)
    rules = [
        matching_rules(costs, s.exits, sizing, has_funding=s.funding is not None) for s in slots
    ]
    gains, fills, owner, refusals, states = trade_together(
        _markets(markets, slots, market_of, costs),
        _intents(slots, market_of, costs, sizing),
        timeline,
        *_slots_by_market(market_of, len(markets)),
        np.array([_row(each) for each in rules]),
        _limits(options),
        open_account(sizing.initial_cash),
    )
    trades = tuple(
        _trades(slot, fills[owner == place], states[place]) for place, slot in enumerate(slots)
    )
    is_close = timeline.kind[timeline.group[:-1]] == CLOSE
    times = timeline.time_ns[timeline.group[:-1]][is_close]
    equity = sizing.initial_cash + gains.sum(axis=1)
    return PortfolioResult(
        times_ns=times,
        equity=equity,
        gains=gains,
        trades=trades,
        attribution=_attribution(slots, trades, gains),
        refusals=_refusals(slots, refusals, timeline),
        metrics=_metrics(markets, times, equity, fills, slots, trades, sizing.initial_cash),
        is_simulated=any(bars.is_simulated for bars in markets),
    )


def _check(slots: Sequence[Slot], sizing: SizingOptions) -> None:
    if not slots:
        raise ConfigError("portfolio must have at least one slot, had none")
    if sizing.leverage > 1.0 or sizing.maintenance_margin_frac is not None:
        raise ConfigError(
            f"sizing.leverage must be 1 without maintenance_margin_frac in a portfolio, which is a "
            f"cash account, was {sizing.leverage:g}; use simulate for a margin account"
        )
    seen: dict[tuple[str, str], Bars] = {}
    for slot in slots:
        check_bars(slot.bars)
        check_signals(slot.bars, slot.signals)
        first = seen.setdefault((slot.bars.symbol, slot.bars.timeframe), slot.bars)
        if first is not slot.bars and first.fingerprint != slot.bars.fingerprint:
            raise DataError(
                f"slots of {slot.bars.symbol} {slot.bars.timeframe} must share the same candles, "
                "had different ones"
            )
    latest = max(seen.values(), key=lambda bars: int(bars.open_time[0]))
    earliest = min(seen.values(), key=lambda bars: int(bars.close_time[-1]))
    if latest.open_time[0] >= earliest.close_time[-1]:
        raise DataError(
            f"symbols of a portfolio must have a span in common, {latest.symbol} begins after "
            f"{earliest.symbol} ends; leave one out or get its candles"
        )


def _markets(
    markets: Sequence[Bars], slots: Sequence[Slot], market_of: Index, costs: CostOptions
) -> Markets:
    rates: dict[int, FundingRates | None] = dict.fromkeys(range(len(markets)))
    for slot, market in zip(slots, market_of.tolist(), strict=True):
        rates[market] = rates[market] or slot.funding
    funding = [funding_due(bars, rates[place]) for place, bars in enumerate(markets)]
    borrow = [borrow_due(bars, costs.borrow_rate_annual_frac) for bars in markets]
    open_, high, low, close = (
        np.concatenate([getattr(bars, name) for bars in markets]) for name in PRICES
    )
    first = np.concatenate(([0], np.cumsum([len(bars) for bars in markets]))).astype(np.int64)
    return Markets(open_, high, low, close, np.concatenate(funding), np.concatenate(borrow), first)


def _intents(
    slots: Sequence[Slot], market_of: Index, costs: CostOptions, sizing: SizingOptions
) -> Intents:
    first = np.concatenate(([0], np.cumsum([len(s.bars) for s in slots])))[:-1].astype(np.int64)
    atr = volatility = mean_volume = np.empty(0)
    if any(known_features(costs, s.exits, sizing) for s in slots):
        found = [
            conditions_of(s.bars, costs, s.exits, sizing, history=s.history)[2:] for s in slots
        ]
        atr, volatility, mean_volume = map(np.concatenate, zip(*found, strict=True))
    direction = np.concatenate([s.signals.direction for s in slots])
    score = np.concatenate([s.signals.score for s in slots])
    return Intents(direction, score, atr, volatility, mean_volume, first, market_of)


def _slots_by_market(market_of: Index, markets: int) -> tuple[Index, Index]:
    order = np.argsort(market_of, kind="stable").astype(np.int64)
    first = np.searchsorted(market_of[order], np.arange(markets + 1)).astype(np.int64)
    return order, first


def _row(rules: MatchingRules) -> list[float]:
    return [float(value) for value in rules]


def _limits(options: PortfolioOptions) -> Limits:
    symbol = options.max_symbol_exposure_frac
    return Limits(
        options.max_open_positions,
        math.inf if symbol is None else symbol,
        options.max_exposure_frac,
    )


def _trades(slot: Slot, fills: npt.NDArray[np.void], state: AccountState) -> PerTrade:
    bars = slot.bars
    return round_trips(
        fills, bars.open_time, bars.close_time, float(bars.close[-1]), state.financing
    )


def _attribution(
    slots: Sequence[Slot], trades: Sequence[PerTrade], gains: npt.NDArray[np.float64]
) -> pl.DataFrame:
    closed = [each[each["exit_bar"] >= 0] for each in trades]
    total = gains[-1].sum()
    return pl.DataFrame(
        {
            "strategy": [s.name for s in slots],
            "symbol": [s.bars.symbol for s in slots],
            "timeframe": [s.bars.timeframe for s in slots],
            "trades": [len(each) for each in closed],
            "wins": [int((each["pnl_quote"] > 0).sum()) for each in closed],
            "fees_quote": [float(each["fees_quote"].sum()) for each in trades],
            "financing_quote": [float(each["financing_quote"].sum()) for each in trades],
            "gain_quote": gains[-1],
            "share": gains[-1] / total if total != 0 else np.zeros(len(slots)),
        }
    )


def _refusals(slots: Sequence[Slot], refusals: Index, timeline: Timeline) -> pl.DataFrame:
    owners = [slots[place] for place in refusals[:, 1].tolist()]
    return pl.DataFrame(
        {
            "time_ns": timeline.time_ns[refusals[:, 0]],
            "strategy": [slot.name for slot in owners],
            "symbol": [slot.bars.symbol for slot in owners],
            "limit": [REFUSALS[reason] for reason in refusals[:, 2].tolist()],
        },
        schema={
            "time_ns": pl.Int64,
            "strategy": pl.String,
            "symbol": pl.String,
            "limit": pl.String,
        },
    )


def _metrics(
    markets: Sequence[Bars],
    times: PerBarTime,
    equity: PerBar,
    fills: npt.NDArray[np.void],
    slots: Sequence[Slot],
    trades: Sequence[PerTrade],
    cash: float,
) -> Metrics:
    index = equal_weight_index(markets, times)
    position = _positions_held(times, slots, trades)
    together = np.concatenate(trades)
    return metrics_of(tally(together, fills, equity, position, index, cash), index, cash)


def _positions_held(times: PerBarTime, slots: Sequence[Slot], trades: Sequence[PerTrade]) -> PerBar:
    """How many positions are held at each close, after what happened inside its bar."""
    changes = np.zeros(len(times) + 1)
    for slot, each in zip(slots, trades, strict=True):
        closed = each[each["exit_bar"] >= 0]
        is_at_open = closed["exit_time"] == slot.bars.open_time[closed["exit_bar"]]
        until = np.searchsorted(times, closed["exit_time"] + is_at_open)
        np.add.at(changes, np.searchsorted(times, each["entry_time"], side="right"), 1.0)
        np.subtract.at(changes, until, 1.0)
    return np.cumsum(changes[:-1])


def equal_weight_index(markets: Sequence[Bars], times: PerBarTime) -> Bars:
    """The mean of the symbols' prices, each over its first close: what holding all of them earned.

    A symbol that has no candle yet counts as 1; in an outage its last close is carried on.
    """
    finest = min(markets, key=lambda bars: timeframe_ns(bars.timeframe))
    total = np.zeros(len(times))
    for bars in markets:
        place = np.searchsorted(bars.close_time, times, side="right") - 1
        total += np.where(place >= 0, bars.close[np.maximum(place, 0)] / bars.close[0], 1.0)
    level = total / len(markets)
    opened = times - finest.interval_ns
    zeros = np.zeros(len(times))
    return Bars("INDEX", finest.timeframe, opened, level, level, level, level, zeros)
