"""Migrations by Alembic, as the owner role, on a direct connection (never through a pooler)."""

from __future__ import annotations

from pathlib import Path

from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from alembic import command

_INI = Path(__file__).resolve().parents[2] / "alembic.ini"


def configuration(owner_url: str) -> Config:
    """Alembic's configuration for one database."""
    config = Config(str(_INI))
    config.attributes["url"] = owner_url
    return config


def migrate(owner_url: str, revision: str = "head") -> None:
    """Upgrade the schema; each migration is a transaction of its own."""
    command.upgrade(configuration(owner_url), revision)


def head() -> str:
    """The newest revision that this code knows."""
    found = ScriptDirectory.from_config(Config(str(_INI))).get_current_head()
    if found is None:
        raise RuntimeError("there is no migration")
    return found


def known() -> frozenset[str]:
    """Every revision that this code knows. A database at another one was migrated by a newer version."""
    return frozenset(one.revision for one in ScriptDirectory.from_config(Config(str(_INI))).walk_revisions())


def current(url: str) -> str | None:
    """The revision of a database, read as any role that may read ``alembic_version``."""
    engine = create_engine(url, poolclass=NullPool)
    try:
        with engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()
    finally:
        engine.dispose()
