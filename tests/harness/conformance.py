"""Whether an answer is what the routes declare: status, envelope, data by its Out schema, and the error's code.

``Client`` asks for every answer of every test, so that no test has to.
"""

from __future__ import annotations

import gzip
import json
from datetime import datetime
from functools import cache
from typing import Any

from edurise.errors import DomainError
from handlers.app import ALIASES, ROUTES, VERSION
from handlers.codes import KIND_OF_CODE
from handlers.guards import Description, description_of
from handlers.openapi import document
from handlers.routing import Route, RouteTable
from handlers.statuses import STATUS
from schemas.base import OutSchema, load, made, page_of

_ENVELOPE = {"success", "message", "timestamp", "data"}
_OF_HTTP = {"METHOD_NOT_ALLOWED": 405, "SERVER_ERROR": 500}


@cache
def _table() -> RouteTable:
    return RouteTable(ROUTES, ALIASES)


@cache
def _document() -> dict[str, Any]:
    return document(ROUTES, ALIASES, VERSION)


def faults(method: str, path: str, status: int, headers: Any, content: bytes) -> list[str]:
    """What is wrong with an answer; an empty list for a good one. Sockets and unknown paths have no declaration."""
    found = _table().find(method, path.partition("?")[0])
    if found is None:
        return [] if status == 404 else [f"{status} for a path that nobody declared"]
    route = found[0]
    if status == 101 or path.startswith("/ws/"):
        return []
    if headers.get("Content-Encoding") == "gzip":
        content = gzip.decompress(content)
    verb = route.verb(method)
    told = description_of(route.handler, verb)
    wrong = [] if told is None or method == "OPTIONS" else _undocumented(route, verb, status)
    if method == "HEAD":
        return wrong
    if status >= 400:
        return wrong + _of_error(status, content)
    if told is None or status in (204, 304) or told.shape in ("bytes", "headers"):
        return wrong
    return wrong + _of_success(told, status, json.loads(content))


def _undocumented(route: Route, verb: str, status: int) -> list[str]:
    documented = _document()["paths"][route.template.openapi][verb.lower()]["responses"]
    return [] if str(status) in documented else [f"status {status} is not documented"]


def _of_error(status: int, content: bytes) -> list[str]:
    body = json.loads(content)
    wrong = []
    if (
        not {"success", "message", "code", "timestamp"}
        <= body.keys()
        <= {"success", "message", "code", "timestamp", "errors"}
    ):
        wrong.append(f"keys of an error: {sorted(body)}")
    code = body.get("code")
    expected = _OF_HTTP.get(code) or (STATUS[KIND_OF_CODE[code]] if code in KIND_OF_CODE else None)
    if expected != status:
        wrong.append(f"code {code} with status {status}")
    if body.get("success") is not False or not body.get("message"):
        wrong.append("an error says success: false and a message")
    if any(
        not isinstance(lines, list) or not all(isinstance(one, str) for one in lines)
        for lines in body.get("errors", {}).values()
    ):
        wrong.append("errors are lists of sentences")
    return wrong + _of_time(body)


def _of_success(told: Description, status: int, body: dict[str, Any]) -> list[str]:
    wrong = _of_time(body)
    if body.get("success") is not True or not isinstance(body.get("message"), str):
        wrong.append("a success says success: true and a message")
    if status not in (told.status, *told.also):
        wrong.append(f"status {status} of a success")
    extra = body.keys() - _ENVELOPE
    if told.shape == "none" or told.out is None:
        return wrong + ([f"unexpected {sorted(extra | (body.keys() & {'data'}))}"] if extra or "data" in body else [])
    data = body["data"]
    as_page = isinstance(data, dict) and told.shape in ("page", "listed")
    wrong += _of_data(told.out, data, as_page=as_page, as_array=told.shape in ("array", "listed") and not as_page)
    flat = told.shape in ("page", "body") or (as_page and extra)
    if extra != (set(data) if flat else set()):
        wrong.append(f"keys beside data: {sorted(extra)}")
    if flat and any(body[name] != data[name] for name in data):
        wrong.append("the keys beside data say something else")
    return wrong


def _of_data(out: type[OutSchema], data: Any, *, as_page: bool, as_array: bool) -> list[str]:
    if as_array and not isinstance(data, list):
        return ["data is no array"]
    wrong = []
    for one in data if as_array else [data]:
        try:
            load(made(page_of(out) if as_page else out), one)
        except DomainError as refused:
            wrong.append(f"{out.__name__}: {refused.errors}")
    return wrong


def _of_time(body: dict[str, Any]) -> list[str]:
    at = body.get("timestamp", "")
    return [] if at.endswith("Z") and datetime.fromisoformat(at).tzinfo else [f"timestamp {at!r}"]
