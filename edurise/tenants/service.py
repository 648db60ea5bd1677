"""Commands on memberships and standings. A higher capability calls them inside its own transaction."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from edurise.db import insert_missing, moment, quotas
from edurise.errors import Conflict, Forbidden, NotFound
from edurise.ports import Charge
from edurise.tenants.models import CourseStanding, Membership, Organization
from edurise.tenants.quotas import USERS


def join(session: Session, tenant_id: UUID, person_id: UUID, role: str = "student", *, paid: bool = False) -> bool:
    """Make the person a member unless they are one already, in whatever role; returns whether the membership is new.

    Whoever ``paid`` is taken in even where the plan has no place left: the limit is kept when a payment starts. Raises
    Conflict (PLAN_LIMIT_REACHED), and Forbidden (MEMBERSHIP_SUSPENDED) for a member who was switched off and has not
    paid.
    """
    member = select(Membership.is_active).where(Membership.tenant_id == tenant_id, Membership.person_id == person_id)
    is_active = session.scalar(member)  # first, for most who enroll are members already
    if is_active is None:
        values = {"role": role, "is_active": True, "created_at": moment(session)}
        if insert_missing(session, Membership, id=uuid7(), tenant_id=tenant_id, person_id=person_id, **values):
            quotas(session).use(session, tenant_id, USERS, beyond=paid)
            return True
        is_active = session.scalar(member)  # somebody was faster
    if not paid and is_active is False:
        raise Forbidden("MEMBERSHIP_SUSPENDED")
    return False


def expect_room(session: Session, tenant_id: UUID, person_id: UUID) -> None:
    """See that somebody can become, or is, a member, before they are asked for money.

    Raises Forbidden (MEMBERSHIP_SUSPENDED), Conflict (PLAN_LIMIT_REACHED).
    """
    key = (Membership.tenant_id == tenant_id, Membership.person_id == person_id)
    is_active = session.scalar(select(Membership.is_active).where(*key))
    if is_active is False:
        raise Forbidden("MEMBERSHIP_SUSPENDED")
    if is_active is None:
        (state,) = quotas(session).state(session, tenant_id, USERS, Charge())
        if state.used >= state.limit:
            raise Conflict("PLAN_LIMIT_REACHED", resource=USERS, used=state.used, limit=state.limit)


def give_role(session: Session, tenant_id: UUID, person_id: UUID, role: str) -> None:
    """Set a member's role, making the membership if there is none."""
    if join(session, tenant_id, person_id, role):
        return
    session.execute(
        update(Membership).where(Membership.tenant_id == tenant_id, Membership.person_id == person_id).values(role=role)
    )


def stand(session: Session, tenant_id: UUID, course_id: UUID, person_id: UUID, kind: str) -> None:
    """Let a person stand in a course as ``staff`` or ``learner``; safe to repeat."""
    insert_missing(session, CourseStanding, tenant_id=tenant_id, course_id=course_id, person_id=person_id, kind=kind)


def found(session: Session, *, name: str, subdomain: str, language: str = "en", currency: str = "USD") -> UUID:
    """Found an organization (system role); returns its id. Safe to repeat for one subdomain."""
    now = moment(session)
    insert_missing(
        session,
        Organization,
        id=uuid7(),
        name=name,
        subdomain=subdomain,
        language=language,
        currency=currency,
        created_at=now,
        updated_at=now,
    )
    return session.scalars(select(Organization.id).where(Organization.subdomain == subdomain)).one()


def keep_files_in(session: Session, subdomain: str, store: str) -> UUID:
    """Let new files of an organization go to this store (system role); returns its id. Raises NotFound."""
    changed = update(Organization).where(Organization.subdomain == subdomain).values(file_store=store)
    tenant_id: UUID | None = session.scalar(changed.returning(Organization.id))
    if tenant_id is None:
        raise NotFound("ORGANIZATION_NOT_FOUND")
    return tenant_id
