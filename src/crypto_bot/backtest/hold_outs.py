"""Untouched candles are untouched once: who was judged on which stretch, and when that must stop."""

from __future__ import annotations

from crypto_bot.backtest.workbench import Workbench
from crypto_bot.core import Bars
from crypto_bot.core.errors import DataError
from crypto_bot.core.timeframes import iso_time

USED = "hold_out_used"
"""Event in the journal: a version was judged on a stretch it had not seen."""
_SAME_SHARE = 0.5
"""A stretch is the same hold-out where so much of it was used before."""


def spend_hold_out(bench: Workbench, run_id: str, symbol: str, version: str, unseen: Bars) -> None:
    """Write down that `version` is judged on `unseen`; refuse where others used it up.

    Parameters
    ----------
    unseen : Bars    the candles it is about to be judged on

    Raises
    ------
    DataError    `validation.hold_out_uses` other versions were judged on at least half of it

    Notes
    -----
    Judging the same version again shows nothing new and costs nothing. Judging one version after
    another until one looks good is a search, and these candles can no longer tell luck from skill.
    The journal is written before the judgement: a judgement that was cut off counts.
    """
    start_ns, end_ns = int(unseen.open_time[0]), int(unseen.close_time[-1])
    most = bench.settings.validation.hold_out_uses
    used = _used_by(bench, symbol, start_ns, end_ns, is_simulated=unseen.is_simulated)
    others = sorted(used - {version})
    if version not in used and len(others) >= most:
        raise DataError(
            f"{symbol} hold-out from {iso_time(start_ns)} to {iso_time(end_ns)} must judge "
            f"at most {most} version{'s' if most > 1 else ''}, was spent on {', '.join(others)}; "
            "give newer candles, or raise validation.hold_out_uses and trust the verdict less"
        )
    detail = {"start_ns": start_ns, "end_ns": end_ns, "is_simulated": unseen.is_simulated}
    bench.journal.model_event(run_id, symbol, version, USED, detail)


def _used_by(
    bench: Workbench, symbol: str, start_ns: int, end_ns: int, *, is_simulated: bool
) -> set[str]:
    found = set()
    for event in bench.journal.model_events(symbol=symbol, event=USED):
        known = event.detail
        shared = min(end_ns, known["end_ns"]) - max(start_ns, known["start_ns"])
        if known["is_simulated"] == is_simulated and shared >= _SAME_SHARE * (end_ns - start_ns):
            found.add(event.version)
    return found
