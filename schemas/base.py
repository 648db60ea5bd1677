"""Base schemas, and the one way to load them. Every field of the project can be imported from here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from marshmallow import RAISE, Schema, ValidationError
from marshmallow.fields import Field

from edurise.errors import Invalid, Problem
from schemas.fields import Bool, Choice, Coded, Id, Int, Number, Slug, Text, refuse, refuse_field
from schemas.formats import Day, Email, Instant, Money, Password, Url, instant_text
from schemas.queries import SCHEMA_CODES, Ordering, PageQuery, QueryBool, QueryInt, QueryNumber, QuerySchema
from schemas.structures import Ignored, Json, JsonObject, ListOf, Nested

__all__ = [
    "Bool",
    "Choice",
    "Coded",
    "Day",
    "Email",
    "EmptyIn",
    "Id",
    "Ignored",
    "Instant",
    "Int",
    "Json",
    "JsonObject",
    "ListOf",
    "Money",
    "Nested",
    "Number",
    "Ordering",
    "OutSchema",
    "PageQuery",
    "Password",
    "QueryBool",
    "QueryInt",
    "QueryNumber",
    "QuerySchema",
    "Slug",
    "StrictSchema",
    "Text",
    "Url",
    "instant_text",
    "load",
    "made",
    "page_of",
    "refuse",
    "refuse_field",
]

# A megabyte of unknown keys must not come back as a megabyte of complaints.
MOST_PROBLEMS = 50
LONGEST_NAME = 100


class StrictSchema(Schema):
    """Base of every request body: unknown keys are refused, nulls too unless the field allows them."""

    class Meta:
        unknown = RAISE

    error_messages = dict(SCHEMA_CODES)  # noqa: RUF012 - marshmallow's own attribute


class EmptyIn(StrictSchema):
    """Nothing."""


class OutSchema(Schema):
    """Base of every answer. It documents and, in tests, checks what handlers write; it does not serialize.

    Every field is present in every answer unless it says ``required=False``.
    """

    class Meta:
        unknown = RAISE

    error_messages = dict(SCHEMA_CODES)  # noqa: RUF012 - marshmallow's own attribute

    def on_bind_field(self, field_name: str, field_obj: Field[Any]) -> None:  # noqa: ARG002 - marshmallow's hook
        if isinstance(field_obj, Coded) and field_obj.needed is None:
            field_obj.required = True


@cache
def page_of(item: type[OutSchema]) -> type[OutSchema]:
    """The schema of one page of ``item``: ``{count, next, previous, results}``; the links are absolute URLs or null."""
    name = item.__name__.removesuffix("Out") + "PageOut"
    members = {
        "__doc__": f"A page of {item.__name__}.",
        "__module__": item.__module__,
        "count": Int(description="Rows over all pages."),
        "next": Text(max=4000, allow_none=True),
        "previous": Text(max=4000, allow_none=True),
        "results": ListOf(Nested(item), max=10_000),
    }
    return type(name, (OutSchema,), members)


@cache
def made(schema: type[Schema]) -> Schema:
    """The one instance of a schema: it keeps no state, and making one copies every field."""
    return schema()


def load(schema: Schema, data: object) -> dict[str, Any]:
    """Read ``data`` by ``schema``; raises Invalid with the problems of each field.

    Names of nested fields are joined by dots: ``modules.0.title``.
    """
    try:
        loaded: dict[str, Any] = schema.load(data)  # type: ignore[arg-type]  # what is not a mapping is refused inside, with a code
    except ValidationError as refused:
        raise Invalid("VALIDATION_ERROR", errors=_problems(refused.messages)) from None
    return loaded


def _problems(messages: object) -> dict[str, list[Problem]]:
    found: dict[str, list[Problem]] = {}
    for name, problem in _flat(messages, ""):
        if len(found) >= MOST_PROBLEMS:
            break
        found.setdefault(name[:LONGEST_NAME], []).append(problem)
    return found


def _flat(messages: object, name: str) -> Iterator[tuple[str, Problem]]:
    """Pairs of dotted name and problem; a bare text is a code, as marshmallow stores the schema's own messages."""
    if isinstance(messages, Mapping):
        for key, inner in messages.items():
            # "_schema" is marshmallow's name for the object itself.
            own = name if key == "_schema" and name else f"{name}.{key}" if name else str(key)
            yield from _flat(inner, own)
    elif isinstance(messages, list | tuple):
        for inner in messages:
            yield from _flat(inner, name)
    elif isinstance(messages, Problem):
        yield name, messages
    else:
        yield name, Problem(str(messages))
