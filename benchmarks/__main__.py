"""`make bench`: run every benchmark, print one table, write results/latest.json and README's figures."""

from __future__ import annotations

import importlib
import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
LIBRARIES = ("numpy", "numba", "polars", "lightgbm", "scikit-learn", "TA-Lib")


def hardware() -> dict[str, Any]:
    """What the figures were taken on."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = lines[0].split(":", 1)[1].strip() if lines else model
    return {"processor": model, "cores": os.cpu_count(), "system": platform.platform()}


def versions() -> dict[str, str]:
    """Of the libraries that the figures depend on."""
    return {name: version(name) for name in LIBRARIES}


def collect(names: list[str]) -> list[dict[str, Any]]:
    """Rows of the named benchmarks, or of all."""
    modules = names or sorted(path.stem for path in HERE.glob("bench_*.py"))
    rows = []
    for module in modules:
        print(f"running {module} ...", file=sys.stderr)
        rows += importlib.import_module(f"benchmarks.{module}").run()
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as an aligned text table."""
    lines = [("figure", "value", "unit", "target", "holds")]
    for row in rows:
        holds = {True: "yes", False: "NO", None: ""}[row.get("holds")]
        target = "" if row.get("target") is None else str(row["target"])
        lines.append((row["name"], f"{row['value']:,.4g}", row["unit"], target, holds))
    widths = [max(len(line[column]) for line in lines) for column in range(5)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def main() -> int:
    """Run, print, write; exit 0 also when a figure is missed: it is shown as missed."""
    names = sys.argv[1:]
    rows = collect(names)
    print(table(rows))
    if not names:
        report = {
            "measured_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "hardware": hardware(),
            "python": platform.python_version(),
            "versions": versions(),
            "rows": rows,
        }
        path = HERE / "results" / "latest.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(report, indent=2, default=lambda value: value.item()) + "\n")
        print(f"written: {path.relative_to(HERE.parent)}")
        subprocess.run([sys.executable, str(HERE.parent / "scripts" / "figures.py")], check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
