"""Leases, messages and alarms for a loop that never stops, and the indexes its queries need."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("runs", sa.Column("process", sa.String(128)))
    op.create_index("runs_by_start", "runs", ["started_at_ns", "id"])
    op.create_index("model_events_by_run", "model_events", ["run_id"])
    op.create_index("feedback_by_run", "feedback", ["run_id"])
    _make_leases()
    _make_messages()
    _make_alarms()


def _make_leases() -> None:
    op.create_table(
        "leases",
        sa.Column("name", sa.String(512), primary_key=True),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("is_held", sa.Boolean(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("process", sa.String(128), nullable=False),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("taken_at_ns", sa.BigInteger(), nullable=False),
        sa.Column("renewed_at_ns", sa.BigInteger(), nullable=False),
        sa.Column("lease_s", sa.Float(), nullable=False),
    )


def _make_messages() -> None:
    op.create_table(
        "messages",
        sa.Column("number", _counter(), primary_key=True, autoincrement=True),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("event_id", sa.String(255), nullable=False),
        sa.Column("run_id", sa.String(32), sa.ForeignKey("runs.id")),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_try_at_ns", sa.BigInteger(), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=False),
        sa.Column("recorded_at_ns", sa.BigInteger(), nullable=False),
        sa.UniqueConstraint("kind", "event_id"),
    )
    op.create_index("messages_by_status", "messages", ["status", "next_try_at_ns"])


def _make_alarms() -> None:
    op.create_table(
        "alarms",
        sa.Column("number", _counter(), primary_key=True, autoincrement=True),
        sa.Column("run_id", sa.String(32), sa.ForeignKey("runs.id"), nullable=False),
        sa.Column("symbol", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("raised_at_ns", sa.BigInteger(), nullable=False),
        sa.Column("ended_at_ns", sa.BigInteger()),
    )
    op.create_index("alarms_by_run", "alarms", ["run_id"])
    op.create_index("alarms_by_symbol", "alarms", ["symbol"])
    is_open = sa.text("status = 'open'")
    op.create_index(
        "alarms_open",
        "alarms",
        ["symbol", "kind"],
        unique=True,
        sqlite_where=is_open,
        postgresql_where=is_open,
    )


def _counter() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")
