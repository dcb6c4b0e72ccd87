"""Which of stop and target came first inside a bar: how many trades hung on it, and what it cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from crypto_bot.backtest.candles import Universe
from crypto_bot.config import Settings
from crypto_bot.core import Bars
from crypto_bot.core.timeframes import timeframe_ns
from crypto_bot.engine import exits_for, known_features, simulate
from crypto_bot.market import BarStore
from crypto_bot.trading import PaperOptions, TradedSymbol, expected_signals


@dataclass(frozen=True)
class ExitOrder:
    """Exits of a backtest in bars that touched both stop and target.

    Attributes
    ----------
    by_rule : int           still decided by "the stop came first"
    by_finer : int          decided by finer candles
    timeframe : str | None  of those; None where none are stored
    rule_return : float     mean return over the symbols if the stop always comes first, as on paper
    finer_return : float    the same with the order the finer candles show
    """

    by_rule: int
    by_finer: int
    timeframe: str | None
    rule_return: float
    finer_return: float

    def describe(self) -> str:
        """One line for people."""
        if not self.by_rule + self.by_finer:
            return "no bar touched both stop and target"
        words = f"{self.by_rule + self.by_finer} exits in bars that touched both stop and target"
        if self.timeframe is None:
            return f"{words}; no finer candles are stored, so the stop came first"
        return (
            f"{words}: {self.by_finer} decided by {self.timeframe} candles (return "
            f"{self.finer_return:.2%} instead of {self.rule_return:.2%} with the stop always "
            f"first), {self.by_rule} by the rule"
        )


def exit_order(
    settings: Settings,
    universe: Universe,
    stretches: Sequence[TradedSymbol],
    options: PaperOptions,
) -> ExitOrder:
    """Backtest the stretches with the stop first, and again with the finer candles there are."""
    by_rule = by_finer = 0
    returns: list[tuple[float, float]] = []
    timeframes: set[str] = set()
    for traded in stretches:
        finer = finer_bars(settings, universe, traded.bars)
        if finer is not None:
            timeframes.add(finer.timeframe)
        exits = exits_for(traded.maker, options.exits)
        signals = expected_signals(traded, known_features(options.costs, exits, options.sizing))
        plain, shown = (
            simulate(
                traded.bars,
                signals,
                costs=options.costs,
                exits=exits,
                sizing=options.sizing,
                funding=traded.funding,
                history=traded.history,
                finer=inside,
            )
            for inside in (None, finer)
        )
        by_rule += shown.ambiguous_exits
        by_finer += shown.resolved_exits
        returns.append((plain.metrics.total_return, shown.metrics.total_return))
    rule_return, finer_return = (sum(each) / len(returns) for each in zip(*returns, strict=True))
    finest = min(timeframes, key=timeframe_ns) if timeframes else None
    return ExitOrder(by_rule, by_finer, finest, rule_return, finer_return)


def finer_bars(settings: Settings, universe: Universe, bars: Bars) -> Bars | None:
    """The finest candles at hand that divide these bars, over their span; None where none are."""
    start_ns, end_ns = int(bars.open_time[0]), int(bars.close_time[-1])
    if not bars.is_simulated:
        store = BarStore(settings.data.store_folder)
        found = [
            entry.timeframe
            for entry in store.catalog()
            if entry.symbol == bars.symbol
            and timeframe_ns(entry.timeframe) < bars.interval_ns
            and bars.interval_ns % timeframe_ns(entry.timeframe) == 0
        ]
        if found:
            finest = min(found, key=timeframe_ns)
            inside = store.load(bars.symbol, finest, start_ns=start_ns, end_ns=end_ns)
            return inside if len(inside) else None
    if timeframe_ns(universe.timeframe) >= bars.interval_ns:
        return None
    same = [one for one in universe.bars if one.symbol == bars.symbol]
    return same[0].between(start_ns, end_ns) if same else None
