"""Progress of long work on stderr: a bar on a terminal, nothing where nobody watches."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import Protocol, TypeVar

Item = TypeVar("Item")


class Progress(Protocol):
    """Told how far the work has come."""

    def advance(self, steps: int = 1) -> None:
        """Some more steps are done."""
        ...


class _Silent:
    def advance(self, steps: int = 1) -> None:
        del steps


_shown = threading.Lock()


@contextmanager
def progress(description: str, total: int | None) -> Iterator[Progress]:
    """A progress bar with remaining time for the body; silent when stderr is no terminal.

    Silent, too, inside another one: work that is made of smaller work shows one bar.
    """
    if not sys.stderr.isatty() or not _shown.acquire(blocking=False):
        yield _Silent()
        return
    try:
        yield from _bar(description, total)
    finally:
        _shown.release()


def _bar(description: str, total: int | None) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with RichProgress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(description, total=total)

        class _Shown:
            def advance(self, steps: int = 1) -> None:
                bars.advance(task, steps)

        yield _Shown()


def track(items: Iterable[Item], description: str, total: int | None = None) -> Iterator[Item]:
    """Yield `items`, showing how many are done."""
    count = len(items) if total is None and isinstance(items, Sized) else total
    with progress(description, count) as shown:
        for item in items:
            yield item
            shown.advance()
