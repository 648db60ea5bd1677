"""Commands on shares: who may open a file beside those whom its access level lets in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, delete, select
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from edurise import audit
from edurise.authz import Principal
from edurise.db import insert_missing, moment, rows
from edurise.files.models import FileShare
from edurise.files.service import editable, manageable
from edurise.identity import queries as people

_FACES = people.FACES
_SHARED = (
    select(_FACES.c.id, _FACES.c.email, _FACES.c.first_name, _FACES.c.last_name, FileShare.created_at)
    .join(_FACES, _FACES.c.id == FileShare.person_id)
    .where(FileShare.tenant_id == bindparam("tenant"), FileShare.file_id == bindparam("file"))
    .order_by(FileShare.created_at, FileShare.id)
)


def share(session: Session, who: Principal, file_id: UUID, emails: Sequence[str]) -> dict[str, Any]:
    """Let members of the organization open a file; returns ``{shared_with, denied_users}``. A repeat changes nothing.

    An address of nobody and one of somebody elsewhere are denied alike, so that nobody learns who has an account.
    Raises NotFound, Forbidden, Conflict (FILE_IN_TRASH).
    """
    editable(session, who, file_id)
    members = people.members_by_email(session, who, emails)
    told: dict[str, list[dict[str, Any]]] = {"shared_with": [], "denied_users": []}
    for email in dict.fromkeys(one.lower() for one in emails):
        person = members.get(email)
        if person is None:
            told["denied_users"].append({"user_id": "", "email": email, "reason": "not_a_member"})
            continue
        insert_missing(
            session,
            FileShare,
            id=uuid7(),
            tenant_id=who.tenant,
            file_id=file_id,
            person_id=person["id"],
            shared_by=who.person,
            created_at=moment(session),
        )
        told["shared_with"].append({"user_id": person["id"], "email": person["email"], "name": _name(person)})
    shared = [one["user_id"] for one in told["shared_with"]]
    audit.write(session, who, "file.shared", "file", file_id, people=shared)
    return told


def unshare(session: Session, who: Principal, file_id: UUID, emails: Sequence[str]) -> None:
    """Take shares back, at once and with every link. Addresses without a share are no error. Raises as ``share``."""
    manageable(session, who, file_id)
    wanted = {one.lower() for one in emails}
    found = [one["id"] for one in _listed(session, who, file_id) if one["email"].lower() in wanted]
    key = (FileShare.tenant_id == who.tenant, FileShare.file_id == file_id)
    session.execute(delete(FileShare).where(*key, FileShare.person_id.in_(found)))
    audit.write(session, who, "file.unshared", "file", file_id, people=found)


def shared_users(session: Session, who: Principal, file_id: UUID) -> list[dict[str, Any]]:
    """Whom a file is shared with, the earliest first. Raises NotFound, Forbidden."""
    manageable(session, who, file_id)
    return [
        {"id": one["id"], "email": one["email"], "name": _name(one), "shared_at": one["created_at"]}
        for one in _listed(session, who, file_id)
    ]


def _listed(session: Session, who: Principal, file_id: UUID) -> list[dict[str, Any]]:
    return rows(session, _SHARED, {"tenant": who.tenant, "file": file_id})


def _name(person: dict[str, Any]) -> str:
    return f"{person['first_name']} {person['last_name']}".strip()
