"""Signing in by an organization's identity provider: who is let in, and what it takes to join an account there to a
person. System role only.

Such a provider is chosen by the organization's administrator, so it opens nothing but that organization, and joins
itself to nobody who has another way in or another place to be: they are asked by mail. ``social`` is for whom the
platform itself trusts.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from sqlalchemy import delete, exists, func, or_, select
from sqlalchemy.orm import Session

from edurise import audit, outbox
from edurise.authz import Principal, Standing
from edurise.db import moment
from edurise.errors import Forbidden, Invalid
from edurise.identity import external_identities as external
from edurise.identity import mailed
from edurise.identity.events import IdentityLinkAsked
from edurise.identity.models import Credential, LoginSession, Person
from edurise.identity.ports import Vouched
from edurise.identity.proofs import ExternalIdentity, MailedLink
from edurise.identity.sessions import Lifetimes, revoke
from edurise.identity.taking_back import take_back
from edurise.tenants import belonging
from edurise.tenants import queries as tenants
from edurise.tenants import service as memberships

PURPOSE = "link_identity"
LINK_FOR = timedelta(hours=1)
MOST_LINKS = 3
"""Links that one person is mailed within LINK_FOR, whoever asks."""
UNLINKED_FOR = timedelta(days=1)


def by_provider(session: Session, who: Principal, tenant_id: UUID, vouched: Vouched, language: str) -> UUID | None:
    """The person whom an organization's provider vouches for, to be let in to that organization alone; None where they
    are asked by mail first.

    Raises Invalid (SIGN_IN_REFUSED), Forbidden (MEMBERSHIP_SUSPENDED), Conflict (PLAN_LIMIT_REACHED).
    """
    if tenants.organization(session, tenant_id) is None:
        raise Invalid("SIGN_IN_REFUSED")
    known = external.known(session, tenant_id, vouched)
    if known is not None and known.linked_at is not None:
        _admit(session, tenant_id, session.get_one(Person, known.person_id))
        known.used_at = moment(session)
        return known.person_id
    email = external.address(vouched, "SIGN_IN_REFUSED")
    person = external.person_of(session, email)
    if person is None:  # their address is not verified for others by an organization's word
        person_id = external.register(session, vouched, email, tenant_id, language)
    elif not person.is_active:
        raise Invalid("SIGN_IN_REFUSED")
    elif _is_the_organization_s_alone(session, tenant_id, person):
        _admit(session, tenant_id, person)
        person_id = person.id
    else:
        _ask(session, who, tenant_id, vouched, person, known)
        return None
    _replace(session, known)
    _audit_link(session, who, external.add(session, tenant_id, vouched, person_id, linked=True))
    return person_id


def confirm(session: Session, who: Principal, link_id: UUID, life: Lifetimes) -> UUID:
    """Join an account elsewhere to the person who was mailed this link; returns the person's id.

    Whoever follows it has shown that the address is theirs, so an account that was never verified is taken from whoever
    else made it. Raises Invalid (MAILED_LINK_INVALID), Forbidden (MEMBERSHIP_SUSPENDED), Conflict (PLAN_LIMIT_REACHED).
    """
    link = mailed.use(session, link_id, PURPOSE)
    found = session.scalars(
        select(ExternalIdentity)
        .where(
            ExternalIdentity.id == link.identity_id,
            ExternalIdentity.person_id == link.person_id,
            ExternalIdentity.linked_at.is_(None),
        )
        .with_for_update()
    ).one_or_none()
    person = session.scalars(
        select(Person)
        .where(Person.id == link.person_id, Person.is_active, Person.email_key == func.lower(link.email))
        .with_for_update()
    ).one_or_none()
    if person is None or found is None or found.tenant_id is None:
        raise Invalid("MAILED_LINK_INVALID")
    if tenants.organization(session, found.tenant_id) is None:
        raise Invalid("MAILED_LINK_INVALID")
    found.linked_at = moment(session)
    session.flush()
    if person.email_verified_at is None:
        take_back(session, who, person, life, but=found.id)
        person.email_verified_at = moment(session)
    memberships.join(session, found.tenant_id, person.id)
    _audit_link(session, who, found)
    return person.id


def end_sessions(session: Session, tenant_id: UUID, issuer: str, life: Lifetimes) -> int:
    """End the sessions that an organization's provider opened there, once it is trusted no more; returns how many."""
    query = (
        select(LoginSession.id)
        .where(
            LoginSession.confined_to == tenant_id,
            LoginSession.method == "oidc",
            LoginSession.revoked_at.is_(None),
            exists().where(
                ExternalIdentity.person_id == LoginSession.person_id,
                ExternalIdentity.tenant_id == tenant_id,
                ExternalIdentity.issuer == issuer,
            ),
        )
        .order_by(LoginSession.id)
    )
    found = session.scalars(query).all()
    for session_id in found:
        revoke(session, session_id, life)
    return len(found)


def forget_unlinked(session: Session) -> int:
    """Delete accounts elsewhere that nobody confirmed; returns how many."""
    old = ExternalIdentity.created_at < moment(session) - UNLINKED_FOR
    gone = session.execute(
        delete(ExternalIdentity).where(ExternalIdentity.linked_at.is_(None), old).returning(ExternalIdentity.id)
    )
    return len(gone.all())


def _admit(session: Session, tenant_id: UUID, person: Person) -> None:
    """Raises Forbidden (MEMBERSHIP_SUSPENDED) for who was switched off, Invalid (SIGN_IN_REFUSED) for who was removed
    or is gone."""
    belongs = belonging.state(session, tenant_id, person.id)
    if belongs is None or not person.is_active:
        raise Invalid("SIGN_IN_REFUSED")
    if not belongs:
        raise Forbidden("MEMBERSHIP_SUSPENDED")


def _is_the_organization_s_alone(session: Session, tenant_id: UUID, person: Person) -> bool:
    """Whether somebody has no other place and no other way in: what the organization vouches for is all there is."""
    if person.is_platform_admin or belonging.state(session, tenant_id, person.id) is None:
        return False
    other_ways = or_(
        exists().where(Credential.person_id == person.id),
        exists().where(
            ExternalIdentity.person_id == person.id,
            ExternalIdentity.linked_at.is_not(None),
            ExternalIdentity.tenant_id.is_distinct_from(tenant_id),
        ),
    )
    return not belonging.elsewhere(session, tenant_id, person.id) and not session.scalar(select(other_ways))


def _ask(
    session: Session,
    who: Principal,
    tenant_id: UUID,
    vouched: Vouched,
    person: Person,
    known: ExternalIdentity | None,
) -> None:
    """Keep the account elsewhere unlinked and mail the person a link. A new row for another person: a link that was
    mailed to one never joins what was meant for the other."""
    if known is None or known.person_id != person.id:
        _replace(session, known)
        known = external.add(session, tenant_id, vouched, person.id, linked=False)
    since = moment(session) - LINK_FOR
    mailed_lately = select(func.count()).where(
        MailedLink.person_id == person.id, MailedLink.purpose == PURPOSE, MailedLink.created_at > since
    )
    if (session.scalar(mailed_lately) or 0) >= MOST_LINKS:
        return
    link_id = mailed.make(session, person.id, PURPOSE, person.email, LINK_FOR, known.id)
    outbox.record(session, tenant_id, IdentityLinkAsked(link_id=link_id, person_id=person.id))
    # Of the account elsewhere, not of the person: the organization need not learn whose address it is.
    audit.write(session, _acting(who, tenant_id), "identity.link_asked", "identity", known.id, issuer=vouched.issuer)


def _replace(session: Session, known: ExternalIdentity | None) -> None:
    """Delete an unlinked row, before another takes its key."""
    if known is not None:
        session.delete(known)
        session.flush()


def _acting(who: Principal, tenant_id: UUID | None) -> Principal:
    """The same caller, standing where the provider is: the organization reads of it in its own audit."""
    return replace(who, standing=Standing(tenant_id, frozenset()))


def _audit_link(session: Session, who: Principal, row: ExternalIdentity) -> None:
    person = _acting(replace(who, user_id=row.person_id), row.tenant_id)
    audit.write(session, person, "identity.linked", "person", row.person_id, issuer=row.issuer, identity_id=row.id)
