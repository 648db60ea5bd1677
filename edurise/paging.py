"""Windows on lists. Each list declares by which columns it can be ordered; a test demands an index for each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from sqlalchemy import Select, func
from sqlalchemy.orm import InstrumentedAttribute, Session

from edurise.db import rows, scalar

EVERYTHING = 10_000
"""Rows of a list that was asked for without a page; ``count`` is the true one and ``next`` leads on."""


@dataclass(frozen=True)
class Window:
    """A page of ``size`` rows, ``number`` counting from 1; ``ordering`` is a declared name, "-" before it for
    descending."""

    number: int = 1
    size: int = EVERYTHING
    ordering: str = ""

    @property
    def offset(self) -> int:
        return (self.number - 1) * self.size


@dataclass(frozen=True)
class Found:
    """A page: the rows of the window and how many there are in all."""

    count: int
    rows: list[dict[str, Any]]


class Orderings:
    """The declared orderings of one list. ``tie`` makes the order total, so that pages neither repeat nor lose rows."""

    declared: ClassVar[list[Orderings]] = []

    def __init__(
        self, default: str, tie: InstrumentedAttribute[Any], columns: Mapping[str, InstrumentedAttribute[Any]]
    ) -> None:
        self.default = default
        self.tie = tie
        self.columns = dict(columns)
        self.declared.append(self)

    @property
    def names(self) -> list[str]:
        """Every accepted value of ``?ordering=``."""
        return [sign + name for name in self.columns for sign in ("", "-")]

    def apply(self, query: Select[*tuple[Any, ...]], ordering: str) -> Select[*tuple[Any, ...]]:
        name = ordering or self.default
        column = self.columns[name.removeprefix("-")]
        if name.startswith("-"):
            return query.order_by(column.desc(), self.tie.desc())
        return query.order_by(column, self.tie)


def page(session: Session, query: Select[*tuple[Any, ...]], window: Window, orderings: Orderings) -> Found:
    """Two statements whatever the number of rows: the count, and the window's rows as plain dicts."""
    count = scalar(session, query.with_only_columns(func.count(), maintain_column_froms=True).order_by(None)) or 0
    found = rows(session, orderings.apply(query, window.ordering).limit(window.size).offset(window.offset))
    return Found(count, found)
