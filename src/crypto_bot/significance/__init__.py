"""Is it luck? In: backtests, returns, how often one tried. Out: probabilities, intervals, baselines."""

from crypto_bot.significance.baselines import break_even_cost_frac, buy_and_hold
from crypto_bot.significance.bootstrap import (
    BootstrapOptions,
    Interval,
    Statistic,
    bootstrap_interval,
    optimal_mean_block,
    stationary_rows,
)
from crypto_bot.significance.effective_trials import EffectiveTrials, effective_trials
from crypto_bot.significance.overfitting import (
    BacktestOverfitting,
    probability_of_backtest_overfitting,
)
from crypto_bot.significance.random_entries import (
    RandomEntry,
    RandomEntryOptions,
    random_entry_p_value,
)
from crypto_bot.significance.sensitivity import (
    COST_MULTIPLES,
    CostRow,
    Neighbourhood,
    RegimeShare,
    cost_sensitivity,
    parameter_sensitivity,
    regime_breakdown,
)
from crypto_bot.significance.sharpe import (
    ReturnMoments,
    deflated_sharpe,
    expected_maximum_sharpe,
    minimum_track_record,
    probabilistic_sharpe,
    return_moments,
    trial_variance,
)
from crypto_bot.significance.snooping import (
    SnoopingOptions,
    SuperiorAbility,
    step_m,
    superior_predictive_ability,
)

__all__ = [
    "COST_MULTIPLES",
    "BacktestOverfitting",
    "BootstrapOptions",
    "CostRow",
    "EffectiveTrials",
    "Interval",
    "Neighbourhood",
    "RandomEntry",
    "RandomEntryOptions",
    "RegimeShare",
    "ReturnMoments",
    "SnoopingOptions",
    "Statistic",
    "SuperiorAbility",
    "bootstrap_interval",
    "break_even_cost_frac",
    "buy_and_hold",
    "cost_sensitivity",
    "deflated_sharpe",
    "effective_trials",
    "expected_maximum_sharpe",
    "minimum_track_record",
    "optimal_mean_block",
    "parameter_sensitivity",
    "probabilistic_sharpe",
    "probability_of_backtest_overfitting",
    "random_entry_p_value",
    "regime_breakdown",
    "return_moments",
    "stationary_rows",
    "step_m",
    "superior_predictive_ability",
    "trial_variance",
]
