"""Who asks, where they stand, and what each permission demands.

A *principal* is what a token says about a request: a person, a session and the organization it wants to act in. It
names no role. A *standing* is what the database says about that person in the organization of the row at hand; it is
read by ``enter()`` at the start of every hop. A *permission* names the grades of standing that it accepts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from uuid import UUID

from edurise.errors import Forbidden, NotFound, Unauthenticated


class Grade(StrEnum):
    """A way to stand towards an organization or one of its courses. One person may stand in several ways at once."""

    PLATFORM = "platform"  # platform administrator
    ADMINISTRATOR = "administrator"  # administers the organization
    TEACHER = "teacher"  # approved teacher of the organization
    STAFF = "staff"  # teaches the course at hand
    LEARNER = "learner"  # may open the course at hand
    OWNER = "owner"  # the row at hand is the caller's own
    MEMBER = "member"  # belongs to the organization
    PERSON = "person"  # is logged in
    SELF = "self"  # is logged in by a way of their own, and may act on the account itself
    PUBLIC = "public"  # anybody; on a row only where it is published
    SERVICE = "service"  # an actor working for the organization
    UNPROVEN = "unproven"  # would stand here in some way, but lacks the second factor that is demanded
    UNVERIFIED = "unverified"  # the same of a verified address
    CONFINED = "confined"  # came by another organization's identity provider, and is nobody here


@dataclass(frozen=True)
class Permission:
    """A named demand: whoever stands in one of ``grades`` may. ``fresh``: who has a second factor must have given it a
    few minutes ago."""

    name: str
    grades: frozenset[Grade]
    fresh: bool = False


_REGISTRY: dict[str, Permission] = {}


def permission(name: str, *grades: Grade, fresh: bool = False) -> Permission:
    """Declare a permission once; capabilities do so in their ``permissions.py``. Actors may do what any grade may."""
    if name in _REGISTRY:
        raise ValueError(f"permission {name} is declared twice")
    found = _REGISTRY[name] = Permission(name, frozenset((*grades, Grade.SERVICE)), fresh)
    return found


def all_permissions() -> Iterator[Permission]:
    """Every declared permission, by name."""
    return iter(sorted(_REGISTRY.values(), key=lambda one: one.name))


ANYBODY = permission("public", Grade.PUBLIC, Grade.PERSON)
ANY_PERSON = permission("person", Grade.PERSON)


@dataclass(frozen=True)
class Standing:
    """What ``enter()`` found: the organization that the hop acts in and how the caller stands there."""

    tenant_id: UUID | None
    grades: frozenset[Grade]
    role: str | None = None

    def has(self, *grades: Grade) -> bool:
        return not self.grades.isdisjoint(grades)


@dataclass(frozen=True)
class About:
    """The row that a request is about; its organization becomes the acting one.

    ``kind`` names a database function ``subject_<kind>(id)`` that the capability's migration made.
    """

    kind: str
    id: UUID | None


MINE = About("mine", None)
"""The caller's own rows over all organizations: read-only, by the policies that ask for ``app.scope = 'self'``."""


@dataclass(frozen=True)
class Principal:
    """The caller of one request, before and (with ``standing``) after ``enter()``.

    ``wanted`` is the organization that the request asks to act in, by pin, header, token or host in that order;
    ``strict`` says that the caller named it in a header and must be told when it cannot be used; ``otherwise`` is where
    a header that cannot be used and is ignored leaves them. ``only`` is the organization that the session is confined
    to.
    """

    user_id: UUID | None = None
    session_id: UUID | None = None
    wanted: UUID | None = None
    strict: bool = False
    otherwise: UUID | None = None
    version: int | None = None
    needs: Permission = ANYBODY
    service: bool = False
    ip: str | None = None
    user_agent: str = ""
    only: UUID | None = None
    standing: Standing | None = None

    @property
    def person(self) -> UUID:
        """The caller's id; raises Unauthenticated for an anonymous one."""
        if self.user_id is None:
            raise Unauthenticated
        return self.user_id

    @property
    def tenant(self) -> UUID:
        """The organization of this hop; raises NotFound outside of one."""
        if self.standing is None or self.standing.tenant_id is None:
            raise NotFound("ORGANIZATION_NOT_FOUND")
        return self.standing.tenant_id

    def stands(self, *grades: Grade) -> bool:
        return self.standing is not None and self.standing.has(*grades)

    def needing(self, needed: Permission) -> Principal:
        return replace(self, needs=needed)


def actor_principal(tenant_id: UUID | None) -> Principal:
    """The principal of an actor that works for an organization (or, with None, for the platform)."""
    return Principal(wanted=tenant_id, service=True)


_SEEING = frozenset(
    {Grade.PUBLIC, Grade.STAFF, Grade.LEARNER, Grade.OWNER, Grade.ADMINISTRATOR, Grade.PLATFORM, Grade.SERVICE}
)


def admit(who: Principal, standing: Standing, about: About | None) -> Principal:
    """Return ``who`` with its standing, or refuse.

    Someone who may not even know that the row exists is told NotFound, whatever they ask for; who can see it and may
    not do this, Forbidden; an anonymous caller of what needs a person, or one whose account is gone, Unauthenticated.
    Forbidden says OTP_REQUIRED where a second factor is all that is missing, EMAIL_NOT_VERIFIED where a verified
    address is, and SESSION_CONFINED where another way to log in is.
    """
    unseen = about is not None and standing.grades.isdisjoint(_SEEING)
    if not unseen and not standing.grades.isdisjoint(who.needs.grades):
        return replace(who, standing=standing)
    _tell_what_is_missing(who, standing, unseen=unseen)
    is_somebody = who.service or standing.has(Grade.PERSON, Grade.CONFINED)
    if not is_somebody and not (unseen and Grade.PUBLIC in who.needs.grades):
        raise Unauthenticated
    raise NotFound if unseen else Forbidden


def _tell_what_is_missing(who: Principal, standing: Standing, *, unseen: bool) -> None:
    """Refuse with the reason where something that the caller can mend is in the way. What anybody may ask for is as
    hidden as it is from anybody."""
    if Grade.PUBLIC in who.needs.grades:
        return
    if standing.has(Grade.UNPROVEN):
        raise Forbidden("OTP_REQUIRED")
    if standing.has(Grade.UNVERIFIED):
        raise Forbidden("EMAIL_NOT_VERIFIED")
    if not unseen and (standing.has(Grade.CONFINED) or (who.only is not None and Grade.SELF in who.needs.grades)):
        raise Forbidden("SESSION_CONFINED")
