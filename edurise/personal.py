"""The registry of personal data: each capability declares its tables that hold any, how they are exported and how they
are erased. ``privacy`` runs over it; a test fails for a table that nobody declared.

Erasing keeps what others rely on and takes the person out of it: the row of ``people`` stays as a name that says
nothing, so that what refers to it (a payment, an attendance, a grade) stays true of *somebody*.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Executable, Integer, Uuid, bindparam, delete, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from edurise.db import rows


class Fate(StrEnum):
    """What becomes of the rows of a person who is erased."""

    DELETED = "deleted"  # they go
    EMPTIED = "emptied"  # what was personal in them goes, the row stays; ``because`` says why
    KEPT = "kept"  # they stay, of a person without a name; ``because`` says why


Exporter = Callable[[Session, UUID, int], list[dict[str, Any]]]
"""A person's rows over all organizations, oldest first and at most so many, as plain values of what they may see; one
statement, as the system role."""
Eraser = Callable[[Session, UUID, datetime], int]
"""Erases a person's rows over all organizations and returns how many it touched; runs as the system role, is safe to
repeat, and records events for what lies outside the database."""

NAMELESS = ("Erased", "Person")
"""What stands in the place of the first and last name of who is erased."""


@dataclass(frozen=True)
class PersonalTable:
    """A table that holds personal data, under the ``section`` of an export that it belongs to.

    ``person`` are its columns that refer to a person; those of ``others`` refer to somebody who only acted on the row
    (who approved it) and is no part of their export. ``export`` is None only where the rows are secrets, machinery or
    copies, and ``because`` says so. ``last``: erased after all others, which ask it whose rows theirs are.
    """

    section: str
    table: str
    person: tuple[str, ...]
    fate: Fate
    export: Exporter | None
    erase: Eraser | None
    others: tuple[str, ...] = ()
    because: str = ""
    last: bool = False


_REGISTRY: dict[str, PersonalTable] = {}


def declare(one: PersonalTable) -> PersonalTable:
    """Register a table, once. Raises ValueError for what does not explain itself."""
    if one.table in _REGISTRY:
        raise ValueError(f"personal data of {one.table} is declared twice")
    if (one.fate is not Fate.DELETED or one.export is None) and not one.because:
        raise ValueError(f"{one.table}: say why its rows stay, or are not exported")
    if (one.fate is Fate.KEPT) != (one.erase is None):
        raise ValueError(f"{one.table}: what is kept has no eraser, and all else has one")
    _REGISTRY[one.table] = one
    return one


def declared() -> Mapping[str, PersonalTable]:
    """Every declared table, by name. Complete once ``edurise.models`` is imported."""
    return dict(sorted(_REGISTRY.items()))


def in_order() -> Iterator[PersonalTable]:
    """The tables in the order in which they are exported and erased: by section, there as they were declared, and what
    is ``last`` last."""
    return iter(sorted(_REGISTRY.values(), key=lambda one: (one.last, one.section)))


def exporting(
    person: InstrumentedAttribute[Any],
    *columns: Any,
    order: tuple[Any, ...] = (),
    joined: tuple[Any, Any] | None = None,
) -> Exporter:
    """Reads ``columns`` of the rows whose column ``person`` is the person, in ``order`` (else by ``id``); ``joined`` is
    a model and on what it is joined."""
    query = select(*columns).select_from(person.class_).where(person == bindparam("person", type_=Uuid()))
    query = query.join(*joined) if joined else query
    query = query.order_by(*(order or (person.class_.id,))).limit(bindparam("most", type_=Integer()))

    def export(session: Session, person_id: UUID, most: int) -> list[dict[str, Any]]:
        return rows(session, query, {"person": person_id, "most": most})

    return export


def deleting(person: InstrumentedAttribute[Any]) -> Eraser:
    """Deletes the rows whose column ``person`` is the person."""
    return running(delete(person.class_.__table__).where(person == bindparam("person", type_=Uuid())))


def emptying(person: InstrumentedAttribute[Any], **values: Any) -> Eraser:
    """Sets columns of the rows whose column ``person`` is the person to what says nothing."""
    table = person.class_.__table__
    return running(update(table).where(person == bindparam("person", type_=Uuid())).values(**values))


def running(statement: Executable) -> Eraser:
    """Runs a statement that names the person ``:person``; what it returns or touches are the rows."""

    def erase(session: Session, person_id: UUID, now: datetime) -> int:  # noqa: ARG001 - every eraser's signature
        session.flush()
        return int(session.connection().execute(statement, {"person": person_id}).rowcount)

    return erase
