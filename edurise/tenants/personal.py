"""The personal data of memberships: who belongs where, in which role, and who was asked to."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, select, text
from sqlalchemy.orm import Session

from edurise.db import quotas, rows
from edurise.personal import Fate, PersonalTable, declare, deleting, exporting, running
from edurise.ports import Charge
from edurise.tenants.models import CourseStanding, Membership, QuotaHold, QuotaUsage
from edurise.tenants.quotas import USERS

# An invitation names an address, not a person: that of an open one is the person's too.
_INVITED = """
SELECT i.tenant_id, i.email, i.first_name, i.last_name, i.language, i.role, i.created_at, i.expires_at, i.accepted_at
  FROM invitations i JOIN people p ON p.id = :person AND (i.accepted_by = p.id OR i.email_key = p.email_key)
 ORDER BY i.id LIMIT :most
"""
_UNINVITED = """
DELETE FROM invitations i USING people p
 WHERE p.id = :person AND (i.accepted_by = p.id OR i.email_key = p.email_key)
"""


def _end_memberships(session: Session, person_id: UUID, now: datetime) -> int:  # noqa: ARG001 - every eraser's signature
    """Each place of a plan that the person took is free again."""
    query = delete(Membership).where(Membership.person_id == person_id)
    ended = session.execute(query.returning(Membership.tenant_id, Membership.is_active)).all()
    for tenant_id, is_active in sorted(ended):
        if is_active:
            quotas(session).give_back(session, tenant_id, USERS, 1, Charge())
    return len(ended)


def _release_holds(session: Session, person_id: UUID, now: datetime) -> int:  # noqa: ARG001 - every eraser's signature
    query = select(QuotaHold.id).where(QuotaHold.person_id == person_id).order_by(QuotaHold.tenant_id, QuotaHold.id)
    held = session.scalars(query).all()
    for hold_id in held:
        quotas(session).release(session, hold_id)
    return len(held)


declare(
    PersonalTable(
        section="tenants",
        table="memberships",
        person=("person_id",),
        fate=Fate.DELETED,
        export=exporting(
            Membership.person_id, Membership.tenant_id, Membership.role, Membership.is_active, Membership.created_at
        ),
        erase=_end_memberships,
    )
)
declare(
    PersonalTable(
        section="tenants",
        table="standings",
        person=("person_id",),
        fate=Fate.DELETED,
        export=exporting(
            CourseStanding.person_id,
            CourseStanding.tenant_id,
            CourseStanding.course_id,
            CourseStanding.kind,
            CourseStanding.until,
            order=(CourseStanding.course_id, CourseStanding.kind),
        ),
        erase=deleting(CourseStanding.person_id),
    )
)
declare(
    PersonalTable(
        section="tenants",
        table="invitations",
        person=("accepted_by",),
        others=("invited_by",),
        fate=Fate.DELETED,
        export=lambda session, person_id, most: rows(session, text(_INVITED), {"person": person_id, "most": most}),
        erase=running(text(_UNINVITED)),
    )
)
declare(
    PersonalTable(
        section="tenants",
        table="quota_holds",
        person=("person_id",),
        fate=Fate.DELETED,
        export=None,
        erase=_release_holds,
        because="Reservations of space for uploads under way, which end with them.",
    )
)
declare(
    PersonalTable(
        section="tenants",
        table="quota_usage",
        person=("subject_id",),
        fate=Fate.KEPT,
        export=exporting(
            QuotaUsage.subject_id,
            QuotaUsage.tenant_id,
            QuotaUsage.resource,
            QuotaUsage.used,
            order=(QuotaUsage.tenant_id, QuotaUsage.resource),
        ),
        erase=None,
        because="A number: the space that those files use that stay with the school.",
    )
)
