"""The slippage of our own fills, charged to a run's backtests where the settings ask for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from crypto_bot.backtest.candles import Universe
from crypto_bot.backtest.workbench import Workbench
from crypto_bot.core.orders import Fill
from crypto_bot.feedback import SlippageEstimate, measured_slippage
from crypto_bot.feedback.slippage import SymbolSlippage

STEP = "slippage"
MOST_RUNS = 20
"""Of the newest runs with fills; older fills met another market."""


def charged(bench: Workbench, run_id: str, universe: Universe) -> Workbench:
    """A workbench whose costs charge the slippage measured on the fills of earlier runs.

    The same one where `feedback.use_measured_slippage` is off. What was measured is kept with the run:
    taken up after a stop, it charges the same again, whatever was filled since.

    Notes
    -----
    All fills there are today are PAPER fills, which repeat what their own run was charged;
    `slippage_notes` says so.
    """
    if not bench.settings.feedback.use_measured_slippage:
        return bench
    with bench.journal.step(run_id, STEP) as step:
        if not step.is_done:
            found = own_slippage(bench, run_id, universe)
            step.finish(None if found is None else found.to_dict())
    kept = step.result
    return replace(bench, slippage=None if kept is None else _estimate(kept))


def own_slippage(bench: Workbench, run_id: str, universe: Universe) -> SlippageEstimate | None:
    """Measured on the fills of other runs of the same kind of candles; None without any."""
    candles = {bars.symbol: bars for bars in universe.bars}
    fills: list[Fill] = []
    with_fills = 0
    for run in bench.journal.runs():
        if run.id == run_id or run.is_simulated != universe.is_simulated:
            continue
        found = bench.journal.fills(run.id)
        fills += found
        with_fills += bool(found)
        if with_fills == MOST_RUNS:
            break
    return measured_slippage(fills, candles, source="paper")


def slippage_notes(bench: Workbench) -> tuple[str, ...]:
    """What is charged and why, both numbers in it; nothing where the key is off."""
    if not bench.settings.feedback.use_measured_slippage:
        return ()
    configured = bench.settings.costs.slippage_frac
    if bench.slippage is None:
        return (f"no own fills to measure: costs.slippage_frac {configured:g} is charged",)
    return (bench.slippage.describe(configured),)


def _estimate(kept: dict[str, Any]) -> SlippageEstimate:
    by_symbol = {name: SymbolSlippage(**each) for name, each in kept["by_symbol"].items()}
    return SlippageEstimate(**{**kept, "by_symbol": by_symbol})
