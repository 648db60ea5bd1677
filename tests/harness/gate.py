"""A delay point inside a process under test: its transaction waits at a row, for as long as the test holds the gate."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import psycopg2

_NUMBERS = count(1)
_MADE = """
CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_advisory_xact_lock({key}); RETURN NEW; END $$;
CREATE TRIGGER {name} BEFORE UPDATE ON {table} FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION {name}();
"""
_GONE = "DROP TRIGGER {name} ON {table}; DROP FUNCTION {name}();"
_WAITING = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = %s AND NOT granted"


@contextlib.contextmanager
def gate(port: int, table: str, condition: str) -> Iterator[Callable[[], bool]]:
    """Stop every update of ``table`` whose new row meets ``condition``; yields whether one waits at the gate now.

    The gate opens at the end of the block. What waits longer than its role's ``lock_timeout`` fails.
    """
    key = 47_000 + next(_NUMBERS)
    named = {"name": f"gate_{key}", "key": key, "table": table, "condition": condition}
    holder = _connect(port)
    try:
        _do(holder, _MADE.format(**named))
        _do(holder, "SELECT pg_advisory_lock(%s)", key)
        yield lambda: _do(holder, _WAITING, key) > 0
        _do(holder, "SELECT pg_advisory_unlock(%s)", key)
        _do(holder, _GONE.format(**named))
    finally:
        holder.close()


def _connect(port: int) -> Any:
    connection = psycopg2.connect(host="127.0.0.1", port=port, user="postgres", dbname="edurise", connect_timeout=5)
    connection.autocommit = True
    return connection


def _do(connection: Any, statement: str, *values: object) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement, values or None)
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None
