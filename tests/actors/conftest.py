"""A database of these tests' own, with a table for effects, and a workshop for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import NullPool, create_engine

from edurise.adapters.migrations import migrate
from edurise.adapters.provision import DatabaseUrls
from tests.actors.workshop import EFFECTS, OTHER, PaperTransport, Workshop, owner_engine
from tests.harness.machine import own_database


@pytest.fixture(scope="session")
def actors_database() -> Iterator[DatabaseUrls]:
    """Migrated, with a second organization."""
    with own_database("actors") as urls:
        migrate(urls.owner)
        engine = owner_engine(urls)
        with engine.begin() as connection:
            connection.exec_driver_sql(EFFECTS)
        engine.dispose()
        other = create_organization(urls)
        assert other == 1
        yield urls


def create_organization(urls: DatabaseUrls) -> int:
    """Organizations are added by the system role."""
    engine = create_engine(urls.system, poolclass=NullPool)
    with engine.begin() as connection:
        statement = "INSERT INTO organizations (id, name, subdomain) VALUES (%s, 'Other', 'other')"
        added = connection.exec_driver_sql(statement, (str(OTHER),)).rowcount
    engine.dispose()
    return added


@pytest.fixture
def shop(actors_database: DatabaseUrls) -> Iterator[Workshop]:
    found = Workshop.open(actors_database)
    yield found
    found.close()


@pytest.fixture
def paper() -> PaperTransport:
    return PaperTransport()
