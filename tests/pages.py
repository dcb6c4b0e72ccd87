"""The pages of this project and the fenced blocks in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [README, *(ROOT / f"{n}.md" for n in ("ARCHITECTURE", "CHANGELOG", "CONTRIBUTING")), *DOCS]
NOT_RUN = "<!-- not run -->"
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    page: Path
    language: str
    code: str
    is_run: bool

    @property
    def name(self) -> str:
        return f"{self.page.name}-{self.code.count(chr(10))}-lines"


def blocks(page: Path) -> Iterator[Block]:
    """Fenced blocks; one after `<!-- not run -->` is not run."""
    text = page.read_text(encoding="utf-8")
    for match in _FENCE.finditer(text):
        is_run = not text[: match.start()].rstrip().endswith(NOT_RUN)
        yield Block(page, match[1], match[2], is_run)


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))
