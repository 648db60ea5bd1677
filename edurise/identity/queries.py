"""Reads of people, as the contract shows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Text, any_, bindparam, select
from sqlalchemy.orm import Session

from edurise.authz import Principal
from edurise.db import first, rows
from edurise.errors import NotFound
from edurise.identity import views
from edurise.identity.models import Person, TeacherApplication
from edurise.tenants import queries as tenants

_PERSON = (
    Person.id,
    Person.email,
    Person.first_name,
    Person.last_name,
    Person.language,
    Person.timezone,
    Person.is_platform_admin,
    Person.is_active.label("person_is_active"),
    Person.created_at,
    Person.last_login_at,
    Person.email_verified_at,
    Person.avatar_path,
)


def me(session: Session, who: Principal) -> dict[str, Any]:
    """The caller as the contract's User, with the flags of the acting organization."""
    return user_view(session, who.person, who.tenant, is_confined=who.only is not None)


def user_view(
    session: Session, person_id: UUID, tenant_id: UUID | None, *, is_confined: bool = False
) -> dict[str, Any]:
    """A person as the contract's User.

    ``is_staff`` is the administrator role of the organization, ``is_approved_teacher`` its teacher role, ``is_teacher``
    either that or a teacher application in any state, ``is_superuser`` the platform flag, which counts for
    nothing in a session that is confined to an organization. Raises NotFound.
    """
    person = first(session, select(*_PERSON).where(Person.id == person_id))
    if person is None:
        raise NotFound
    member = tenants.membership(session, tenant_id, person_id)
    application = session.scalar(
        select(TeacherApplication.status).where(
            TeacherApplication.tenant_id == tenant_id, TeacherApplication.person_id == person_id
        )
    )
    row = {**person, "role": None, "is_active": None, "tenant_id": None, "application": application}
    row["is_platform_admin"] = person["is_platform_admin"] and not is_confined
    if member is None:
        return views.user_view(session, row, None)
    of_member = {"role": member["role"], "tenant_id": member["organization_id"]}
    return views.user_view(session, row | of_member, member["organization_name"])


_CONTACT = select(Person.id, Person.email, Person.first_name, Person.last_name, Person.language, Person.timezone).where(
    Person.id == bindparam("id")
)


FACES = select(Person.id, Person.email, Person.first_name, Person.last_name).subquery("faces")
"""People as others of an organization see them, to be joined by a capability above."""

_MEMBERS = select(Person.id, Person.email, Person.first_name, Person.last_name).where(
    Person.email_key == any_(bindparam("emails", type_=ARRAY(Text())))
)


def members_by_email(session: Session, who: Principal, emails: Sequence[str]) -> dict[str, dict[str, Any]]:
    """``{id, email, first_name, last_name}`` of the acting organization's active members, by lower-case address."""
    wanted = sorted({email.lower() for email in emails})
    found = rows(session, _MEMBERS, {"emails": wanted})
    belong = tenants.members_among(session, who.tenant, [row["id"] for row in found])
    return {row["email"].lower(): row for row in found if row["id"] in belong}


def contact(session: Session, person_id: UUID) -> dict[str, Any]:
    """``{id, email, first_name, last_name, language, timezone}`` of a person; raises NotFound."""
    found = first(session, _CONTACT, {"id": person_id})
    if found is None:
        raise NotFound
    return found


def reachable(session: Session, person_id: UUID) -> dict[str, Any]:
    """As ``contact``, of somebody who can be told something; raises NotFound also for who was erased."""
    found = first(session, _CONTACT.where(Person.erased_at.is_(None)), {"id": person_id})
    if found is None:
        raise NotFound
    return found


def addressee(session: Session, _who: Principal, person_id: UUID) -> dict[str, Any]:
    """As ``reachable``, as a hop of its own."""
    return reachable(session, person_id)
