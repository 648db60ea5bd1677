"""What a person says of themselves, once, over all organizations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from edurise import audit
from edurise.authz import Principal
from edurise.db import first, insert_missing, moment, picture_url
from edurise.errors import Invalid, NotFound, Problem
from edurise.identity.models import Person, Profile
from edurise.tenants import queries as tenants

_OWN = (
    select(
        Person.id,
        Person.first_name,
        Person.last_name,
        Person.timezone,
        Person.language,
        Person.avatar_path,
        Profile.person_id.label("has_profile"),
        Profile.bio,
        Profile.phone,
        Profile.date_of_birth,
        Profile.title,
        Profile.experience,
        Profile.expertise,
        Profile.education,
        Profile.social_links,
    )
    .outerjoin(Profile, Profile.person_id == Person.id)
    .where(Person.id == bindparam("id"))
)
_PERSON = frozenset(("first_name", "last_name", "timezone", "language"))
_SPELLINGS = {"phone_number": "phone"}


def listed(session: Session, who: Principal) -> list[dict[str, Any]]:
    """The caller's profile in a list; an empty one for who never wrote any."""
    found = _row(session, who.person)
    return [] if found["has_profile"] is None else [_profile_view(session, who, found)]


def make(session: Session, who: Principal, data: Mapping[str, Any]) -> tuple[bool, dict[str, Any]]:
    """Write a first profile; returns (whether it is new, the profile). A repeat changes the one that is there. Raises
    Invalid for who is not born yet, and for another ``avatar`` than the one that is shown."""
    is_new = _ensure(session, who)
    _write(session, who, data)
    return is_new, _profile_view(session, who, _row(session, who.person))


def change(session: Session, who: Principal, profile_id: UUID, data: Mapping[str, Any]) -> dict[str, Any]:
    """Change the caller's own profile; returns it. Raises NotFound for anybody else's."""
    if profile_id != who.person:
        raise NotFound
    return make(session, who, data)[1]


def own(session: Session, who: Principal) -> dict[str, Any]:
    """The caller's profile as teachers see their own: ``{avatar, phone, title, bio, experience, expertise, education,
    social_links}``."""
    return _own_view(session, _row(session, who.person))


def change_own(session: Session, who: Principal, data: Mapping[str, Any]) -> dict[str, Any]:
    """Change the caller's name and profile; returns it as ``own`` does."""
    make(session, who, data)
    return own(session, who)


def show_avatar(session: Session, who: Principal, path: str | None) -> str | None:
    """Take a public picture as the caller's, or none; returns the path of the one before. Two at once wait for each
    other, so that of every picture but the last somebody hears."""
    # FOR NO KEY UPDATE: rows that refer to the person are being made meanwhile, under locks that this hop is to take.
    person = session.get_one(Person, who.person, with_for_update={"key_share": True})
    before, person.avatar_path = person.avatar_path, path
    audit.write(session, who, "account.avatar_changed", "person", person.id)
    return before


def _write(session: Session, who: Principal, data: Mapping[str, Any]) -> None:
    born = data.get("date_of_birth")
    if born is not None and born >= moment(session).date():
        raise Invalid(errors={"date_of_birth": [Problem("in_the_future")]})
    person, profile = session.get_one(Person, who.person), session.get_one(Profile, who.person)
    shown = picture_url(session, person.avatar_path)
    if data.get("avatar", shown) != shown:
        raise Invalid(errors={"avatar": [Problem("picture_by_address")]})
    for name in data.keys() - {"avatar"}:
        value = data[name]
        column = _SPELLINGS.get(name, name)
        setattr(person if column in _PERSON else profile, column, value)
    profile.updated_at = moment(session)
    session.flush()


def _ensure(session: Session, who: Principal) -> bool:
    return insert_missing(
        session,
        Profile,
        person_id=who.person,
        updated_at=moment(session),
    )


def _row(session: Session, person_id: UUID) -> dict[str, Any]:
    found = first(session, _OWN, {"id": person_id})
    if found is None:
        raise NotFound
    return found


def _profile_view(session: Session, who: Principal, row: Mapping[str, Any]) -> dict[str, Any]:
    member = tenants.membership(session, who.wanted, who.person)
    return {
        "id": row["id"],
        "avatar": picture_url(session, row["avatar_path"]),
        "phone_number": row["phone"] or "",
        "bio": row["bio"] or "",
        "timezone": row["timezone"],
        "language": row["language"],
        "tenant": member["organization_id"] if member else None,
        "tenant_name": member["organization_name"] if member else "",
        "date_of_birth": row["date_of_birth"],
    }


def _own_view(session: Session, row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": row["id"],
        "first_name": row["first_name"],
        "last_name": row["last_name"],
        "avatar": picture_url(session, row["avatar_path"]),
        "phone": row["phone"] or "",
        "title": row["title"] or "",
        "bio": row["bio"] or "",
        "experience": row["experience"] or "",
        "expertise": row["expertise"] or "",
        "education": row["education"] or [],
        "social_links": row["social_links"] or {},
    }
