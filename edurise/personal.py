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

from sqlalchemy.orm import Session


class Fate(StrEnum):
    """What becomes of the rows of a person who is erased."""

    DELETED = "deleted"  # they go
    EMPTIED = "emptied"  # what was personal in them goes, the row stays
    KEPT = "kept"  # they stay, of a person without a name; ``because`` says why


Exporter = Callable[[Session, UUID], list[dict[str, Any]]]
"""A person's rows over all organizations, oldest first, as plain values; runs as the system role."""
Eraser = Callable[[Session, UUID, datetime], int]
"""Erases a person's rows over all organizations and returns how many it touched; runs as the system role, is safe to
repeat, and records events for what lies outside the database."""


@dataclass(frozen=True)
class PersonalTable:
    """A table that holds personal data. ``person`` are its columns that refer to a person; those of ``others`` refer to
    somebody who only acted on the row (who approved it) and is no part of their export. ``export`` is None only where
    the rows are secrets or machinery, and ``because`` says so."""

    table: str
    person: tuple[str, ...]
    fate: Fate
    export: Exporter | None
    erase: Eraser | None
    others: tuple[str, ...] = ()
    because: str = ""


_REGISTRY: dict[str, PersonalTable] = {}


def declare(one: PersonalTable) -> PersonalTable:
    """Register a table, once. Raises ValueError for what does not explain itself."""
    if one.table in _REGISTRY:
        raise ValueError(f"personal data of {one.table} is declared twice")
    if (one.fate is Fate.KEPT or one.export is None) and not one.because:
        raise ValueError(f"{one.table}: say why its rows are kept, or not exported")
    if (one.fate is Fate.KEPT) != (one.erase is None):
        raise ValueError(f"{one.table}: what is kept has no eraser, and all else has one")
    _REGISTRY[one.table] = one
    return one


def declared() -> Mapping[str, PersonalTable]:
    """Every declared table, by name. Complete once ``edurise.models`` is imported."""
    return dict(sorted(_REGISTRY.items()))


def in_order() -> Iterator[PersonalTable]:
    """The tables in the order of their declaration, in which they are exported and erased."""
    return iter(_REGISTRY.values())
