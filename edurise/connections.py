"""Connections to PostgreSQL as hops use them: BEGIN with the first statement, a strict COMMIT, cached UUIDs."""

from __future__ import annotations

from functools import lru_cache
from typing import Any
from uuid import UUID

import psycopg2.extensions
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.pool import QueuePool

_IDLE = psycopg2.extensions.TRANSACTION_STATUS_IDLE
_UNKNOWN = psycopg2.extensions.TRANSACTION_STATUS_UNKNOWN
_LOST = (_UNKNOWN, psycopg2.extensions.TRANSACTION_STATUS_INERROR)


class HopConnection(psycopg2.extensions.connection):
    """A connection on which a hop itself says BEGIN, together with its first statement.

    psycopg2 would send it alone. Whether a transaction is open is what the protocol last said, so asking costs nothing.
    A commit of what is lost or failed raises: PostgreSQL itself answers COMMIT in a failed transaction with a quiet
    ROLLBACK.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.autocommit = True

    def commit(self) -> None:
        status = self.get_transaction_status()
        if status in _LOST:
            raise psycopg2.OperationalError(
                "the transaction cannot be committed: it failed, or its connection was lost"
            )
        if status != _IDLE:
            self._say("COMMIT")

    def rollback(self) -> None:
        if self.get_transaction_status() not in (_IDLE, _UNKNOWN):
            self._say("ROLLBACK")

    def _say(self, word: str) -> None:
        with self.cursor() as cursor:
            cursor.execute(word)


@lru_cache(maxsize=50_000)
def _known_uuid(text: str) -> UUID:
    return UUID(text)


_UUID_OID = 2950
# The same few ids (organizations, courses, people) are read all the time; making a UUID costs ten times a look-up.
_CACHED_UUID = psycopg2.extensions.new_type(
    (_UUID_OID,), "CACHED_UUID", lambda text, _cursor: None if text is None else _known_uuid(text)
)


def engine_of(url: str, size: int, name: str) -> Engine:
    """An engine with as many connections as threads; a thread never waits for a connection."""
    engine = create_engine(
        url,
        poolclass=QueuePool,
        pool_size=size,
        max_overflow=0,
        pool_use_lifo=True,
        hide_parameters=True,  # an error is logged with its statement, and never with addresses and hashes
        connect_args={"application_name": name, "connect_timeout": 5, "connection_factory": HopConnection},
    )

    @event.listens_for(engine, "connect")
    def read_uuids(connection: Any, _record: object) -> None:
        psycopg2.extensions.register_type(_CACHED_UUID, connection)

    return engine
