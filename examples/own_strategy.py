"""A strategy of your own, swept beside a built-in one. Run: python examples/own_strategy.py"""

import numpy as np
from pydantic import Field

from crypto_bot.core import Signals
from crypto_bot.engine import sweep
from crypto_bot.market import SimulationOptions, simulate_market
from crypto_bot.strategies import StrategyParameters, parameter_grid, strategy


class PullbackParameters(StrategyParameters):
    trend_bars: int = Field(default=50, ge=10, le=300, description="window of the trend, bars")
    dip: float = Field(default=35.0, ge=5, le=60, description="buy below this RSI")

    def features(self) -> tuple[str, ...]:
        return (f"sma_{self.trend_bars}", "rsi_14")


@strategy("pullback", parameters=PullbackParameters, regime=("trending",), prices=("close",),
          signal_exit="flat")  # fmt: skip
def pullback(columns, parameters):
    """Long above the average while the RSI has dipped."""
    average, rsi = (columns[name] for name in parameters.features())
    direction = ((columns["close"] > average) & (rsi < parameters.dip)).astype(np.int8)
    return Signals(direction, direction.astype(np.float64))


def main() -> None:
    bars = simulate_market(SimulationOptions(symbols=3, timeframe="1h", bars=5_000))
    grids = {name: parameter_grid(name, 8) for name in ("pullback", "sma_cross")}
    found = sweep(bars, list(grids), grids=grids)
    columns = ["symbol", "strategy", "parameters", "sharpe", "total_return", "trades"]
    print("SIMULATED, the best of all settings; without an edge even they mostly lose:")
    print(found.table.sort("sharpe", descending=True, nulls_last=True).select(columns).head(6))


if __name__ == "__main__":
    main()
