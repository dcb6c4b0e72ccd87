"""A feature of your own: history and live from one step. Run: python examples/own_feature.py"""

from typing import NamedTuple

from crypto_bot.features import FeatureStream, compute_features, register_feature
from crypto_bot.market import SimulationOptions, simulate_market
from crypto_bot.validation import check_features_see_no_future


class Streak(NamedTuple):
    close: float
    bars: float


@register_feature("rising_streak", inputs=["close"], start=Streak(0.0, 0.0), warmup_bars=0,
                  settled_bars=None, definition="closes in a row above the one before")  # fmt: skip
def rising_streak_step(state, x):
    """`state` is what the step remembers, `x` this bar's inputs: it cannot look ahead."""
    bars = state.bars + 1.0 if 0.0 < state.close < x[0] else 0.0
    return Streak(x[0], bars), bars


def main() -> None:
    (bars,) = simulate_market(SimulationOptions(symbols=1, bars=2_000))
    names = ["rising_streak", "rising_streak~1", "rising_streak@1h", "rsi_14"]
    check_features_see_no_future(lambda some: compute_features(some, names), bars)
    history = compute_features(bars, names)
    stream = FeatureStream.from_history(bars[:-1], names)
    for bar in bars[-1:]:
        live = stream.update(bar)
    same = live.tobytes() == history.values[-1].tobytes()
    print(f"SIMULATED, longest streak: {history.column('rising_streak').max():.0f} bars")
    print(f"live equals history to the last bit: {same}")


if __name__ == "__main__":
    main()
