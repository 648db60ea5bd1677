"""How many statements a piece of work sends to the database."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from sqlalchemy import event

from tests.harness.world import World


@contextlib.contextmanager
def statements(world: World, *, system: bool = False) -> Iterator[list[str]]:
    """The statements of the application role's connections (or the system role's) while the block runs; BEGIN and
    COMMIT are not among them."""
    sent: list[str] = []
    engine = (world.c.db._sys if system else world.c.db._app).engine

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        sent.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", note)
