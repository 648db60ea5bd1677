"""Rows into tables by COPY, PostgreSQL's fastest way in (text format:
https://www.postgresql.org/docs/15/sql-copy.html).

COPY refuses a table whose row-level security is forced, so the rows go through a temporary one.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

Cell = str | int | bool | datetime | UUID | Sequence[str] | None
Row = tuple[Cell, ...]

_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_QUOTED = str.maketrans({"\\": "\\\\", '"': '\\"'})


def copy(connection: Connection, table: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Append rows to a table in the connection's transaction; constraints and triggers apply.

    A sequence of strings is a ``text[]``. Table and columns are constants of the caller, never input.
    """
    names = ", ".join(columns)
    lines = io.StringIO("".join("\t".join(map(_cell, row)) + "\n" for row in rows))
    arriving = f"CREATE TEMPORARY TABLE arriving ON COMMIT DROP AS SELECT {names} FROM {table} LIMIT 0"  # noqa: S608 - constants
    connection.exec_driver_sql(arriving)
    cursor = connection.connection.cursor()
    try:
        cursor.copy_expert(f"COPY arriving ({names}) FROM STDIN", lines)
    finally:
        cursor.close()
    connection.exec_driver_sql(f"INSERT INTO {table} ({names}) SELECT {names} FROM arriving")  # noqa: S608 - constants
    connection.exec_driver_sql("DROP TABLE arriving")


def _cell(value: Cell) -> str:
    if value is None:
        return "\\N"
    if isinstance(value, str):
        return value.translate(_ESCAPES)
    if isinstance(value, bool):
        return "t" if value else "f"
    if isinstance(value, int | UUID):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    inside = ",".join(f'"{one.translate(_QUOTED)}"' for one in value)
    return f"{{{inside}}}".translate(_ESCAPES)
