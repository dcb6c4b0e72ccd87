"""Stage 7, rows a model never saw. In: a `Dataset`, a `Trainer`, splits. Out: predictions, leaks named.

Every cut and every prediction is checked for leaks by name.
"""

from crypto_bot.validation.class_baseline import ClassBaseline, class_baseline
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
    out_of_sample_paths,
    prediction_columns,
    trade_out_of_sample,
)

__all__ = [
    "ClassBaseline",
    "NullScore",
    "OutOfSample",
    "area_under_curve",
    "check_features_see_no_future",
    "check_predictions_out_of_sample",
    "check_scaler_inside_fold",
    "check_shuffled_labels_teach_nothing",
    "check_split_purged",
    "class_baseline",
    "out_of_sample",
    "out_of_sample_paths",
    "prediction_columns",
    "shuffled_label_score",
    "trade_out_of_sample",
]
