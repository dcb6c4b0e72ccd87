"""Is it luck? In: backtests, returns, how often one tried. Out: probabilities, intervals, baselines."""

from crypto_bot.significance.baselines import break_even_cost_frac, buy_and_hold
from crypto_bot.significance.bootstrap import (
    BootstrapOptions,
    Interval,
    Statistic,
    bootstrap_interval,
    stationary_rows,
)
from crypto_bot.significance.random_entries import (
    RandomEntry,
    RandomEntryOptions,
    random_entry_p_value,
)
from crypto_bot.significance.sharpe import (
    ReturnMoments,
    deflated_sharpe,
    expected_maximum_sharpe,
    probabilistic_sharpe,
    return_moments,
    trial_variance,
)

__all__ = [
    "BootstrapOptions",
    "Interval",
    "RandomEntry",
    "RandomEntryOptions",
    "ReturnMoments",
    "Statistic",
    "bootstrap_interval",
    "break_even_cost_frac",
    "buy_and_hold",
    "deflated_sharpe",
    "expected_maximum_sharpe",
    "probabilistic_sharpe",
    "random_entry_p_value",
    "return_moments",
    "stationary_rows",
    "trial_variance",
]
