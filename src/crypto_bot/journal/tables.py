"""The tables. A change here needs a new SCHEMA_VERSION and a revision in migrations/versions."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Connection,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    event,
    text,
)

SCHEMA_VERSION = 2

metadata = MetaData()
_Counter = BigInteger().with_variant(Integer, "sqlite")


def _number() -> Column[int]:
    return Column("number", _Counter, primary_key=True, autoincrement=True)


def _run_id(*, is_key: bool = False) -> Column[str]:
    return Column("run_id", String(32), ForeignKey("runs.id"), nullable=False, primary_key=is_key)


journal_schema = Table(
    "journal_schema",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("created_at_ns", BigInteger, nullable=False),
)

alembic_version = Table(
    "alembic_version",
    metadata,
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),  # as alembic itself makes it
)

runs = Table(
    "runs",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("kind", String(64), nullable=False),
    Column("status", String(16), nullable=False),
    Column("started_at_ns", BigInteger, nullable=False),
    Column("finished_at_ns", BigInteger),
    Column("pid", Integer, nullable=False),
    Column("process_started_at_ns", BigInteger, nullable=False),
    # The process by processes.identity; rows of schema 1 have the date above only.
    Column("process", String(128)),
    Column("host", String(255), nullable=False),
    Column("config", JSON, nullable=False),
    Column("data_fingerprint", String(64), nullable=False),
    Column("is_simulated", Boolean, nullable=False),
    Column("summary", JSON, nullable=False),
    Column("version", String(32), nullable=False),
    Index("runs_by_kind", "kind", "started_at_ns"),
    Index("runs_by_status", "status"),
    Index("runs_by_start", "started_at_ns", "id"),
)

steps = Table(
    "steps",
    metadata,
    _run_id(is_key=True),
    Column("name", String(128), primary_key=True),
    Column("status", String(16), nullable=False),
    Column("started_at_ns", BigInteger, nullable=False),
    Column("finished_at_ns", BigInteger),
    Column("attempts", Integer, nullable=False),
    Column("result", JSON),
)

trials = Table(
    "trials",
    metadata,
    _number(),
    _run_id(),
    Column("symbol", String(64), nullable=False),
    Column("timeframe", String(8), nullable=False),
    Column("strategy", String(64), nullable=False),
    Column("parameters", JSON, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("metrics", JSON, nullable=False),
    Column("sharpe", Float),
    Column("is_simulated", Boolean, nullable=False),
    Column("recorded_at_ns", BigInteger, nullable=False),
    # What was tried, as one hash: a resumed run that repeats a trial does not count it twice.
    Column("identity", String(32), nullable=False),
    UniqueConstraint("run_id", "identity"),
    Index("trials_by_subject", "symbol", "timeframe", "strategy"),
)

model_events = Table(
    "model_events",
    metadata,
    _number(),
    _run_id(),
    Column("symbol", String(64), nullable=False),
    Column("version", String(64), nullable=False),
    Column("event", String(32), nullable=False),
    Column("detail", JSON, nullable=False),
    Column("recorded_at_ns", BigInteger, nullable=False),
    Index("model_events_by_symbol", "symbol"),
    Index("model_events_by_run", "run_id"),
)

decisions = Table(
    "decisions",
    metadata,
    _run_id(is_key=True),
    Column("symbol", String(64), primary_key=True),
    Column("bar_close_ns", BigInteger, primary_key=True, autoincrement=False),
    Column("direction", SmallInteger, nullable=False),
    Column("score", Float, nullable=False),
    Column("reason", Text, nullable=False),
    Column("detail", JSON, nullable=False),
    sqlite_with_rowid=False,
)

orders = Table(
    "orders",
    metadata,
    Column("client_id", String(128), primary_key=True),
    _run_id(),
    Column("symbol", String(64), nullable=False),
    Column("side", String(8), nullable=False),
    Column("type", String(16), nullable=False),
    Column("quantity", Float, nullable=False),
    Column("price", Float),
    Column("created_at_ns", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Index("orders_by_run", "run_id", "created_at_ns"),
)

fills = Table(
    "fills",
    metadata,
    _number(),
    _run_id(),
    Column("client_id", String(128), ForeignKey("orders.client_id"), nullable=False),
    Column("symbol", String(64), nullable=False),
    Column("side", String(8), nullable=False),
    Column("quantity", Float, nullable=False),
    Column("price", Float, nullable=False),
    Column("fee_quote", Float, nullable=False),
    Column("filled_at_ns", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    UniqueConstraint("client_id", "filled_at_ns", "quantity", "price"),
    Index("fills_by_run", "run_id", "filled_at_ns"),
)

feedback = Table(
    "feedback",
    metadata,
    _number(),
    _run_id(),
    Column("symbol", String(64), nullable=False),
    Column("kind", String(64), nullable=False),
    Column("agrees", Boolean),
    Column("detail", JSON, nullable=False),
    Column("recorded_at_ns", BigInteger, nullable=False),
    Index("feedback_by_symbol", "symbol"),
    Index("feedback_by_run", "run_id"),
)

leases = Table(
    "leases",
    metadata,
    Column("name", String(512), primary_key=True),
    Column("fence", BigInteger, nullable=False),
    Column("is_held", Boolean, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("process", String(128), nullable=False),
    Column("host", String(255), nullable=False),
    Column("taken_at_ns", BigInteger, nullable=False),
    Column("renewed_at_ns", BigInteger, nullable=False),
    Column("lease_s", Float, nullable=False),
)

messages = Table(
    "messages",
    metadata,
    _number(),
    Column("kind", String(64), nullable=False),
    Column("event_id", String(255), nullable=False),
    Column("run_id", String(32), ForeignKey("runs.id")),
    Column("body", JSON, nullable=False),
    Column("status", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_try_at_ns", BigInteger, nullable=False),
    Column("last_error", Text, nullable=False),
    Column("recorded_at_ns", BigInteger, nullable=False),
    UniqueConstraint("kind", "event_id"),
    Index("messages_by_status", "status", "next_try_at_ns"),
)

alarms = Table(
    "alarms",
    metadata,
    _number(),
    _run_id(),
    Column("symbol", String(64), nullable=False),
    Column("kind", String(64), nullable=False),
    Column("action", String(32), nullable=False),
    Column("detail", JSON, nullable=False),
    Column("status", String(16), nullable=False),
    Column("outcome", Text, nullable=False),
    Column("raised_at_ns", BigInteger, nullable=False),
    Column("ended_at_ns", BigInteger),
    Index("alarms_by_run", "run_id"),
    Index("alarms_by_symbol", "symbol"),
    # At most one open alarm of a kind and symbol; the partial index also finds the open ones.
    Index(
        "alarms_open",
        "symbol",
        "kind",
        unique=True,
        sqlite_where=text("status = 'open'"),
        postgresql_where=text("status = 'open'"),
    ),
)

_REFUSAL = "trials are only ever added"
_ADD_ONLY = {
    "sqlite": [
        f"CREATE TRIGGER trials_refuse_{change} BEFORE {change} ON trials "
        f"BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"
        for change in ("DELETE", "UPDATE")
    ],
    "postgresql": [
        "CREATE FUNCTION refuse_trial_change() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{_REFUSAL}'; END $$",
        "CREATE TRIGGER trials_refuse_change BEFORE DELETE OR UPDATE ON trials "
        "FOR EACH ROW EXECUTE FUNCTION refuse_trial_change()",
    ],
}


@event.listens_for(trials, "after_create")
def _make_trials_add_only(_table: Table, connection: Connection, **_more: Any) -> None:
    for statement in _ADD_ONLY[connection.dialect.name]:
        connection.exec_driver_sql(statement)
