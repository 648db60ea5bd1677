"""Invitations: an administrator asks an address to join the organization in a role; whoever has the address accepts.

Nobody learns whether an address has an account: inviting is the same for both. An invitation counts only while whoever
made it may still make it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import BindParameter, bindparam, case, func, select, text, update
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from edurise import audit, outbox
from edurise.authz import Principal
from edurise.db import flush_unique, moment, picture_url, rows
from edurise.errors import Invalid, NotFound, Retry
from edurise.paging import EVERYTHING
from edurise.tenants import members, queries
from edurise.tenants import service as memberships
from edurise.tenants.events import InvitationMade
from edurise.tenants.models import Invitation, Organization

LASTS = timedelta(days=7)
_RANKS = {"student": 0, "teacher": 1, "admin": 2}
_NOW: BindParameter[datetime] = bindparam("now")
_STATUS = case(
    (Invitation.accepted_at.is_not(None), "accepted"),
    (Invitation.revoked_at.is_not(None), "revoked"),
    (Invitation.expires_at <= _NOW, "expired"),
    else_="open",
)
_SHOWN = (
    select(
        Invitation.id,
        Invitation.email,
        Invitation.first_name,
        Invitation.last_name,
        Invitation.role,
        Invitation.created_at,
        Invitation.expires_at,
        Invitation.accepted_at,
        _STATUS.label("status"),
    )
    .where(Invitation.tenant_id == bindparam("tenant"))
    .order_by(Invitation.created_at.desc(), Invitation.id.desc())
    .limit(EVERYTHING)
)
# Whether somebody may invite: an active administrator of the organization, or of the platform (system role).
_MAY_INVITE = text("""
SELECT EXISTS (SELECT FROM people p WHERE p.id = :by AND p.is_active AND (p.is_platform_admin OR EXISTS (
    SELECT FROM memberships m WHERE m.person_id = p.id AND m.tenant_id = :tenant AND m.role = 'admin' AND m.is_active)))
""")


def invite(
    session: Session, who: Principal, *, email: str, role: str, first_name: str = "", last_name: str = ""
) -> UUID:
    """Ask an address to join the acting organization; returns the invitation. An open one for the address is renewed,
    with the new role and another seven days."""
    now = moment(session)
    organization = queries.organization(session, who.tenant)
    if organization is None:
        raise NotFound("ORGANIZATION_NOT_FOUND")
    key = (Invitation.tenant_id == who.tenant, Invitation.email_key == func.lower(email))
    open_ones = select(Invitation).where(*key, Invitation.accepted_at.is_(None), Invitation.revoked_at.is_(None))
    made = session.scalars(open_ones.with_for_update()).one_or_none()
    if made is None:
        made = Invitation(id=uuid7(), tenant_id=who.tenant, email=email, created_at=now)
        session.add(made)
    made.role, made.first_name, made.last_name = role, first_name, last_name
    made.language, made.invited_by, made.expires_at = organization["language"], who.person, now + LASTS
    flush_unique(session, on="uq_invitations_open", raises=Retry)
    audit.write(session, who, "invitation.made", "invitation", made.id, role=role)
    outbox.record(session, who.tenant, InvitationMade(invitation_id=made.id))
    return made.id


def listing(session: Session, who: Principal) -> list[dict[str, Any]]:
    """The invitations of the acting organization, the newest first, with their ``status``: open, accepted, revoked or
    expired."""
    return rows(session, _SHOWN, {"tenant": who.tenant, "now": moment(session)})


def one(session: Session, who: Principal, invitation_id: UUID) -> dict[str, Any]:
    """One invitation of the acting organization. Raises NotFound."""
    query = _SHOWN.where(Invitation.id == invitation_id)
    found = rows(session, query, {"tenant": who.tenant, "now": moment(session)})
    if not found:
        raise NotFound
    return found[0]


def resend(session: Session, who: Principal, invitation_id: UUID) -> dict[str, Any]:
    """Mail an invitation that was not accepted again, good for another seven days; returns it. Raises NotFound, Invalid
    (INVITATION_INVALID)."""
    found = _locked(session, invitation_id)
    if found.accepted_at is not None or found.revoked_at is not None:
        raise Invalid("INVITATION_INVALID")
    found.expires_at, found.invited_by = moment(session) + LASTS, who.person
    session.flush()
    audit.write(session, who, "invitation.resent", "invitation", found.id)
    outbox.record(session, who.tenant, InvitationMade(invitation_id=found.id))
    return one(session, who, invitation_id)


def revoke(session: Session, who: Principal, invitation_id: UUID) -> None:
    """Take an invitation back; its link is worthless at once. A repeat, and one that was accepted, change nothing.

    Raises NotFound.
    """
    found = _locked(session, invitation_id)
    if found.accepted_at is None and found.revoked_at is None:
        found.revoked_at = moment(session)
        audit.write(session, who, "invitation.revoked", "invitation", found.id)


def look_up(session: Session, invitation_id: UUID) -> dict[str, Any]:
    """What the link of an open invitation shows: ``{email, role, first_name, last_name, organization_id,
    organization_name, logo, expires_at}`` (system role). Raises Invalid (INVITATION_INVALID)."""
    query = (
        select(
            Invitation.email,
            Invitation.role,
            Invitation.first_name,
            Invitation.last_name,
            Invitation.expires_at,
            Organization.id.label("organization_id"),
            Organization.name.label("organization_name"),
            Organization.logo_path,
            Invitation.invited_by,
            Invitation.language,
        )
        .join(Organization, Organization.id == Invitation.tenant_id)
        .where(Invitation.id == invitation_id, Organization.is_active, _STATUS == "open")
    )
    found = rows(session, query, {"now": moment(session)})
    if not found or not _may_invite(session, found[0]["invited_by"], found[0]["organization_id"]):
        raise Invalid("INVITATION_INVALID")
    told = dict(found[0])
    told["logo"] = picture_url(session, told.pop("logo_path"))
    return told


def accept(session: Session, who: Principal, invitation_id: UUID) -> UUID:
    """Let the caller join (system role); returns the organization. Of two who accept at once one does. A role that they
    have is never lowered, and a membership that was switched off counts again.

    The caller's address is checked by whoever calls. Raises Invalid (INVITATION_INVALID), Conflict
    (PLAN_LIMIT_REACHED).
    """
    now = moment(session)
    accepted = session.execute(
        update(Invitation)
        .where(
            Invitation.id == invitation_id,
            Invitation.accepted_at.is_(None),
            Invitation.revoked_at.is_(None),
            Invitation.expires_at > now,
        )
        .values(accepted_at=now, accepted_by=who.person)
        .returning(Invitation.tenant_id, Invitation.role, Invitation.invited_by)
    ).first()
    if accepted is None or not _may_invite(session, accepted.invited_by, accepted.tenant_id):
        raise Invalid("INVITATION_INVALID")
    tenant_id: UUID = accepted.tenant_id
    members.readmit(session, tenant_id, who.person)
    memberships.join(session, tenant_id, who.person, accepted.role)
    if _RANKS[queries.role_of(session, tenant_id, who.person) or "student"] < _RANKS[accepted.role]:
        memberships.give_role(session, tenant_id, who.person, accepted.role)
    audit.write(session, who, "invitation.accepted", "invitation", invitation_id, role=accepted.role)
    return tenant_id


def _may_invite(session: Session, invited_by: UUID | None, tenant_id: UUID) -> bool:
    session.flush()
    values = {"by": invited_by, "tenant": tenant_id}
    return bool(session.connection().execute(_MAY_INVITE, values).scalar_one())


def _locked(session: Session, invitation_id: UUID) -> Invitation:
    found = session.scalars(select(Invitation).where(Invitation.id == invitation_id).with_for_update()).one_or_none()
    if found is None:
        raise NotFound
    return found
