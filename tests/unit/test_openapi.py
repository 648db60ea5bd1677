"""The document is valid, complete and says what the server does; the page needs nobody else."""

import asyncio
import gzip
import importlib
import json
import pkgutil
import re
from types import SimpleNamespace

import jsonschema_rs
import orjson
import pytest
from schemathesis.specs.openapi.definitions import OPENAPI_31
from tornado.httpclient import AsyncHTTPClient
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketHandler

import handlers
from edurise.adapters.clock import SystemClock
from edurise.authz import ANY_PERSON
from handlers import docs
from handlers.guards import describe, permit, public
from handlers.openapi import document
from handlers.routing import RouteError, build, is_socket, verbs_of
from schemas.base import (
    Choice,
    Id,
    Ignored,
    Instant,
    Int,
    ListOf,
    Money,
    Nested,
    Ordering,
    OutSchema,
    PageQuery,
    StrictSchema,
    Text,
)

ID = "01890a5d-ac96-774b-bcce-b302099a8057"


class _LessonIn(StrictSchema):
    title = Text(min=1, required=True)


class _ThingIn(StrictSchema):
    title = Text(min=1, max=80, required=True, description="Shown in lists.", example="SQL")
    price = Money(allow_none=True)
    level = Choice(["easy", "hard"], allow_none=True)
    owner = Id(words=["me"], allow_none=True)
    lessons = ListOf(Nested(_LessonIn), max=3)
    old = Ignored()


class _ThingOut(OutSchema):
    id = Id()
    at = Instant(allow_none=True)
    places = Int()
    note = Text(required=False)


class _ThingQuery(PageQuery):
    ordering = Ordering(["title"], load_default="title")


class _ThingsHandler(RequestHandler):
    @public(cache=True)
    @describe(summary="List things", tags=["things"], query=_ThingQuery, out=_ThingOut, shape="page")
    async def get(self):
        """Newest first."""

    @permit(ANY_PERSON)
    @describe(
        summary="Make a thing",
        tags=["things"],
        body=_ThingIn,
        out=_ThingOut,
        status=201,
        also=[200],
        shape="body",
        errors=["COURSE_FULL", "PAYMENT_GATEWAY_UNAVAILABLE"],
        idempotent=True,
        examples={"short": {"title": "SQL"}},
    )
    async def post(self):
        """Safe to repeat."""


class _ThingHandler(RequestHandler):
    @permit(ANY_PERSON)
    @describe(summary="Remove a thing", tags=["things"], status=204, shape="none")
    async def delete(self, **path):
        """Nothing is left."""


@permit(ANY_PERSON)
class _Door(WebSocketHandler):
    """Frames about things."""


ROUTES = [("/things/", _ThingsHandler), ("/things/{id:uuid}/", _ThingHandler), ("/ws/things/", _Door)]
ALIASES = [
    ("PUT", "/v1/things/", "POST /things/"),
    ("POST", "/things/{thing:uuid}/remove/", "DELETE /things/{id:uuid}/"),
]


@pytest.fixture(scope="module")
def small():
    return document(ROUTES, ALIASES, "1.2.3")


def assert_valid(found):
    jsonschema_rs.validator_for(OPENAPI_31).validate(found)
    for name, schema in found["components"]["schemas"].items():
        assert jsonschema_rs.meta.is_valid(schema), name
    for reference in re.findall(r'"\$ref": ?"#/([^"]+)"', json.dumps(found)):
        node = found
        for part in reference.split("/"):
            node = node[part]


def test_the_document_is_valid(small):
    assert small["openapi"] == "3.1.0"
    assert small["info"]["version"] == "1.2.3"
    assert_valid(small)


def test_an_operation_says_who_may_and_by_which_other_paths(small):
    post = small["paths"]["/things/"]["post"]
    assert post["x-permission"] == {"name": "person", "grades": ["person"]}
    assert post["security"] == [{"bearer": []}]
    assert post["x-aliases"] == [{"method": "PUT", "path": "/v1/things/"}]
    assert small["paths"]["/things/"]["get"]["security"] == [{}, {"bearer": []}]
    assert small["paths"]["/things/{id}/"]["delete"]["x-aliases"] == [
        {"method": "POST", "path": "/things/{thing}/remove/"}
    ]
    assert set(small["paths"]) == {"/things/", "/things/{id}/"}
    assert small["x-sockets"][0]["path"] == "/ws/things/"
    assert small["x-sockets"][0]["summary"] == "Frames about things."


def test_an_operation_says_how_it_may_fail(small):
    post = small["paths"]["/things/"]["post"]["responses"]
    assert set(post) == {"200", "201", "400", "401", "403", "404", "405", "409", "413", "415", "424", "429"}
    assert "COURSE_FULL" in post["409"]["description"]
    assert "IDEMPOTENCY_KEY_REUSED" in post["409"]["description"]
    assert post["429"]["headers"].keys() == {"Retry-After"}
    assert post["405"]["headers"].keys() == {"Allow"}
    get = small["paths"]["/things/"]["get"]["responses"]
    assert set(get) == {"200", "304", "400", "401", "404", "405", "429"}
    assert {"ETag", "RateLimit-Limit"} <= get["200"]["headers"].keys()
    assert "content" not in small["paths"]["/things/{id}/"]["delete"]["responses"]["204"]


def test_parameters_are_those_of_path_query_and_headers(small):
    get = small["paths"]["/things/"]["get"]["parameters"]
    query = {one["name"]: one for one in get if one.get("in") == "query"}
    assert query.keys() == {"page", "page_size", "search", "ordering"}
    assert query["ordering"]["schema"]["enum"] == ["title", "-title"]
    assert query["page"]["schema"] == {"type": "integer", "minimum": 1, "maximum": (2**31 - 1) // 100}
    assert query["page_size"]["schema"]["default"] == 20
    assert query["page"]["allowEmptyValue"]
    references = [one.get("$ref", "").rpartition("/")[2] for one in small["paths"]["/things/"]["post"]["parameters"]]
    assert references == ["Tenant", "Language", "IdempotencyKey"]
    (path,) = [one for one in small["paths"]["/things/{id}/"]["delete"]["parameters"] if one.get("in") == "path"]
    assert path["schema"]["format"] == "uuid"


def test_a_body_is_described_as_it_is_read(small):
    thing = small["components"]["schemas"]["_ThingIn"]
    assert thing["additionalProperties"] is False
    assert thing["required"] == ["title"]
    described = thing["properties"]
    assert described["title"]["description"] == "Shown in lists."
    assert described["title"]["maxLength"] == 80
    assert described["level"] == {"type": ["string", "null"], "enum": ["easy", "hard", None]}
    assert described["price"]["type"] == ["number", "null"]
    assert described["old"]["deprecated"]
    assert described["lessons"] == {"type": "array", "maxItems": 3, "items": {"$ref": "#/components/schemas/_LessonIn"}}
    check = jsonschema_rs.validator_for(
        {**thing, "components": small["components"], "properties": {**described, "lessons": {}}}
    )
    assert check.is_valid({"title": "a", "price": None, "level": None, "owner": None, "old": [None]})
    assert check.is_valid({"title": "a", "price": 19.99, "owner": "me"})
    assert not check.is_valid({"title": " "})
    assert not check.is_valid({"title": "a", "owner": "you"})
    body = small["paths"]["/things/"]["post"]["requestBody"]
    assert body["required"]
    assert body["content"]["application/json"]["examples"] == {"short": {"value": {"title": "SQL"}}}


def answer_schema(small, verb, status):
    schema = small["paths"]["/things/"][verb]["responses"][status]["content"]["application/json"]["schema"]
    return jsonschema_rs.validator_for({**schema, "components": small["components"]}, validate_formats=True)


def test_an_answer_is_described_with_its_envelope(small):
    thing = {"id": ID, "at": None, "places": 3}
    around = {"success": True, "message": "", "timestamp": "2026-02-03T10:00:00Z"}
    one = answer_schema(small, "post", "201")
    assert one.is_valid({**around, **thing, "data": thing})
    assert not one.is_valid({**around, "data": thing})
    assert not one.is_valid({**around, **thing, "data": {**thing, "secret": 1}})
    page = {"count": 1, "next": None, "previous": None, "results": [thing]}
    many = answer_schema(small, "get", "200")
    assert many.is_valid({**around, **page, "data": page})
    assert not many.is_valid({**around, **page, "data": {**page, "results": [{"id": "x"}]}})


class _UnknownCodeHandler(RequestHandler):
    @permit(ANY_PERSON)
    @describe(summary="Read", tags=["things"], out=_ThingOut, errors=["NO_SUCH_CODE"])
    async def get(self):
        """Nothing."""


def test_a_document_that_would_lie_is_refused():
    with pytest.raises(RouteError, match="NO_SUCH_CODE"):
        document([("/things/", _UnknownCodeHandler)], [], "1")
    two = [("/things/{id:uuid}/", _ThingHandler), ("/things/{id:slug}/", _ThingHandler)]
    with pytest.raises(RouteError, match="two templates"):
        document(two, [], "1")


def _product():
    routes, aliases = [], []
    for module in pkgutil.iter_modules(handlers.__path__):
        if module.name != "app":  # which puts these together and is no list of its own
            found = importlib.import_module(f"handlers.{module.name}")
            routes += getattr(found, "routes", [])
            aliases += getattr(found, "aliases", [])
    return routes, aliases


def test_the_product_is_documented_completely():
    routes, aliases = _product()
    found = document(routes, aliases, "1")
    assert_valid(found)
    operations = [one for path in found["paths"].values() for one in path.values()]
    expected = sum(len([verb for verb in verbs_of(one) if verb != "HEAD"]) for _, one in routes if not is_socket(one))
    assert len(operations) == expected
    names = [one["operationId"] for one in operations]
    assert len(names) == len(set(names))
    assert sum(len(one.get("x-aliases", ())) for one in operations) == len(aliases)


def test_the_document_and_the_page_are_served_without_a_foreign_request():
    body = docs.prepare([*ROUTES, *docs.routes], ALIASES, "1")
    paths = ["/api/v1/openapi.json", "/docs", "/docs/", "/docs/init.js", "/docs/swagger-ui-bundle.js", "/docs/LICENSE"]

    async def story():
        container = SimpleNamespace(clock=SystemClock())
        server = HTTPServer(Application(build(docs.routes), edge=SimpleNamespace(docs=body), container=container))
        socket, port = bind_unused_port()
        server.add_socket(socket)
        client, found = AsyncHTTPClient(), {}
        for path in paths:
            found[path] = await client.fetch(f"http://127.0.0.1:{port}{path}", raise_error=False)
        plain = found[paths[0]]
        etag = {"If-None-Match": plain.headers["ETag"]}
        found["again"] = await client.fetch(f"http://127.0.0.1:{port}{paths[0]}", headers=etag, raise_error=False)
        wanted = {"Accept-Encoding": "gzip"}
        url = f"http://127.0.0.1:{port}{paths[0]}"
        found["zipped"] = await client.fetch(url, headers=wanted, decompress_response=False)
        client.close()
        server.stop()
        await server.close_all_connections()
        return found

    found = asyncio.run(story())
    assert [found[path].code for path in paths] == [200, 200, 200, 200, 200, 404]
    assert orjson.loads(found["/api/v1/openapi.json"].body) == orjson.loads(body)
    assert (found["again"].code, found["again"].body) == (304, b"")
    assert gzip.decompress(found["zipped"].body) == body
    page = found["/docs"]
    assert page.headers["Content-Security-Policy"].startswith("default-src 'self'; img-src 'self' data:")
    assert b"http:" not in page.body
    assert b"https:" not in page.body
    assert b"validatorUrl: null" in found["/docs/init.js"].body
