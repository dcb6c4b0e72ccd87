"""Run by alembic inside the one transaction that `journal.migrating` holds; never by itself."""

from __future__ import annotations

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
