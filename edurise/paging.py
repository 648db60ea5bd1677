"""Windows on lists. Each list declares by which columns it can be ordered; a test demands an index for each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from sqlalchemy import ColumnElement, Executable, Select, bindparam, func
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


class Listing:
    """The statements of one list, built once for each combination of filters and ordering that was ever asked for.

    ``filters`` maps a name to its condition, which takes the value from the bind parameter of that name. Building a
    select of twenty columns anew for each request costs as much as running it.
    """

    def __init__(
        self,
        columns: Select[*tuple[Any, ...]],
        orderings: Orderings,
        filters: Mapping[str, ColumnElement[bool]],
    ) -> None:
        self.orderings = orderings
        self._columns = columns
        self._filters = dict(filters)
        self._built: dict[tuple[str, ...], tuple[Executable, Executable]] = {}

    def page(self, session: Session, given: Mapping[str, Any], window: Window) -> Found:
        """Two statements whatever the number of rows: the count, and the window's rows as plain dicts.

        A filter is applied where its value is not None; values without a filter of their name are parameters only.
        """
        values = {name: value for name, value in given.items() if value is not None}
        counted, listed = self._statements(values, window.ordering)
        count = scalar(session, counted, values) or 0
        return Found(count, rows(session, listed, {**values, "_size": window.size, "_offset": window.offset}))

    def _statements(self, values: Mapping[str, Any], ordering: str) -> tuple[Executable, Executable]:
        key = (ordering, *(name for name in self._filters if name in values))
        found = self._built.get(key)
        if found is None:
            query = self._columns.where(*(self._filters[name] for name in key[1:]))
            counted = query.with_only_columns(func.count(), maintain_column_froms=True).order_by(None)
            listed = self.orderings.apply(query, ordering).limit(bindparam("_size")).offset(bindparam("_offset"))
            found = self._built[key] = (counted, listed)
        return found
