"""People's accounts elsewhere: who is let in by one, and what it takes to join one to a person. System role only.

An organization's provider is chosen by its administrator, so it opens nothing but that organization, and joins itself
to nobody who has another way in or another place to be: they are asked by mail. Google is trusted by the platform.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from sqlalchemy import delete, exists, func, or_, select
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from edurise import audit, outbox
from edurise.authz import Principal, Standing
from edurise.db import flush_unique, moment
from edurise.errors import Forbidden, Invalid, Retry
from edurise.identity import addresses, mailed
from edurise.identity.events import IdentityLinkAsked, PersonRegistered
from edurise.identity.models import Credential, Person
from edurise.identity.ports import Vouched
from edurise.identity.proofs import ExternalIdentity, MailedLink
from edurise.identity.sessions import Lifetimes
from edurise.identity.takeovers import reset
from edurise.tenants import belonging
from edurise.tenants import queries as tenants
from edurise.tenants import service as memberships
from edurise.tenants.settings import effective

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
    known = _known(session, tenant_id, vouched)
    if known is not None and known.linked_at is not None:
        _admit(session, tenant_id, session.get_one(Person, known.person_id))
        known.used_at = moment(session)
        return known.person_id
    email = _address(vouched, "SIGN_IN_REFUSED")
    person = _of_address(session, email)
    at_work = _acting(who, tenant_id)
    if person is None:
        person = _make(session, vouched, email, language, tenant_id)
        memberships.join(session, tenant_id, person.id)
        outbox.record(session, tenant_id, PersonRegistered(person_id=person.id))
    elif not person.is_active:
        raise Invalid("SIGN_IN_REFUSED")
    elif _is_the_organization_s_alone(session, tenant_id, person):
        _admit(session, tenant_id, person)
    else:
        _ask(session, at_work, tenant_id, vouched, person, known)
        return None
    _link(session, at_work, tenant_id, vouched, person, known)
    return person.id


def by_google(
    session: Session, who: Principal, vouched: Vouched, wanted: UUID | None, language: str, life: Lifetimes
) -> UUID:
    """The person whom Google vouches for; a new one joins ``wanted``, or ``main``.

    An account whose address was never verified may have been made by somebody else in the hope for this moment:
    whatever opened it before is gone afterwards. Raises Invalid (GOOGLE_REFUSED), Forbidden (REGISTRATION_CLOSED),
    Conflict (PLAN_LIMIT_REACHED).
    """
    known = _known(session, None, vouched)
    if known is not None and known.linked_at is not None:
        if not session.get_one(Person, known.person_id).is_active:
            raise Invalid("GOOGLE_REFUSED")
        known.used_at = moment(session)
        return known.person_id
    email = _address(vouched, "GOOGLE_REFUSED")
    person = _of_address(session, email)
    if person is None:
        person = _register(session, vouched, email, wanted, language)
    elif not person.is_active or (person.email_verified_at is None and person.is_platform_admin):
        raise Invalid("GOOGLE_REFUSED")  # a platform administrator's second factor is not thrown away for an address
    elif person.email_verified_at is None:
        reset(session, who, person, life)
    _link(session, who, None, vouched, person, known)
    return person.id


def confirm(session: Session, who: Principal, link_id: UUID, life: Lifetimes) -> UUID:
    """Join an account elsewhere to the person who was mailed this link; returns the person's id.

    Whoever follows it has shown that the address is theirs, so an account that was never verified is taken from whoever
    else made it. Raises Invalid (MAILED_LINK_INVALID), Forbidden (MEMBERSHIP_SUSPENDED), Conflict (PLAN_LIMIT_REACHED).
    """
    link = mailed.use(session, link_id, PURPOSE)
    person = session.scalars(
        select(Person)
        .where(Person.id == link.person_id, Person.is_active, Person.email_key == func.lower(link.email))
        .with_for_update()
    ).one_or_none()
    found = session.scalars(
        select(ExternalIdentity)
        .where(
            ExternalIdentity.id == link.identity_id,
            ExternalIdentity.person_id == link.person_id,
            ExternalIdentity.linked_at.is_(None),
        )
        .with_for_update()
    ).one_or_none()
    if person is None or found is None or found.tenant_id is None:
        raise Invalid("MAILED_LINK_INVALID")
    if tenants.organization(session, found.tenant_id) is None:
        raise Invalid("MAILED_LINK_INVALID")
    found.linked_at = moment(session)
    session.flush()
    if person.email_verified_at is None:
        reset(session, who, person, life)
    memberships.join(session, found.tenant_id, person.id)
    _audit_link(session, _acting(who, found.tenant_id), person.id, found)
    return person.id


def forget_unlinked(session: Session) -> int:
    """Delete accounts elsewhere that nobody confirmed; returns how many."""
    old = ExternalIdentity.created_at < moment(session) - UNLINKED_FOR
    gone = session.execute(
        delete(ExternalIdentity).where(ExternalIdentity.linked_at.is_(None), old).returning(ExternalIdentity.id)
    )
    return len(gone.all())


def _known(session: Session, tenant_id: UUID | None, vouched: Vouched) -> ExternalIdentity | None:
    return session.scalars(
        select(ExternalIdentity)
        .where(
            ExternalIdentity.tenant_id.is_not_distinct_from(tenant_id),
            ExternalIdentity.issuer == vouched.issuer,
            ExternalIdentity.subject == vouched.subject,
        )
        .with_for_update()
    ).one_or_none()


def _address(vouched: Vouched, code: str) -> str:
    """The address that the provider verified, as we write it. Raises Invalid where there is none."""
    found = addresses.normal(vouched.email) if vouched.email else None
    if found is None:
        raise Invalid(code)
    return found


def _of_address(session: Session, email: str) -> Person | None:
    query = select(Person).where(
        Person.email_key == func.lower(email)
    )  # the database's own lower(), which made the key
    return session.scalars(query.with_for_update()).one_or_none()


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


def _make(session: Session, vouched: Vouched, email: str, language: str, tenant_id: UUID | None) -> Person:
    """A person without a password. An organization's word does not verify an address for others (``tenant_id``)."""
    now = moment(session)
    person = Person(
        id=uuid7(),
        email=email,
        first_name=vouched.first_name or email.partition("@")[0][:100],
        last_name=vouched.last_name,
        language=language,
        created_at=now,
        email_verified_at=now if tenant_id is None else None,
    )
    session.add(person)
    flush_unique(session, on="uq_people_email_key", raises=Retry)
    return person


def _register(session: Session, vouched: Vouched, email: str, wanted: UUID | None, language: str) -> Person:
    home = tenants.organization(session, wanted or tenants.MAIN) or tenants.organization(session, tenants.MAIN) or {}
    if not effective(home["settings"])["allow_self_registration"]:
        raise Forbidden("REGISTRATION_CLOSED")
    person = _make(session, vouched, email, language, None)
    memberships.join(session, home["id"], person.id)
    outbox.record(session, home["id"], PersonRegistered(person_id=person.id))
    return person


def _link(
    session: Session,
    who: Principal,
    tenant_id: UUID | None,
    vouched: Vouched,
    person: Person,
    known: ExternalIdentity | None,
) -> None:
    now = moment(session)
    _replace(session, known)
    row = _row(session, tenant_id, vouched, person.id)
    row.linked_at = row.used_at = now
    flush_unique(session, on="uq_external_identities_tenant_id_issuer_subject", raises=Retry)
    _audit_link(session, who, person.id, row)


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
        known = _row(session, tenant_id, vouched, person.id)
        flush_unique(session, on="uq_external_identities_tenant_id_issuer_subject", raises=Retry)
    since = moment(session) - LINK_FOR
    mailed_lately = select(func.count()).where(
        MailedLink.person_id == person.id, MailedLink.purpose == PURPOSE, MailedLink.created_at > since
    )
    if (session.scalar(mailed_lately) or 0) >= MOST_LINKS:
        return
    link_id = mailed.make(session, person.id, PURPOSE, person.email, moment(session) + LINK_FOR, known.id)
    outbox.record(session, tenant_id, IdentityLinkAsked(link_id=link_id, person_id=person.id))
    audit.write(session, who, "identity.link_asked", "person", person.id, issuer=vouched.issuer)


def _row(session: Session, tenant_id: UUID | None, vouched: Vouched, person_id: UUID) -> ExternalIdentity:
    row = ExternalIdentity(
        id=uuid7(),
        person_id=person_id,
        tenant_id=tenant_id,
        issuer=vouched.issuer,
        subject=vouched.subject,
        email=vouched.email or "",
        created_at=moment(session),
    )
    session.add(row)
    return row


def _replace(session: Session, known: ExternalIdentity | None) -> None:
    """Delete an unlinked row, before another takes its key."""
    if known is not None:
        session.delete(known)
        session.flush()


def _acting(who: Principal, tenant_id: UUID) -> Principal:
    """The same caller, standing where the provider is: the organization reads of it in its own audit."""
    return Principal(
        user_id=who.user_id, ip=who.ip, user_agent=who.user_agent, standing=Standing(tenant_id, frozenset())
    )


def _audit_link(session: Session, who: Principal, person_id: UUID, row: ExternalIdentity) -> None:
    audit.write(session, who, "identity.linked", "person", person_id, issuer=row.issuer, identity_id=row.id)
