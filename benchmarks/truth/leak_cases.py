"""Planted leaks and their clean twins, in plain words, with their kind.

A leak names the check that has to find it; the functions are in leaks_in_bars, leaks_in_rows and
leaks_in_loops.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from benchmarks.truth import leaks_in_bars as bars
from benchmarks.truth import leaks_in_loops as loops
from benchmarks.truth import leaks_in_rows as rows
from benchmarks.truth.leak_material import FOLDS, SPLITS
from crypto_bot.validation import trainer_pipeline


class Case(NamedTuple):
    """One planted leak, or one clean thing (`caught_by` empty)."""

    name: str
    kind: str
    subject: Any
    caught_by: str = ""


_FUTURE = "check_features_see_no_future"
_PANEL = "check_panel_sees_no_future"
_ENDS = "check_labels_end_when_declared"
_PURGED = "check_split_purged"
_LATER = "check_pipeline_ignores_later_rows"
_LABELS = "check_pipeline_ignores_test_labels"
_LOOP = "check_bars_future_ignored"

LEAKS: tuple[Case, ...] = (
    Case("peeking feature", "feature", bars.next_return, _FUTURE),
    Case("centred window", "feature", bars.centred_mean, _FUTURE),
    Case("z-score over the whole history", "feature", bars.scaled_by_all_history, _FUTURE),
    Case("future-filled gap", "feature", bars.filled_backwards, _FUTURE),
    Case("higher timeframe before its bar closed", "feature", bars.open_higher_bar, _FUTURE),
    Case("resampled at the wrong end", "feature", bars.resampled_at_the_left, _FUTURE),
    Case("joined with the next stamp", "feature", bars.joined_forwards, _FUTURE),
    Case("constant of the symbol from its future", "feature", bars.known_for_ever, _FUTURE),
    Case("smoothed forwards and backwards", "feature", bars.smoothed_both_ways, _FUTURE),
    Case("wrong-lagged panel mean", "panel", bars.mean_of_the_next_bar, _PANEL),
    Case("beta of the whole history", "panel", bars.beta_of_all_history, _PANEL),
    Case("label horizon longer than declared", "label", bars.longer_than_declared, _ENDS),
    Case("label from the open candle", "label", bars.known_when_the_candle_opens, _ENDS),
    Case("un-purged overlap", "split", rows.unpurged, _PURGED),
    Case("shuffled split", "split", rows.shuffled, _PURGED),
    Case("k-fold purged on one side only", "split", rows.purged_on_one_side, _PURGED),
    Case("target in features", "rows", rows.target_in_features, "check_target_not_in_features"),
    Case("duplicate rows across the split", "rows", rows.doubled_rows, "check_no_duplicate_rows"),
    Case(
        "decided while the candle was open",
        "rows",
        rows.decided_at_the_open,
        "check_decided_after_close",
    ),
    Case("scaler on everything", "pipeline", rows.scaler_on_everything, _LATER),
    Case("gaps filled with the mean of all rows", "pipeline", rows.global_mean, _LATER),
    Case("selection before split", "pipeline", rows.selected_before_the_split, _LABELS),
    Case("target encoding on all rows", "pipeline", rows.target_encoded_on_all_rows, _LABELS),
    Case("early stopping on the test fold", "pipeline", rows.stopped_on_the_test, _LABELS),
    Case("calibration on the test fold", "pipeline", rows.calibrated_on_the_test, _LABELS),
    Case("oversampling before the split", "pipeline", rows.oversampled_before_the_split, _LATER),
    Case("sequence windows across the split", "pipeline", rows.windows_across_the_split, _LATER),
    Case(
        "windows longer than the embargo", "pipeline", rows.windows_longer_than_the_embargo, _LATER
    ),
    Case(
        "threshold chosen on the test fold", "pipeline", rows.threshold_chosen_on_the_test, _LABELS
    ),
    Case("trained on purged rows too", "pipeline", rows.trained_on_purged_rows_too, _LABELS),
    Case("retrained on the test fold", "pipeline", rows.retrained_on_the_test, _LABELS),
    Case(
        "setting chosen by the folds that judge it",
        "loop",
        loops.best_setting_on_the_same_folds,
        _LOOP,
    ),
    Case("label ends never told to the split", "loop", loops.labels_end_untold, _LOOP),
)

CLEAN: tuple[Case, ...] = (
    Case("last return", "feature", bars.last_return),
    Case("trailing window", "feature", bars.trailing_mean),
    Case("z-score over the past", "feature", bars.scaled_by_the_past),
    Case("gap filled from the past", "feature", bars.filled_forwards),
    Case("last closed higher bar", "feature", bars.closed_higher_bar),
    Case("joined with the last stamp", "feature", bars.joined_backwards),
    Case("the project's own features", "feature", bars.own_features),
    Case("panel mean of this bar", "panel", bars.mean_of_this_bar),
    Case("label end declared truly", "label", bars.declared_truly),
    *(
        Case(f"the project's {name} labels", "label", bars.own_labels(options))
        for name, options in loops.LABELS.items()
    ),
    Case("walk-forward split", "split", lambda: SPLITS[1]),
    Case("purged k-fold split", "split", lambda: FOLDS[1]),
    Case("rows as they are", "rows", rows.plain_rows),
    Case("a strong but honest feature", "rows", rows.strong_but_honest),
    Case("calendar features alone", "rows", rows.calendar_alone),
    Case("scaler in the fold", "pipeline", rows.scaler_in_the_fold),
    Case("gaps filled with the training mean", "pipeline", rows.training_mean),
    Case("selection in the fold", "pipeline", rows.selected_in_the_fold),
    Case("target encoding in the fold", "pipeline", rows.target_encoded_in_the_fold),
    Case("early stopping on a training slice", "pipeline", rows.stopped_on_a_training_slice),
    Case("calibration on a training slice", "pipeline", rows.calibrated_on_a_training_slice),
    Case("oversampling in the fold", "pipeline", rows.oversampled_in_the_fold),
    Case("sequence windows of the past", "pipeline", rows.windows_of_the_past),
    Case("threshold chosen in the fold", "pipeline", rows.threshold_chosen_in_the_fold),
    *(
        Case(f"the project's {name}", "pipeline", trainer_pipeline(trainer))
        for name, trainer in loops.TRAINERS.items()
    ),
    Case("setting fixed beforehand", "loop", loops.setting_fixed_beforehand),
    *(
        Case(f"the project's own loop with {name} labels", "loop", loops.our_own_loop(options))
        for name, options in loops.LABELS.items()
    ),
)
