"""The contract's shapes of files, categories and permissions, from plain rows."""

from __future__ import annotations

from typing import Any

from edurise.files import access, types
from edurise.files.links import LinkMaker

_MIB = 1024 * 1024


def megabytes(size: int) -> float:
    """A size in MiB, to two digits; nothing that has bytes is 0."""
    return max(round(size / _MIB, 2), 0.01) if size else 0.0


def file_view(row: dict[str, Any], links: LinkMaker) -> dict[str, Any]:
    """The contract's FileUpload. ``file`` and ``thumbnail`` are links that open by themselves, null until it is ready.

    The owner's address is shown to those who manage the file. ``state`` and ``scan`` are more exact than ``status``.
    """
    kind = types.of_media_type(row["media_type"])
    manages = row["reason"] in access.MANAGING
    opens = row["state"] == "ready" and (manages or not access.is_expired(row, links.now))
    return {
        "id": row["id"],
        "original_filename": row["name"],
        "file": links.file_url(row) if opens else None,
        "thumbnail": links.thumbnail_url(row) if opens and row["thumbnail_key"] else None,
        "file_size": row["size_bytes"],
        "file_size_mb": megabytes(row["size_bytes"]),
        "file_type": row["media_type"],
        "file_extension": row["extension"],
        "category": {
            "id": row["category_id"],
            "name": row["category_name"],
            "description": row["category_description"],
        },
        "title": row["title"],
        "description": row["description"],
        "tags": row["tags"],
        "uploaded_by": {
            "id": row["owner_id"],
            "email": (row["owner_email"] or "") if manages else "",
            "name": f"{row['owner_first_name'] or ''} {row['owner_last_name'] or ''}".strip(),
        },
        "access_level": access.TO_CONTRACT[row["access"]],
        "course": {"id": row["course_id"], "title": row["course_title"] or ""} if row["course_id"] else None,
        "status": access.STATE_TO_CONTRACT[row["state"]],
        "state": row["state"],
        "scan": row["scan"],
        "failure": row["failure"],
        "sha256": row["sha256"],
        "download_count": row["download_count"],
        "last_accessed": row["last_accessed_at"],
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
        "expires_at": row["expires_at"],
        "is_image": kind.group == "image",
        "is_video": kind.group == "video",
        "is_document": kind.group in ("document", "text"),
        "is_expired": access.is_expired(row, links.now),
    }


def permissions_view(found: access.Permissions) -> dict[str, Any]:
    """The contract's answer about one file."""
    return {
        "can_view": found.can_view,
        "can_download": found.can_download,
        "can_edit": found.can_edit,
        "can_delete": found.can_delete,
        "can_share": found.can_share,
        "access_reason": found.reason,
        "restrictions": list(found.restrictions),
    }


def checked_view(row: dict[str, Any] | None, found: access.Permissions) -> dict[str, Any]:
    """The contract's answer about one of many files; of one that the caller may not know of nothing is said."""
    told = None
    if row is not None:
        told = {
            "filename": row["name"],
            "size_mb": megabytes(row["size_bytes"]),
            "type": row["media_type"],
            "access_level": access.TO_CONTRACT[row["access"]],
        }
    return {
        "access_allowed": found.can_download,
        "access_reason": found.reason,
        "permissions": permissions_view(found),
        "file_info": told,
    }


def category_view(row: dict[str, Any]) -> dict[str, Any]:
    """The contract's file category. ``is_own``: it belongs to the organization, whose administrators change it."""
    return {
        "id": row["id"],
        "slug": row["slug"],
        "name": row["name"],
        "description": row["description"],
        "icon": row["icon"],
        "allowed_extensions": row["extensions"],
        "max_file_size_mb": megabytes(row["max_bytes"]),
        "default_access_level": access.TO_CONTRACT[row["default_access"]],
        "is_active": row["is_active"],
        "is_own": row["tenant_id"] is not None,
    }
