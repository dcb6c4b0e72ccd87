"""The `portfolio` command: strategies and pairs on one cash account, shown and written down."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from crypto_bot.backtest.candles import Universe, describe, gather_candles
from crypto_bot.backtest.command import Result, say
from crypto_bot.backtest.summary import SIMULATED, number, percent
from crypto_bot.backtest.sweeping import funding_note
from crypto_bot.backtest.workbench import SIMULATED_SUFFIX, Workbench, open_workbench
from crypto_bot.core import TRADE
from crypto_bot.core.errors import CryptoBotError, DataError
from crypto_bot.core.files import write_file, write_json
from crypto_bot.core.timeframes import iso_time
from crypto_bot.engine import SizingOptions
from crypto_bot.engine.metrics import METRICS
from crypto_bot.journal import Trial
from crypto_bot.portfolio import (
    PortfolioOptions,
    PortfolioResult,
    Slot,
    equal_parts,
    equal_weight_index,
    portfolio_slots,
    simulate_portfolio,
)
from crypto_bot.report.drawing import blank_figure, png_bytes, quiet_axes
from crypto_bot.report.palette import GREY, SERIES
from crypto_bot.strategies import get_strategy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FOLDER = "out/portfolio"
_STACKED = 5
"""Strategies drawn by name; the rest together."""
_DRAWN = 1_000
"""Stretches of the curve, of each of which the extremes are drawn."""


def portfolio(options: argparse.Namespace) -> tuple[int, Result]:
    """Trade the named strategies on the named pairs and timeframes from one account."""
    with open_workbench(options.config, log="backtest", verbose=options.verbose) as bench:
        say(options, *bench.start_lines())
        universe = gather_candles(
            bench.settings,
            data=options.data,
            symbols=options.pairs,
            timeframes=options.timeframes,
        )
        say(options, describe(universe), *universe.notes, *funding_note(universe))
        run_id = bench.journal.start_run(
            "portfolio", bench.settings, is_simulated=universe.is_simulated
        )
        try:
            slots, result = trade_account(bench, universe, options.strategies, options.timeframes)
            sizing = account_sizing(bench, len(slots))
            _record(bench, run_id, universe, options, sizing, result)
            folder = write_portfolio(slots, result, _folder(options, universe))
        except CryptoBotError as error:
            bench.journal.finish_run(run_id, "failed", {"error": str(error)})
            raise
        summary = portfolio_summary(result, folder, run_id)
        bench.journal.finish_run(run_id, "done", {"final_equity": result.metrics.final_equity})
    lines = [*portfolio_lines(result), *share_lines(bench, sizing)]
    say(options, *lines, f"files in {folder}")
    return 0, summary


def trade_account(
    bench: Workbench,
    universe: Universe,
    strategies: Sequence[str],
    timeframes: Sequence[str],
) -> tuple[list[Slot], PortfolioResult]:
    """Every strategy on every pair and timeframe within the look-back window, each once.

    Features settle on the bars before it. Raises DataError where no pair has a bar to trade.
    """
    chosen = [get_strategy(name) for name in dict.fromkeys(strategies)]
    slots: list[Slot] = []
    for timeframe in dict.fromkeys(timeframes):
        bars = [one for one in universe.at(timeframe) if len(one.between(universe.start_ns, None))]
        slots += portfolio_slots(
            bars,
            chosen,
            exits=bench.exits,
            costs=bench.costs,
            sizing=bench.sizing,
            start_ns=universe.start_ns,
            funding=universe.funding,
        )
    if not slots:
        raise DataError(
            f"no pair has candles of {', '.join(timeframes)} in the look-back window; "
            "choose a finer timeframe or a longer lookback_days"
        )
    options = bench.settings.portfolio.of(PortfolioOptions)
    sizing = account_sizing(bench, len(slots))
    result = simulate_portfolio(slots, costs=bench.costs, sizing=sizing, options=options)
    return slots, result


def _record(
    bench: Workbench,
    run_id: str,
    universe: Universe,
    options: argparse.Namespace,
    sizing: SizingOptions,
    result: PortfolioResult,
) -> None:
    """A portfolio is one trial, whatever it holds."""
    parameters = {
        "strategies": list(options.strategies),
        "pairs": list(universe.symbols),
        "exits": bench.exits.model_dump(mode="json"),
        "costs": bench.costs.model_dump(),
        "sizing": sizing.model_dump(mode="json"),
        "portfolio": bench.settings.portfolio.model_dump(),
    }
    trial = Trial(
        symbol="*",
        timeframe=",".join(options.timeframes),
        strategy="portfolio",
        parameters=parameters,
        metrics={name: getattr(result.metrics, name) for name in METRICS},
        is_simulated=universe.is_simulated,
    )
    bench.journal.record_trials(run_id, [trial])


def _folder(options: argparse.Namespace, universe: Universe) -> Path:
    if options.output is not None:
        return Path(options.output)
    stamp = datetime.now(UTC).strftime("%Y%m%d_%H%M%S")
    return Path(FOLDER + (SIMULATED_SUFFIX if universe.is_simulated else "")) / stamp


def write_portfolio(slots: Sequence[Slot], result: PortfolioResult, folder: Path) -> Path:
    """Write the curve, the attribution, every trade and refusal, the picture and the summary."""
    curve = pl.DataFrame({"time_ns": result.times_ns, "equity": result.equity})
    write_file(folder / "equity.csv", curve.write_csv())
    write_file(folder / "attribution.csv", result.attribution.write_csv())
    write_file(folder / "refusals.csv", result.refusals.write_csv())
    write_file(folder / "trades.csv", _trade_table(slots, result).write_csv())
    write_file(folder / "portfolio.png", _picture(slots, result))
    write_json(folder / "summary.json", portfolio_summary(result, folder, ""))
    return folder


def _trade_table(slots: Sequence[Slot], result: PortfolioResult) -> pl.DataFrame:
    frames = []
    for slot, trades in zip(slots, result.trades, strict=True):
        columns = {name: trades[name] for name in TRADE.names or ()}
        frame = pl.DataFrame(columns).with_columns(
            strategy=pl.lit(slot.name), symbol=pl.lit(slot.bars.symbol)
        )
        frames.append(frame.select("strategy", "symbol", pl.exclude("strategy", "symbol")))
    return pl.concat(frames).sort("entry_time")


def portfolio_summary(result: PortfolioResult, folder: Path, run_id: str) -> dict[str, Any]:
    """The account in plain values."""
    by_limit = result.refusals.group_by("limit").len().sort("limit")
    return {
        "run_id": run_id,
        "is_simulated": result.is_simulated,
        "from": iso_time(int(result.times_ns[0])),
        "to": iso_time(int(result.times_ns[-1])),
        "metrics": {name: getattr(result.metrics, name) for name in METRICS},
        "attribution": result.attribution.to_dicts(),
        "refused": dict(by_limit.iter_rows()),
        "folder": str(folder),
    }


def portfolio_lines(result: PortfolioResult) -> list[str]:
    """The account on one screen."""
    mark = SIMULATED if result.is_simulated else ""
    metrics = result.metrics
    by_strategy = result.attribution.group_by("strategy", maintain_order=True).agg(
        pl.col("trades", "fees_quote", "financing_quote", "gain_quote").sum()
    )
    lines = [
        f"{mark}account: return {percent(metrics.total_return)}, Sharpe {number(metrics.sharpe)}, "
        f"drawdown {percent(-metrics.max_drawdown)}, {metrics.trades} trades; holding every pair "
        f"in equal parts gave {percent(metrics.buy_and_hold_return)}",
        f"{'strategy':<22}{'trades':>8}{'gain':>14}{'fees':>12}{'financing':>12}",
    ]
    lines += [
        f"{row['strategy']:<22}{row['trades']:>8}{row['gain_quote']:>14,.2f}"
        f"{row['fees_quote']:>12,.2f}{row['financing_quote']:>12,.2f}"
        for row in by_strategy.iter_rows(named=True)
    ]
    total = f"{sum(by_strategy['gain_quote']):>14,.2f}"
    paid = f"{metrics.fees_quote:>12,.2f}{sum(by_strategy['financing_quote']):>12,.2f}"
    lines.append(f"{'together':<22}{metrics.trades:>8}{total}{paid}")
    refused = result.refusals.group_by("limit").len().sort("limit")
    lines += [f"refused by {limit}: {count}" for limit, count in refused.iter_rows()]
    return lines


def account_sizing(bench: Workbench, slots: int) -> SizingOptions:
    """The configured sizes, the whole account cut into equal parts: one a position it may hold."""
    return equal_parts(bench.sizing, slots, bench.settings.portfolio.of(PortfolioOptions))


def share_lines(bench: Workbench, sizing: SizingOptions) -> list[str]:
    """That an entry takes a part of the account, where the configuration does not say which."""
    if sizing.fraction == bench.sizing.fraction:
        return []
    return [
        f"an entry takes 1/{1 / sizing.fraction:.0f} of the account, an equal part for each strategy "
        "and pair up to portfolio.max_open_positions; sizing.fraction sets another share"
    ]


def _picture(slots: Sequence[Slot], result: PortfolioResult) -> bytes:
    figure = blank_figure(9.0, 6.0)
    _draw(figure, slots, result)
    return png_bytes(figure, is_simulated=result.is_simulated)


def _draw(figure: Figure, slots: Sequence[Slot], result: PortfolioResult) -> None:
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    shown = shown_places(result.equity)
    times = result.times_ns[shown].astype("datetime64[ns]")
    metrics = result.metrics
    markets = list({(s.bars.symbol, s.bars.timeframe): s.bars for s in slots}.values())
    cash = float(result.equity[0] - result.gains[0].sum())
    above.plot(times, result.equity[shown], color="black", linewidth=1.2,
               label=f"the account: {metrics.total_return:+.1%}")  # fmt: skip
    held = cash * equal_weight_index(markets, result.times_ns).close
    above.plot(times, (held / held[0] * cash)[shown], color=GREY, linewidth=1.0,
               label=f"every pair held in equal parts: {metrics.buy_and_hold_return:+.1%}")  # fmt: skip
    above.set_ylabel(f"equity, {quote_of(slots)}")
    figure.suptitle(
        f"One account, {len(slots)} strategies and pairs: Sharpe {number(metrics.sharpe)}, "
        f"drawdown {percent(-metrics.max_drawdown)}, {metrics.trades} trades",
        fontsize=11,
    )
    for (name, gain), colour in zip(_gains(slots, result).items(), SERIES, strict=False):
        label = f"{name} {gain[-1]:+,.0f}"
        below.plot(times, gain[shown], label=label, color=colour, linewidth=1.1)
    below.axhline(0.0, color=GREY, linewidth=0.8)
    below.set_ylabel(f"earned, {quote_of(slots)}")
    for axes in (above, below):
        # Above the curves, never on them.
        axes.legend(frameon=False, fontsize=8, ncols=3, loc="lower left", bbox_to_anchor=(0, 0.98))
        axes.yaxis.set_major_formatter("{x:,.0f}")
        quiet_axes(axes)


def shown_places(equity: np.ndarray) -> np.ndarray:
    """Places to draw: the lowest and the highest of every stretch, the first and the last."""
    stretches = np.array_split(np.arange(len(equity)), min(len(equity), _DRAWN))
    ends = [place[fn(equity[place])] for place in stretches for fn in (np.argmin, np.argmax)]
    return np.unique([0, *ends, len(equity) - 1])


def quote_of(slots: Sequence[Slot]) -> str:
    """The currency of the account where all pairs share one."""
    quotes = {slot.bars.symbol.partition("/")[2].partition(":")[0] for slot in slots}
    return quotes.pop() if len(quotes) == 1 and "" not in quotes else "quote"


def _gains(slots: Sequence[Slot], result: PortfolioResult) -> Mapping[str, np.ndarray]:
    """What each strategy earned, the largest in size by name, the others together."""
    names = list(dict.fromkeys(slot.name for slot in slots))
    owner = np.array([names.index(slot.name) for slot in slots])
    gains = {name: result.gains[:, owner == place].sum(axis=1) for place, name in enumerate(names)}
    ranked = sorted(gains, key=lambda name: -abs(float(gains[name][-1])))
    shown = {name: gains[name] for name in ranked[:_STACKED]}
    rest = ranked[_STACKED:]
    return shown | ({"others": sum(gains[name] for name in rest)} if rest else {})
