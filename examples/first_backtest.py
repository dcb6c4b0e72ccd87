"""A first backtest: simulated candles, one strategy, its numbers. Run: python examples/first_backtest.py"""

from crypto_bot.engine import CostOptions, ExitOptions, exits_for, simulate
from crypto_bot.market import SimulationOptions, simulate_market
from crypto_bot.strategies import get_strategy


def main() -> None:
    # Your own: BarStore("data/market").load("BTC/USDT", "1h"), after `make demo DATA=folder`.
    (bars,) = simulate_market(SimulationOptions(symbols=1, timeframe="1h", bars=10_000))
    strategy = get_strategy("breakout_bot")
    result = simulate(
        bars,
        strategy.signals_on(bars),
        costs=CostOptions(taker_fee_frac=0.001, slippage_frac=0.0005),
        exits=exits_for(strategy, ExitOptions(stop_loss_frac=0.03, take_profit_frac=0.06)),
    )
    metrics = result.metrics
    print(f"SIMULATED {bars.symbol} {bars.timeframe}, {len(bars):,} bars, {strategy.name}")
    print(f"return     {metrics.total_return:+.1%}  (holding: {metrics.buy_and_hold_return:+.1%})")
    print(f"drawdown   {metrics.max_drawdown:.1%}")
    print(f"Sharpe     {metrics.sharpe:.2f}")
    print(f"trades     {metrics.trades}, {metrics.win_rate:.0%} of them won")
    print(f"fees paid  {metrics.fees_quote:,.0f} USDT")


if __name__ == "__main__":
    main()
