"""The backtest a paper session must repeat: the same stretch, all signals at once, one `simulate`.

Where risk limits stepped in, `expected_trades` repeats the backtest under the same interventions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from crypto_bot.core.arrays import PerBar, PerTrade
from crypto_bot.core.bars import OHLCV, Bars
from crypto_bot.core.errors import DataError
from crypto_bot.core.funding import FundingRates
from crypto_bot.core.orders import Signals
from crypto_bot.core.timeframes import iso_time
from crypto_bot.engine.options import CostOptions, ExitOptions, SizingOptions
from crypto_bot.engine.rules import conditions_of, known_features, matching_rules
from crypto_bot.engine.settling import exits_for, settled_bars
from crypto_bot.engine.simulate import BacktestResult, simulate
from crypto_bot.features import FeatureTable, compute_features
from crypto_bot.trading.decisions import DecisionMaker
from crypto_bot.trading.recording import Intervention
from crypto_bot.trading.replay import replay_with_steps


class TradedSymbol(NamedTuple):
    """What a session trades one symbol on.

    bars : Bars               the stretch, at least one bar
    maker : DecisionMaker     decides at each close; may be shared between symbols
    history : Bars | None     bars before the stretch: features are settled on them, nothing is traded
    funding : FundingRates | None    what holders of a perpetual pay; None: nobody pays
    """

    bars: Bars
    maker: DecisionMaker
    history: Bars | None = None
    funding: FundingRates | None = None


def expected_signals(traded: TradedSymbol, known: Sequence[str] = ()) -> Signals:
    """What the maker wants at every close of the stretch, computed over history and stretch at once.

    `known` are further features that must have settled: those of `engine.known_features`.

    Notes
    -----
    Bars at which a feature still depends on where the data began have direction 0, as live.
    """
    whole, first = joined(traded)
    columns: dict[str, PerBar] = {name: getattr(whole, name) for name in OHLCV}
    names = traded.maker.feature_names
    if names:
        table: FeatureTable = compute_features(whole, names)
        columns.update((name, table.column(name)) for name in names)
    signals = traded.maker.signals(columns)
    settled = settled_bars((*names, *known), whole.timeframe)
    is_settled = np.arange(first, len(whole)) >= settled
    return Signals(
        np.where(is_settled, signals.direction[first:], 0).astype(np.int8),
        np.where(is_settled, signals.score[first:], 0.0),
    )


def expected_backtest(
    traded: TradedSymbol,
    *,
    costs: CostOptions | None = None,
    exits: ExitOptions | None = None,
    sizing: SizingOptions | None = None,
) -> BacktestResult:
    """The backtest of the stretch: what a paper session does when no risk limit steps in.

    Parameters
    ----------
    traded : TradedSymbol
    costs, exits, sizing    None: their defaults; as in the session

    Returns
    -------
    BacktestResult    bars counted from the first of the stretch
    """
    costs, sizing = costs or CostOptions(), sizing or SizingOptions()
    exits = exits_for(traded.maker, exits)
    return simulate(
        traded.bars,
        expected_signals(traded, known_features(costs, exits, sizing)),
        costs=costs,
        exits=exits,
        sizing=sizing,
        funding=traded.funding,
        history=traded.history,
    )


def expected_trades(
    symbols: Sequence[TradedSymbol],
    *,
    costs: CostOptions | None = None,
    exits: ExitOptions | None = None,
    sizing: SizingOptions | None = None,
    interventions: Sequence[Intervention] = (),
) -> dict[str, PerTrade]:
    """TRADE records by symbol of the backtest, ready to compare with a session's.

    Parameters
    ----------
    symbols : Sequence[TradedSymbol]
    costs, exits, sizing            None: their defaults; as in the session
    interventions : Sequence[Intervention]    `PaperResult.blocked`: the backtest is traded with these
                                    entries blocked and positions closed; () gives it undisturbed

    Returns
    -------
    symbol -> TRADE (trades,)

    Raises
    ------
    DataError    if an intervention is of another symbol, or not at a close of the stretch
    """
    steps = _steps_by_symbol(symbols, interventions)
    costs, sizing = costs or CostOptions(), sizing or SizingOptions()
    trades: dict[str, PerTrade] = {}
    for traded in symbols:
        symbol = traded.bars.symbol
        if steps[symbol]:
            options = (costs, exits_for(traded.maker, exits), sizing)
            rules = matching_rules(*options, has_funding=traded.funding is not None)
            trades[symbol] = replay_with_steps(
                traded.bars,
                expected_signals(traded, known_features(*options)),
                rules,
                conditions_of(
                    traded.bars, *options, funding=traded.funding, history=traded.history
                ),
                sizing.initial_cash,
                steps[symbol],
            )
        else:
            trades[symbol] = expected_backtest(
                traded, costs=costs, exits=exits, sizing=sizing
            ).trades
    return trades


def _steps_by_symbol(
    symbols: Sequence[TradedSymbol], interventions: Sequence[Intervention]
) -> dict[str, dict[int, Intervention]]:
    closes = {traded.bars.symbol: traded.bars.close_time for traded in symbols}
    steps: dict[str, dict[int, Intervention]] = {symbol: {} for symbol in closes}
    for found in interventions:
        times = closes.get(found.symbol)
        if times is None or not 0 <= found.bar < len(times) or times[found.bar] != found.time_ns:
            raise DataError(
                f"intervention must be at a close of the stretches compared, was {found.symbol} "
                f"bar {found.bar} at {iso_time(found.time_ns)}"
            )
        steps[found.symbol][found.bar] = found
    return steps


def joined(traded: TradedSymbol) -> tuple[Bars, int]:
    """History and stretch as one, and the index of the stretch's first bar.

    Raises DataError when they are not of one market or the history does not end before the stretch.
    """
    bars, history = traded.bars, traded.history
    if len(bars) == 0:
        raise DataError(f"{bars.symbol} stretch must hold at least one bar, was empty")
    if history is None or len(history) == 0:
        return bars, 0
    if (history.symbol, history.timeframe) != (bars.symbol, bars.timeframe):
        raise DataError(
            f"history must be of {bars.symbol} {bars.timeframe}, "
            f"was {history.symbol} {history.timeframe}"
        )
    if history.open_time[-1] >= bars.open_time[0]:
        raise DataError(
            f"{bars.symbol} history must end before the stretch begins at {bars.open_time[0]}, "
            f"its last open_time was {history.open_time[-1]}"
        )
    columns = {
        name: np.concatenate((getattr(history, name), getattr(bars, name)))
        for name in ("open_time", *OHLCV)
    }
    simulated = history.is_simulated or bars.is_simulated
    return Bars(bars.symbol, bars.timeframe, is_simulated=simulated, **columns), len(history)
