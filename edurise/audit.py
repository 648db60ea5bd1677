"""Who did what: one row for each act that somebody may have to answer for, in the transaction of the act."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index, bindparam, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, Session, mapped_column

from edurise.authz import Principal
from edurise.db import Base, Keyed, moment
from edurise.paging import Found, Listing, Orderings, Window
from edurise.personal import Fate, PersonalTable, declare, emptying, exporting

_SECRETS = ("password", "token", "secret", "private", "hash", "signature", "authorization", "cookie")
_PLAIN = (str, int, float, bool, type(None))


class AuditEntry(Keyed, Base):
    """One act. ``person_id`` is None where the platform itself acted, ``tenant_id`` where it is nobody's alone."""

    __tablename__ = "audit_log"
    __table_args__ = (
        Index("ix_audit_log_tenant_id_id", "tenant_id", "id"),
        Index("ix_audit_log_object_id", "object_id"),
        Index("ix_audit_log_person_id_id", "person_id", "id"),
        {"postgresql_partition_by": "RANGE (id)"},
    )

    tenant_id: Mapped[UUID | None]
    person_id: Mapped[UUID | None]
    action: Mapped[str]
    object_kind: Mapped[str]
    object_id: Mapped[UUID | None]
    details: Mapped[dict[str, Any]] = mapped_column(JSONB)
    ip: Mapped[str]
    user_agent: Mapped[str]
    at: Mapped[datetime]


def write(
    session: Session,
    who: Principal,
    action: str,
    kind: str,
    id: UUID | None,  # noqa: A002 - reads as the row it names
    **details: object,
) -> None:
    """Record that ``who`` did ``action`` ("payment.settled") to the ``kind`` with this ``id``.

    ``details`` are plain values, ids, times, or lists and dicts of them: names of changed fields rather than their
    contents. Raises ValueError for a name that sounds like a secret, because this table is read by administrators and
    kept for long.
    """
    session.add(
        AuditEntry(
            tenant_id=who.standing.tenant_id if who.standing else None,
            person_id=who.user_id,
            action=action,
            object_kind=kind,
            object_id=id,
            details=_checked(details),
            ip=who.ip or "",
            user_agent=who.user_agent[:300],
            at=moment(session),
        )
    )


_OF_PERSON = Listing(
    select(
        AuditEntry.id,
        AuditEntry.action,
        AuditEntry.at,
        AuditEntry.ip,
        AuditEntry.user_agent,
        AuditEntry.details,
    ).where(AuditEntry.person_id == bindparam("person")),
    Orderings("-id", AuditEntry.id, {"id": AuditEntry.id}),
    {},
)


def of_person(session: Session, person_id: UUID, window: Window) -> Found:
    """What a person did, the newest first, as far as the hop may see it; two statements."""
    return _OF_PERSON.page(session, {"person": person_id}, window)


def _checked(value: Any) -> Any:
    if isinstance(value, Mapping):
        for name in value:
            if any(word in str(name).lower() for word in _SECRETS):
                raise ValueError(f"{name!r} sounds like a secret and is not audited")
        return {str(name): _checked(one) for name, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_checked(one) for one in (sorted(value) if isinstance(value, set | frozenset) else value)]
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, _PLAIN):
        return value
    raise TypeError(f"{type(value).__name__} is no plain value")


declare(
    PersonalTable(
        section="audit",
        table="audit_log",
        person=("person_id",),
        fate=Fate.EMPTIED,
        # Not the details: they may name the people whom an act was about.
        export=exporting(
            AuditEntry.person_id,
            AuditEntry.tenant_id,
            AuditEntry.action,
            AuditEntry.object_kind,
            AuditEntry.object_id,
            AuditEntry.ip,
            AuditEntry.user_agent,
            AuditEntry.at,
        ),
        erase=emptying(AuditEntry.person_id, ip="", user_agent=""),
        because="An organization must be able to say what was done in it; the addresses and browsers go.",
    )
)
