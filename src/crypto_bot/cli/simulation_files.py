"""What a simulation leaves behind: an equity curve as a table and a picture, and a summary."""

from __future__ import annotations

import io
from collections.abc import Mapping
from csv import writer
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from crypto_bot.cli.simulation_policies import Account
from crypto_bot.core import Bars
from crypto_bot.core.arrays import PerBar
from crypto_bot.core.files import write_file, write_json
from crypto_bot.core.timeframes import SECOND_NS, Clock, SystemClock, iso_time
from crypto_bot.report.drawing import blank_figure, png_bytes, quiet_axes
from crypto_bot.report.measures import drawdown, growth, thin
from crypto_bot.report.palette import BLUE, GREY, ORANGE


def stamp_of(folder: Path, pattern: str, clock: Clock | None = None) -> str:
    """UTC time for a file's name, such as 20261121_211500; never one that is taken there.

    `pattern` is a file's name with {} for the stamp.
    """
    now_ns = (SystemClock() if clock is None else clock).now_ns()
    stamp = datetime.fromtimestamp(now_ns // SECOND_NS, tz=UTC).strftime("%Y%m%d_%H%M%S")
    found, number = stamp, 2
    while (folder / pattern.format(found)).exists():
        found, number = f"{stamp}_{number}", number + 1
    return found


def write_account(
    folder: Path, account: Account, wanted: PerBar, unseen_from_ns: int, summary: Mapping[str, Any]
) -> list[Path]:
    """Equity as CSV and PNG, then the summary that names them; a killed command leaves no summary."""
    stamp = stamp_of(folder, "summary_{}.json")
    table, picture = folder / f"equity_{stamp}.csv", folder / f"equity_{stamp}.png"
    write_file(table, _equity_csv(account, wanted, unseen_from_ns))
    write_file(picture, _equity_png(account, unseen_from_ns))
    written = folder / f"summary_{stamp}.json"
    files = [table.name, picture.name]
    write_json(written, {**summary, "files": files})
    return [table, picture, written]


def _equity_csv(account: Account, wanted: PerBar, unseen_from_ns: int) -> str:
    text = io.StringIO()
    table = writer(text, lineterminator="\n")
    table.writerow(("time", "equity", "wanted", "held", "sample"))
    rows = zip(
        account.bars.close_time.tolist(),
        account.bars.open_time.tolist(),
        account.equity.tolist(),
        wanted.tolist(),
        account.held.tolist(),
        strict=True,
    )
    for closed_ns, opened_ns, equity, share, held in rows:
        sample = "out" if opened_ns >= unseen_from_ns else "in"
        table.writerow((iso_time(closed_ns), f"{equity:.8g}", f"{share:g}", f"{held:.10g}", sample))
    return text.getvalue()


def _seen(bars: Bars, unseen_from_ns: int) -> str:
    """What a title says of candles that all lie on one side of the end of training."""
    if unseen_from_ns > int(bars.open_time[-1]):
        return ", SEEN IN TRAINING: says nothing of skill"
    return ", never seen in training" if unseen_from_ns <= int(bars.open_time[0]) else ""


def _equity_png(account: Account, unseen_from_ns: int) -> bytes:
    figure = blank_figure(10.0, 6.0)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    bars = account.bars
    rows = thin([account.equity, bars.close], most=3_000)
    moments = bars.close_time[rows].astype("datetime64[ns]")
    upper.plot(moments, growth(account.equity)[rows], color=BLUE, linewidth=1.2, label="model")
    upper.plot(
        moments, growth(bars.close)[rows], color=GREY, linewidth=0.9, label="price, no costs"
    )
    lower.plot(moments, 100.0 * drawdown(account.equity)[rows], color=BLUE, linewidth=0.9)
    if int(bars.open_time[0]) < unseen_from_ns <= int(bars.open_time[-1]):
        place: Any = moments.dtype.type(unseen_from_ns, "ns")
        upper.axvline(place, color=ORANGE, linestyle="--", label="out of sample from here")
        lower.axvline(place, color=ORANGE, linestyle="--")
    upper.set_ylabel("growth of 1")
    lower.set_ylabel("drawdown, %")
    upper.legend(frameon=False, loc="best", fontsize=9)
    upper.set_title(f"{bars.symbol} {bars.timeframe}{_seen(bars, unseen_from_ns)}", fontsize=11)
    for axes in (upper, lower):
        quiet_axes(axes)
    return png_bytes(figure, is_simulated=bars.is_simulated)
