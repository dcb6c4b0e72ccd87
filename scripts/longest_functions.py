"""Print the ten longest functions of the sources; over 40 lines wants a reason (kernels: 100)."""

from __future__ import annotations

import ast
from pathlib import Path

SOURCES = Path(__file__).resolve().parents[1] / "src"


def main() -> None:
    rows = []
    for path in SOURCES.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                rows.append((length, f"{path.relative_to(SOURCES)}:{node.lineno} {node.name}"))
    for length, where in sorted(rows, reverse=True)[:10]:
        print(f"{length:5d}  {where}")


if __name__ == "__main__":
    main()
