"""Stage 7, rows a model never saw. In: a `Dataset`, a `Trainer`, splits. Out: predictions, leaks named.

Every cut and every prediction is checked for leaks by name. The checks are for your own features,
labels and pipelines too: each raises LeakError and begins its message with its own name.
"""

from crypto_bot.validation.class_baseline import ClassBaseline, class_baseline
from crypto_bot.validation.every_bar import every_bar_columns
from crypto_bot.validation.leaks_bars import (
    check_bars_future_ignored,
    check_features_see_no_future,
    check_labels_end_when_declared,
    check_panel_sees_no_future,
)
from crypto_bot.validation.leaks_fitting import (
    Pipeline,
    check_pipeline_ignores_later_rows,
    check_pipeline_ignores_test_labels,
    check_scaler_inside_fold,
)
from crypto_bot.validation.leaks_rows import (
    area_under_curve,
    check_decided_after_close,
    check_no_duplicate_rows,
    check_predictions_out_of_sample,
    check_split_purged,
    check_target_not_in_features,
)
from crypto_bot.validation.null_labels import (
    NullScore,
    check_shuffled_labels_teach_nothing,
    shuffled_label_score,
)
from crypto_bot.validation.out_of_sample import (
    OutOfSample,
    out_of_sample,
    out_of_sample_paths,
    prediction_columns,
    trade_out_of_sample,
    trainer_pipeline,
)

__all__ = [
    "ClassBaseline",
    "NullScore",
    "OutOfSample",
    "Pipeline",
    "area_under_curve",
    "check_bars_future_ignored",
    "check_decided_after_close",
    "check_features_see_no_future",
    "check_labels_end_when_declared",
    "check_no_duplicate_rows",
    "check_panel_sees_no_future",
    "check_pipeline_ignores_later_rows",
    "check_pipeline_ignores_test_labels",
    "check_predictions_out_of_sample",
    "check_scaler_inside_fold",
    "check_shuffled_labels_teach_nothing",
    "check_split_purged",
    "check_target_not_in_features",
    "class_baseline",
    "every_bar_columns",
    "out_of_sample",
    "out_of_sample_paths",
    "prediction_columns",
    "shuffled_label_score",
    "trade_out_of_sample",
    "trainer_pipeline",
]
