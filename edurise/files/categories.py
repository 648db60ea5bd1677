"""Categories of files: those of the platform, which every organization has, and those of one organization."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from unicodedata import normalize
from uuid import UUID

from sqlalchemy import Uuid, bindparam, exists, or_, select
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from edurise import audit
from edurise.authz import Grade, Principal
from edurise.db import first, flush_unique, moment, rows, scalar
from edurise.errors import Conflict, Invalid, NotFound, Problem
from edurise.files import access, types, views
from edurise.files.keeping import CATEGORY
from edurise.files.models import File, FileCategory
from edurise.tenants import queries as tenants

_MIB = 1024 * 1024
_LISTED = (
    select(*CATEGORY)
    .where(or_(FileCategory.tenant_id.is_(None), FileCategory.tenant_id == bindparam("tenant", type_=Uuid())))
    .order_by(FileCategory.tenant_id.is_not(None), FileCategory.sort_order, FileCategory.name, FileCategory.id)
)
_ACTIVE = _LISTED.where(FileCategory.is_active)


def listing(session: Session, who: Principal) -> list[dict[str, Any]]:
    """The categories that a file can be given, the platform's first; to administrators also those switched off."""
    query = _LISTED if who.stands(Grade.ADMINISTRATOR, Grade.PLATFORM) else _ACTIVE
    return [views.category_view(row) for row in rows(session, query, {"tenant": who.tenant})]


def create(session: Session, who: Principal, data: Mapping[str, Any]) -> dict[str, Any]:
    """Add a category of the acting organization; returns it.

    ``data``: name, description, icon, allowed_extensions, max_file_size_mb, default_access_level. Raises Invalid for an
    extension that is not known, Conflict (FILE_CATEGORY_TAKEN).
    """
    category_id, now = uuid7(), moment(session)
    session.add(
        FileCategory(
            id=category_id,
            tenant_id=who.tenant,
            slug=_slug(session, who, data["name"], category_id),
            name=data["name"],
            created_at=now,
            updated_at=now,
            **_columns(data),
        )
    )
    flush_unique(session, on="uq_file_categories_slug", raises=Conflict("FILE_CATEGORY_TAKEN"))
    audit.write(session, who, "file_category.created", "file_category", category_id)
    return _one(session, who, category_id)


def change(session: Session, who: Principal, category_id: UUID, data: Mapping[str, Any]) -> dict[str, Any]:
    """Change a category of the acting organization; files that it has stay. Raises NotFound, Invalid."""
    found = _own(session, who, category_id)
    for name, value in _columns(data).items():
        setattr(found, name, value)
    for name in ("name", "is_active"):
        if name in data:
            setattr(found, name, data[name])
    found.updated_at = moment(session)
    session.flush()
    audit.write(session, who, "file_category.changed", "file_category", category_id, fields=sorted(data))
    return _one(session, who, category_id)


def delete(session: Session, who: Principal, category_id: UUID) -> None:
    """Delete a category that no file has. Raises NotFound, Conflict (FILE_CATEGORY_IN_USE)."""
    found = _own(session, who, category_id)
    if scalar(session, select(exists().where(File.category_id == category_id))):
        raise Conflict("FILE_CATEGORY_IN_USE")
    session.delete(found)
    flush_unique(session, on="fk_files_category_id", raises=Conflict("FILE_CATEGORY_IN_USE"))
    audit.write(session, who, "file_category.deleted", "file_category", category_id)


def _own(session: Session, who: Principal, category_id: UUID) -> FileCategory:
    query = select(FileCategory).where(FileCategory.id == category_id, FileCategory.tenant_id == who.tenant)
    found = session.scalars(query).first()
    if found is None:
        raise NotFound
    return found


def _one(session: Session, who: Principal, category_id: UUID) -> dict[str, Any]:
    found = first(session, _LISTED.where(FileCategory.id == category_id), {"tenant": who.tenant})
    if found is None:
        raise NotFound
    return views.category_view(found)


def _columns(data: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: data[name] for name in ("description", "icon") if name in data}
    if "allowed_extensions" in data:
        found["extensions"] = _known(data["allowed_extensions"])
    if "max_file_size_mb" in data:
        found["max_bytes"] = data["max_file_size_mb"] * _MIB
    if "default_access_level" in data:
        found["default_access"] = access.FROM_CONTRACT[data["default_access_level"]]
    return found


def _known(extensions: Sequence[str]) -> list[str]:
    """Extensions without dots, in lower case, each once. Raises Invalid for one whose bytes nobody can recognise."""
    clean = list(dict.fromkeys(one.lower().removeprefix(".") for one in extensions))
    for one in clean:
        if not types.is_known(one):
            raise Invalid(errors={"allowed_extensions": [Problem("unknown_file_type", {"extension": one})]})
    return clean


def _slug(session: Session, who: Principal, name: str, category_id: UUID) -> str:
    """A category's slug begins with the organization's subdomain, so that organizations do not take each other's."""
    organization = tenants.organization(session, who.tenant)
    plain = normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", plain).strip("-") or category_id.hex[-8:]
    return f"{organization['subdomain'] if organization else 'organization'}-{words}"
