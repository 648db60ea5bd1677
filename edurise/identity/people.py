"""People as the administrators of an organization see and manage them: by their memberships there.

Everything here happens in the acting organization, whose members alone the caller can name. A platform administrator
is brought to the organization that is meant before (``flows.people``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, bindparam, case, func, or_, select
from sqlalchemy.orm import Session

from edurise import audit, outbox
from edurise.authz import Principal
from edurise.db import first, rows
from edurise.entering import demand_fresh
from edurise.errors import Conflict, DomainError, NotFound
from edurise.identity import applications, queries, views
from edurise.identity.events import EmailChangeAsked
from edurise.identity.models import Person, TeacherApplication
from edurise.paging import EVERYTHING, Found, Listing, Orderings, Window
from edurise.tenants import invitations, members
from edurise.tenants import queries as tenants

_NAMES = ("first_name", "last_name")
_M = tenants.MEMBERSHIPS.c
_TEACHES = _M.role == "teacher"
_APPLIED = and_(TeacherApplication.tenant_id == _M.tenant_id, TeacherApplication.person_id == _M.person_id)
_COLUMNS = (
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
    _M.role,
    _M.is_active,
    _M.tenant_id,
    TeacherApplication.status.label("application"),
)
_USERS = (
    select(*_COLUMNS)
    .select_from(tenants.MEMBERSHIPS)
    .join(Person, Person.id == _M.person_id)
    .outerjoin(TeacherApplication, _APPLIED)
)
_TEXT = func.lower(func.concat(Person.first_name, " ", Person.last_name, " ", Person.email))


def _whether(name: str, condition: ColumnElement[bool]) -> ColumnElement[bool]:
    return condition == bindparam(name)


USER_ORDER = Orderings(
    "-date_joined",
    Person.id,
    {"date_joined": Person.created_at, "last_login": Person.last_login_at, "email": Person.email_key},
)
_LISTING = Listing(
    _USERS.where(_M.tenant_id == bindparam("tenant")),
    USER_ORDER,
    {
        "is_teacher": _whether("is_teacher", or_(_TEACHES, TeacherApplication.id.is_not(None))),
        "is_approved_teacher": _whether("is_approved_teacher", _TEACHES),
        "is_staff": _whether("is_staff", _M.role == "admin"),
        "is_active": _whether("is_active", and_(_M.is_active, Person.is_active)),
        "role": _M.role == bindparam("role"),
        "search": func.strpos(_TEXT, func.lower(bindparam("search"))) > 0,
    },
)
_OLDEST = (
    select(
        _M.id,
        _M.person_id,
        func.row_number().over(partition_by=_M.person_id, order_by=(_M.created_at, _M.id)).label("place"),
        func.count().over(partition_by=_M.person_id).label("profiles_count"),
    )
).subquery("oldest")
_EVERYBODY = (
    select(*_COLUMNS, func.coalesce(_OLDEST.c.profiles_count, 0).label("profiles_count"))
    .select_from(Person)
    .outerjoin(_OLDEST, and_(_OLDEST.c.person_id == Person.id, _OLDEST.c.place == 1))
    .outerjoin(tenants.MEMBERSHIPS, _M.id == _OLDEST.c.id)
    .outerjoin(TeacherApplication, _APPLIED)
    .where(Person.erased_at.is_(None))
    .order_by(Person.created_at.desc(), Person.id.desc())
    .limit(EVERYTHING)
)


def listing(session: Session, who: Principal, given: Mapping[str, Any], window: Window) -> Found:
    """The members of the acting organization as Users; three statements."""
    found = _LISTING.page(session, {**given, "tenant": who.tenant}, window)
    return Found(found.count, _views(session, found.rows))


def everybody(session: Session, who: Principal) -> Found:
    """Everybody, each with their oldest membership (system role), for a platform administrator; that they were read is
    audited. At most EVERYTHING; ``count`` is of all."""
    audit.write(session, who, "person.listed_everywhere", "person", None)
    found = rows(session, _EVERYBODY)
    count = session.scalar(select(func.count()).select_from(Person).where(Person.erased_at.is_(None))) or 0
    views = _views(session, found)
    for view, row in zip(views, found, strict=True):
        view["profiles_count"] = row["profiles_count"]
    return Found(count, views)


def one(session: Session, who: Principal, named: UUID) -> dict[str, Any]:
    """A member as a User, by their id or by that of their teacher application. Raises NotFound."""
    person_id = _person(session, who, named)
    query = _USERS.where(_M.tenant_id == bindparam("tenant"), Person.id == bindparam("id"))
    found = first(session, query, {"tenant": who.tenant, "id": person_id})
    if found is None:
        raise NotFound
    return _views(session, [found])[0]


def ask(session: Session, who: Principal, data: Mapping[str, Any]) -> dict[str, Any]:
    """Invite an address, whether it has an account or not; returns the invitation. Raises Conflict (ALREADY_MEMBER)."""
    if queries.members_by_email(session, who, [data["email"]]):
        raise Conflict("ALREADY_MEMBER")
    if data["role"] == "admin":
        demand_fresh(session, who)
    return invitations.one(session, who, invitations.invite(session, who, **data))


def invite(session: Session, who: Principal, data: Mapping[str, Any]) -> dict[str, Any]:
    """As ``ask``; returns a User that is not active yet, whose id is that of the invitation."""
    found = ask(session, who, data)
    row = {
        **found,
        "language": "en",
        "timezone": "UTC",
        "is_platform_admin": False,
        "person_is_active": False,
        "last_login_at": None,
        "email_verified_at": None,
        "avatar_path": None,
        "is_active": False,
        "tenant_id": who.tenant,
        "application": None,
    }
    return _views(session, [row])[0]


def change(
    session: Session, who: Principal, named: UUID, data: Mapping[str, Any], sealed_email: str | None = None
) -> dict[str, Any]:
    """Change a member: name and address as far as that is an administrator's affair, role, whether they are let in,
    whether they teach. Returns the User.

    ``sealed_email`` is ``data["email"]``, sealed: an address is moved to by its person alone, who is mailed a link.
    Raises NotFound, Conflict (PERSON_BELONGS_ELSEWHERE, NOT_ON_ONESELF, LAST_ADMINISTRATOR, PLAN_LIMIT_REACHED),
    Forbidden (STEP_UP_REQUIRED) for a new administrator.
    """
    person_id = _person(session, who, named)
    before = one(session, who, person_id)
    if any(name in data for name in ("role", "is_active", "is_approved_teacher")):
        _not_oneself(who, person_id)
    _rename(session, before, data)
    if "email" in data and data["email"].lower() != before["email"].lower():
        _rename_to(session, before, {name: before[name] for name in _NAMES})
        outbox.record(session, who.tenant, EmailChangeAsked(person_id=person_id, sealed_email=sealed_email or ""))
    if data.get("role") == "admin" and before["role"] != "admin":
        demand_fresh(session, who)
    if "role" in data:
        members.give_role(session, who, person_id, data["role"])
    if "is_active" in data:
        members.switch(session, who, person_id, active=data["is_active"])
    if "is_approved_teacher" in data:
        _let_teach(session, who, person_id, teaches=data["is_approved_teacher"])
    audit.write(session, who, "person.changed", "person", person_id, fields=sorted(data))
    return one(session, who, person_id)


def give_role(session: Session, who: Principal, named: UUID, role: str) -> dict[str, Any]:
    """As ``change`` of the role."""
    return change(session, who, named, {"role": role})


def switch(session: Session, who: Principal, named: UUID, active: bool) -> dict[str, Any]:
    """As ``change`` of whether they are let in."""
    return change(session, who, named, {"is_active": active})


def remove(session: Session, who: Principal, named: UUID) -> None:
    """End a membership of the acting organization; the person and what they did stay. Raises as ``change``."""
    person_id = _person(session, who, named)
    _not_oneself(who, person_id)
    members.remove(session, who, person_id)


def change_each(session: Session, who: Principal, ids: Sequence[UUID], data: Mapping[str, Any]) -> dict[str, Any]:
    """``change`` of many; returns ``{updated, failed: [{id, code}]}``. What fails for one leaves that one as it was."""
    return _each(session, ids, lambda one_id: change(session, who, one_id, data))


def remove_each(session: Session, who: Principal, ids: Sequence[UUID]) -> dict[str, Any]:
    """``remove`` of many; returns as ``change_each``."""
    return _each(session, ids, lambda one_id: remove(session, who, one_id))


def expect(session: Session, person_id: UUID) -> None:
    """Raises NotFound for nobody (system role)."""
    person = session.get(Person, person_id)
    if person is None or person.erased_at is not None:
        raise NotFound


def tenant_meant(session: Session, who: Principal, named: UUID) -> UUID | None:
    """In which organization a platform administrator acts on somebody: the acting one if they belong to it, else that
    of their oldest membership (system role); that they looked is audited. ``named`` may be a teacher application, which
    is of one organization."""
    applied = select(TeacherApplication.tenant_id).where(TeacherApplication.id == named)
    nearest = case((_M.tenant_id == who.tenant, 0), else_=1)
    oldest = select(_M.tenant_id).where(_M.person_id == named).order_by(nearest, _M.created_at, _M.id).limit(1)
    found: UUID | None = session.scalar(applied) or session.scalar(oldest)
    if found is not None:
        audit.write(session, who, "person.looked_up", "person", named, organization=found)
    return found


def _each(session: Session, ids: Sequence[UUID], act: Callable[[UUID], object]) -> dict[str, Any]:
    updated, failed = 0, []
    for one_id in dict.fromkeys(ids):
        try:
            with session.begin_nested():
                act(one_id)
        except DomainError as refused:
            failed.append({"id": one_id, "code": refused.code})
        else:
            updated += 1
    return {"updated": updated, "failed": failed}


def _person(session: Session, who: Principal, named: UUID) -> UUID:
    if tenants.role_of(session, who.tenant, named) is not None:
        return named
    person_id = applications.person_of(session, who.tenant, named)
    if person_id is None:
        raise NotFound
    return person_id


def _not_oneself(who: Principal, person_id: UUID) -> None:
    if person_id == who.user_id:
        raise Conflict("NOT_ON_ONESELF")


def _rename(session: Session, before: Mapping[str, Any], data: Mapping[str, Any]) -> None:
    names = {name: data.get(name, before[name]) for name in _NAMES}
    if names != {name: before[name] for name in _NAMES}:
        _rename_to(session, before, names)


def _rename_to(session: Session, before: Mapping[str, Any], names: Mapping[str, str]) -> None:
    """Raises Conflict (PERSON_BELONGS_ELSEWHERE), also where nothing would change."""
    session.flush()
    renamed = select(func.rename_member(before["id"], names["first_name"], names["last_name"]))
    if not session.connection().scalar(renamed):
        raise Conflict("PERSON_BELONGS_ELSEWHERE")


def _let_teach(session: Session, who: Principal, person_id: UUID, *, teaches: bool) -> None:
    application_id = applications.of_person(session, who.tenant, person_id)
    if application_id is not None:
        (applications.approve if teaches else applications.reject)(session, who, application_id)
    role = tenants.role_of(session, who.tenant, person_id)
    if teaches and role == "student":
        members.give_role(session, who, person_id, "teacher")
    elif not teaches and role == "teacher":
        members.give_role(session, who, person_id, "student")


def _views(session: Session, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    names = tenants.names(session, {row["tenant_id"] for row in found if row["tenant_id"] is not None})
    return [views.user_view(session, row, names.get(row["tenant_id"])) for row in found]
