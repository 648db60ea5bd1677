"""Signing in by an account that the platform itself trusts: Google's. System role.

An account is linked only on an address that whoever vouches for it has verified. Where the address here was never
shown to be its person's, somebody may have registered it before them and kept the password: linking takes that away,
with every session and second factor of before.
"""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.orm import Session

from edurise import audit
from edurise.authz import Principal
from edurise.db import moment
from edurise.errors import Forbidden, Invalid
from edurise.identity import external_identities as external
from edurise.identity import service
from edurise.identity.models import Person
from edurise.identity.ports import Vouched
from edurise.identity.sessions import Lifetimes
from edurise.identity.taking_back import take_back
from edurise.tenants.queries import MAIN


def let_in(session: Session, who: Principal, vouched: Vouched, tenant_id: UUID, language: str, life: Lifetimes) -> UUID:
    """The person whom an account lets in; one is made where there is none, who joins the organization ``tenant_id``.
    ``who`` is nobody yet: where the call came from.

    Raises Invalid (GOOGLE_REFUSED) for somebody who was switched off, Forbidden (REGISTRATION_CLOSED), Conflict
    (PLAN_LIMIT_REACHED).
    """
    email = external.address(vouched, "GOOGLE_REFUSED")
    known = external.known(session, None, vouched)
    if known is not None:
        if not session.get_one(Person, known.person_id).is_active:
            raise Invalid("GOOGLE_REFUSED")
        known.used_at = moment(session)
        return known.person_id
    found = external.person_of(session, email)
    if found is None:
        person_id = external.register(session, vouched, email, _taking_in(session, tenant_id), language)
    elif not found.is_active or (found.email_verified_at is None and found.is_platform_admin):
        raise Invalid("GOOGLE_REFUSED")  # a platform administrator's second factor is not thrown away for an address
    else:
        person_id = found.id
        if found.email_verified_at is None:
            take_back(session, who, found, life)
    external.add(session, None, vouched, person_id, linked=True)
    person = session.get_one(Person, person_id)
    person.email_verified_at = person.email_verified_at or moment(session)
    acting = Principal(user_id=person_id, ip=who.ip, user_agent=who.user_agent)
    audit.write(session, acting, "account.identity_linked", "person", person_id, issuer=vouched.issuer)
    return person_id


def _taking_in(session: Session, tenant_id: UUID) -> UUID:
    """The organization that a new person joins: the wanted one, if it is there and takes people in, else ``main``, if
    that does."""
    for one in (tenant_id, MAIN):
        if service.takes_in(session, one):
            return one
    raise Forbidden("REGISTRATION_CLOSED")
