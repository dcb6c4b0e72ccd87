"""Headerless candles read a stretch at a time give what reading them at once gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from candle_files_made import market
from crypto_bot.core.errors import DataError
from crypto_bot.market import RefusedCandles
from crypto_bot.market.candle_files import NotCandles
from crypto_bot.market.chunked import OutOfOrder, clean_in_stretches, read_csv7
from crypto_bot.market.importing import read_candles

SECOND_NS = 1_000_000_000


def lines(bars: int = 600) -> list[str]:
    """CSV7 of a small market with gaps, a spike, repeated rows and bars without volume."""
    found = market(bars)
    columns = np.column_stack([found.open, found.high, found.low, found.close, found.volume])
    columns[200, 1] *= 1.5
    columns[300:305, 4] = 0.0
    columns[499:503, 4] = 0.0
    rows = [
        ",".join([str(int(time) // SECOND_NS), *(repr(float(v)) for v in row), "7"])
        for time, row in zip(found.open_time, columns, strict=True)
    ]
    return rows[:100] + rows[103:250] + [rows[249]] + rows[250:498] + rows[499:]


def written(folder: Path, rows: list[str]) -> Path:
    path = folder / "XRPUSD.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def in_stretches(path: Path, stretches: list[list[str]], timeframe: str | None = None):
    """The report and what was handed on, of a file read in just these stretches."""
    handed, first = [], 1
    parts = []
    for rows in stretches:
        piece = path.with_name("piece.csv")
        piece.write_text("\n".join(rows) + "\n")
        for raw in read_csv7(piece, "XRP/USD", 10**6):
            parts.append(raw._replace(path=path, row=raw.row + first - 1))
        first += len(rows)
    report = clean_in_stretches(iter(parts), timeframe, handed.append)
    return report, handed


@pytest.mark.parametrize("size", [31, 100, 248, 10_000])
def test_the_report_and_the_candles_are_those_of_the_whole_file(tmp_path, size):
    rows = lines()
    path = written(tmp_path, rows)
    bars, whole = read_candles(path, symbol="XRP/USD")
    pieces = [rows[i : i + size] for i in range(0, len(rows), size)]
    report, handed = in_stretches(path, pieces)
    assert report.gaps == 2
    assert report.spikes == 1
    assert report.model_dump() == whole.model_dump()
    for name in ("open", "high", "low", "close", "volume"):
        found = np.concatenate([each.values[name] for each in handed])
        assert np.array_equal(found, getattr(bars, name))
    assert np.array_equal(np.concatenate([each.open_time for each in handed]), bars.open_time)


def test_a_file_is_cut_at_line_ends_and_every_row_keeps_its_number(tmp_path):
    path = written(tmp_path, lines())
    small = list(read_csv7(path, "XRP/USD", 20))
    (whole,) = read_csv7(path, "XRP/USD", 10**6)
    assert len(small) > 10
    assert np.concatenate([each.row for each in small]).tolist() == whole.row.tolist()
    assert np.concatenate([each.open_time for each in small]).tolist() == whole.open_time.tolist()


def test_milliseconds_are_told_from_seconds(tmp_path):
    rows = [line.replace(",", "000,", 1) for line in lines()]
    (raw,) = read_csv7(written(tmp_path, rows), "XRP/USD", 10**6)
    assert raw.epoch_units == {"ms": len(rows)}
    assert int(raw.open_time[0]) == int(market(600).open_time[0])


def test_a_header_or_other_columns_are_refused(tmp_path):
    with pytest.raises(NotCandles, match="must have no header, began with ts"):
        list(read_csv7(written(tmp_path, ["ts,o,h,l,c,v,trades", *lines()]), "XRP/USD", 100))
    with pytest.raises(NotCandles, match="began with bytes that are no text; use import-csv"):
        list(read_csv7(written(tmp_path, ["PAR1\x15\x04,,,,,,"]), "XRP/USD", 100))
    six = [line.rsplit(",", 1)[0] for line in lines()]
    with pytest.raises(NotCandles, match=r"7 columns ts, open.*, had 6; use import-csv"):
        list(read_csv7(written(tmp_path, six), "XRP/USD", 100))


def test_stretches_out_of_order_and_broken_prices_are_refused(tmp_path):
    rows = lines()
    with pytest.raises(OutOfOrder, match="must be in time order, was not at row 298"):
        in_stretches(tmp_path / "x.csv", [rows[300:], rows[:300]])
    bad = rows[400].split(",")
    bad[2] = "0.5"
    broken = [*rows[:400], ",".join(bad), *rows[401:]]
    with pytest.raises(RefusedCandles, match=r"row 401 .*high and low must enclose"):
        in_stretches(tmp_path / "x.csv", [broken[:300], broken[300:]])
    with pytest.raises(DataError, match="must be a number, was 'much'"):
        in_stretches(tmp_path / "x.csv", [[rows[0], rows[1][:-1] + "much"]])


def test_two_values_of_one_candle_are_refused_across_a_cut(tmp_path):
    rows = lines()
    other = rows[299].split(",")
    other[5] = "123.0"
    with pytest.raises(RefusedCandles, match="a candle must have one value"):
        in_stretches(tmp_path / "x.csv", [rows[:300], [",".join(other), *rows[300:]]])


def test_an_empty_file_and_an_empty_volume_column(tmp_path):
    with pytest.raises(DataError, match="must hold candles, was empty"):
        in_stretches(tmp_path / "x.csv", [])
    rows = [",".join([*line.split(",")[:5], "", "7"]) for line in lines()]
    path = written(tmp_path, rows)
    _, whole = read_candles(path, symbol="XRP/USD")
    report, _ = in_stretches(path, [rows[:200], rows[200:]])
    assert report.repairs == (
        "volume column was empty, taken as 0",
        "1 identical duplicates dropped",
    )
    assert report.model_dump(exclude={"repairs"}) == whole.model_dump(exclude={"repairs"})
