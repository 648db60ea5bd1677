"""How a person wants to be treated, over all organizations. Language and time zone belong to the person itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, func, select, update
from sqlalchemy.orm import Session

from edurise.authz import Principal
from edurise.db import first, insert_missing, moment
from edurise.errors import NotFound
from edurise.identity.models import Person, Preferences

_CHOSEN = ("email_notifications", "push_notifications", "marketing_emails", "theme")
_ALL = (
    select(
        Person.language,
        Person.timezone,
        func.coalesce(Preferences.email_notifications, True).label("email_notifications"),
        func.coalesce(Preferences.push_notifications, True).label("push_notifications"),
        func.coalesce(Preferences.marketing_emails, False).label("marketing_emails"),
        func.coalesce(Preferences.theme, "auto").label("theme"),
    )
    .select_from(Person)
    .outerjoin(Preferences, Preferences.person_id == Person.id)
    .where(Person.id == bindparam("id"))
)


def of_person(session: Session, person_id: UUID) -> dict[str, Any]:
    """``{email_notifications, push_notifications, marketing_emails, theme, language, timezone}``; of somebody else only
    what the hop may see. Raises NotFound."""
    found = first(session, _ALL, {"id": person_id})
    if found is None:
        raise NotFound
    return found


def own(session: Session, who: Principal) -> dict[str, Any]:
    """The caller's."""
    return of_person(session, who.person)


def change(session: Session, who: Principal, data: Mapping[str, Any]) -> dict[str, Any]:
    """Change those that are named; returns all."""
    of_the_person = {name: data[name] for name in ("language", "timezone") if name in data}
    if of_the_person:
        session.execute(update(Person).where(Person.id == who.person).values(**of_the_person))
    chosen = {name: data[name] for name in _CHOSEN if name in data}
    if chosen:
        insert_missing(session, Preferences, person_id=who.person, updated_at=moment(session))
        values = chosen | {"updated_at": moment(session)}
        session.execute(update(Preferences).where(Preferences.person_id == who.person).values(**values))
    return own(session, who)
