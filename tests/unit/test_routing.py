"""The table: one shape once, the most specific segment first, aliases without second handlers."""

import asyncio
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tornado.httpclient import AsyncHTTPClient
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketHandler

from handlers.routing import RouteError, RouteTable, build, parse, verbs_of

ID = "01890a5d-ac96-774b-bcce-b302099a8057"


class _Handler(RequestHandler):
    def initialize(self, route):
        self.route = route
        self.request.method = route.verb(self.request.method)

    def prepare(self):
        self.path_kwargs = self.route.convert(self.path_kwargs)


class _ListHandler(_Handler):
    def get(self):
        self.write("list")


class _WishlistHandler(_Handler):
    def get(self):
        self.write("wishlist")


class _ItemHandler(_Handler):
    def get(self, **path):
        self.write(f"{type(path['id']).__name__} {path['id']}")

    def patch(self, **path):
        self.write(f"patched {path['id']} {self.route.template.text}")


class _SlugHandler(_Handler):
    def get(self, slug):
        self.write(slug)


class _Door(WebSocketHandler):
    def initialize(self, route):
        self.route = route


ROUTES = [
    ("/courses/{id:uuid}/", _ItemHandler),
    ("/courses/", _ListHandler),
    ("/courses/{slug:slug}/", _SlugHandler),
    ("/courses/wishlist/", _WishlistHandler),
    ("/numbers/{id:int}/", _ItemHandler),
    ("/files/{id:text}", _ItemHandler),
    ("/ws/notifications/", _Door),
]
ALIASES = [
    ("PUT", "/courses/{id:uuid}/", "PATCH /courses/{id:uuid}/"),
    ("POST", "/old/{course_id:uuid}/approve/", "PATCH /courses/{id:uuid}/"),
    ("GET", "/v1/courses/", "/courses/"),
    ("GET", "/courses/{id:uuid}/twin/", "/courses/{id:uuid}/"),
]
TABLE = RouteTable(ROUTES, ALIASES)


def found(method, path):
    hit = TABLE.find(method, path)
    return None if hit is None else (hit[0].handler, hit[0].verb(method), hit[1])


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/courses/", (_ListHandler, "GET", {})),
        ("GET", "/v1/courses/", (_ListHandler, "GET", {})),
        ("GET", "/courses/wishlist/", (_WishlistHandler, "GET", {})),
        ("GET", f"/courses/{ID}/", (_ItemHandler, "GET", {"id": ID})),
        ("PUT", f"/courses/{ID}/", (_ItemHandler, "PATCH", {"id": ID})),
        ("DELETE", f"/courses/{ID}/", (_ItemHandler, "DELETE", {"id": ID})),
        ("POST", f"/old/{ID}/approve/", (_ItemHandler, "PATCH", {"id": ID})),
        ("GET", f"/courses/{ID}/twin/", (_ItemHandler, "GET", {"id": ID})),
        ("GET", "/courses/intro-to-sql/", (_SlugHandler, "GET", {"slug": "intro-to-sql"})),
        ("GET", "/numbers/7/", (_ItemHandler, "GET", {"id": "7"})),
    ],
)
def test_the_most_specific_template_answers(method, path, expected):
    assert found(method, path) == expected


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "",
        "/courses",
        "/courses/No_Slug/",
        f"/old/{ID[:-1]}/approve/",
        "/numbers/07/",
        "/numbers/12345678901/",
        f"/courses/{ID}",
        f"/courses/{ID}/x/",
        "/courses//",
        "/files/",
        "/files/a\x00",
        "/files/a/b",
        "*",
    ],
)
def test_what_no_template_matches_is_not_found(path):
    assert found("GET", path) is None


@given(st.text(max_size=40))
def test_no_path_breaks_the_look_up(path):
    hit = TABLE.find("GET", path)
    assert hit is None or hit[0].path.shape.count("/") == path.count("/")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", f"/courses/{ID}/", ("GET", "PUT", "PATCH", "OPTIONS")),
        ("PUT", f"/courses/{ID}/", ("GET", "PUT", "PATCH", "OPTIONS")),
        ("DELETE", f"/old/{ID}/approve/", ("POST", "OPTIONS")),
        ("GET", "/ws/notifications/", ("GET", "OPTIONS")),
    ],
)
def test_a_path_knows_its_methods(method, path, allow):
    assert TABLE.find(method, path)[0].allow == allow


@pytest.mark.parametrize(
    ("routes", "aliases", "message"),
    [
        ([("/a/{x:uuid}/", _ItemHandler), ("/a/{y:uuid}/", _ItemHandler)], [], "same shape"),
        ([("/a/", _ListHandler), ("/a/", _ListHandler)], [], "same shape"),
        ([("a/", _ListHandler)], [], "begins with a slash"),
        ([("/a//", _ListHandler)], [], "empty segment"),
        ([("/a/{x}/", _ListHandler)], [], "neither a literal nor a placeholder"),
        ([("/a/{x:nope}/", _ListHandler)], [], "neither a literal nor a placeholder"),
        ([("/a/x{y:uuid}/", _ListHandler)], [], "neither a literal nor a placeholder"),
        ([("/a/{x:uuid}/{x:uuid}/", _ListHandler)], [], "stands twice"),
        ([("/a/", _ListHandler)], [("GET", "/b/", "/c/")], "no route"),
        ([("/a/", _ListHandler)], [("POST", "/b/", "/a/")], "has no POST"),
        ([("/a/", _ListHandler)], [("GET", "/b/{x:uuid}/", "/a/")], "not those of"),
        ([("/a/", _ListHandler)], [("GET", "/b/", "/a/"), ("GET", "/b/", "/a/")], "alias stands twice"),
        ([("/a/", _ListHandler)], [("GET", "/a/", "/a/")], "answers that itself"),
    ],
)
def test_a_table_that_contradicts_itself_is_refused(routes, aliases, message):
    with pytest.raises(RouteError, match=message):
        build(routes, aliases)


def test_values_arrive_typed_under_the_canonical_name():
    route, values = TABLE.find("POST", f"/old/{ID}/approve/")
    assert route.is_alias
    assert route.convert(values) == {"id": UUID(ID)}
    route, values = TABLE.find("GET", "/numbers/7/")
    assert route.convert(values) == {"id": 7}


def test_a_template_fills_and_describes_itself():
    template = parse("/courses/{id:uuid}/students/{student_id:uuid}/")
    assert template.openapi == "/courses/{id}/students/{student_id}/"
    assert template.fill(id=ID, student_id=7) == f"/courses/{ID}/students/7/"
    assert template.shape == "/courses/{uuid}/students/{uuid}/"


def test_a_socket_has_no_verb_of_its_own():
    assert verbs_of(_Door) == []
    assert verbs_of(_ItemHandler) == ["GET", "PATCH"]


class _Connection:
    context = None
    no_keep_alive = False

    def set_close_callback(self, callback):
        pass


def _request(method, path):
    line, headers = RequestStartLine(method, path, "HTTP/1.1"), HTTPHeaders({"Host": "school.example"})
    return HTTPServerRequest(start_line=line, headers=headers, connection=_Connection())


@pytest.mark.parametrize(
    ("path", "values"),
    [
        (f"/courses/{ID}/", {"id": ID.encode()}),
        ("/files/b%C3%BCcher%20x", {"id": "bücher x".encode()}),
        ("/files/a%2Fb", None),
        ("/files/%ff", None),
        ("/files/a%00", None),
        (f"/courses%2F{ID}/", None),
    ],
)
def test_tornado_finds_the_handler_with_decoded_values(path, values):
    application = Application(build(ROUTES, ALIASES))
    delegate = application.find_handler(_request("GET", path))
    assert delegate.path_kwargs == (values or {})
    assert issubclass(delegate.handler_class, _Handler) is (values is not None)


def test_an_alias_is_answered_by_the_canonical_verb():
    async def story():
        server = HTTPServer(Application(build(ROUTES, ALIASES)))
        socket, port = bind_unused_port()
        server.add_socket(socket)
        client, found = AsyncHTTPClient(), []
        asked = [("POST", f"/old/{ID}/approve/"), ("GET", f"/courses/{ID}/"), ("GET", f"/courses/{ID[:-1]}!/")]
        for method, path in asked:
            body = "" if method == "POST" else None
            url = f"http://127.0.0.1:{port}{path}"
            answer = await client.fetch(url, method=method, body=body, raise_error=False)
            found.append((answer.code, answer.body.decode()))
        client.close()
        server.stop()
        await server.close_all_connections()
        return found

    aliased, canonical, missing = asyncio.run(story())
    assert aliased == (200, f"patched {ID} /courses/{{id:uuid}}/")
    assert canonical == (200, f"UUID {ID}")
    assert missing[0] == 404
