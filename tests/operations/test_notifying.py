"""Messages: in the journal first, tried with pauses, given up in the journal, never in anybody's way."""

from __future__ import annotations

import threading

from crypto_bot.core.errors import StorageError
from crypto_bot.core.timeframes import SECOND_NS, ReplayClock
from crypto_bot.operations import DeliveryFailed, Notifier, RetryOptions
from operations.outbox_in_memory import ListOutbox

EVENTS = ("run_failed", "promoted")


class Told:
    """A channel that answers as it is told; the last answer holds."""

    def __init__(self, *answers, name="webhook"):
        self.name = name
        self.answers = list(answers) or [None]
        self.notices = []

    def deliver(self, notice):
        self.notices.append(notice)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer is not None:
            raise answer


def transient(**more):
    return DeliveryFailed("webhook must answer 2xx, was 503", **more)


def made(*channels, outbox=None, **retry):
    outbox, clock = outbox or ListOutbox(), ReplayClock(1_000 * SECOND_NS)
    options = RetryOptions(**{"jitter_frac": 0.0, **retry})
    return outbox, clock, Notifier(outbox, channels, EVENTS, clock, retry=options)


def test_a_message_is_kept_before_anybody_is_asked_to_take_it():
    channel = Told()
    outbox, _, notifier = made(channel)
    assert notifier.notify("run_failed", {"error": "no candles"}, "run-1") == 1
    assert channel.notices == []
    (kept,) = outbox.kept
    assert (kept.kind, kept.event_id) == ("webhook.run_failed", "run-1")
    assert kept.body["data"] == {"error": "no candles"}
    assert kept.body["at"] == "1970-01-01T00:16:40Z"


def test_the_same_event_is_told_once_by_every_channel():
    mail, hook = Told(name="email"), Told()
    outbox, _, notifier = made(mail, hook)
    assert notifier.notify("promoted", event_id="v1") == 2
    assert notifier.notify("promoted", event_id="v1") == 0
    assert notifier.deliver_due() == 2
    assert notifier.deliver_due() == 0
    assert len(mail.notices) == len(hook.notices) == 1
    assert {kept.status for kept in outbox.kept} == {"sent"}


def test_an_event_nobody_asked_for_is_dropped_and_one_without_an_id_gets_one():
    outbox, _, notifier = made(Told())
    assert notifier.notify("trained", {}, "x") == 0
    notifier.notify("promoted")
    notifier.notify("promoted")
    assert len({kept.event_id for kept in outbox.kept}) == 2


def test_pauses_double_up_to_the_longest_and_are_jittered():
    chance = iter((0.0, 1.0, 0.5))
    options = RetryOptions(first_pause_s=10, longest_pause_s=35, jitter_frac=0.5)
    notifier = Notifier(ListOutbox(), (), EVENTS, retry=options, chance=lambda: next(chance))
    assert [notifier.pause_s(tries) for tries in (1, 2, 3)] == [10.0, 30.0, 43.75]


def test_a_message_that_is_not_taken_waits_and_is_given_up_after_the_attempts():
    channel = Told(transient())
    outbox, clock, notifier = made(channel, attempts=3, first_pause_s=10)
    notifier.notify("run_failed", event_id="run-1")
    waits = []
    for _ in range(3):
        assert notifier.deliver_due() == 0
        waits.append((outbox.kept[0].next_try_at_ns - clock.now_ns()) // SECOND_NS)
        assert notifier.deliver_due() == 0, "not before its time"
        clock.set(outbox.kept[0].next_try_at_ns)
    assert waits[:2] == [10, 20]
    assert len(channel.notices) == 3
    assert (outbox.kept[0].status, outbox.kept[0].attempts) == ("dead", 3)
    assert outbox.kept[0].last_error == "webhook must answer 2xx, was 503"


def test_a_final_refusal_is_not_tried_again_and_a_wish_to_wait_is_heeded():
    outbox, clock, notifier = made(Told(transient(retry_after_s=120.0), transient(is_final=True)))
    notifier.notify("run_failed", event_id="run-1")
    notifier.deliver_due()
    assert outbox.kept[0].next_try_at_ns - clock.now_ns() == 120 * SECOND_NS
    clock.set(outbox.kept[0].next_try_at_ns)
    notifier.deliver_due()
    assert (outbox.kept[0].status, outbox.kept[0].attempts) == ("dead", 2)


def test_what_a_dead_process_left_waiting_is_delivered_by_the_next():
    outbox, _, first = made(Told(transient()))
    first.notify("run_failed", event_id="run-1")
    channel = Told()
    with Notifier(outbox, (channel,), EVENTS):
        outbox.wait_for(lambda kept: kept[0].status == "sent")
    assert channel.notices[0].event_id == "run-1"


def test_a_channel_that_is_configured_no_more_is_given_up_not_forgotten():
    outbox, _, first = made(Told(name="email"))
    first.notify("run_failed", event_id="run-1")
    with Notifier(outbox, (), EVENTS):
        outbox.wait_for(lambda kept: kept[0].status == "dead")
    assert outbox.kept[0].last_error == "email is not configured any more"


def test_one_channel_that_hangs_delays_neither_the_caller_nor_the_other():
    released, hanging = threading.Event(), threading.Event()

    class Hanging(Told):
        def deliver(self, notice):
            hanging.set()
            released.wait(20)

    mail = Told(name="email")
    outbox, _, notifier = made(Hanging(), mail)
    notifier.start()
    try:
        notifier.notify("run_failed", event_id="run-1")
        assert hanging.wait(10)
        notifier.notify("run_failed", event_id="run-2")
        outbox.wait_for(lambda kept: [k.status for k in kept if "email" in k.kind] == ["sent"] * 2)
        notifier.close(wait_s=0.05)
    finally:
        released.set()
    assert len(mail.notices) == 2


def test_a_journal_that_refuses_is_logged_and_the_work_goes_on(caplog):
    class Full(ListOutbox):
        def add_message(self, *_all):
            raise StorageError("journal.sqlite must be writable, was not: disk full")

    _, _, notifier = made(Told(), outbox=Full())
    assert notifier.notify("run_failed", event_id="run-1") == 0
    assert "run_failed run-1 cannot be told: journal.sqlite" in caplog.text


def test_a_journal_that_cannot_be_read_for_a_while_ends_no_thread(caplog):
    class Broken(ListOutbox):
        left = 3

        def due_messages(self, now_ns, limit=50):
            self.left -= 1
            if self.left >= 0:
                raise StorageError("journal.sqlite must be readable, was not")
            return super().due_messages(now_ns, limit)

    outbox = Broken()
    _, _, notifier = made(Told(), outbox=outbox, look_s=0.001)
    notifier.notify("run_failed", event_id="run-1")
    with notifier:
        outbox.wait_for(lambda kept: kept[0].status == "sent")
    assert "messages to webhook must wait" in caplog.text


def test_secrets_are_masked_before_an_error_is_written_down():
    outbox = ListOutbox()
    channel = Told(DeliveryFailed("refused s3cret", is_final=True))
    notifier = Notifier(outbox, (channel,), EVENTS, mask=lambda text: text.replace("s3cret", "**"))
    notifier.notify("promoted")
    notifier.deliver_due()
    assert outbox.kept[0].last_error == "refused **"


def test_a_message_that_no_version_can_read_is_put_aside_and_the_next_is_told():
    channel = Told()
    outbox, _, notifier = made(channel)
    outbox.add_message("webhook.promoted", "old", {"words": "of another version"})
    notifier.notify("promoted", event_id="v2")
    assert notifier.deliver_due() == 1
    assert [kept.status for kept in outbox.kept] == ["dead", "sent"]
    assert outbox.kept[0].last_error.startswith("no notice: ")
