"""The routes as an OpenAPI 3.1 document. Pure: reads no database, no settings, no network.

One operation per verb of a canonical route, its aliases under ``x-aliases``, its permission under ``x-permission``.
Sockets are outside of OpenAPI and are listed under ``x-sockets``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from apispec.ext.marshmallow.openapi import OpenAPIConverter
from marshmallow import Schema, fields

from edurise.texts import text
from handlers.codes import KIND_OF_CODE
from handlers.guards import Description, Guard, check_all, description_of, guard_of
from handlers.routing import Aliases, Parameter, Route, RouteError, Routes, is_socket, verbs_of
from handlers.statuses import STATUS
from schemas.base import Coded, page_of
from schemas.fields import INT4_MAX, SLUG_PATTERN, UUID_PATTERN

Json = dict[str, Any]

_DESCRIPTION = """Answers lie in an envelope, `{"success": true, "data", "message", "timestamp"}`; errors are
`{"success": false, "message", "code", "errors": {"field": ["…"]}, "timestamp"}` with the message in the language of
`Accept-Language`. Times are ISO 8601 in UTC, ids are UUIDs, money is a JSON number in major units."""

_PATH_SCHEMAS: Mapping[str, Json] = {
    "uuid": {"type": "string", "format": "uuid", "pattern": f"^{UUID_PATTERN}$"},
    "int": {"type": "integer", "minimum": 0, "maximum": INT4_MAX},
    "slug": {"type": "string", "pattern": f"^{SLUG_PATTERN}$"},
    "text": {"type": "string", "minLength": 1, "maxLength": 255},
}
_ENVELOPE: Mapping[str, Json] = {
    "success": {"type": "boolean", "const": True},
    "message": {"type": "string"},
    "timestamp": {"type": "string", "format": "date-time"},
}
_ERROR: Json = {
    "type": "object",
    "required": ["success", "message", "code", "timestamp"],
    "properties": {
        "success": {"type": "boolean", "const": False},
        "message": {"type": "string", "description": "A sentence for the person, in the language of the request."},
        "code": {"type": "string", "description": "Stable, for programs."},
        "errors": {
            "type": "object",
            "description": "Sentences by field; nested fields are joined by dots.",
            "additionalProperties": {"type": "array", "items": {"type": "string"}},
        },
        "timestamp": {"type": "string", "format": "date-time"},
    },
}
_HEADERS: Mapping[str, Json] = {
    "ETag": {"description": "Of the data; send it back as If-None-Match.", "schema": {"type": "string"}},
    "Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}},
    "RateLimit-Limit": {"description": "Requests per window.", "schema": {"type": "integer"}},
    "RateLimit-Remaining": {"description": "Requests left in this window.", "schema": {"type": "integer"}},
    "RateLimit-Reset": {"description": "Seconds until the window ends.", "schema": {"type": "integer"}},
    "Allow": {"description": "The methods of this path.", "schema": {"type": "string"}},
    "WWW-Authenticate": {"description": "Always Bearer.", "schema": {"type": "string"}},
}
_PARAMETERS: Mapping[str, Json] = {
    "Tenant": {
        "name": "X-Tenant-ID",
        "in": "header",
        "description": "The organization to act in, for its members. An id in the path or body names its own.",
        "schema": {"type": "string", "format": "uuid"},
    },
    "Language": {
        "name": "Accept-Language",
        "in": "header",
        "description": "The language of messages.",
        "schema": {"type": "string", "maxLength": 500},
        "example": "de, en;q=0.5",
    },
    "IdempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "The same key and body again answer as the first time; the same key with another body is 409.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[!-~]+$"},
    },
}


def document(routes: Routes, aliases: Aliases, version: str) -> Json:
    """Build the document; raises RouteError where a verb is undeclared, a code unknown or two paths ambiguous."""
    table = check_all(routes, aliases)
    plugin = MarshmallowPlugin()
    spec = APISpec(
        title="EduRise",
        version=version,
        openapi_version="3.1.0",
        plugins=[plugin],
        info={"description": _DESCRIPTION},
        servers=[{"url": "/"}],
    )
    converter: Any = plugin.converter  # half of its methods have no annotations
    converter.add_attribute_function(_described)
    _add_components(spec)
    writer = _Writer(converter)
    also: dict[tuple[str, str], list[Json]] = {}
    for route in table:
        for method, verb in route.methods.items():
            also.setdefault((route.template.text, verb), []).append({"method": method, "path": route.path.openapi})
    seen: set[str] = set()
    for route in sorted(table, key=lambda one: one.template.text):
        if route.is_alias or is_socket(route.handler):
            continue
        if route.template.openapi in seen:
            raise RouteError(f"{route.template.openapi} stands for two templates; name their placeholders differently")
        seen.add(route.template.openapi)
        spec.path(path=route.template.openapi, operations=writer.operations(route, also))
    found: Json = spec.to_dict()
    found["tags"] = [{"name": name} for name in sorted(writer.tags)]
    found["x-sockets"] = [_socket(route) for route in table if is_socket(route.handler)]
    return found


def _add_components(spec: APISpec) -> None:
    spec.components.security_scheme("bearer", {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"})
    spec.components.schema("Error", component=_ERROR)
    for name, header in _HEADERS.items():
        spec.components.header(name, header)
    for name, parameter in _PARAMETERS.items():
        spec.components.parameter(name, parameter["in"], parameter)


def _described(_converter: OpenAPIConverter, field: fields.Field[Any], **told: Any) -> Json:
    """Our fields describe themselves; apispec knows only marshmallow's own."""
    ret: Json = told["ret"]
    if ret.get("default", "") is None:
        del ret["default"]
    if not isinstance(field, Coded):
        return {}
    schema = field.json_schema()
    if "description" in field.metadata:
        schema.pop("description", None)
    if field.allow_none and "type" in schema:
        schema["type"] = [schema["type"], "null"]
        if "enum" in schema:
            schema["enum"] = [*schema["enum"], None]
        if "anyOf" in schema:
            schema["anyOf"] = [*schema["anyOf"], {"type": "null"}]
    return schema


def _socket(route: Route) -> Json:
    guard = guard_of(route.handler, "GET")
    summary = (route.handler.__doc__ or "").strip().partition("\n")[0]
    return {"path": route.template.openapi, "summary": summary, "x-permission": _permission(guard)}


def _permission(guard: Guard | None) -> Json | None:
    if guard is None:
        return None
    grades = sorted(str(grade) for grade in guard.permission.grades)
    return {"name": guard.permission.name, "grades": [grade for grade in grades if grade != "service"]}


class _Writer:
    """Operations of routes, each of whose verbs is known to be declared."""

    def __init__(self, converter: Any) -> None:
        self.tags: set[str] = set()
        self._converter = converter
        self._ids: set[str] = set()

    def operations(self, route: Route, also: Mapping[tuple[str, str], list[Json]]) -> Json:
        found: Json = {}
        for verb in verbs_of(route.handler):
            guard, told = guard_of(route.handler, verb), description_of(route.handler, verb)
            if guard is None or told is None:  # HEAD; check_all has refused every other
                continue
            self.tags.update(told.tags)
            operation = self._operation(route, verb, guard, told)
            if (route.template.text, verb) in also:
                operation["x-aliases"] = also[route.template.text, verb]
            found[verb.lower()] = operation
        return found

    def _operation(self, route: Route, verb: str, guard: Guard, told: Description) -> Json:
        operation: Json = {
            "operationId": self._operation_id(route, verb),
            "summary": told.summary,
            "tags": list(told.tags),
            "security": [{}, {"bearer": []}] if guard.public else [{"bearer": []}],
            "x-permission": _permission(guard),
            "parameters": self._parameters(route, told),
            "responses": {**self._success(verb, told), **_failures(route, verb, guard, told)},
        }
        documented = getattr(route.handler, verb.lower()).__doc__
        if documented:
            operation["description"] = " ".join(documented.split())
        if told.body is not None:
            operation["requestBody"] = self._body(told, told.body)
        return operation

    def _operation_id(self, route: Route, verb: str) -> str:
        capability = route.handler.__module__.rpartition(".")[2]
        noun = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", route.handler.__name__.removesuffix("Handler")).lower()
        name = wanted = f"{capability}.{noun}.{verb.lower()}"
        number = 1
        while name in self._ids:
            number += 1
            name = f"{wanted}.{number}"
        self._ids.add(name)
        return name

    def _parameters(self, route: Route, told: Description) -> list[Any]:
        found: list[Any] = [_path_parameter(one) for one in route.template.parameters]
        if told.query is not None:
            described = self._converter.schema2parameters(told.query(), location="query")
            found += [{**parameter, "allowEmptyValue": True} for parameter in described]
        found += ["Tenant", "Language"]
        if told.idempotent:
            found.append("IdempotencyKey")
        return found

    def _body(self, told: Description, body: type[Schema]) -> Json:
        media: Json = {"schema": self._reference(body)}
        if told.examples:
            media["examples"] = {name: {"value": value} for name, value in told.examples.items()}
        required = any(field.required for field in body().fields.values())
        return {"required": required, "content": {name: dict(media) for name in told.media_types}}

    def _reference(self, schema: type[Schema]) -> Json:
        # An instance: only binding a field to one makes the fields of an answer required.
        found: Json = self._converter.resolve_nested_schema(schema())
        return found

    def _success(self, verb: str, told: Description) -> Json:
        names = ["RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"] if told.limited else []
        answer: Json = {"description": HTTPStatus(told.status).phrase}
        found: Json = {str(told.status): answer}
        if verb == "GET":
            names.append("ETag")
            found["304"] = {"description": "Not Modified: what If-None-Match names is current."}
        answer["headers"] = {name: name for name in names}
        if told.shape == "bytes":
            answer["content"] = {told.produces: {"schema": {}}}
        elif told.status != HTTPStatus.NO_CONTENT and told.shape != "headers":
            answer["content"] = {"application/json": {"schema": self._envelope(told)}}
        for status in told.also:
            found[str(status)] = {**answer, "description": HTTPStatus(status).phrase}
        return found

    def _envelope(self, told: Description) -> Json:
        properties: Json = dict(_ENVELOPE)
        required = ["success", "message", "timestamp"]
        if told.out is not None and told.shape == "array":
            properties["data"] = {"type": "array", "items": self._reference(told.out)}
        elif told.out is not None and told.shape == "listed":
            array = {"type": "array", "items": self._reference(told.out)}
            properties["data"] = {"anyOf": [array, self._reference(page_of(told.out))]}
            properties |= self._converter.schema2jsonschema(page_of(told.out)())["properties"]
        elif told.out is not None:
            out = page_of(told.out) if told.shape == "page" else told.out
            properties["data"] = self._reference(out)
            if told.shape in ("page", "body"):
                flat = self._converter.schema2jsonschema(out())
                properties = {**flat["properties"], **properties}
                required += [name for name in flat.get("required", ()) if name not in required]
        if "data" in properties:
            required.append("data")
        return {"type": "object", "required": sorted(set(required)), "properties": properties}


def _path_parameter(one: Parameter) -> Json:
    return {"name": one.name, "in": "path", "required": True, "schema": dict(_PATH_SCHEMAS[one.kind])}


def _failures(route: Route, verb: str, guard: Guard, told: Description) -> Json:
    """The refusals that can meet this verb: what its guard and body bring along, and what it declares."""
    codes: dict[int, list[str]] = {}
    for code in (*_common_codes(verb, guard, told), *told.errors):
        if code not in KIND_OF_CODE:
            raise RouteError(f"{route.template.text}: {verb} declares the error {code}, which handlers/codes.py lacks")
        status = STATUS[KIND_OF_CODE[code]]
        if code not in codes.setdefault(status, []):
            codes[status].append(code)
    found: Json = {str(status): _failure(status, listed) for status, listed in sorted(codes.items())}
    found["405"] = _failure(405, ["METHOD_NOT_ALLOWED"])
    return found


def _common_codes(verb: str, guard: Guard, told: Description) -> Iterable[str]:
    yield "BAD_REQUEST"
    if told.body is not None or told.query is not None:
        yield "VALIDATION_ERROR"
    yield from ("UNAUTHORIZED", "TOKEN_EXPIRED", "TOKEN_INVALID")
    if not guard.public:
        yield from ("PERMISSION_DENIED", "TENANT_ACCESS_ERROR")
    yield "NOT_FOUND"
    if verb != "GET":
        yield from ("CONFLICT", "PAYLOAD_TOO_LARGE", "UNSUPPORTED_MEDIA_TYPE")
    if told.idempotent:
        yield "IDEMPOTENCY_KEY_REUSED"
    yield from ("RATE_LIMIT_EXCEEDED", "OVERLOADED", "DATABASE_UNAVAILABLE")


_HEADERS_OF_STATUS: Mapping[int, tuple[str, ...]] = {
    401: ("WWW-Authenticate",),
    405: ("Allow",),
    429: ("Retry-After",),
}


def _failure(status: int, codes: Iterable[str]) -> Json:
    lines = [f"- `{code}`: {text(code).replace('{reason}', '').strip()}" for code in codes]
    found: Json = {
        "description": "\n".join(lines),
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
    names = _HEADERS_OF_STATUS.get(status, ())
    if names:
        found["headers"] = {name: name for name in names}
    return found
