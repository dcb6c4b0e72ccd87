"""Who is told what: a message is in the journal before anybody is asked to take it, and stays until taken."""

from __future__ import annotations

import logging
import random
import threading
import time
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from types import TracebackType
from typing import Any, Protocol, Self

from pydantic import Field

from crypto_bot.core.errors import ConfigError, CryptoBotError
from crypto_bot.core.options import Options
from crypto_bot.core.timeframes import SECOND_NS, Clock, SystemClock, iso_time

_LOG = logging.getLogger(__name__)


class Notice(Options):
    """What a channel is given to deliver."""

    event: str = Field(description="what happened, such as run_failed")
    event_id: str = Field(description="the same for every try: a receiver drops what it has seen")
    at: str = Field(description="when it happened, UTC")
    data: dict[str, Any] = Field(default={}, description="what is to be told, JSON values")


class DeliveryFailed(CryptoBotError):  # noqa: N818 - says what happened
    """A channel could not deliver. `is_final`: another try would fail the same way."""

    def __init__(
        self, message: str, *, is_final: bool = False, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.is_final = is_final
        self.retry_after_s = retry_after_s


class Channel(Protocol):
    """A way to tell somebody: webhook, mail."""

    @property
    def name(self) -> str:
        """Short and without a dot: 'webhook', 'email'."""
        ...

    def deliver(self, notice: Notice) -> None:
        """Give it away within a bounded time, or raise DeliveryFailed."""
        ...


class OutboxMessage(Protocol):
    """A row of the journal's outbox."""

    @property
    def number(self) -> int: ...
    @property
    def kind(self) -> str: ...
    @property
    def event_id(self) -> str: ...
    @property
    def body(self) -> Mapping[str, Any]: ...
    @property
    def status(self) -> str: ...
    @property
    def attempts(self) -> int: ...


class Outbox(Protocol):
    """The part of the journal that keeps messages until they are delivered."""

    def add_message(
        self, kind: str, event_id: str, body: Mapping[str, Any], run_id: str | None = None
    ) -> bool:
        """Keep a message; False if (kind, event_id) is there already."""
        ...

    def due_messages(self, now_ns: int, limit: int = 50) -> Sequence[OutboxMessage]:
        """Waiting messages whose next try has come, oldest first."""
        ...

    def message_sent(self, number: int) -> None:
        """It was taken."""
        ...

    def message_failed(self, number: int, error: str, next_try_at_ns: int | None) -> None:
        """It was not taken; None: it is put aside as dead."""
        ...


class RetryOptions(Options):
    """How hard a message is tried."""

    attempts: int = Field(default=6, ge=1, le=20, description="tries before it is put aside")
    first_pause_s: float = Field(default=30.0, gt=0, description="after the first failed try")
    longest_pause_s: float = Field(default=3600.0, gt=0, description="pauses double up to here")
    jitter_frac: float = Field(default=0.5, ge=0, le=1, description="longer by up to this share")
    look_s: float = Field(default=15.0, gt=0, description="between two looks into the outbox")


class Notifier:
    """Writes what is to be told into the outbox, and delivers it from threads of its own.

    Parameters
    ----------
    outbox      the journal
    channels    who is told; each has its own thread, so that one that hangs delays no other
    events      names of the events that are told; others are dropped
    clock       'now' of attempts
    retry       attempts and pauses
    chance      numbers in 0..1 for the jitter
    mask        takes secrets out of an error before it is written down

    Notes
    -----
    `notify` returns once the message is in the journal: a kill -9 afterwards loses nothing, and the
    next start delivers it. The same `event_id` is told once. A kill between a receiver's answer and
    its note in the journal repeats that delivery with the same id, by which a receiver knows it.
    """

    def __init__(
        self,
        outbox: Outbox,
        channels: Sequence[Channel],
        events: Collection[str],
        clock: Clock | None = None,
        *,
        retry: RetryOptions | None = None,
        chance: Callable[[], float] = random.random,
        mask: Callable[[str], str] = str,
    ) -> None:
        self._outbox = outbox
        self._channels = {channel.name: channel for channel in channels}
        self._events = frozenset(events)
        self._clock: Clock = clock or SystemClock()
        self._retry = retry or RetryOptions()
        self._chance = chance
        self._mask = mask
        self._news = {name: threading.Event() for name in self._channels}
        self._is_closing = threading.Event()
        self._threads: list[threading.Thread] = []

    def notify(
        self,
        event: str,
        data: Mapping[str, Any] | None = None,
        event_id: str | None = None,
        *,
        run_id: str | None = None,
    ) -> int:
        """Tell every channel of `event`; gives how many messages are new in the outbox.

        `event_id` names what happened (a run, an alarm): told once however often it is said. None
        makes a fresh one. Nobody is waited for. A journal that refuses is logged, not raised: the
        work that has something to tell goes on.
        """
        if event not in self._events:
            return 0
        notice = Notice(
            event=event,
            event_id=event_id or uuid.uuid4().hex,
            at=iso_time(self._clock.now_ns()),
            data=dict(data or {}),
        )
        return sum(self._keep(name, notice, run_id) for name in self._channels)

    def _keep(self, channel: str, notice: Notice, run_id: str | None) -> bool:
        kind = f"{channel}.{notice.event}"
        try:
            is_new = self._outbox.add_message(kind, notice.event_id, notice.model_dump(), run_id)
        except CryptoBotError as error:
            _LOG.critical("%s %s cannot be told: %s", notice.event, notice.event_id, error)
            return False
        self._news[channel].set()
        return is_new

    def deliver_due(self, channel: str | None = None) -> int:
        """Try every message that is due now, of one channel or of all; gives how many were taken."""
        taken = 0
        for message in self._outbox.due_messages(self._clock.now_ns(), limit=1000):
            name = message.kind.partition(".")[0]
            if self._is_closing.is_set():
                break
            if channel in (None, name):
                taken += self._try(message, self._channels.get(name))
        return taken

    def _try(self, message: OutboxMessage, channel: Channel | None) -> bool:
        name = message.kind.partition(".")[0]
        try:
            if channel is None:
                raise DeliveryFailed(f"{name} is not configured any more", is_final=True)
            channel.deliver(Notice.from_mapping(message.body))
        except ConfigError as error:
            self._failed(message, DeliveryFailed(f"no notice: {error}", is_final=True))
            return False
        except DeliveryFailed as error:
            self._failed(message, error)
            return False
        self._outbox.message_sent(message.number)
        return True

    def _failed(self, message: OutboxMessage, error: DeliveryFailed) -> None:
        tries = message.attempts + 1
        is_dead = error.is_final or tries >= self._retry.attempts
        text = self._mask(str(error))
        next_ns = None
        if not is_dead:
            pause_s = max(self.pause_s(tries), error.retry_after_s or 0.0)
            next_ns = self._clock.now_ns() + int(pause_s * SECOND_NS)
        log = _LOG.error if is_dead else _LOG.warning
        log("%s %s, try %d: %s", message.kind, "given up" if is_dead else "not taken", tries, text)
        self._outbox.message_failed(message.number, text, next_ns)

    def pause_s(self, tries: int) -> float:
        """Seconds to wait after so many failed tries: doubled each time, bounded, jittered."""
        retry = self._retry
        pause = min(retry.first_pause_s * 2.0 ** (tries - 1), retry.longest_pause_s)
        return pause * (1.0 + retry.jitter_frac * self._chance())

    def start(self) -> None:
        """Deliver in threads until `close`; what an earlier start left waiting comes first."""
        self._is_closing.clear()
        for name, news in self._news.items():
            news.set()
            thread = threading.Thread(
                target=self._run, args=(name, news), name=f"notify-{name}", daemon=True
            )
            thread.start()
            self._threads.append(thread)
        if not self._channels:
            self.deliver_due()

    def _run(self, name: str, news: threading.Event) -> None:
        while not self._is_closing.is_set():
            news.wait(self._retry.look_s)
            news.clear()
            if self._is_closing.is_set():
                return
            try:
                self.deliver_due(name)
            except CryptoBotError as error:
                _LOG.error("messages to %s must wait: %s", name, self._mask(str(error)))

    def deliver_within(self, seconds: float) -> None:
        """Deliver what is due, for at most `seconds`; for a command that ends then."""
        until = time.monotonic() + seconds
        self.start()
        while time.monotonic() < until and self._outbox.due_messages(self._clock.now_ns(), 1):
            if not any(thread.is_alive() for thread in self._threads):
                break
            self._is_closing.wait(0.02)
        self.close()

    def close(self, wait_s: float = 2.0) -> None:
        """End the threads, waiting at most `wait_s` for one that is at it; the rest stays in the outbox."""
        self._is_closing.set()
        for news in self._news.values():
            news.set()
        for thread in self._threads:
            thread.join(wait_s / len(self._threads))
        self._threads = []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
