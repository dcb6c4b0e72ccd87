"""Where the journals of these tests are kept: every test that asks runs on both databases."""

from __future__ import annotations

import importlib.util
import uuid

import pytest

from postgres_server import NoServerError, PostgresServer


@pytest.fixture(scope="session")
def postgresql():
    """A server of our own for the whole run; the tests are skipped, visibly, where none can be."""
    if importlib.util.find_spec("psycopg") is None:
        pytest.skip("psycopg is not installed: pip install 'crypto-bot[pg]'")
    try:
        server = PostgresServer()
    except NoServerError as error:
        pytest.skip(f"no PostgreSQL can be started here: {error}")
    yield server
    server.close()
    assert not server.folder.exists()


@pytest.fixture
def server(postgresql):
    """The server for a test that stops it; runs again afterwards."""
    yield postgresql
    postgresql.start()


@pytest.fixture
def schema_url(postgresql):
    """An empty schema on the server."""
    return postgresql.new_schema(f"test_{uuid.uuid4().hex}")


@pytest.fixture(params=["sqlite", "postgresql"])
def location(request, tmp_path):
    """The place of a journal that is not there yet."""
    if request.param == "sqlite":
        return str(tmp_path / "j.sqlite")
    return request.getfixturevalue("schema_url")
