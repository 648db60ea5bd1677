"""Fields that hold other values: lists, nested objects, free JSON, and what is accepted only to be dropped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import orjson
from marshmallow import Schema, fields, missing

from schemas.fields import Coded, JsonSchema, Plain, refuse


class ListOf(Coded, fields.List[Any]):
    """A JSON array of at most ``max`` values of one field."""

    def __init__(self, field: fields.Field[Any], *, min: int = 0, max: int = 100, **options: Any) -> None:  # noqa: A002 - as Text
        super().__init__(field, **options)
        self.min, self.max = min, max

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> list[Any]:
        if not isinstance(value, list):
            refuse("not_a_list")
        if len(value) > self.max:
            refuse("too_many", max=self.max)
        if len(value) < self.min:
            refuse("too_few", min=self.min)
        return super()._deserialize(value, attr, data, **kwargs)

    def json_schema(self) -> JsonSchema:
        return {"type": "array", "maxItems": self.max, **({"minItems": self.min} if self.min else {})}


class Nested(Coded, fields.Nested):
    """A JSON object read by another schema, with that schema's own rule for unknown keys."""

    codes: ClassVar[Mapping[str, str]] = {**Coded.codes, "type": "not_an_object"}

    def __init__(self, schema: type[Schema] | Schema, **options: Any) -> None:
        super().__init__(schema, **options)


class Json(Plain[Any]):
    """Any JSON value of at most ``max_depth`` levels and ``max_bytes`` bytes, without NUL, which jsonb cannot hold."""

    def __init__(self, *, max_depth: int = 8, max_bytes: int = 16_384, **options: Any) -> None:
        super().__init__(**options)
        self.max_depth, self.max_bytes = max_depth, max_bytes

    def read(self, value: Any) -> Any:
        if deeper_than(value, self.max_depth):
            refuse("too_deep", max=self.max_depth)
        try:
            size = len(orjson.dumps(value))
        except TypeError:
            refuse("bad_json")
        if size > self.max_bytes:
            refuse("too_large", max=self.max_bytes)
        if _has_nul(value):
            refuse("nul_byte")
        return value

    def json_schema(self) -> JsonSchema:
        return {"description": f"Any JSON of at most {self.max_depth} levels and {self.max_bytes} bytes."}


class JsonObject(Json):
    """As :class:`Json`, with an object at the top."""

    def read(self, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            refuse("not_an_object")
        checked: dict[str, Any] = super().read(value)
        return checked

    def json_schema(self) -> JsonSchema:
        return {"type": "object", **super().json_schema()}


class Ignored(Plain[Any]):
    """A key that old clients send and that means nothing here: accepted, whatever it holds, and dropped."""

    def __init__(self, **options: Any) -> None:
        super().__init__(load_only=True, allow_none=True, deprecated=True, pre_load=_drop, **options)

    def read(self, value: Any) -> Any:  # noqa: ARG002 - that it is not looked at is the point
        return missing

    def json_schema(self) -> JsonSchema:
        return {"description": "Accepted from older clients and ignored."}


def _drop(_value: object) -> Any:
    """In the place of any value, null included, for which ``read`` is not asked."""
    return missing


def deeper_than(value: object, levels: int) -> bool:
    """Whether arrays and objects nest more than ``levels`` deep. Walks level by level, so that depth costs no stack."""
    layer = [value] if isinstance(value, dict | list) else []
    for _ in range(levels):
        if not layer:
            return False
        layer = [child for node in layer for child in _children(node) if isinstance(child, dict | list)]
    return bool(layer)


def _children(node: Any) -> Any:
    return node.values() if isinstance(node, dict) else node


def _has_nul(value: object) -> bool:
    waiting = [value]
    while waiting:
        node = waiting.pop()
        if isinstance(node, str):
            if "\x00" in node:
                return True
        elif isinstance(node, dict):
            waiting.extend(node.keys())
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)
    return False
