"""What people do in an organization: the raw material of engagement, kept from the first day."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index
from sqlalchemy.orm import Mapped, Session, mapped_column
from uuid_utils.compat import uuid7

from edurise.db import Base, Keyed, add_row, moment
from edurise.personal import Fate, PersonalTable, declare, deleting, exporting


class Activity(Keyed, Base):
    """One thing that a person did, for ``seconds`` if it lasted."""

    __tablename__ = "activity"
    __table_args__ = (
        CheckConstraint("seconds >= 0", name="seconds"),
        Index("ix_activity_tenant_id_id", "tenant_id", "id"),
        Index("ix_activity_person_id_id", "person_id", "id"),
        {"postgresql_partition_by": "RANGE (id)"},
    )

    tenant_id: Mapped[UUID]
    person_id: Mapped[UUID]
    kind: Mapped[str]
    object_kind: Mapped[str]
    object_id: Mapped[UUID]
    seconds: Mapped[int] = mapped_column(default=0)
    at: Mapped[datetime]


def note(
    session: Session, tenant_id: UUID, person_id: UUID, kind: str, object_kind: str, object_id: UUID, seconds: int = 0
) -> None:
    """Note that a person did ``kind`` ("enrolled") to an object. The person need not be the caller: an actor may note
    what a payment led to.
    """
    add_row(
        session,
        Activity,
        id=uuid7(),
        tenant_id=tenant_id,
        person_id=person_id,
        kind=kind,
        object_kind=object_kind,
        object_id=object_id,
        seconds=seconds,
        at=moment(session),
    )


declare(
    PersonalTable(
        section="activity",
        table="activity",
        person=("person_id",),
        fate=Fate.DELETED,
        export=exporting(
            Activity.person_id,
            Activity.tenant_id,
            Activity.kind,
            Activity.object_kind,
            Activity.object_id,
            Activity.seconds,
            Activity.at,
        ),
        erase=deleting(Activity.person_id),
    )
)
