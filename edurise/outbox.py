"""Events: what happened, written in the transaction that made it true. Relay and actors carry it on.

A capability declares its events in its ``events.py``; a lower capability never knows who reacts. A topic ends in a
version: a change of meaning or of an existing field is a new topic, a new field with a default is not.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import Any, ClassVar, Self, TypeVar, Union
from uuid import UUID

from sqlalchemy import ColumnElement, Index, func, select, text, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, Session, mapped_column
from uuid_utils.compat import uuid7

from edurise.authz import Principal
from edurise.db import Base, Keyed, add_row, after_commit, moment
from edurise.personal import Fate, PersonalTable, declare

BELL = "outbox"
"""Rung after the commit of a transaction that recorded an event; the relay waits for it."""

UNRECORDED = datetime(1970, 1, 1, tzinfo=UTC)
"""``Event.at`` of an event that was not recorded yet."""

_TOPICS: dict[str, type[Event]] = {}
_READERS: dict[Any, Mapping[str, Callable[[Any], Any]]] = {}
_BASE_FIELDS = frozenset({"id", "at", "tenant_id"})


class MalformedEvent(Exception):
    """A stored event that its class cannot read; repeating the delivery cannot help."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """Base of all events: frozen, of ids and plain values. ``record`` fills ``at`` and ``tenant_id``.

    A subclass names its ``topic``, ``capability.what_happened.vN``, once in the code base. Its fields are UUID, str,
    int, float, bool, datetime, dict, a list or tuple of such, or one of these or None; sets and nested dataclasses are
    refused when it is first used.

    ``personal`` are its fields of text that say something of a person beyond their id; they are blanked when the person
    whose id stands in the field ``whose`` is erased.
    """

    topic: ClassVar[str]
    personal: ClassVar[tuple[str, ...]] = ()
    whose: ClassVar[str] = "person_id"
    id: UUID = field(default_factory=uuid7)
    at: datetime = UNRECORDED
    tenant_id: UUID | None = None

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        topic = cls.__dict__.get("topic")
        if topic is None:
            raise TypeError(f"{cls.__name__} names no topic")
        name, _, version = topic.rpartition(".v")
        if not name or not version.isdigit():
            raise TypeError(f"topic {topic!r} of {cls.__name__} does not end in its version, as in payments.settled.v1")
        if topic in _TOPICS:
            raise TypeError(f"topic {topic} is declared twice")
        _TOPICS[topic] = cls

    def payload(self) -> dict[str, Any]:
        """The subclass's own fields as JSON values; what ``load`` reads back."""
        return {name: _plain(getattr(self, name)) for name in readers(type(self))}

    @classmethod
    def load(
        cls,
        payload: Mapping[str, Any],
        *,
        id: UUID,  # noqa: A002 - the name of the field
        at: datetime,
        tenant_id: UUID | None,
    ) -> Self:
        """Build the event again. Keys of a newer process are ignored. Raises MalformedEvent."""
        found = readers(cls)
        try:
            values = {name: read(payload[name]) for name, read in found.items() if name in payload}
            return cls(id=id, at=at, tenant_id=tenant_id, **values)
        except (TypeError, ValueError) as wrong:
            raise MalformedEvent(f"{cls.topic} {id}: {wrong}") from wrong


E = TypeVar("E", bound=Event)


class OutboxEvent(Keyed, Base):
    """A recorded event. ``spread_at`` is when its deliveries were made."""

    __tablename__ = "outbox"
    __table_args__ = (
        Index("ix_outbox_unspread", "id", postgresql_where=text("spread_at IS NULL")),
        {"postgresql_partition_by": "RANGE (id)"},
    )

    tenant_id: Mapped[UUID | None]
    topic: Mapped[str]
    payload: Mapped[dict[str, Any]] = mapped_column(JSONB)
    at: Mapped[datetime]
    spread_at: Mapped[datetime | None]


def record(session: Session, where: Principal | UUID | None, event: E) -> E:
    """Write ``event`` in this transaction; returns it with ``at`` and ``tenant_id`` filled in.

    ``where`` is the organization, or the caller that acts in it; None is an event of the platform, which only the
    system role may record.
    """
    tenant_id = where.tenant if isinstance(where, Principal) else where
    recorded = replace(event, at=moment(session), tenant_id=tenant_id)
    add_row(
        session,
        OutboxEvent,
        id=recorded.id,
        tenant_id=tenant_id,
        topic=recorded.topic,
        payload=recorded.payload(),
        at=recorded.at,
    )
    after_commit(session).bells.add(BELL)
    return recorded


def topics() -> Mapping[str, type[Event]]:
    """Every declared event by topic; what was not imported is not known."""
    return types.MappingProxyType(_TOPICS)


def payload_of(session: Session, event_id: UUID) -> dict[str, Any] | None:
    """The stored payload of an event (system role), or None once its month is dropped."""
    return session.scalar(select(OutboxEvent.payload).where(OutboxEvent.id == event_id))


def blank(session: Session, event: type[Event], event_id: UUID) -> None:
    """Forget the ``personal`` fields of a stored event whose work is done (system role)."""
    _blank(session, event, OutboxEvent.id == event_id)


def blank_of(session: Session, person_id: UUID, now: datetime) -> int:  # noqa: ARG001 - every eraser's signature
    """Forget the ``personal`` fields of every event about a person; returns in how many (system role)."""
    return sum(
        _blank(session, event, OutboxEvent.payload[event.whose].astext == str(person_id))
        for event in _TOPICS.values()
        if event.personal
    )


def _blank(session: Session, event: type[Event], which: ColumnElement[bool]) -> int:
    blanked = func.jsonb_build_object(*(part for name in event.personal for part in (name, "")))
    changed = update(OutboxEvent).where(OutboxEvent.topic == event.topic, which)
    changed = changed.values(payload=OutboxEvent.payload.op("||")(blanked))
    return int(session.connection().execute(changed).rowcount)


def readers(event: type[Event]) -> Mapping[str, Callable[[Any], Any]]:
    """What turns the JSON value of each own field back into the field's type; made once for each class.

    Raises TypeError for a type that events do not carry.
    """
    found = _READERS.get(event)
    if found is None:
        hints = typing.get_type_hints(event)
        own = [one.name for one in fields(event) if one.name not in _BASE_FIELDS]
        found = _READERS[event] = {name: _reader(hints[name], f"{event.__name__}.{name}") for name in own}
    return found


def _reader(hint: Any, where: str) -> Callable[[Any], Any]:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint in _SCALARS:
        return _SCALARS[hint]
    if origin is dict or hint is dict:
        return _of(dict)
    if origin in (Union, types.UnionType) and len(arguments) == 2 and types.NoneType in arguments:
        inner = _reader(next(one for one in arguments if one is not types.NoneType), where)
        return lambda value: None if value is None else inner(value)
    if origin is list and len(arguments) == 1:
        item = _reader(arguments[0], where)
        return lambda value: [item(one) for one in _of(list)(value)]
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        item = _reader(arguments[0], where)
        return lambda value: tuple(item(one) for one in _of(list)(value))
    raise TypeError(f"{where}: events do not carry {hint!r}")


def _of(kind: type) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if type(value) is not kind:
            raise TypeError(f"{kind.__name__} expected, not {type(value).__name__}")
        return value

    return read


def _float(value: Any) -> float:
    if type(value) not in (int, float):
        raise TypeError(f"float expected, not {type(value).__name__}")
    return float(value)


_SCALARS: Mapping[Any, Callable[[Any], Any]] = {
    UUID: lambda value: UUID(_of(str)(value)),
    datetime: lambda value: datetime.fromisoformat(_of(str)(value)),
    str: _of(str),
    int: _of(int),
    bool: _of(bool),
    float: _float,
}


def _plain(value: Any) -> Any:
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value


declare(
    PersonalTable(
        section="outbox",
        table="outbox",
        person=("payload",),
        fate=Fate.EMPTIED,
        export=None,
        erase=blank_of,
        because="Ids of what happened, kept for three months so that work can be repeated; what an event says of a"
        " person beyond an id is blanked.",
    )
)
