"""The project's own fields: strict, and refusing with codes.

A field of marshmallow accepts 2.9 as 2, "yes" as true, naive times and NUL characters, and refuses with English
sentences. These refuse all that, and their errors are :class:`edurise.errors.Problem` objects whose sentences are made
at the edge, by language. Every field describes itself for OpenAPI with ``json_schema()``: what the description allows
is what the field accepts.

Common arguments, keyword only: ``required``, ``allow_none`` (a JSON null is refused without it), ``load_default``,
``description``, ``example``, ``deprecated``. A field of a request is optional unless ``required=True``; a field of an
answer is required unless ``required=False``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from enum import Enum
from math import isfinite
from typing import Any, ClassVar, Generic, NoReturn, TypeVar
from uuid import UUID

from marshmallow import ValidationError, fields

from edurise.errors import Problem

JsonSchema = dict[str, Any]
T = TypeVar("T")

INT4_MAX = 2**31 - 1
INT8_MAX = 2**63 - 1
UUID_PATTERN = "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
SLUG_PATTERN = "[a-z0-9]+(?:-[a-z0-9]+)*"

_UUID = re.compile(UUID_PATTERN)
_SLUG = re.compile(SLUG_PATTERN)
_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTROL = r"\x00-\x1f\x7f-\x9f"
_CONTROL_BUT_LINES = r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"


def refuse(code: str, **params: object) -> NoReturn:
    """Refuse the value at hand with a code of ``edurise/texts``; for fields and for a schema's own rules."""
    raise ValidationError([Problem(code, params)])


def refuse_field(name: str, code: str, **params: object) -> NoReturn:
    """Refuse the field ``name`` from a rule that looks at the whole body."""
    raise ValidationError({name: [Problem(code, params)]})


class Coded(fields.Field[Any]):
    """What every field of the project adds to marshmallow's: coded errors and a description of itself.

    ``codes`` maps marshmallow's names of errors to ours. ``needed`` is ``required`` as written, or None.
    """

    codes: ClassVar[Mapping[str, str]] = {"required": "required", "null": "null_not_allowed"}

    def __init__(
        self,
        *args: Any,
        required: bool | None = None,
        description: str | None = None,
        example: object = None,
        deprecated: bool = False,
        **options: Any,
    ) -> None:
        metadata = {"description": description, "example": example, "deprecated": deprecated or None}
        options["metadata"] = {name: value for name, value in metadata.items() if value is not None}
        super().__init__(*args, required=bool(required), **options)
        self.needed = required

    def make_error(self, key: str, **_params: Any) -> ValidationError:
        """What marshmallow itself refuses, as a coded problem, without the refused value that it may pass along."""
        return ValidationError([Problem(self.codes.get(key, key))])

    def json_schema(self) -> JsonSchema:
        """The JSON Schema (2020-12) of the accepted values, without null."""
        return {}


class Plain(Coded, Generic[T]):
    """Base of the fields of one value: a subclass says in ``read`` what it makes of it, or refuses."""

    def read(self, value: Any) -> T:
        """The loaded value; never called with None or with an absent value."""
        raise NotImplementedError

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> T:
        return self.read(value)


class Text(Plain[str]):
    """A string of ``min`` to ``max`` characters, stripped of outer white space unless ``strip=False``.

    NUL, lone surrogates and control characters are refused; ``lines=True`` allows line breaks and tabs. ``min`` counts
    after stripping, ``max`` before it. ``pattern`` must match the whole stripped text.
    """

    def __init__(
        self,
        *,
        min: int = 0,  # noqa: A002 - the word that reads best in a schema
        max: int = 255,  # noqa: A002 - as above
        strip: bool = True,
        pattern: str | None = None,
        lines: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.min, self.max, self.strip, self.lines = min, max, strip, lines
        self.pattern = pattern
        self._forbidden = _CONTROL_BUT_LINES if lines else _CONTROL
        self._control = re.compile(f"[{self._forbidden}]")
        self._pattern = re.compile(pattern) if pattern else None

    def read(self, value: Any) -> str:
        if not isinstance(value, str):
            refuse("not_text")
        if len(value) > self.max:
            refuse("too_long", max=self.max)
        if "\x00" in value:
            refuse("nul_byte")
        if not value.isascii() and _SURROGATE.search(value):
            refuse("surrogate")
        if self._control.search(value):
            refuse("control_character")
        text = value.strip() if self.strip else value
        if len(text) < self.min:
            refuse("required_text" if not text else "too_short", min=self.min)
        if self._pattern and not self._pattern.fullmatch(text):
            refuse("bad_format")
        return text

    def json_schema(self) -> JsonSchema:
        schema: JsonSchema = {"type": "string", "maxLength": self.max}
        if self.min:
            schema["minLength"] = self.min
        schema["pattern"] = f"^(?:{self.pattern})$" if self.pattern else self._own_pattern()
        return schema

    def _own_pattern(self) -> str:
        """The rules above as a regular expression that ECMA, Rust and Python read alike."""
        some, solid = f"[^{self._forbidden}]", rf"[^\s{self._forbidden}]"
        if not self.strip or self.min == 0:
            return f"^{some}*$"
        if self.min == 1:
            return f"^{some}*{solid}{some}*$"
        return rf"^{some}*{solid}{some}{{{self.min - 2},}}{solid}{some}*$"


class Int(Plain[int]):
    """A whole number within ``min`` and ``max`` (default: what PostgreSQL's int4 holds, from 0).

    2.9, "2" and true are refused. 2.0 is 2: JSON has one kind of number, and JSON Schema calls it an integer.
    """

    def __init__(self, *, min: int = 0, max: int = INT4_MAX, **options: Any) -> None:  # noqa: A002 - as Text
        super().__init__(**options)
        self.min, self.max = min, max

    def read(self, value: Any) -> int:
        return self.bounded(value)

    def bounded(self, value: object) -> int:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            refuse("not_an_integer")
        if not self.min <= value <= self.max:
            refuse("out_of_range", min=self.min, max=self.max)
        return value

    def json_schema(self) -> JsonSchema:
        return {"type": "integer", "minimum": self.min, "maximum": self.max}


class Number(Plain[float]):
    """A finite JSON number within ``min`` and ``max``; becomes a float."""

    def __init__(
        self,
        *,
        min: float | None = None,  # noqa: A002 - as Text
        max: float | None = None,  # noqa: A002 - as Text
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.min, self.max = min, max

    def read(self, value: Any) -> float:
        return self.bounded(value)

    def bounded(self, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
            refuse("not_a_number")
        try:
            number = float(value)
        except OverflowError:
            refuse("not_a_number")
        if not isfinite(number):
            refuse("not_a_number")
        if (self.min is not None and number < self.min) or (self.max is not None and number > self.max):
            refuse("out_of_range", min=self.min, max=self.max)
        return number

    def json_schema(self) -> JsonSchema:
        bounds = {"minimum": self.min, "maximum": self.max}
        return {"type": "number", **{name: bound for name, bound in bounds.items() if bound is not None}}


class Bool(Plain[bool]):
    """JSON true or false, and nothing that resembles them."""

    def read(self, value: Any) -> bool:
        if not isinstance(value, bool):
            refuse("not_boolean")
        return value

    def json_schema(self) -> JsonSchema:
        return {"type": "boolean"}


class Id(Plain[UUID | str]):
    """A UUID in its 36-character form; becomes a ``UUID``. Words of ``words`` (``main``) are accepted too, as text."""

    def __init__(self, *, words: Iterable[str] = (), **options: Any) -> None:
        super().__init__(**options)
        self.words = tuple(words)

    def read(self, value: Any) -> UUID | str:
        if isinstance(value, UUID):
            return value
        if isinstance(value, str) and value in self.words:
            return value
        if not isinstance(value, str) or not _UUID.fullmatch(value):
            refuse("not_a_uuid")
        return UUID(value)

    def json_schema(self) -> JsonSchema:
        if self.words:
            return {
                "type": "string",
                "anyOf": [{"format": "uuid", "pattern": f"^{UUID_PATTERN}$"}, {"enum": list(self.words)}],
            }
        return {"type": "string", "format": "uuid", "pattern": f"^{UUID_PATTERN}$"}


class Slug(Plain[str]):
    """Lower-case words joined by single hyphens: ``intro-to-sql``."""

    def __init__(self, *, max: int = 100, **options: Any) -> None:  # noqa: A002 - as Text
        super().__init__(**options)
        self.max = max

    def read(self, value: Any) -> str:
        if not isinstance(value, str):
            refuse("not_text")
        if len(value) > self.max:
            refuse("too_long", max=self.max)
        if not _SLUG.fullmatch(value):
            refuse("not_a_slug")
        return value

    def json_schema(self) -> JsonSchema:
        return {"type": "string", "minLength": 1, "maxLength": self.max, "pattern": f"^{SLUG_PATTERN}$"}


class Choice(Plain[str]):
    """One of the given words, or of the values of a string enum; becomes plain text."""

    def __init__(self, choices: Iterable[str] | type[Enum], **options: Any) -> None:
        super().__init__(**options)
        listed = [one.value if isinstance(one, Enum) else one for one in choices]
        self.choices: tuple[str, ...] = tuple(str(one) for one in listed)

    def read(self, value: Any) -> str:
        if not isinstance(value, str) or value not in self.choices:
            refuse("bad_choice", choices=list(self.choices))
        return value

    def json_schema(self) -> JsonSchema:
        return {"type": "string", "enum": list(self.choices)}
