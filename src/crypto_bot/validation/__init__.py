"""Stage 7, is it real? In: a `Dataset`, a `Trainer`, backtests. Out: out-of-sample results, a `Verdict`.

History is cut by time, purged by each label's true end and embargoed; every cut and every prediction
is checked for leaks by name; the result is held against luck, costs, holding and the champion.
"""

from crypto_bot.validation.baselines import (
    ClassBaseline,
    break_even_cost_frac,
    buy_and_hold,
    class_baseline,
)
from crypto_bot.validation.evidence import (
    Pooled,
    annual_sharpe,
    gather_evidence,
    pool_results,
)
from crypto_bot.validation.gate import (
    ChampionEvidence,
    Check,
    ClassMeasure,
    Evidence,
    GateOptions,
    Verdict,
    judge,
)
from crypto_bot.validation.leaks import (
    check_features_see_no_future,
    check_predictions_out_of_sample,
    check_scaler_inside_fold,
    check_split_purged,
)
from crypto_bot.validation.null_labels import (
    NullScore,
    area_under_curve,
    check_shuffled_labels_teach_nothing,
    shuffled_label_score,
)
from crypto_bot.validation.out_of_sample import (
    OutOfSample,
    out_of_sample,
    prediction_columns,
    trade_out_of_sample,
)
from crypto_bot.validation.random_entries import (
    RandomEntry,
    RandomEntryOptions,
    random_entry_p_value,
)
from crypto_bot.validation.significance import (
    BootstrapOptions,
    Interval,
    ReturnMoments,
    Statistic,
    bootstrap_interval,
    deflated_sharpe,
    expected_maximum_sharpe,
    probabilistic_sharpe,
    return_moments,
    trial_variance,
)
from crypto_bot.validation.splits import (
    SPLITTERS,
    Holdout,
    Split,
    Splitter,
    WalkForwardOptions,
    WindowMode,
    split_dataset,
    split_holdout,
    walk_forward_splits,
)

__all__ = [
    "SPLITTERS",
    "BootstrapOptions",
    "ChampionEvidence",
    "Check",
    "ClassBaseline",
    "ClassMeasure",
    "Evidence",
    "GateOptions",
    "Holdout",
    "Interval",
    "NullScore",
    "OutOfSample",
    "Pooled",
    "RandomEntry",
    "RandomEntryOptions",
    "ReturnMoments",
    "Split",
    "Splitter",
    "Statistic",
    "Verdict",
    "WalkForwardOptions",
    "WindowMode",
    "annual_sharpe",
    "area_under_curve",
    "bootstrap_interval",
    "break_even_cost_frac",
    "buy_and_hold",
    "check_features_see_no_future",
    "check_predictions_out_of_sample",
    "check_scaler_inside_fold",
    "check_shuffled_labels_teach_nothing",
    "check_split_purged",
    "class_baseline",
    "deflated_sharpe",
    "expected_maximum_sharpe",
    "gather_evidence",
    "judge",
    "out_of_sample",
    "pool_results",
    "prediction_columns",
    "probabilistic_sharpe",
    "random_entry_p_value",
    "return_moments",
    "shuffled_label_score",
    "split_dataset",
    "split_holdout",
    "trade_out_of_sample",
    "trial_variance",
    "walk_forward_splits",
]
