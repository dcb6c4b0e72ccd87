"""The store in a bucket: whole or absent, one winner, lost answers settled, retries where safe."""

from __future__ import annotations

import hashlib
import threading
import time

import httpx
import pytest
from pydantic import SecretStr

from crypto_bot.adapters.supabase_problems import Unanswered
from crypto_bot.adapters.supabase_service import SupabaseRetries
from crypto_bot.adapters.supabase_store import SupabaseStore
from crypto_bot.core.errors import ConfigError, ModelError, StorageError
from crypto_bot.registry.objects import Listed, MissingObject
from supabase_double.faults import OVERLOADED
from supabase_double.server import SupabaseDouble

KEY = "BTC-USDT/champion/000001.json"
INTERNAL = '{"statusCode":"500","error":"Internal","message":"Internal Server Error"}'


@pytest.fixture(scope="module")
def connections():
    with httpx.Client(timeout=5) as client:
        yield client


@pytest.fixture
def double():
    with SupabaseDouble() as running:
        running.make_bucket("models")
        yield running


@pytest.fixture
def waits():
    return []


@pytest.fixture
def open_store(double, connections, waits):
    def opened(prefix="", **options):
        key = SecretStr(double.service_key)
        options = {"client": connections, "wait": waits.append, **options}
        return SupabaseStore(double.url, key, "models", prefix, **options)

    return opened


@pytest.fixture
def store(open_store):
    return open_store()


def rival_puts(double, key, content=b"rival"):
    """An object that another program made, without our marks."""
    from supabase_double.buckets import Upload

    double.buckets.put(
        "models", key, Upload(content, "application/json", "max-age=0", {}), overwrite=False
    )


# What is kept, and where.


def test_an_object_is_uploaded_aside_and_then_moved(store, double):
    assert store.put_new(KEY, b"{}")
    assert [route for route, _ in double.requests] == ["get_bucket", "upload", "move"]
    assert "/object/models/tmp/" in double.requests[1][1]
    assert double.keys("models") == [KEY]
    upload = double.buckets.find("models", KEY).upload
    assert (upload.mimetype, upload.cache_control) == ("application/json", "max-age=31536000")
    assert upload.metadata["sha256"] == hashlib.sha256(b"{}").hexdigest()


def test_a_taken_key_is_lost_and_nothing_is_left_behind(store, double):
    assert store.put_new(KEY, b"first")
    assert not store.put_new(KEY, b"second")
    assert not store.put_new(KEY, b"first"), "equal bytes of another call are another's"
    assert double.keys("models") == [KEY]
    assert store.get(KEY, 10) == b"first"


def test_a_prefix_is_a_store_of_its_own_in_the_same_bucket(open_store, double):
    real, simulated = open_store(), open_store("simulated/")
    assert simulated.put_new(KEY, b"s")
    assert real.put_new(KEY, b"r")
    assert double.keys("models") == [KEY, f"simulated/{KEY}"]
    assert (real.get(KEY, 9), simulated.get(KEY, 9)) == (b"r", b"s")
    assert [entry.name for entry in simulated.entries("")] == ["BTC-USDT"]
    assert simulated.where.endswith("/models/simulated")


def test_lists_are_paged_until_a_page_is_short(store, double):
    rival_puts(double, "n/a0")
    objects = double.buckets.bucket("models").objects
    objects.update({f"n/{number:06d}": objects["n/a0"] for number in range(2_500)})
    names = [entry.name for entry in store.entries("n")]
    assert len(names) == 2_501
    assert names == sorted(names)
    assert double.count("list") == 3
    assert store.last("n") == "a0"
    assert double.count("list") == 4


def test_entries_name_files_and_folders_and_leave_out_the_placeholder(store, double):
    for key in ("a/b", "a/c/d", "a/.emptyFolderPlaceholder"):
        rival_puts(double, key)
    found = store.entries("a")
    assert found[1] == Listed("c", is_folder=True)
    assert (found[0].name, found[0].size, found[0].is_folder) == ("b", 5, False)
    assert abs(found[0].changed_at_ns / 1e9 - time.time()) < 60
    assert store.entries("nowhere") == []
    assert store.last("nowhere") is None
    assert store.last("a") == "b", "a folder is no object"


def test_a_courtesy_copy_is_overwritten_and_not_cached(open_store, double):
    store = open_store(courtesy="models/regime")
    store.put_copy("BTC-USDT/LATEST.json", b"1")
    store.put_copy("BTC-USDT/LATEST.json", b"2")
    second = "models/regime/BTC-USDT/LATEST.json"
    assert double.keys("models") == ["BTC-USDT/LATEST.json", second]
    for key in double.keys("models"):
        upload = double.buckets.find("models", key).upload
        assert (upload.content, upload.cache_control) == (b"2", "max-age=0")
    store.remove(["BTC-USDT/LATEST.json"])
    assert double.keys("models") == []


def test_remove_takes_many_in_batches_and_does_not_mind_absent_ones(store, double):
    rival_puts(double, "n/0")
    objects = double.buckets.bucket("models").objects
    objects.update({f"n/{number}": objects["n/0"] for number in range(450)})
    store.remove([f"n/{number}" for number in range(451)])
    assert double.keys("models") == []
    assert double.count("remove") == 3
    store.remove([])


def test_the_sweep_takes_old_unfinished_work_only(store, double):
    for key in ("tmp/old", "tmp/young", "tmp/folder/old", "tmp/folder/young", "kept"):
        rival_puts(double, key)
    for key in ("tmp/old", "tmp/folder/old", "kept"):
        double.buckets.find("models", key).updated_at -= 90_000
    assert store.sweep(older_than_s=86_400) == 2
    assert double.keys("models") == ["kept", "tmp/folder/young", "tmp/young"]
    assert store.sweep(older_than_s=0) == 2
    assert double.keys("models") == ["kept"]


def test_ages_are_told_by_the_service_s_clock(double, waits):
    rival_puts(double, "tmp/young")
    key = SecretStr(double.service_key)
    with httpx.Client() as client:
        store = SupabaseStore(double.url, key, "models", client=client)
        clock = store._service._clock
        clock.note(httpx.Response(200, headers={"date": "Sat, 21 Nov 2026 10:00:00 GMT"}))
        assert store._service.server_time_s() == pytest.approx(1_795_255_200, abs=5)
        assert store.sweep(older_than_s=86_400 * 365) == 0


def test_own_connections_are_made_on_use_and_freed(double):
    store = SupabaseStore(double.url, SecretStr(double.service_key), "models")
    assert store._service._client is None
    assert store.put_new("a", b"")
    inner = store._service._client
    store.close()
    assert inner.is_closed
    assert store.get("a", 0) == b""
    last = store._service._client
    del store
    assert last.is_closed


def test_a_forked_process_does_not_speak_through_its_parent_s_connections(double):
    store = SupabaseStore(double.url, SecretStr(double.service_key), "models")
    store.put_new("a", b"1")
    parents = store._service.http
    store._service._owner = -1  # as if this were another process
    assert store.get("a", 1) == b"1"
    assert store._service.http is not parents
    parents.close()
    store.close()


# Names are checked before any request.

BAD_KEYS = [
    *("", "/a", "a/", "a//b", "..", "a/../b", "./a", ".a", "a/.b", "%2e%2e/a", "a%2fb", "ä", "a b"),
    *("a\\b", "a\nb", "a\0", "a#b", "a?b", "~a", "a" * 901),
]


@pytest.mark.parametrize("key", BAD_KEYS)
def test_a_key_that_could_mean_another_place_is_refused_without_a_request(store, double, key):
    calls = [
        lambda: store.put_new(key, b""),
        lambda: store.get(key, 1),
        lambda: store.put_copy(key, b""),
        lambda: store.remove([key]),
    ]
    if key:
        calls += [lambda: store.entries(key), lambda: store.last(key)]
    for call in calls:
        with pytest.raises(ConfigError, match="must be plain parts"):
            call()
    assert double.requests == []


@pytest.mark.parametrize(
    "bucket", ["", "a/b", "a/../b", "..", ".a", "a b", "ä", "a%2fb", "b" * 101]
)
def test_a_bucket_name_that_could_mean_another_is_refused(double, bucket):
    with pytest.raises(ConfigError, match="bucket must be letters"):
        SupabaseStore(double.url, SecretStr(double.service_key), bucket)


def test_a_prefix_is_checked_like_a_key(double):
    with pytest.raises(ConfigError, match="key must be plain parts"):
        SupabaseStore(double.url, SecretStr(double.service_key), "models", "../other")


# Sizes and damage.


def test_what_is_too_large_is_refused_before_it_is_read(store, double):
    store.put_new("a", b"12345")
    assert store.get("a", 5) == b"12345"
    with pytest.raises(ModelError, match="a must have at most 4 bytes"):
        store.get("a", 4)


def test_a_body_without_a_length_is_cut_at_the_limit(double, waits):
    def long_body():
        for _ in range(1_000):
            yield b"x" * 1_000

    def answer(request):
        if "/bucket/" in request.url.path:
            return httpx.Response(404 if "absent" in request.url.path else 200, json=BUCKET)
        return httpx.Response(200, content=long_body())

    with httpx.Client(transport=httpx.MockTransport(answer)) as client:
        store = SupabaseStore("http://double", SecretStr("k"), "models", client=client)
        with pytest.raises(ModelError, match="must have at most 5000 bytes, was 6000 or more"):
            store.get("a", 5_000)


BUCKET = {
    "id": "models",
    "name": "models",
    "owner": "",
    "public": False,
    "file_size_limit": None,
    "created_at": "2026-11-21T00:00:00Z",
    "updated_at": "2026-11-21T00:00:00Z",
    "allowed_mime_types": None,
}


def test_a_truncated_body_is_read_again(store, double, waits):
    store.put_new("a", b"0123456789")
    double.faults.add("truncate", "download", times=2)
    assert store.get("a", 10) == b"0123456789"
    assert len(waits) == 2


def test_a_missing_object_is_said_at_once(store, waits):
    with pytest.raises(MissingObject, match="models/a must exist, was missing"):
        store.get("a", 1)
    assert waits == []


# Lost answers.


@pytest.mark.parametrize("kind", ["drop_before", "drop_after"])
@pytest.mark.parametrize("route", ["upload", "move", "remove", "list", "info", "get_bucket"])
@pytest.mark.parametrize("times", [1, 3])
def test_a_lost_connection_changes_no_outcome(store, double, kind, route, times):
    double.faults.add(kind, route, times=times)
    assert store.put_new(KEY, b"mine")
    assert not store.put_new(KEY, b"other")
    assert store.get(KEY, 9) == b"mine"
    assert store.last("BTC-USDT/champion") == "000001.json"
    store.sweep(older_than_s=0)
    assert double.keys("models") == [KEY]


def test_a_move_that_took_effect_unanswered_to_the_last_is_known_to_have_won(store, double):
    double.faults.add("drop_after", "move", times=6)
    assert store.put_new(KEY, b"mine")
    assert double.count("move") == 6
    assert double.keys("models") == [KEY]


def test_a_move_that_never_arrived_leaves_nothing(store, double):
    double.faults.add("drop_before", "move", times=6)
    with pytest.raises(Unanswered, match="the connection must last, broke after 6 attempts"):
        store.put_new(KEY, b"mine")
    assert double.keys("models") == []


def test_a_move_that_is_still_on_its_way_cannot_succeed_once_it_was_given_up(store, double):
    double.faults.add("late", "move", times=6)
    with pytest.raises(Unanswered, match="claiming"):
        store.put_new(KEY, b"mine")
    assert double.catch_up() == [400] * 6
    assert double.keys("models") == []
    assert store.put_new(KEY, b"next")


def test_an_upload_that_arrives_late_is_in_nobody_s_way(store, double):
    double.faults.add("late", "upload")
    assert store.put_new(KEY, b"mine")
    assert double.catch_up() == [200]
    assert store.get(KEY, 9) == b"mine"
    assert store.sweep(older_than_s=0) == 1
    assert double.keys("models") == [KEY]


def test_a_lost_answer_of_a_lost_race_is_a_lost_race(store, double):
    rival_puts(double, KEY)
    double.faults.add("drop_after", "move", times=6)
    assert not store.put_new(KEY, b"mine")
    assert double.keys("models") == [KEY]


def test_when_nothing_can_be_asked_any_more_the_outcome_is_said_to_be_unknown(store, double):
    store.entries("")
    double.faults.add("drop_after", "move", times=None)
    double.faults.add("drop_before", "remove", times=None)
    with pytest.raises(Unanswered, match=f"whether {KEY} was written is not known"):
        store.put_new(KEY, b"mine")


def test_without_metadata_the_winner_is_told_by_the_source_and_the_bytes(store, double):
    double.faults.add("drop_after", "move")
    work = double.buckets.move

    def forgetful(name, source, target):
        work(name, source, target)
        double.buckets.find(name, target).upload.metadata.clear()

    double.buckets.move = forgetful
    assert store.put_new(KEY, b"mine")
    assert not store.put_new(KEY, b"mine")


@pytest.mark.parametrize("content", [b"mine", b"other"])
def test_a_foreign_object_without_metadata_is_another_s_even_of_equal_bytes(store, double, content):
    rival_puts(double, KEY, content)
    assert not store.put_new(KEY, b"mine")


def test_a_swept_upload_is_an_error_not_a_win(store, double):
    work = double.buckets.move

    def too_late(name, source, target):
        double.buckets.remove(name, [source])
        work(name, source, target)

    double.buckets.move = too_late
    with pytest.raises(StorageError, match="the object must exist"):
        store.put_new(KEY, b"mine")


def test_a_silent_server_is_left_after_the_timeout_and_asked_again(double):
    hung = double.faults.add("hang", "list")
    key = SecretStr(double.service_key)
    store = SupabaseStore(double.url, key, "models", timeout_s=0.1, wait=lambda _: None)
    assert store.entries("") == []
    hung.let_go.set()


# Retries.


@pytest.mark.parametrize(
    ("status", "body"),
    [
        *((500, INTERNAL), (502, "<html>bad gateway</html>"), (503, ""), (429, OVERLOADED)),
        (423, '{"statusCode":"423","error":"ResourceLocked","message":"locked"}'),
    ],
)
@pytest.mark.parametrize("route", ["upload", "move", "download", "list", "remove", "info"])
def test_what_may_pass_is_asked_again(store, double, waits, route, status, body):
    double.faults.add("answer", route, status=status, body=body, times=2)
    assert store.put_new(KEY, b"1")
    assert not store.put_new(KEY, b"2")
    assert store.get(KEY, 1) == b"1"
    assert len(store.entries("BTC-USDT/champion")) == 1
    assert len(waits) == 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 415])
@pytest.mark.parametrize("route", ["upload", "move", "download", "list", "remove"])
def test_a_refusal_is_never_asked_again(store, double, waits, route, status):
    store.put_new("a", b"")
    body = f'{{"statusCode":"{status}","error":"X","message":"no","code":"X"}}'
    double.faults.add("answer", route, status=400, body=body, times=None)
    before = double.count(route)
    calls = {
        "download": lambda: store.get("a", 1),
        "list": lambda: store.entries(""),
        "remove": lambda: store.remove(["a"]),
    }
    with pytest.raises(StorageError):
        calls.get(route, lambda: store.put_new("b", b""))()
    assert (double.count(route) - before, waits) == (1, [])


def test_pauses_grow_and_retry_after_is_honoured_up_to_a_bound(open_store, double, waits):
    store = open_store(retries=SupabaseRetries(attempts=5, first_wait_s=1, longest_wait_s=20))
    double.faults.add("answer", "list", status=503, body="", times=2)
    wait = {"Retry-After": "9"}
    double.faults.add("answer", "list", status=429, body=OVERLOADED, headers=wait)
    double.faults.add("answer", "list", status=503, body="", headers={"Retry-After": "9999"})
    store.entries("")
    assert 0.5 <= waits[0] <= 1.5
    assert 1.0 <= waits[1] <= 3.0
    assert waits[2:] == [9.0, 20.0]


def test_one_store_serves_many_threads(store, double):
    won, gate = [], threading.Barrier(8)

    def write(number):
        gate.wait(10)
        for entry in range(5):
            if store.put_new(f"log/{entry:06d}", b"%d" % number):
                won.append(entry)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(won) == list(range(5))
    assert double.keys("models") == [f"log/{entry:06d}" for entry in range(5)]
