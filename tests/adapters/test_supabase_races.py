"""Eight processes race for a bucket of a service that misbehaves; writers die at every request."""

from __future__ import annotations

import itertools
import os
import random
import signal
import time
from functools import partial

import pytest

from crypto_bot.adapters.supabase_service import SupabaseRetries
from crypto_bot.registry import ModelRegistry
from registry.races import race_to_promote
from registry.test_supabase_acceptance import open_bucket
from supabase_double.faults import OVERLOADED
from supabase_double.server import SupabaseDouble
from toy_model import PASSED, load_toy, toy_card, toy_files

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs fork and SIGKILL")
SYMBOL = "BTC/USDT"
STUBBORN = SupabaseRetries(attempts=20, first_wait_s=0.001, longest_wait_s=0.02)
OFTEN = {"times": None, "probability": 0.15}


def racy(faults):
    faults.racy_create, faults.racy_wait_s = True, 0.002


def stale(faults):
    faults.stale_reads = 3


def broken_overwrites(faults):
    faults.overwrite_errors = [500, 404, 500]


def lost(kind, *routes):
    def switch(faults):
        for route in routes:
            faults.add(kind, route, **OFTEN)

    return switch


def overloaded(faults):
    faults.add("answer", status=429, body=OVERLOADED, headers={"Retry-After": "0"}, **OFTEN)


def failing(faults):
    faults.add("answer", status=500, **OFTEN)
    faults.add("answer", status=502, body="<html>Bad gateway</html>", **OFTEN)


SWITCHES = {
    "nothing": lambda faults: None,
    "racy create": racy,
    "stale reads after an overwrite": stale,
    "errors around an overwrite": broken_overwrites,
    "dropped before it was done": lost("drop_before", "any"),
    "moves dropped after they were done": lost("drop_after", "move"),
    "uploads dropped after they were done": lost("drop_after", "upload"),
    "anything dropped after it was done": lost("drop_after", "any"),
    "truncated bodies": lost("truncate", "any"),
    "429": overloaded,
    "500 and 502": failing,
}


def everything(faults):
    """All at once, each more seldom."""
    racy(faults), stale(faults), broken_overwrites(faults)
    seldom = {"times": None, "probability": 0.03}
    for kind in ("drop_before", "drop_after", "truncate"):
        faults.add(kind, **seldom)
    faults.add("answer", status=429, body=OVERLOADED, **seldom)
    faults.add("answer", status=500, **seldom)


@pytest.fixture
def double():
    with SupabaseDouble() as running:
        running.make_bucket("models")
        yield running


def opener(double):
    return partial(open_bucket, double.url, double.service_key, "models", retries=STUBBORN)


def race(double, switch, rounds):
    switch(double.faults)
    result = race_to_promote(opener(double), writers=8, rounds=rounds)
    result.check(rounds)
    assert double.count("move") >= 8 * rounds
    store = opener(double)()
    store.sweep(older_than_s=0)
    assert [key for key in double.keys("models") if key.startswith("tmp")] == []
    store.close()


def test_with_every_fault_at_once_one_wins_each_round_and_every_read_is_good(double):
    race(double, everything, rounds=8)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*SWITCHES, "everything"])
def test_with_a_fault_on_one_wins_each_of_25_rounds_and_every_read_is_good(double, name):
    race(double, SWITCHES.get(name, everything), rounds=25)


def test_a_service_whose_moves_are_not_atomic_fails_this_race(double):
    double.faults.atomic_move = False
    result = race_to_promote(opener(double), writers=4, rounds=3)
    with pytest.raises(AssertionError):
        result.check(3)


# Writers that die.


def toys(double):
    return ModelRegistry(opener(double)(), load_model=load_toy)


def publish_and_promote(registry, run_id):
    """What a turn of the loop does, and what it does again after a restart."""
    card = toy_card(run_id=run_id)
    version = registry.published_by(SYMBOL, run_id, like=card)
    if version is None:
        version = registry.publish(SYMBOL, toy_files(padding=5_000), card)
    served = [(entry.version, entry.run_id) for entry in registry.history(SYMBOL)]
    if (version, run_id) not in served:
        registry.promote(SYMBOL, version, PASSED, run_id=run_id)


def child_that(work):
    """A fork doing `work`; its process id."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    return child


def reap(child):
    """True if it ended by itself."""
    return os.WIFEXITED(os.waitpid(child, 0)[1])


def check_after(double, run_id):
    """All that is visible is whole; doing it again does nothing twice; nothing is left in tmp."""
    registry = toys(double)
    for version in registry.versions(SYMBOL):
        registry.load(SYMBOL, version)
    registry.history(SYMBOL)
    publish_and_promote(registry, run_id)
    published = [
        version
        for version in registry.versions(SYMBOL)
        if registry.load(SYMBOL, version)[1].run_id == run_id
    ]
    assert len(published) == 1
    promoted = [entry for entry in registry.history(SYMBOL) if entry.run_id == run_id]
    assert [entry.version for entry in promoted] == published
    assert registry.champion(SYMBOL) == published[0]
    assert [e.number for e in registry.history(SYMBOL)] == list(
        range(1, len(registry.history(SYMBOL)) + 1)
    )
    registry.clean(older_than_s=-1.0)
    left = {"/".join(key.split("/")[:3]) for key in double.keys("models") if "versions" in key}
    assert left == {f"BTC-USDT/versions/{version}" for version in registry.versions(SYMBOL)}
    assert [key for key in double.keys("models") if key.startswith("tmp")] == []
    registry.store.close()


class Killer:
    """Kills a child before or after the service does its nth request."""

    def __init__(self, moment, number):
        self.moment, self.left = moment, number
        self.child = None

    def __call__(self, moment, _route):
        if moment == self.moment:
            self.left -= 1
            if self.left < 0 and self.child is not None:
                os.kill(self.child, signal.SIGKILL)


def dies(double, moment, number, run_id):
    """Whether a writer died that was to die at its nth request; the store is checked after it."""
    double.buckets.by_name["models"].objects.clear()
    double.gate.clear()
    double.watch = killer = Killer(moment, number)
    killer.child = child_that(lambda: publish_and_promote(toys(double), run_id))
    double.gate.set()
    died = not reap(killer.child)
    killer.child = double.watch = None
    check_after(double, run_id)
    return died


def die_at_every_request(double, step):
    """Kill a writer at every `step`th request until one lives; how many died."""
    kills, number = 0, 0
    while True:
        died = [dies(double, moment, number, f"run-{number}") for moment in ("before", "after")]
        kills += sum(died)
        if not any(died):
            return kills
        number += step


def test_killed_at_requests_a_writer_leaves_all_or_nothing_and_nothing_is_done_twice(double):
    assert die_at_every_request(double, step=9) >= 6


@pytest.mark.slow
def test_killed_before_and_after_every_request(double):
    assert die_at_every_request(double, step=1) >= 60


def test_killed_at_random_moments_a_busy_publisher_leaves_only_whole_versions(double):
    chance = random.Random(11)

    def busy():
        registry = toys(double)
        for number in itertools.count():
            publish_and_promote(registry, f"busy-{number}")

    for _ in range(4):
        child = child_that(busy)
        time.sleep(chance.uniform(0.2, 0.5))
        os.kill(child, signal.SIGKILL)
        assert not reap(child)
    check_after(double, "last")
