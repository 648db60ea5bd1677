"""Query strings: values arrive as text, an empty one means "absent", an unknown key means nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any

from marshmallow import EXCLUDE, Schema, pre_load

from schemas.fields import INT4_MAX, Bool, Choice, Int, Number, Text, refuse

SCHEMA_CODES: Mapping[str, str] = {"type": "not_an_object", "unknown": "unknown_field"}

DEFAULT_PAGE_SIZE = 20
MAX_PAGE_SIZE = 100


class QueryInt(Int):
    """A whole number written in ASCII digits, with an optional minus."""

    def read(self, value: Any) -> int:
        digits = value.removeprefix("-") if isinstance(value, str) else ""
        if not (digits.isascii() and digits.isdigit()):
            refuse("not_an_integer")
        if len(digits) > 20:  # int() of a long text is slow, and nothing so long is in range
            refuse("out_of_range", min=self.min, max=self.max)
        return self.bounded(int(value))


class QueryNumber(Number):
    """A finite number in ordinary or exponent notation."""

    def read(self, value: Any) -> float:
        if not isinstance(value, str) or len(value) > 40 or "_" in value:
            refuse("not_a_number")
        try:
            return self.bounded(float(value))
        except ValueError:
            refuse("not_a_number")


class QueryBool(Bool):
    """``true`` or ``false``."""

    def read(self, value: Any) -> bool:
        if value not in ("true", "false"):
            refuse("not_boolean")
        return bool(value == "true")


class Ordering(Choice):
    """One of the declared columns, or ``-column`` for the other direction. Each column must have an index."""

    def __init__(self, columns: Iterable[str] | type[Enum], **options: Any) -> None:
        plain = Choice(columns).choices
        super().__init__([*plain, *(f"-{name}" for name in plain)], **options)


class QuerySchema(Schema):
    """Base of every query string. Load it with :func:`schemas.base.load` from a mapping of plain texts."""

    class Meta:
        unknown = EXCLUDE

    error_messages = dict(SCHEMA_CODES)  # noqa: RUF012 - marshmallow's own attribute

    @pre_load
    def drop_empty(self, data: Mapping[str, Any], **_options: Any) -> dict[str, Any]:
        """Clients send ``?status=&search=`` and mean: no filter."""
        return {name: value for name, value in data.items() if value != ""}


class PageQuery(QuerySchema):
    """What every list understands. Without ``page`` (None) a client gets the first 10,000 rows.

    A list that can be ordered adds ``ordering = Ordering([...], load_default=…)``.
    """

    page = QueryInt(min=1, max=INT4_MAX // MAX_PAGE_SIZE, load_default=None, allow_none=False, description="From 1.")
    page_size = QueryInt(min=1, max=MAX_PAGE_SIZE, load_default=DEFAULT_PAGE_SIZE)
    search = Text(max=200, load_default="")
