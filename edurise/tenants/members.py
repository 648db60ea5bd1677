"""What an administrator does to memberships: role, active, removal. Never to the person behind one.

An organization keeps an active administrator: those who end the rights of one wait for each other and then count.
"""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import and_, exists, or_, select, text, update
from sqlalchemy.orm import Session, aliased

from edurise import audit
from edurise.authz import Principal
from edurise.db import quotas
from edurise.errors import Conflict, NotFound
from edurise.ports import Charge
from edurise.tenants.models import Membership
from edurise.tenants.quotas import USERS

# Who has deleted their account administers nothing for long.
_STAYS = text("NOT EXISTS (SELECT FROM people p WHERE p.id = memberships.person_id AND p.erase_after IS NOT NULL)")


def give_role(session: Session, who: Principal, person_id: UUID, role: str) -> None:
    """Give a member of the acting organization a role; the same again changes nothing.

    Raises NotFound for who is no member, Conflict (LAST_ADMINISTRATOR).
    """
    member = _locked(session, who.tenant, person_id)
    if member.role == role:
        return
    if member.role == "admin":
        _keep_an_administrator(session, member)
    before, member.role = member.role, role
    session.flush()
    audit.write(session, who, "membership.role_changed", "person", person_id, before=before, after=role)


def switch(session: Session, who: Principal, person_id: UUID, *, active: bool) -> None:
    """Let a member of the acting organization in again, or shut them out; the same again changes nothing.

    Raises NotFound, Conflict (LAST_ADMINISTRATOR, PLAN_LIMIT_REACHED).
    """
    member = _locked(session, who.tenant, person_id)
    if member.is_active == active:
        return
    if not active:
        _keep_an_administrator(session, member)
    member.is_active = active
    session.flush()
    if active:
        quotas(session).use(session, who.tenant, USERS)
    else:
        quotas(session).give_back(session, who.tenant, USERS, 1, Charge())
    audit.write(session, who, "membership.activated" if active else "membership.deactivated", "person", person_id)


def readmit(session: Session, tenant_id: UUID, person_id: UUID) -> None:
    """Let a membership that was switched off count again, if there is one. Raises Conflict (PLAN_LIMIT_REACHED)."""
    changed = (
        update(Membership)
        .where(Membership.tenant_id == tenant_id, Membership.person_id == person_id, Membership.is_active.is_(False))
        .values(is_active=True)
    )
    if session.execute(changed.returning(Membership.id)).first() is not None:
        quotas(session).use(session, tenant_id, USERS)


def remove(session: Session, who: Principal, person_id: UUID) -> None:
    """End a membership of the acting organization. What the person learned and paid stays; their standings rest.

    Raises NotFound, Conflict (LAST_ADMINISTRATOR).
    """
    member = _locked(session, who.tenant, person_id)
    _keep_an_administrator(session, member)
    if member.is_active:
        quotas(session).give_back(session, who.tenant, USERS, 1, Charge())
    session.delete(member)
    session.flush()
    audit.write(session, who, "membership.removed", "person", person_id, role=member.role)


def _locked(session: Session, tenant_id: UUID, person_id: UUID) -> Membership:
    """A membership; an administrator's together with those of all the others, in one order: two who take each other's
    away wait, and do not deadlock."""
    target = aliased(Membership)
    is_administrator = exists().where(
        target.tenant_id == tenant_id, target.person_id == person_id, target.role == "admin"
    )
    query = select(Membership).where(
        Membership.tenant_id == tenant_id,
        or_(Membership.person_id == person_id, and_(Membership.role == "admin", is_administrator)),
    )
    found = session.scalars(query.order_by(Membership.person_id).with_for_update(of=Membership)).all()
    for one in found:
        if one.person_id == person_id:
            return one
    raise NotFound


def _keep_an_administrator(session: Session, leaving: Membership) -> None:
    """Raises Conflict (LAST_ADMINISTRATOR) if nobody else administers the organization and stays."""
    if leaving.role != "admin" or not leaving.is_active:
        return
    query = select(Membership.person_id).where(
        Membership.tenant_id == leaving.tenant_id, Membership.role == "admin", Membership.is_active, _STAYS
    )
    found = session.scalars(query.order_by(Membership.person_id).with_for_update()).all()
    if set(found) <= {leaving.person_id}:
        raise Conflict("LAST_ADMINISTRATOR")
