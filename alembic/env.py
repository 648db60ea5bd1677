"""Alembic's environment: one connection as the owner, DDL under time-outs, the models as the target of ``alembic
check``."""

from __future__ import annotations

from logging.config import fileConfig

from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from alembic import context
from edurise.models import BASE

config = context.config
if config.config_file_name is not None and config.attributes.get("configure_logging", False):
    fileConfig(config.config_file_name)


def include_object(_thing: object, name: str | None, kind: str, reflected: bool, _compare_to: object) -> bool:
    """Partitions are made and dropped by the scheduler; they are no part of the model."""
    return not (
        (kind == "table" and reflected and name is not None and "_p2" in name)
        or (name is not None and name.endswith("_default"))
    )


def run() -> None:
    engine = create_engine(
        config.attributes["url"],
        poolclass=NullPool,
        connect_args={"options": "-c lock_timeout=5s -c statement_timeout=60s"},
    )
    with engine.connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=BASE.metadata,
            include_object=include_object,
            transaction_per_migration=True,
            compare_server_default=False,
        )
        with context.begin_transaction():
            context.run_migrations()
    engine.dispose()


run()
