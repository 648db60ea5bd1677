"""Pictures that show a person or an organization: small public files, of which the path stands with whom they show."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from edurise.authz import Principal
from edurise.db import moment, picture_url
from edurise.errors import Invalid, NotFound
from edurise.files import service
from edurise.files.keeping import Keeping
from edurise.files.links import public_path
from edurise.files.models import File
from edurise.identity import profiles
from edurise.tenants import organizations

AVATARS = "avatars"
LOGOS = "thumbnails"
_OF_PATH = re.compile(r"/media/([0-9a-f-]{36})/")


def publish(session: Session, who: Principal, file_id: UUID) -> dict[str, Any]:
    """Let anybody open an inspected picture; returns ``{path, name, size, media_type}``. For an actor, because a member
    may make nothing public but their own picture.

    Raises NotFound, and Invalid (FILE_TYPE_MISMATCH) for what the inspection did not take.
    """
    file = session.get(File, file_id)
    if file is None or file.tenant_id != who.tenant:
        raise NotFound
    if file.state != "ready" or file.sha256 is None:
        raise Invalid("FILE_TYPE_MISMATCH", extension=file.extension)
    file.access, file.updated_at = "public", moment(session)
    path = public_path({"id": file.id, "sha256": file.sha256, "name": file.name})
    return {"path": path, "name": file.name, "size": file.size_bytes, "media_type": file.media_type}


def show_avatar(session: Session, who: Principal, shown: dict[str, Any], keeping: Keeping) -> dict[str, Any]:
    """Take a published picture as the caller's and erase the one before; returns ``{avatar_url, url, filename, size,
    content_type}``."""
    forsake(session, who, profiles.show_avatar(session, who, shown["path"]), keeping)
    url = picture_url(session, shown["path"])
    told = {"filename": shown["name"], "size": shown["size"], "content_type": shown["media_type"]}
    return {"avatar_url": url, "url": url, **told}


def furnish(session: Session, who: Principal, data: Mapping[str, Any], keeping: Keeping) -> dict[str, Any]:
    """Change the acting organization; ``logo`` is the path of a published picture, which takes the place of the one
    before, or None for no logo. Returns it. Raises as ``organizations.furnish``."""
    if "logo" in data:
        before = organizations.row(session, who.tenant)["logo_path"]
        organizations.show_logo(session, who, data["logo"])
        forsake(session, who, before, keeping)
    return organizations.furnish(session, who, {name: value for name, value in data.items() if name != "logo"})


def give_up(session: Session, who: Principal, file_id: UUID, keeping: Keeping) -> None:
    """Erase a picture that is not shown after all."""
    service.trash(session, who, file_id)
    session.flush()
    service.erase(session, who, file_id, keeping)


def forsake(session: Session, who: Principal, path: str | None, keeping: Keeping) -> None:
    """Erase a picture that is shown no more. Nothing happens for one of another organization, which stays with the
    files of its owner there."""
    found = _OF_PATH.match(path or "")
    if found is None:
        return
    file = session.get(File, UUID(found[1]))
    if file is not None and file.tenant_id == who.tenant and file.state == "ready":
        give_up(session, who, file.id, keeping)
