"""Leak canaries: every planted leak is caught by the check named for it, no clean thing is reported."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from benchmarks.truth.leak_cases import CLEAN, LEAKS, Case
from benchmarks.truth.leak_material import BARS, FOLDS, PANEL, ROWS, SPLITS
from crypto_bot.core.errors import LeakError
from crypto_bot.validation import (
    check_bars_future_ignored,
    check_decided_after_close,
    check_features_see_no_future,
    check_labels_end_when_declared,
    check_no_duplicate_rows,
    check_panel_sees_no_future,
    check_pipeline_ignores_later_rows,
    check_pipeline_ignores_test_labels,
    check_split_purged,
    check_target_not_in_features,
)


class CanaryRow(NamedTuple):
    """What the checks said of one case.

    `reported` are all checks that raised; `caught_by` is the one that had to, "" for a clean case.
    """

    name: str
    caught_by: str
    reported: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """A leak is caught by its named check; a clean case is reported by none."""
        return self.caught_by in self.reported if self.caught_by else not self.reported


def _rows_checks(case: Case) -> Sequence[Callable[[], None]]:
    dataset, split, bars = case.subject()
    return (
        lambda: check_target_not_in_features(dataset),
        lambda: check_no_duplicate_rows(dataset, split),
        lambda: check_decided_after_close(dataset, [bars]),
        lambda: check_split_purged(split, dataset.decided_at_ns, dataset.label_end_ns),
    )


def _split_checks(case: Case) -> Sequence[Callable[[], None]]:
    split = case.subject()
    return (
        lambda: check_split_purged(split, ROWS.decided_at_ns, ROWS.label_end_ns),
        lambda: check_no_duplicate_rows(ROWS, split),
    )


def _pipeline_checks(case: Case) -> Sequence[Callable[[], None]]:
    return [
        lambda check=check, splits=splits: check(case.subject, ROWS, splits)
        for check in (check_pipeline_ignores_test_labels, check_pipeline_ignores_later_rows)
        for splits in (SPLITS, FOLDS)
    ]


CHECKS: Mapping[str, Callable[[Case], Sequence[Callable[[], Any]]]] = {
    "feature": lambda case: [lambda: check_features_see_no_future(case.subject, BARS)],
    "panel": lambda case: [lambda: check_panel_sees_no_future(case.subject, PANEL)],
    "label": lambda case: [lambda: check_labels_end_when_declared(case.subject, BARS)],
    "split": _split_checks,
    "rows": _rows_checks,
    "pipeline": _pipeline_checks,
    "loop": lambda case: [lambda: check_bars_future_ignored(case.subject, [BARS])],
}
"""Every check that applies to a kind of case; all of them are run on each."""


def run_canaries(cases: Sequence[Case] = LEAKS + CLEAN) -> list[CanaryRow]:
    """Run every check that applies to each case."""
    return [CanaryRow(case.name, case.caught_by, _reported(case)) for case in cases]


def _reported(case: Case) -> tuple[str, ...]:
    found = []
    for check in CHECKS[case.kind](case):
        try:
            check()
        except LeakError as leak:
            found.append(str(leak).split(":", maxsplit=1)[0])
    return tuple(dict.fromkeys(found))


if __name__ == "__main__":
    for row in run_canaries():
        print(f"{'ok' if row.holds else 'NO':3} {row.name:45} {', '.join(row.reported) or '-'}")
