"""The double is the service as it was measured: every row of its contract, through storage3."""

from __future__ import annotations

import socket
import time
import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import httpx
import pytest
from storage3 import SyncStorageClient
from storage3.exceptions import StorageApiError

from supabase_double.faults import OVERLOADED
from supabase_double.keys import make_token
from supabase_double.server import SupabaseDouble

PLAIN = {"content-type": "application/json", "cache-control": "31536000"}


@pytest.fixture
def double():
    with SupabaseDouble() as running:
        running.make_bucket("models")
        yield running


@pytest.fixture(scope="module")
def connections():
    with httpx.Client(timeout=5, follow_redirects=True) as client:
        yield client


def client_of(double, connections, key=None):
    key = double.service_key if key is None else key
    headers = {"apiKey": key, "Authorization": f"Bearer {key}"}
    return SyncStorageClient(f"{double.url}/storage/v1/", headers, http_client=connections)


@pytest.fixture
def service(double, connections):
    return client_of(double, connections)


@pytest.fixture
def files(service):
    return service.from_("models")


def refusal(call):
    """(HTTP status, statusCode, error, message, code) of a refused call."""
    with pytest.raises(StorageApiError) as caught:
        call()
    error = caught.value
    response = error.__cause__.response
    body = response.json()
    assert (body["statusCode"], body["error"], body["message"]) == (
        error.status,
        error.code,
        error.message,
    )
    return (response.status_code, error.status, error.code, error.message, body["code"])


# Section 2: what a call sends and gets.


def test_a_bucket_is_made_shown_listed_changed_emptied_and_deleted(service, double):
    assert service.create_bucket("m2", options={"public": False}) == {"name": "m2"}
    found = service.get_bucket("m2")
    assert (found.id, found.name, found.public, found.file_size_limit) == ("m2", "m2", False, None)
    assert sorted(bucket.id for bucket in service.list_buckets()) == ["m2", "models"]
    assert "message" in service.update_bucket("m2", {"public": True})
    assert service.get_bucket("m2").public is True
    service.from_("m2").upload("a", b"1")
    assert service.empty_bucket("m2")["message"].startswith("Empty bucket has been queued")
    assert service.delete_bucket("m2") == {"message": "Successfully deleted"}


def test_an_upload_answers_with_key_and_id_and_keeps_type_cache_and_metadata(files):
    answer = files.upload("a/b.json", b"{}", {**PLAIN, "metadata": {"sha256": "ab"}})
    assert (answer.path, answer.full_path) == ("a/b.json", "models/a/b.json")
    info = files.info("a/b.json")
    wanted = "id name version bucket_id size content_type cache_control etag metadata"
    assert set(info) == {*wanted.split(), "last_modified", "created_at"}
    assert (info["size"], info["content_type"]) == (2, "application/json")
    assert (info["cache_control"], info["metadata"]) == ("max-age=31536000", {"sha256": "ab"})


@pytest.mark.parametrize(
    ("given", "stored"),
    [("0", "max-age=0"), ("", "no-cache"), ("max-age=0", "max-age=max-age=0")],
)
def test_cache_control_is_stored_as_max_age(files, given, stored):
    files.upload("k", b"1", {"cache-control": given})
    assert files.info("k")["cache_control"] == stored


def test_upload_defaults_are_text_and_an_hour(files):
    files.upload("k", b"1")
    info = files.info("k")
    assert info["content_type"] == "text/plain;charset=UTF-8"
    assert info["cache_control"] == "max-age=3600"


def test_upsert_must_be_the_string_true_and_clears_metadata(files):
    files.upload("k", b"1", {"metadata": {"a": "b"}})
    first = files.info("k")
    with pytest.raises(AttributeError, match="encode"):
        files.upload("k", b"2", {"upsert": True})
    files.upload("k", b"2", {"upsert": "true"})
    second = files.info("k")
    assert files.download("k") == b"2"
    assert second["metadata"] == {}
    assert first["id"] == second["id"]
    assert first["version"] != second["version"]


def test_put_creates_what_is_missing(files):
    assert files.update("new", b"1").path == "new"
    assert files.update("new", b"22").path == "new"
    assert files.download("new") == b"22"


def test_bytes_arrive_as_they_were_sent(files):
    content = bytes(range(256)) * 40 + b"\r\n--boundary\r\n\n"
    files.upload("raw", content)
    assert files.download("raw") == content
    files.upload("empty", b"")
    assert files.download("empty") == b""


def test_a_download_carries_the_service_s_headers(files, double, connections):
    files.upload("k", b"0123456789", PLAIN)
    address = f"{double.url}/storage/v1/object/models/k"
    headers = {"Authorization": f"Bearer {double.service_key}"}
    whole = connections.get(address, headers=headers)
    for name in ("accept-ranges", "etag", "last-modified", "cache-control", "x-robots-tag"):
        assert name in whole.headers, name
    assert (whole.headers["content-length"], whole.headers["content-type"]) == (
        "10",
        "application/json",
    )
    part = connections.get(address, headers={**headers, "Range": "bytes=2-4"})
    assert (part.status_code, part.content) == (206, b"234")
    known = connections.get(address, headers={**headers, "If-None-Match": whole.headers["etag"]})
    assert (known.status_code, known.content) == (304, b"")
    head = connections.head(address, headers=headers)
    assert (head.status_code, head.headers["content-length"], head.content) == (200, "10", b"")


def test_conditional_writes_are_ignored(files, double, connections):
    files.upload("k", b"1")
    for name in ("If-Match", "If-None-Match"):
        files.upload("k", b"2", {"upsert": "true", "headers": {name: "*"}})
    assert files.download("k") == b"2"


def test_exists_says_no_for_a_missing_object_and_raises_for_a_missing_bucket(files, service):
    files.upload("k", b"1")
    assert files.exists("k")
    assert not files.exists("nothing")
    with pytest.raises(StorageApiError, match="Bucket not found"):
        service.from_("absent").exists("k")


def test_a_list_mixes_files_and_folders_without_regard_to_case(files):
    for key in ("d/b.txt", "d/A.txt", "d/c/x", "d/C2/y", "e"):
        files.upload(key, b"123")
    for prefix in ("d", "d/"):
        rows = files.list(prefix)
        assert [row["name"] for row in rows] == ["A.txt", "b.txt", "c", "C2"]
    folder = rows[2]
    assert {name for name, value in folder.items() if value is not None} == {"name"}
    assert rows[0]["metadata"]["size"] == 3
    assert set(rows[0]["metadata"]) == {
        *("eTag", "size", "mimetype", "cacheControl", "lastModified", "contentLength"),
        "httpStatusCode",
    }
    assert [row["name"] for row in files.list("d", {"search": "C"})] == ["c", "C2"]
    newest = files.list("d", {"limit": 1, "sortBy": {"column": "name", "order": "desc"}})
    assert [row["name"] for row in newest] == ["C2"]
    assert files.list("d", {"offset": 9}) == []
    assert files.list("d/b.tx") == files.list("nowhere") == []


def test_a_list_is_cut_in_silence_at_100_and_never_longer_than_1500(files, double):
    bucket = double.buckets.bucket("models")
    files.upload("n/0", b"")
    stored = bucket.objects["n/0"]
    bucket.objects.update({f"n/{number:04d}": stored for number in range(1, 1_700)})
    assert len(files.list("n")) == 100
    assert len(files.list("n", {"limit": 1_000})) == 1_000
    assert len(files.list("n", {"limit": 5_000})) == 1_500
    page = files.list_v2({"prefix": "n/", "limit": 5_000})
    assert (len(page.objects), page.hasNext) == (1_000, True)
    rest = files.list_v2({"prefix": "n/", "limit": 5_000, "cursor": page.nextCursor})
    assert (len(rest.objects), rest.hasNext) == (700, False)
    assert [folder.name for folder in files.list_v2({"with_delimiter": True}).folders] == ["n/"]


def test_remove_gives_the_rows_it_deleted(files, service):
    files.upload("a/1", b"")
    files.upload("a/2", b"")
    assert files.remove(["a"]) == []
    assert [row["name"] for row in files.remove(["a/1", "a/3"])] == ["a/1"]
    assert service.from_("absent").remove(["a/2"]) == service.from_("absent").list() == []
    assert [row["name"] for row in files.list("a")] == ["2"]


def test_a_move_keeps_metadata_type_and_cache_control(files):
    files.upload("tmp/x", b"1", {**PLAIN, "metadata": {"claim": "c"}})
    before = files.info("tmp/x")
    assert files.move("tmp/x", "final/x") == {"message": "Successfully moved"}
    after = files.info("final/x")
    kept = ("metadata", "content_type", "cache_control", "size", "id")
    assert [after[name] for name in kept] == [before[name] for name in kept]
    assert not files.exists("tmp/x")


def test_a_copy_answers_with_its_row(files):
    files.upload("a", b"1")
    answer = files.copy("a", "b")
    assert answer["Key"] == "models/b"
    assert "Id" in answer
    assert files.download("b") == files.download("a")


def test_a_signed_address_needs_no_key(files, connections):
    files.upload("a/b", b"12", PLAIN)
    address = files.create_signed_url("a/b", 60)["signedURL"]
    answer = connections.get(address)
    assert (answer.status_code, answer.content) == (200, b"12")
    assert "expires" in answer.headers
    assert "cache-control" not in answer.headers
    found, missing = files.create_signed_urls(["a/b", "a/c"], 60)
    assert found["error"] is None
    assert missing["signedURL"] is None
    assert "does not exist" in missing["error"]


def test_slashes_in_a_row_are_one_and_reported_as_sent(files, double, connections):
    address = f"{double.url}/storage/v1/object/models/a//b%2Dc"
    headers = {"Authorization": f"Bearer {double.service_key}"}
    form = {"data": {"cacheControl": "0"}, "files": {"file": ("b", b"1", "text/plain")}}
    answer = connections.post(address, headers=headers, **form).json()
    assert answer["Key"] == "models/a//b-c"
    assert double.keys("models") == ["a/b-c"]


# Section 3: every refusal.

DUPLICATE = "The resource already exists"


def test_what_exists_is_a_duplicate(files, service):
    files.upload("a", b"1")
    files.upload("b", b"1")
    taken = (400, "409", "Duplicate", DUPLICATE)
    assert refusal(lambda: files.upload("a", b"2")) == (*taken, "KeyAlreadyExists")
    assert refusal(lambda: files.copy("b", "a")) == (*taken, "KeyAlreadyExists")
    assert refusal(lambda: files.move("b", "a")) == (*taken, "ResourceAlreadyExists")
    assert refusal(lambda: service.create_bucket("models")) == (*taken, "BucketAlreadyExists")


def test_what_is_missing_is_not_found(files, service):
    missing = (400, "404", "not_found", "Object not found", "NoSuchKey")
    assert refusal(lambda: files.download("x")) == missing
    assert refusal(lambda: files.info("x")) == missing
    assert refusal(lambda: files.move("x", "y")) == missing
    assert refusal(lambda: files.copy("x", "y")) == missing
    assert refusal(lambda: files.create_signed_url("x", 60)) == missing
    absent = service.from_("absent")
    no_bucket = (400, "404", "Bucket not found", "Bucket not found", "NoSuchBucket")
    for call in (
        lambda: absent.upload("x", b""),
        lambda: absent.download("x"),
        lambda: absent.info("x"),
        lambda: absent.move("x", "y"),
        lambda: service.get_bucket("absent"),
        lambda: service.delete_bucket("absent"),
    ):
        assert refusal(call) == no_bucket


def test_too_large_comes_after_duplicate_and_bucket(connections):
    with SupabaseDouble(global_limit=50) as double:
        double.make_bucket("small", file_size_limit=5)
        service = client_of(double, connections)
        files = service.from_("small")
        files.upload("a", b"12345")
        large = (
            *(400, "413", "Payload too large", "The object exceeded the maximum allowed size"),
            "EntityTooLarge",
        )
        assert refusal(lambda: files.upload("b", b"123456")) == large
        assert refusal(lambda: files.upload("a", b"123456"))[1] == "409"
        assert refusal(lambda: service.from_("absent").upload("a", b"123456"))[1] == "404"
        assert refusal(lambda: files.upload("a", b"123456", {"upsert": "true"})) == large
        assert files.download("a") == b"12345"
        options = {"file_size_limit": 51}
        assert refusal(lambda: service.create_bucket("big", options=options)) == large


def test_a_type_that_the_bucket_does_not_allow(service, double):
    double.make_bucket("typed", allowed_mime_types=["application/json"])
    files = service.from_("typed")
    assert refusal(lambda: files.upload("a", b"1", {"content-type": "text/plain"})) == (
        *(400, "415", "invalid_mime_type", "mime type text/plain is not supported"),
        "InvalidMimeType",
    )
    files.upload("a", b"1", PLAIN)


@pytest.mark.parametrize(
    "key", ["a#b", "a%b", "a~b", "a[b", "a]b", "a|b", "a\\b", "ä", "a\0b", "a\nb"]
)
def test_a_bad_key(double, files, connections, key):
    files.upload("source", b"1")
    said = (400, "400", "InvalidKey", f"Invalid key: {key}", "InvalidKey")
    assert refusal(lambda: files.move("source", key)) == said
    quoted = urllib.parse.quote(key, safe="")
    answer = connections.post(
        f"{double.url}/storage/v1/object/models/{quoted}",
        headers={"Authorization": f"Bearer {double.service_key}"},
        files={"file": ("f", b"1", "text/plain")},
    )
    assert (answer.status_code, answer.json()["error"]) == (400, "InvalidKey")


def test_no_key_or_a_folder_as_key_has_no_content(double, connections):
    for key in ("", "a/"):
        answer = connections.post(
            f"{double.url}/storage/v1/object/models/{key}",
            headers={"Authorization": f"Bearer {double.service_key}"},
            files={"file": ("f", b"1", "text/plain")},
        )
        assert (answer.status_code, answer.json()["message"]) == (400, "No content provided")


@pytest.mark.parametrize("name", ["a/b", "", " a", "ä", "a#"])
def test_a_bad_bucket_name(service, name):
    body = {"id": name, "name": name}
    assert refusal(lambda: service._request("POST", ["bucket"], json=body)) == (
        *(400, "400", "Invalid Input", "Bucket name invalid"),
        "InvalidBucketName",
    )


def test_requests_that_break_the_schema(files):
    files.upload("k", b"1")
    for call, words in (
        (lambda: files.list("", {"limit": 0}), "body/limit must be >= 1"),
        (lambda: files.remove([]), "body/prefixes must NOT have fewer than 1 items"),
        (lambda: files.create_signed_url("k", 0), "body/expiresIn must be >= 1"),
        (lambda: files.list("", {"sortBy": {"column": "size"}}), "body/sortBy/column must be"),
    ):
        status, code, error, message, body_code = refusal(call)
        assert (status, code, error, body_code) == (400, "400", "Error", "InvalidRequest")
        assert message.startswith(words)


def test_a_bucket_with_objects_is_not_deleted(files, service):
    files.upload("k", b"1")
    said = "The bucket you tried to delete is not empty"
    assert refusal(lambda: service.delete_bucket("models")) == (
        *(400, "409", "ResourceNotEmpty", said, "ResourceNotEmpty"),
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("foreign_key", "signature verification failed"),
        ("expired_key", '"exp" claim timestamp check failed'),
        ("none", "Invalid Compact JWS"),
    ],
)
def test_a_wrong_key_is_forbidden(double, connections, name, words):
    service = client_of(double, connections, getattr(double, name, "no-token"))
    files = service.from_("models")
    said = (400, "403", "Unauthorized", words, "AccessDenied")
    calls = [
        lambda: service.get_bucket("models"),
        lambda: files.upload("a", b"1"),
        lambda: files.list(),
        lambda: files.remove(["a"]),
        lambda: files.move("a", "b"),
    ]
    for call in calls:
        assert refusal(call) == said
    read = refusal(lambda: files.download("a"))
    assert read == refusal(lambda: files.info("a"))
    assert read[1:3] == (("404", "Bucket not found") if name == "none" else said[1:3])


def test_the_anon_key_sees_an_empty_bucket_and_writes_nothing(double, connections, files):
    files.upload("a", b"1")
    anon = client_of(double, connections, double.anon_key).from_("models")
    status, code, error, message, _ = refusal(lambda: anon.upload("b", b"1"))
    assert (status, code, error) == (400, "403", "Unauthorized")
    assert message == "new row violates row-level security policy"
    assert refusal(lambda: anon.download("a"))[1:3] == ("404", "not_found")
    assert anon.list() == anon.remove(["a"]) == []
    assert not anon.exists("a")
    assert files.exists("a")


def test_without_authorization_the_request_is_invalid(double, connections):
    answer = connections.get(f"{double.url}/storage/v1/bucket")
    body = answer.json()
    assert (answer.status_code, body["statusCode"], body["error"]) == (400, "400", "Error")
    assert body["message"] == "headers must have required property 'authorization'"


def test_a_signed_address_that_expired_or_was_changed(double, connections, files):
    files.upload("a", b"1")
    now = int(time.time())
    old = make_token(double.secret, url="models/a", iat=now - 90, exp=now - 30)
    other = make_token("another secret", url="models/a", iat=now, exp=now + 60)
    for token, words in (
        (old, '"exp" claim timestamp check failed'),
        (other, "signature verification failed"),
    ):
        answer = connections.get(f"{double.url}/storage/v1/object/sign/models/a?token={token}")
        body = answer.json()
        assert (answer.status_code, body["statusCode"], body["error"]) == (400, "400", "InvalidJWT")
        assert body["message"] == words


def test_an_overloaded_database_and_an_internal_error(double, files):
    double.faults.add("answer", "list", status=429, body=OVERLOADED)
    assert refusal(files.list)[:3] == (429, "429", "too_many_connections")
    double.faults.add("answer", "list")
    assert refusal(files.list) == (
        *(500, "500", "Internal", "Internal Server Error"),
        "InternalError",
    )


def test_an_answer_that_is_no_json_has_an_integer_status(double, files):
    double.faults.add("answer", "list", status=502, body="<html>Bad gateway</html>")
    with pytest.raises(StorageApiError) as caught:
        files.list()
    assert (caught.value.code, caught.value.status) == ("InternalError", 502)


def test_the_hosted_gateway_refuses_an_unknown_key_with_401(double, connections):
    double.faults.gateway = True
    with pytest.raises(StorageApiError) as caught:
        client_of(double, connections, "wrong").from_("models").list()
    assert (caught.value.code, caught.value.status) == ("InternalError", 401)
    assert "Invalid API key" in caught.value.message


def test_network_faults_reach_the_caller_as_they_are(double, files, connections):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(httpx.ConnectError):
        connections.get(f"http://127.0.0.1:{port}/")
    double.faults.add("drop_before", "list")
    with pytest.raises(httpx.RemoteProtocolError):
        files.list()
    files.upload("k", b"0123456789")
    double.faults.add("truncate", "download")
    with pytest.raises(httpx.RemoteProtocolError):
        files.download("k")
    double.faults.add("drop_after", "move")
    with pytest.raises(httpx.RemoteProtocolError):
        files.move("k", "m")
    assert double.keys("models") == ["m"]
    hung = double.faults.add("hang", "list")
    with httpx.Client(timeout=0.05) as hasty, pytest.raises(httpx.ReadTimeout):
        client_of(double, hasty).from_("models").list()
    hung.let_go.set()


# Section 6: habits.


def at_once(*calls):
    """Outcomes of calls that run side by side: None, or the service's statusCode."""

    def outcome(call):
        try:
            call()
        except StorageApiError as error:
            return error.status
        return None

    with ThreadPoolExecutor(len(calls)) as pool:
        return sorted(pool.map(outcome, calls), key=str)


def test_two_uploads_of_one_new_key_may_both_succeed_where_the_server_is_racy(double, files):
    def uploads(key):
        return at_once(lambda: files.upload(key, b"1"), lambda: files.upload(key, b"2"))

    assert uploads("a") == ["409", None]
    double.faults.racy_create, double.faults.racy_wait_s = True, 5.0
    assert uploads("b") == [None, None]


def test_of_eight_moves_onto_one_key_one_succeeds_unless_the_double_is_told_otherwise(
    double, files
):
    def moves(key):
        for number in range(8):
            files.upload(f"{key}{number}", b"")
        return at_once(*(partial(files.move, f"{key}{n}", key) for n in range(8)))

    assert moves("a") == ["409"] * 7 + [None]
    double.faults.atomic_move = False
    assert moves("b") == [None] * 8


def test_reads_after_an_overwrite_may_be_old_or_fail(double, files):
    files.upload("k", b"old")
    double.faults.stale_reads = 2
    files.upload("k", b"new", {"upsert": "true"})
    assert [files.download("k") for _ in range(3)] == [b"old", b"old", b"new"]
    double.faults.stale_reads, double.faults.overwrite_errors = 0, [500, 404]
    files.upload("k", b"newer", {"upsert": "true"})
    assert [refusal(lambda: files.download("k"))[1] for _ in range(2)] == ["500", "404"]
    assert files.download("k") == b"newer"


def test_faults_strike_by_route_key_count_and_chance(double, files):
    double.faults.add("answer", "upload", contains="/b", times=2)
    files.upload("a", b"")
    assert [refusal(lambda: files.upload("b", b""))[1] for _ in range(2)] == ["500", "500"]
    files.upload("b", b"")
    often = double.faults.add("answer", "list", times=None, probability=0.5)
    outcomes = []
    for _ in range(40):
        try:
            files.list()
            outcomes.append(True)
        except StorageApiError:
            outcomes.append(False)
    assert outcomes.count(False) == often.happened
    assert 8 < often.happened < 32
