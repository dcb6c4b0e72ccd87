"""Write the table of figures into README.md from benchmarks/results/latest.json; `make bench` calls it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "latest.json"
README = ROOT / "README.md"
TRUTH = ROOT / "benchmarks" / "results" / "truth.json"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
TRUTH_BEGIN, TRUTH_END = "<!-- truth: begin -->", "<!-- truth: end -->"


def figures_table(
    report: dict[str, Any], file: str = "latest.json", *, all_rows: bool = False
) -> str:
    """Every figure that has a target, or all, and what they were taken on."""
    lines = ["| figure | value | unit | target | holds |", "|---|---:|---|---:|---|"]
    lines += [_line(row) for row in report["rows"] if all_rows or row.get("target") is not None]
    machine = report["hardware"]
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    lines.append("")
    lines.append(
        f"{report['measured_at'][:10]}, {machine['processor']}, {machine['cores']} cores, Python "
        f"{report['python']}, {versions}. All rows: [{file}](benchmarks/results/{file})."
    )
    return "\n".join(lines)


def _line(row: dict[str, Any]) -> str:
    holds = {True: "yes", False: "**no**", None: ""}[row.get("holds")]
    if str(row["target"]) == "1" and row["unit"] in ("", "0/1"):
        return f"| {row['name']} | {holds} | | yes | {holds} |"
    return f"| {row['name']} | {row['value']:,.4g} | {row['unit']} | {_target(row)} | {holds} |"


def _target(row: dict[str, Any]) -> str:
    if row.get("target") is None:
        return ""
    return str(row["target"]).replace("<=", "≤").replace(">=", "≥")


def with_figures(page: str, table: str, begin: str = BEGIN, end: str = END) -> str:
    """The page with what stands between the markers replaced."""
    if page.count(begin) != 1 or page.count(end) != 1:
        raise ValueError(f"README.md must hold {begin} and {end} once each")
    before, rest = page.split(begin)
    return f"{before}{begin}\n{table}\n{end}{rest.split(end)[1]}"


def measured(page: str) -> str:
    """The page with both tables as they were last measured."""
    table = figures_table(json.loads(RESULTS.read_text(encoding="utf-8")))
    page = with_figures(page, table)
    if TRUTH.exists():
        truth = json.loads(TRUTH.read_text(encoding="utf-8"))
        table = figures_table(truth, TRUTH.name, all_rows=True)
        page = with_figures(page, table, TRUTH_BEGIN, TRUTH_END)
    return page


def main() -> int:
    """Rewrite README.md; exit 1 where nothing was measured yet."""
    if not RESULTS.exists():
        print(f"{RESULTS.relative_to(ROOT)} is not there; run: make bench", file=sys.stderr)
        return 1
    page = measured(README.read_text(encoding="utf-8"))
    README.write_text(page, encoding="utf-8")
    print(f"written: the figures in {README.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
