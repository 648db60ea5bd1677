"""The server refuses to start when a verb does not say who may call it and what it answers."""

import pytest
from tornado.web import RequestHandler
from tornado.websocket import WebSocketHandler

from edurise.authz import ANY_PERSON, ANYBODY
from handlers.guards import check_all, describe, description_of, guard_of, permit, public
from handlers.routing import RouteError
from schemas.base import Id, OutSchema, StrictSchema


class _Out(OutSchema):
    id = Id()


class _In(StrictSchema):
    id = Id(required=True)


class _DeclaredHandler(RequestHandler):
    @public(cache=True)
    @describe(summary="Read", tags=["things"], out=_Out)
    async def get(self):
        """Nothing."""

    @describe(summary="Write", tags=["things"], body=_In, out=_Out, status=201, also=[200], errors=["CONFLICT"])
    @permit(ANY_PERSON)
    async def post(self):
        """Nothing."""


@permit(ANY_PERSON)
class _Door(WebSocketHandler):
    """A door."""


class _OpenDoor(WebSocketHandler):
    """A door that declares nothing."""


def test_a_declared_table_is_accepted():
    check_all([("/things/", _DeclaredHandler), ("/ws/things/", _Door)], [("GET", "/old/", "/things/")])
    assert guard_of(_DeclaredHandler, "GET").permission is ANYBODY
    assert guard_of(_DeclaredHandler, "GET").public
    assert guard_of(_DeclaredHandler, "GET").cached
    assert guard_of(_DeclaredHandler, "POST").permission is ANY_PERSON
    assert not guard_of(_DeclaredHandler, "POST").public
    assert guard_of(_DeclaredHandler, "DELETE") is None
    assert guard_of(_Door, "GET").permission is ANY_PERSON
    told = description_of(_DeclaredHandler, "POST")
    assert (told.status, told.also, told.errors, told.tags) == (201, (200,), ("CONFLICT",), ("things",))


class _BareHandler(RequestHandler):
    def get(self):
        """Nothing."""


class _UndescribedHandler(RequestHandler):
    @permit(ANY_PERSON)
    def get(self):
        """Nothing."""


class _UntaggedHandler(RequestHandler):
    @permit(ANY_PERSON)
    @describe(summary="Read", out=_Out)
    def get(self):
        """Nothing."""


class _ShapelessHandler(RequestHandler):
    @permit(ANY_PERSON)
    @describe(summary="Read", tags=["things"], shape="page")
    def get(self):
        """Nothing."""


class _BodyHandler(RequestHandler):
    @permit(ANY_PERSON)
    @describe(summary="Read", tags=["things"], body=_In, out=_Out)
    def get(self):
        """Nothing."""


class _VerblessHandler(RequestHandler):
    """Has none."""


@pytest.mark.parametrize(
    ("handler", "fault"),
    [
        (_BareHandler, r"_BareHandler\.get lacks permit\(\) or public\(\)"),
        (_BareHandler, r"_BareHandler\.get lacks describe\(\)"),
        (_UndescribedHandler, r"lacks describe\(\)"),
        (_UntaggedHandler, "names no tag"),
        (_ShapelessHandler, "needs out="),
        (_BodyHandler, "a GET reads no body"),
        (_VerblessHandler, "has no verb"),
        (_OpenDoor, r"_OpenDoor lacks permit\(\) or public\(\)"),
    ],
)
def test_what_is_undeclared_stops_the_server(handler, fault):
    with pytest.raises(RouteError, match=fault):
        check_all([("/things/", handler)])


def test_every_fault_is_named_at_once():
    with pytest.raises(RouteError) as refused:
        check_all([("/a/", _BareHandler), ("/b/", _OpenDoor)])
    assert len(str(refused.value).splitlines()) == 3


def test_equal_shapes_stop_the_server():
    with pytest.raises(RouteError, match="same shape"):
        check_all([("/a/{x:uuid}/", _DeclaredHandler), ("/a/{y:uuid}/", _DeclaredHandler)])


def test_a_verb_declares_itself_once():
    with pytest.raises(RouteError, match="twice"):

        @permit(ANY_PERSON)
        @public()
        def get(self):
            """Nothing."""
