"""Who is told what a run came to: the channels of the settings over the journal's outbox."""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Mapping
from typing import Any

from crypto_bot.backtest.logs import masked
from crypto_bot.config import Settings
from crypto_bot.core.timeframes import Clock, SystemClock, iso_time
from crypto_bot.journal import Journal
from crypto_bot.operations import Channel, DeliveryFailed, Notice, Notifier, RetryOptions

_LOG = logging.getLogger(__name__)
SUMMARY = "summary"
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,48}")
"""What `reporting.email` mails; not one of `notifications.events`."""


def open_channels(settings: Settings) -> list[Channel]:
    """The webhook and the mail server of the settings; none where none is configured."""
    from crypto_bot.adapters.email import EmailChannel
    from crypto_bot.adapters.webhook import WebhookChannel

    notifications, found = settings.notifications, list[Channel]()
    url, secret = settings.webhook_url, notifications.webhook_secret
    if url is not None and url.get_secret_value():
        signing = None if secret is None else secret.get_secret_value()
        timeout_s = notifications.timeout_seconds
        found.append(WebhookChannel(url.get_secret_value(), signing, timeout_s=timeout_s))
    if notifications.email_host and notifications.email_to:
        password = notifications.email_password
        mail = EmailChannel(
            notifications.email_host,
            notifications.email_port,
            sender=notifications.email_from or notifications.email_to[0],
            receivers=notifications.email_to,
            user=notifications.email_user,
            password="" if password is None else password.get_secret_value(),
            timeout_s=notifications.timeout_seconds,
        )
        found.append(mail)
    return found


def open_notifier(settings: Settings, journal: Journal, clock: Clock | None = None) -> Notifier:
    """A notifier by the settings; `notify` writes, `start` or `deliver_within` delivers."""
    retry = RetryOptions(attempts=settings.notifications.attempts)
    events = settings.notifications.events
    return Notifier(journal, open_channels(settings), events, clock, retry=retry, mask=masked)


def run_failed(
    settings: Settings, journal: Journal, run_id: str, error: BaseException | str
) -> None:
    """A failed run as an alert: logged as critical, and told to whom the settings name.

    Nothing happens with `monitoring.alert_on_failures` off. Told once a run.
    """
    if not settings.monitoring.alert_on_failures:
        return
    words = masked(str(error))
    _LOG.critical("ALERT: run %s failed: %s", run_id, words)
    data = {"run_id": run_id, "error": words}
    open_notifier(settings, journal).notify("run_failed", data, run_id, run_id=run_id)


def run_ended(settings: Settings, journal: Journal, summary: Mapping[str, Any]) -> None:
    """What a completed turn is told by: `trained`, `promoted`, and the summary by mail.

    Parameters
    ----------
    summary    of the turn, as `write_outcome` gives it

    Notes
    -----
    To be called before the run is finished in the journal: a kill between repeats the call, and what
    is told of a run is told once.
    """
    from crypto_bot.backtest.summary import turn_lines

    text = "\n".join(turn_lines(summary))
    run_id = str(summary["run_id"])
    notifier = open_notifier(settings, journal)
    data = {"run_id": run_id, "promoted": bool(summary["promoted"]), "text": masked(text)}
    if summary.get("models"):
        notifier.notify("trained", data, run_id, run_id=run_id)
    if summary["promoted"]:
        notifier.notify("promoted", data, run_id, run_id=run_id)
    if settings.reporting.email:
        mail = [channel for channel in open_channels(settings) if channel.name == "email"]
        Notifier(journal, mail, (SUMMARY,)).notify(SUMMARY, data, run_id, run_id=run_id)


def deliver_told(settings: Settings, journal: Journal) -> None:
    """Deliver what waits before a command ends, for at most two tries' time; the rest stays.

    Nothing is done while a loop runs in another process: it delivers.
    """
    from crypto_bot.backtest.status import loop_is_elsewhere

    if loop_is_elsewhere(settings, journal):
        return
    seconds = 2 * settings.notifications.timeout_seconds
    open_notifier(settings, journal).deliver_within(seconds)


def tell_of(settings: Settings, journal: Journal, event: str, data: Mapping[str, Any]) -> None:
    """Put an event of one's own into the outbox of the webhook, whatever `notifications.events` says."""
    named = event if _NAME.fullmatch(event) else "custom"
    told = dict(data) if named == event else {"event_type": event, **data}
    webhook = [channel for channel in open_channels(settings) if channel.name == "webhook"]
    Notifier(journal, webhook, (named,), mask=masked).notify(named, told)


def post_once(settings: Settings, url: str, event: str, data: Mapping[str, Any]) -> bool:
    """One signed post to an address that is not the configured one; whether it was taken."""
    from crypto_bot.adapters.webhook import WebhookChannel

    notifications = settings.notifications
    secret = notifications.webhook_secret
    channel = WebhookChannel(
        url,
        None if secret is None else secret.get_secret_value(),
        timeout_s=notifications.timeout_seconds,
    )
    now = iso_time(SystemClock().now_ns())
    notice = Notice(event=event, event_id=uuid.uuid4().hex, at=now, data=dict(data))
    try:
        channel.deliver(notice)
    except DeliveryFailed as error:
        _LOG.warning("%s was not taken: %s", event, error)
        return False
    return True
