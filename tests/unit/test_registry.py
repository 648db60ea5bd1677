"""Actors and events are checked where they are declared."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, ClassVar
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from actors.registry import ACTORS, Registry, actor, load_actors
from edurise import outbox
from edurise.outbox import Event, MalformedEvent


@dataclass(frozen=True, kw_only=True)
class Everything(Event):
    """One field of each type that events carry."""

    topic: ClassVar[str] = "tests.everything.v1"
    one_id: UUID
    when: datetime
    text: str
    count: int
    share: float
    flag: bool
    maybe: UUID | None = None
    many: tuple[UUID, ...] = ()
    names: list[str] | None = None
    free: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Priced(Event):
    """A field that events do not carry."""

    topic: ClassVar[str] = "tests.priced.v1"
    price: Decimal


FULL = Everything(
    one_id=uuid7(), when=datetime(2026, 3, 1, 12, 30, 1, 5, tzinfo=UTC), text="ü", count=3, share=2.0, flag=True,
    maybe=uuid7(), many=(uuid7(), uuid7()), names=["a", "b"], free={"deep": [1, {"x": None}]},
)  # fmt: skip


async def react(c: object, event: Everything, hop: object) -> None:
    """A plain reaction."""


def test_an_event_survives_its_payload() -> None:
    sparse = Everything(one_id=uuid7(), when=FULL.when, text="", count=0, share=0.5, flag=False)
    for event in (FULL, sparse):
        assert Everything.load(event.payload(), id=event.id, at=event.at, tenant_id=event.tenant_id) == event


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("one_id", "no id"),
        ("one_id", 7),
        ("count", "7"),
        ("count", True),
        ("count", 2.5),
        ("text", None),
        ("when", "soon"),
        ("many", "a"),
    ],
)
def test_a_payload_of_wrong_types_is_malformed(name: str, value: object) -> None:
    payload = {**FULL.payload(), name: value}
    with pytest.raises(MalformedEvent, match=r"tests\.everything\.v1"):
        Everything.load(payload, id=FULL.id, at=FULL.at, tenant_id=None)


def test_a_payload_without_a_field_is_malformed() -> None:
    payload = FULL.payload()
    del payload["count"]
    with pytest.raises(MalformedEvent, match="count"):
        Everything.load(payload, id=FULL.id, at=FULL.at, tenant_id=None)


def test_topics_are_declared_once_and_carry_a_version() -> None:
    with pytest.raises(TypeError, match="twice"):
        type("Again", (Event,), {"topic": "tests.everything.v1"})
    with pytest.raises(TypeError, match="version"):
        type("Bare", (Event,), {"topic": "tests.bare"})
    with pytest.raises(TypeError, match="no topic"):
        type("Nameless", (Event,), {})
    assert outbox.topics()["tests.everything.v1"] is Everything


def test_a_decorated_function_stays_what_it_is() -> None:
    registry = Registry()
    declared = actor(on=Everything, registry=registry)(react)
    assert declared is react
    asyncio.run(declared(object(), FULL, object()))  # type: ignore[arg-type]  # neither is looked at
    (name,) = registry.names()
    assert name == "tests.unit.test_registry.react"
    found = registry.get(name)
    assert found is not None
    assert (found.on, found.fatal, found.run) == (Everything, (), react)
    assert registry.get("tests.other") is None


def test_names_begin_below_the_package_of_actors() -> None:
    registry = Registry()

    async def tell(c: object, event: Everything, hop: object) -> None:
        """As if written in actors/notifications.py."""

    tell.__module__ = "actors.notifications"
    actor(on=Everything, registry=registry)(tell)
    assert registry.names() == ["notifications.tell"]


def test_duplicates_and_odd_names_are_refused() -> None:
    registry = Registry()
    actor(on=Everything, name="a.b", registry=registry)(react)
    with pytest.raises(ValueError, match="twice"):
        actor(on=Everything, name="a.b", registry=registry)(react)
    for name in ("dead-letters", "a b", "", "ä/b"):
        with pytest.raises(ValueError, match=r"no name|twice") if name else pytest.raises(ValueError, match="declared"):
            actor(on=Everything, name=name or "a.b", registry=registry)(react)


def test_unknown_and_wrong_options_are_refused_at_declaration() -> None:
    registry = Registry()
    with pytest.raises(TypeError, match="unexpected keyword"):
        actor(on=Everything, retries=3)  # type: ignore[call-arg]  # the point of the test
    with pytest.raises(TypeError, match="class of event"):
        actor(on="tests.everything.v1", registry=registry)  # type: ignore[arg-type]  # the point of the test
    with pytest.raises(TypeError, match="class of event"):
        actor(on=Event, registry=registry)
    with pytest.raises(TypeError, match="exceptions"):
        actor(on=Everything, fatal=("NotFound",), registry=registry)  # type: ignore[arg-type]  # the point of the test
    with pytest.raises(TypeError, match="do not carry"):
        actor(on=Priced, registry=registry)


def test_only_coroutine_functions_of_three_arguments_are_actors() -> None:
    def plain(c: object, event: Everything, hop: object) -> None:
        """No coroutine."""

    async def short(c: object, event: Everything) -> None:
        """No hop."""

    for wrong in (plain, short):
        with pytest.raises(TypeError):
            actor(on=Everything, registry=Registry())(wrong)  # type: ignore[arg-type]  # the point of the test


def test_every_known_topic_is_wanted_by_somebody_or_nobody() -> None:
    registry = Registry()
    actor(on=Everything, name="b", registry=registry)(react)
    actor(on=Everything, name="a", registry=registry)(react)
    wanted = registry.wanted()
    assert wanted["tests.everything.v1"] == ["a", "b"]
    assert wanted["tests.priced.v1"] == []


def test_the_products_actors_load() -> None:
    assert load_actors() is ACTORS
    assert set(ACTORS.wanted()) >= {ACTORS.get(name).on.topic for name in ACTORS.names()}  # type: ignore[union-attr]  # names are known
