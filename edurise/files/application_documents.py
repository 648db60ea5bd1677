"""The documents of teacher applications: files that an applicant attaches and an administrator opens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from edurise.authz import Principal
from edurise.db import moment, rows
from edurise.errors import NotFound
from edurise.files import queries
from edurise.files.links import LinkMaker, Links
from edurise.files.models import File
from edurise.identity import applications
from edurise.identity.applications import Listed

_OPENED = (File.id, File.name, File.access, File.sha256, File.link_version)


def listed(session: Session, who: Principal, links: Links) -> Listed:
    """As ``applications.listed``, with links to the documents."""
    return _linked(session, applications.listed(session, who), who, links)


def of_all(session: Session, who: Principal, links: Links) -> Listed:
    """As ``applications.of_all`` (system role), with links to the documents."""
    return _linked(session, applications.of_all(session, who), who, links)


def one(session: Session, who: Principal, application_id: UUID, links: Links) -> dict[str, Any]:
    """One application with links to its documents. Raises NotFound."""
    found = applications.one(session, who, application_id)
    return _completed(session, [found], links.for_(who.user_id, moment(session)))[0]


def apply(session: Session, who: Principal, data: Mapping[str, Any], links: Links) -> tuple[bool, dict[str, Any]]:
    """As ``applications.apply``; returns (whether it is new, the application)."""
    made, application_id = applications.apply(session, who, data)
    return made, one(session, who, application_id, links)


def change(
    session: Session, who: Principal, application_id: UUID, data: Mapping[str, Any], links: Links
) -> dict[str, Any]:
    """As ``applications.change``; returns the application."""
    applications.change(session, who, application_id, data)
    return one(session, who, application_id, links)


def approve(session: Session, who: Principal, application_id: UUID, links: Links) -> dict[str, Any]:
    """As ``applications.approve``; returns the application."""
    applications.approve(session, who, application_id)
    return one(session, who, application_id, links)


def reject(session: Session, who: Principal, application_id: UUID, notes: str, links: Links) -> dict[str, Any]:
    """As ``applications.reject``; returns the application."""
    applications.reject(session, who, application_id, notes)
    return one(session, who, application_id, links)


def attach(session: Session, who: Principal, application_id: UUID, file_id: UUID, links: Links) -> dict[str, Any]:
    """Attach a file of one's own to one's own application; returns the application.

    Raises NotFound also for somebody else's file, and as ``applications.attach``.
    """
    found = queries.row(session, who, file_id)
    if found["owner_id"] != who.person:
        raise NotFound
    applications.attach(session, who, application_id, file_id, found["name"])
    return one(session, who, application_id, links)


def _linked(session: Session, found: Listed, who: Principal, links: Links) -> Listed:
    return replace(found, rows=_completed(session, found.rows, links.for_(who.user_id, moment(session))))


def _completed(session: Session, views: list[dict[str, Any]], maker: LinkMaker) -> list[dict[str, Any]]:
    """Three statements whatever the number of applications; none where there is none."""
    if not views:
        return views
    attached = applications.documents_of(session, [view["id"] for view in views])
    query = select(*_OPENED).where(File.id.in_([one["file_id"] for one in attached]), File.state == "ready")
    files = {row["id"]: row for row in rows(session, query)} if attached else {}
    for view in views:
        view["documents"] = [
            {"id": one["file_id"], "name": one["name"], "url": maker.file_url(files[one["file_id"]])}
            for one in attached
            if one["application_id"] == view["id"] and one["file_id"] in files
        ]
        view["avatar"] = view["user"]["avatar"] = _absolute(maker, view["avatar"])
    return views


def _absolute(maker: LinkMaker, path: str | None) -> str | None:
    return None if path is None else maker.cdn + path
