"""What was asked of a session by hand or by an alarm: stand aside, shrink, close. Durable first."""

from __future__ import annotations

from dataclasses import dataclass, replace

from crypto_bot.core.errors import ConfigError
from crypto_bot.journal import Journal

ALL = "ALL"
"""The symbol under which what concerns every symbol is written down."""
ASKED = "session_asked"
"""The event of the journal under which a wish is written down."""


@dataclass(frozen=True)
class Wish:
    """How new entries of a symbol are to be treated; empty reasons mean nothing was asked.

    aside : str      why nothing is opened
    frac : float     share of their size that entries are sent with
    shrunk : str     why
    closing : str    why what is held is closed, and nothing opened, for good
    """

    aside: str = ""
    frac: float = 1.0
    shrunk: str = ""
    closing: str = ""


class Standing:
    """The wishes in force, by symbol, and for all.

    Parameters
    ----------
    journal : Journal | None    each wish is written before it holds; an earlier start's are taken up
    run_id : str
    """

    def __init__(self, journal: Journal | None = None, run_id: str = "") -> None:
        self._journal = journal
        self._run_id = run_id
        self._wishes: dict[str, Wish] = {}
        if journal is not None:
            for event in journal.model_events(run_id=run_id, event=ASKED):
                self._wishes[event.symbol] = Wish(**event.detail)

    def of(self, symbol: str) -> Wish:
        """What holds for a symbol: the stricter of its own wish and that for all."""
        whole, own = self._wishes.get(ALL, Wish()), self._wishes.get(symbol, Wish())
        smaller = own if own.frac < whole.frac else whole
        return Wish(
            aside=whole.aside or own.aside,
            frac=smaller.frac,
            shrunk=smaller.shrunk,
            closing=whole.closing or own.closing,
        )

    @property
    def is_closing(self) -> bool:
        """Whether the whole session was asked to close."""
        return bool(self._wishes.get(ALL, Wish()).closing)

    def stand_aside(self, reason: str, symbol: str | None = None) -> None:
        """Open nothing until `resume`."""
        self._ask(symbol, aside=_said(reason))

    def shrink(self, frac: float, reason: str, symbol: str | None = None) -> None:
        """Send entries at this share of their size until `resume`."""
        if not 0.0 <= frac <= 1.0:
            raise ConfigError(f"frac must be within 0..1, was {frac}")
        self._ask(symbol, frac=float(frac), shrunk=_said(reason))

    def resume(self, symbol: str | None = None) -> None:
        """Open again, at full size; what was asked for all holds until all are resumed."""
        self._ask(symbol, aside="", frac=1.0, shrunk="")

    def close(self, reason: str) -> None:
        """Close everything at the next open and open nothing more, for good."""
        self._ask(None, closing=_said(reason))

    def _ask(self, symbol: str | None, **changes: object) -> None:
        key = ALL if symbol is None else symbol
        before = self._wishes.get(key, Wish())
        wish = replace(before, **changes)  # type: ignore[arg-type]
        if wish == before:
            return
        if self._journal is not None:
            detail = {"aside": wish.aside, "frac": wish.frac, "shrunk": wish.shrunk}
            detail["closing"] = wish.closing
            self._journal.model_event(self._run_id, key, "", ASKED, detail)
        self._wishes[key] = wish


def _said(reason: str) -> str:
    if not reason:
        raise ConfigError("reason must say why, was empty")
    return reason
