"""Health in a word, and a memory ceiling that acts."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from crypto_bot.core.errors import ConfigError
from crypto_bot.operations import HealthState, LoopHealth, MemoryStep, MemoryWatch, resident_bytes
from crypto_bot.operations.health import REASONS

GB = 2**30


def test_a_loop_that_never_or_no_longer_speaks_is_failing():
    now = [0.0]
    health = LoopHealth(silence_s=60, monotonic=lambda: now[0])
    assert health.report().state is HealthState.FAILING
    health.beat()
    now[0] = 60.0
    assert health.report() == health.report().__class__(HealthState.OK, ())
    now[0] = 60.1
    assert health.report().reasons == ("the loop gave no sign of life",)


@pytest.mark.parametrize("subject", [name for name in REASONS if name != "loop"])
def test_each_fault_is_told_until_it_is_mended(subject):
    health = LoopHealth()
    health.beat()
    health.said(subject, is_well=False)
    state, words = REASONS[subject]
    assert (health.report().state, health.report().reasons) == (state, (words,))
    assert health.report().is_serving == (state is not HealthState.FAILING)
    health.said(subject, is_well=True)
    assert health.report().state is HealthState.OK


def test_the_worst_fault_gives_the_word():
    health = LoopHealth()
    health.beat()
    for subject in ("bars", "journal"):
        health.said(subject, is_well=False)
    assert health.report().state is HealthState.FAILING
    assert len(health.report().reasons) == 2


class Memory:
    """A reader that is told what to read, and what was done about it."""

    def __init__(self, *readings, has_training=True):
        self.readings = list(readings)
        self.done = []
        self.has_training = has_training

    def read(self):
        return int(self.readings.pop(0) * GB)

    def end_training(self):
        self.done.append("end training")
        return self.has_training

    def watch(self, limit_gb=1.0, **more):
        return MemoryWatch(
            None if limit_gb is None else int(limit_gb * GB),
            end_training=self.end_training,
            stop=lambda code: self.done.append(code),
            alert=self.done.append,
            read=self.read,
            **more,
        )


def test_below_the_ceiling_nothing_is_done_and_the_peak_is_kept():
    memory = Memory(0.5, 1.0, 0.2)
    watch = memory.watch()
    assert [watch.look() for _ in range(3)] == [MemoryStep.FINE] * 3
    assert memory.done == []
    assert (watch.peak_bytes, watch.now_bytes) == (GB, int(0.2 * GB))


def test_above_it_the_training_ends_first_and_relief_is_waited_for():
    memory = Memory(1.5, 1.4, 0.5, 1.5)
    watch = memory.watch(looks=3)
    assert [watch.look() for _ in range(4)] == [
        MemoryStep.TRAINING_ENDED,
        MemoryStep.FINE,
        MemoryStep.FINE,
        MemoryStep.TRAINING_ENDED,
    ]
    assert memory.done.count("end training") == 2
    assert 1 not in memory.done
    assert "memory must stay below operations.memory_limit_gb 1, was 1.50 GB" in memory.done[1]


def test_without_relief_the_loop_is_stopped_once_with_exit_code_1():
    memory = Memory(1.5, 1.5, 1.5, 1.5, 1.5)
    watch = memory.watch(looks=2)
    found = [watch.look() for _ in range(4)]
    assert found[0] is MemoryStep.TRAINING_ENDED
    assert found[2:] == [MemoryStep.STOPPED, MemoryStep.STOPPED]
    assert memory.done.count(1) == 1
    assert memory.done[-2].endswith("the loop stops")


def test_without_a_training_to_end_the_loop_is_stopped_at_once():
    memory = Memory(1.5, has_training=False)
    assert memory.watch().look() is MemoryStep.STOPPED
    assert memory.done[-1] == 1


def test_without_a_limit_only_the_peak_is_kept():
    memory = Memory(100.0)
    watch = memory.watch(limit_gb=None)
    assert watch.look() is MemoryStep.FINE
    assert (memory.done, watch.peak_bytes) == ([], 100 * GB)
    with pytest.raises(ConfigError, match="limit_bytes must be > 0, was 0"):
        memory.watch(limit_gb=0)


def test_the_thread_looks_until_it_is_closed():
    looked = threading.Event()
    memory = Memory(*[0.1] * 10_000)
    watch = memory.watch()
    read, memory.read = memory.read, None
    watch._read = lambda: (looked.set(), read())[1]
    watch.start(0.001)
    assert looked.wait(10)
    watch.close()
    assert not any(thread.name == "memory-watch" for thread in threading.enumerate())


def test_the_memory_of_children_counts():
    own = resident_bytes()
    code = "import sys; held = bytearray(80_000_000); print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout.readline() == b"held\n"
        assert resident_bytes() - own > 70_000_000
        child.stdin.close()
    assert own > 10_000_000
