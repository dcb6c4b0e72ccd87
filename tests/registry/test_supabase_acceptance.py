"""A bucket shows what every store must: on the double always, on a real server where one is named.

A real one is named by SUPABASE_URL, SUPABASE_SERVICE_KEY and CRYPTO_BOT_TEST_BUCKET, a bucket for
tests. It is made where it is missing; each test works below a prefix of its own and removes that.
"""

from __future__ import annotations

import os
import uuid
from functools import partial

import pytest
from pydantic import SecretStr

from crypto_bot.adapters.supabase_service import SupabaseRetries
from crypto_bot.adapters.supabase_store import SupabaseStore
from registry.acceptance import StoreAcceptance
from registry.races import race_to_promote
from supabase_double.buckets import Upload
from supabase_double.server import SupabaseDouble

SWIFT = SupabaseRetries(attempts=12, first_wait_s=0.001, longest_wait_s=0.05)
posix = pytest.mark.skipif(os.name == "nt", reason="needs fork")


def open_bucket(url, key, bucket, prefix="", retries=SWIFT):
    """A client of its own; goes through pickle to other processes."""
    return SupabaseStore(url, SecretStr(key), bucket, prefix, retries=retries)


class OneStoreATest:
    """Clients of one test share a place; connections are closed at its end."""

    @pytest.fixture
    def open_store(self, place):
        opened = []

        def open_one():
            opened.append(open_bucket(**place))
            return opened[-1]

        yield open_one
        for store in opened:
            store.close()


@pytest.fixture(scope="module")
def double():
    with SupabaseDouble() as running:
        running.make_bucket("models")
        yield running


class TestBucketOfTheDouble(OneStoreATest, StoreAcceptance):
    @pytest.fixture
    def place(self, double):
        double.buckets.by_name["models"].objects.clear()
        return {"url": double.url, "key": double.service_key, "bucket": "models", "prefix": "a/b"}

    @pytest.fixture
    def tamper(self, double):
        def change(key, content):
            double.buckets.remove("models", [f"a/b/{key}"])
            if content is not None:
                upload = Upload(content, "application/octet-stream", "max-age=0", {})
                double.buckets.put("models", f"a/b/{key}", upload, overwrite=True)

        return change


REAL = ("SUPABASE_URL", "SUPABASE_SERVICE_KEY", "CRYPTO_BOT_TEST_BUCKET")
missing = [name for name in REAL if not os.environ.get(name)]


@pytest.fixture(scope="module")
def real_bucket():
    """The named test bucket, made where it is missing; gives url, key and bucket."""
    from storage3 import SyncStorageClient

    url, key, bucket = (os.environ[name] for name in REAL)
    store = open_bucket(url, key, bucket, retries=SupabaseRetries())
    service: SyncStorageClient = store._client
    if bucket not in [found.id for found in service.list_buckets()]:
        service.create_bucket(bucket, options={"public": False})
    store.close()
    return {"url": url, "key": key, "bucket": bucket, "retries": SupabaseRetries()}


@pytest.fixture
def real_place(real_bucket):
    """A prefix that nobody else uses, emptied at the end."""
    prefix = f"crypto-bot-test-{uuid.uuid4().hex}"
    yield {**real_bucket, "prefix": prefix}
    store = open_bucket(**real_bucket, prefix=prefix)
    remove_all(store, "")
    assert store.entries("") == []
    store.close()


def remove_all(store, folder):
    """Every object below a folder of the store."""
    for entry in store.entries(folder):
        key = f"{folder}/{entry.name}" if folder else entry.name
        if entry.is_folder:
            remove_all(store, key)
        else:
            store.remove([key])


if missing:

    @pytest.mark.skip(reason=f"no real server: {', '.join(missing)} not set")
    def test_a_bucket_of_a_real_server_shows_the_same():
        """Stands for every test of the class below."""

else:

    class TestBucketOfARealServer(OneStoreATest, StoreAcceptance):
        @pytest.fixture
        def place(self, real_place):
            return real_place

        @pytest.fixture
        def tamper(self, real_place):
            store = open_bucket(**real_place)

            def change(key, content):
                store.remove([key])
                if content is not None:
                    assert store.put_new(key, content)

            yield change
            store.close()

    @posix
    @pytest.mark.slow
    def test_eight_writers_race_25_rounds_on_a_real_server(real_place):
        race_to_promote(partial(open_bucket, **real_place), writers=8, rounds=25).check(25)
