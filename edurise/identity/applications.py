"""Teacher applications: an applicant writes and sees their own, an administrator decides, and may decide anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session, aliased
from uuid_utils.compat import uuid7

from edurise import audit, outbox
from edurise.authz import Grade, Principal
from edurise.db import insert_missing, moment, rows, see_own_everywhere
from edurise.errors import Conflict, Forbidden, NotFound
from edurise.identity.events import TeacherApproved, TeacherRejected
from edurise.identity.models import ApplicationDocument, Person, TeacherApplication
from edurise.tenants import members
from edurise.tenants import queries as tenants
from edurise.tenants import service as memberships

WRITTEN = (
    *("teaching_experience", "subject_expertise", "education"),
    *("experience", "expertise_areas", "teaching_philosophy"),
)
"""What an applicant writes."""
MOST_DOCUMENTS = 10
_LIMIT = 10_000
_Reviewer = aliased(Person)
_COLUMNS = (
    TeacherApplication.id,
    TeacherApplication.tenant_id,
    TeacherApplication.person_id,
    TeacherApplication.status,
    TeacherApplication.rejection_reason,
    *(getattr(TeacherApplication, name) for name in WRITTEN),
    TeacherApplication.submitted_at,
    TeacherApplication.reviewed_at,
    Person.first_name,
    Person.last_name,
    Person.email,
    Person.avatar_path,
    _Reviewer.first_name.label("reviewer_first_name"),
    _Reviewer.last_name.label("reviewer_last_name"),
)
_ALL = (
    select(*_COLUMNS)
    .join(Person, Person.id == TeacherApplication.person_id)
    .outerjoin(_Reviewer, _Reviewer.id == TeacherApplication.reviewed_by)
)
_NEWEST_FIRST = _ALL.order_by(TeacherApplication.submitted_at.desc(), TeacherApplication.id.desc()).limit(_LIMIT)


@dataclass(frozen=True)
class Listed:
    """Applications for one reader. ``decides`` says whether the reader decides over them, ``everywhere`` that the
    reader is a platform administrator, who is shown those of every organization."""

    decides: bool
    everywhere: bool
    rows: list[dict[str, Any]]


def listed(session: Session, who: Principal) -> Listed:
    """All of the acting organization, newest first, for its administrators; one's own in any organization for
    others."""
    everywhere = who.stands(Grade.PLATFORM)
    decides = everywhere or who.stands(Grade.ADMINISTRATOR)
    query = _NEWEST_FIRST
    if not decides:
        see_own_everywhere(session)
        query = query.where(TeacherApplication.person_id == who.person)
    return Listed(decides, everywhere, _views(session, rows(session, query)))


def of_all(session: Session, who: Principal) -> Listed:
    """Those of every organization (system role), for a platform administrator; that they were read is audited."""
    audit.write(session, who, "teacher_application.listed_everywhere", "teacher_application", None)
    return Listed(True, True, _views(session, rows(session, _NEWEST_FIRST)))


def by_reader(found: Listed) -> Any:
    """An array for those who decide, a page for an applicant: each screen reads only the one."""
    if found.decides:
        return found.rows
    return {"count": len(found.rows), "next": None, "previous": None, "results": found.rows}


def one(session: Session, who: Principal, application_id: UUID) -> dict[str, Any]:
    """One application of the acting organization. Raises NotFound."""
    found = rows(
        session, _ALL.where(TeacherApplication.tenant_id == who.tenant, TeacherApplication.id == application_id)
    )
    if not found:
        raise NotFound
    return _views(session, found)[0]


def apply(session: Session, who: Principal, data: Mapping[str, Any]) -> tuple[bool, UUID]:
    """Apply to teach in the acting organization; returns (whether it is new, the application's id). A repeat finds the
    first one as it stands."""
    made = insert_missing(
        session,
        TeacherApplication,
        id=uuid7(),
        tenant_id=who.tenant,
        person_id=who.person,
        status="pending",
        submitted_at=moment(session),
        **{name: data.get(name, "") for name in WRITTEN},
    )
    key = (TeacherApplication.tenant_id == who.tenant, TeacherApplication.person_id == who.person)
    application_id = session.scalars(select(TeacherApplication.id).where(*key)).one()
    if made:
        audit.write(session, who, "teacher_application.made", "teacher_application", application_id)
    return made, application_id


def change(session: Session, who: Principal, application_id: UUID, data: Mapping[str, Any]) -> None:
    """Decide by a ``status`` (with ``notes``), which administrators do, or change what is written, which the applicant
    does; a rejected application is pending again then. Raises NotFound, Forbidden."""
    if "status" in data:
        if not who.stands(Grade.ADMINISTRATOR, Grade.PLATFORM):
            raise Forbidden
        decide = approve if data["status"] == "approved" else reject
        decide(session, who, application_id, data.get("notes", ""))
        return
    found = _locked(session, application_id)
    if found.person_id != who.person:
        raise Forbidden
    for name in WRITTEN:
        setattr(found, name, data.get(name, getattr(found, name)))
    if found.status == "rejected":
        found.status, found.submitted_at, found.reviewed_at, found.reviewed_by = "pending", moment(session), None, None
    audit.write(session, who, "teacher_application.changed", "teacher_application", found.id, fields=sorted(data))
    session.flush()


def approve(session: Session, who: Principal, application_id: UUID, _notes: str = "") -> None:
    """Approve: the membership becomes a teacher's, the decision is audited, the person is told. Approving twice changes
    nothing. Raises NotFound."""
    found = _locked(session, application_id)
    if found.status != "approved":
        _decide(session, who, found, "approved", "")
        if tenants.role_of(session, who.tenant, found.person_id) in (None, "student"):  # an administrator stays one
            memberships.give_role(session, who.tenant, found.person_id, "teacher")
        outbox.record(session, who.tenant, TeacherApproved(application_id=found.id, person_id=found.person_id))


def reject(session: Session, who: Principal, application_id: UUID, notes: str = "") -> None:
    """Reject with ``notes`` for the applicant; who was approved before teaches no more. Rejecting twice changes
    nothing. Raises NotFound."""
    found = _locked(session, application_id)
    if found.status != "rejected":
        _decide(session, who, found, "rejected", notes)
        if tenants.role_of(session, who.tenant, found.person_id) == "teacher":
            members.give_role(session, who, found.person_id, "student")
        outbox.record(session, who.tenant, TeacherRejected(application_id=found.id, person_id=found.person_id))


def of_person(session: Session, tenant_id: UUID, person_id: UUID) -> UUID | None:
    """The id of a person's application to an organization."""
    key = (TeacherApplication.tenant_id == tenant_id, TeacherApplication.person_id == person_id)
    return session.scalar(select(TeacherApplication.id).where(*key))


def person_of(session: Session, tenant_id: UUID, application_id: UUID) -> UUID | None:
    """Whose application to an organization this is."""
    key = (TeacherApplication.tenant_id == tenant_id, TeacherApplication.id == application_id)
    return session.scalar(select(TeacherApplication.person_id).where(*key))


def reason_of(session: Session, who: Principal, application_id: UUID) -> str:
    """What an applicant is told of a rejection; empty where nothing was written."""
    key = (TeacherApplication.tenant_id == who.tenant, TeacherApplication.id == application_id)
    return session.scalar(select(TeacherApplication.rejection_reason).where(*key)) or ""


def attach(session: Session, who: Principal, application_id: UUID, file_id: UUID, name: str) -> None:
    """Let a file of the applicant's belong to their application; a repeat changes nothing.

    Raises NotFound, Forbidden for somebody else's application, Conflict (TOO_MANY_DOCUMENTS).
    """
    found = _locked(session, application_id)
    if found.person_id != who.person:
        raise Forbidden
    values = {"application_id": found.id, "file_id": file_id, "name": name, "added_at": moment(session)}
    if insert_missing(session, ApplicationDocument, id=uuid7(), tenant_id=found.tenant_id, **values):
        of_it = select(func.count()).where(ApplicationDocument.application_id == found.id)
        if (session.scalar(of_it) or 0) > MOST_DOCUMENTS:
            raise Conflict("TOO_MANY_DOCUMENTS", max=MOST_DOCUMENTS)
        audit.write(session, who, "teacher_application.document_added", "teacher_application", found.id, file=file_id)


def detach(session: Session, who: Principal, application_id: UUID, file_id: UUID) -> None:
    """Take a file out of one's own application; the file stays. A repeat changes nothing. Raises as ``attach``."""
    found = _locked(session, application_id)
    if found.person_id != who.person:
        raise Forbidden
    key = (ApplicationDocument.application_id == found.id, ApplicationDocument.file_id == file_id)
    session.execute(delete(ApplicationDocument).where(ApplicationDocument.tenant_id == found.tenant_id, *key))


def documents_of(session: Session, application_ids: Sequence[UUID]) -> list[dict[str, Any]]:
    """``{application_id, file_id, name}`` of the documents of applications, in the order in which they were added."""
    query = select(ApplicationDocument.application_id, ApplicationDocument.file_id, ApplicationDocument.name)
    return rows(
        session,
        query.where(ApplicationDocument.application_id.in_(application_ids)).order_by(
            ApplicationDocument.added_at, ApplicationDocument.id
        ),
    )


def _locked(session: Session, application_id: UUID) -> TeacherApplication:
    query = select(TeacherApplication).where(TeacherApplication.id == application_id)
    found = session.scalars(query.with_for_update()).one_or_none()
    if found is None:
        raise NotFound
    return found


def _decide(session: Session, who: Principal, found: TeacherApplication, status: str, reason: str) -> None:
    found.status, found.rejection_reason = status, reason
    found.reviewed_at, found.reviewed_by = moment(session), who.person
    session.flush()
    audit.write(session, who, f"teacher_application.{status}", "teacher_application", found.id)


def _views(session: Session, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    names = tenants.names(session, {row["tenant_id"] for row in found})
    return [application_view(row, names.get(row["tenant_id"], "")) for row in found]


def application_view(row: dict[str, Any], organization_name: str) -> dict[str, Any]:
    """The contract's TeacherApproval: the union of what four screens read. ``avatar`` is a path, ``documents`` are
    added by ``files``, which knows their links."""
    first, last, email = row["first_name"], row["last_name"], row["email"]
    name, avatar = f"{first} {last}".strip(), row["avatar_path"]
    reviewer = {"first_name": row["reviewer_first_name"], "last_name": row["reviewer_last_name"]}
    return {
        "id": row["id"],
        "user_id": row["person_id"],
        "status": row["status"],
        "user": {"first_name": first, "last_name": last, "email": email, "name": name, "avatar": avatar},
        "user_first_name": first,
        "user_last_name": last,
        "user_email": email,
        "first_name": first,
        "last_name": last,
        "email": email,
        "name": name,
        "avatar": avatar,
        "organization_name": organization_name,
        **{written: row[written] for written in WRITTEN},
        "documents": [],
        "rejection_reason": row["rejection_reason"],
        "applied_at": row["submitted_at"],
        "created_at": row["submitted_at"],
        "submitted_at": row["submitted_at"],
        "reviewed_at": row["reviewed_at"],
        "processed_at": row["reviewed_at"],
        "processed_by": reviewer if row["reviewer_first_name"] is not None else None,
    }
