"""The contract's User, from plain rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from edurise.db import picture_url


def user_view(session: Session, row: Mapping[str, Any], organization_name: str | None) -> dict[str, Any]:
    """The contract's User from a person's columns, those of a membership (None: there is none) and ``application``.

    ``is_active`` is the membership's and the person's; who is online is not measured.
    """
    role = row["role"] or "student"
    teaches = role == "teacher"
    organization = None if organization_name is None else {"id": row["tenant_id"], "name": organization_name}
    avatar = picture_url(session, row["avatar_path"])
    full_name = f"{row['first_name']} {row['last_name']}".strip()
    return {
        "id": row["id"],
        "email": row["email"],
        "first_name": row["first_name"],
        "last_name": row["last_name"],
        "full_name": full_name,
        "name": full_name,
        "avatar": avatar,
        "role": "superuser" if row["is_platform_admin"] else role,
        "is_teacher": teaches or row["application"] is not None,
        "is_approved_teacher": teaches,
        "is_staff": role == "admin",
        "is_superuser": row["is_platform_admin"],
        "is_active": row["person_is_active"] and row["is_active"] is not False,
        "is_verified": row["email_verified_at"] is not None,
        "date_joined": row["created_at"],
        "created_at": row["created_at"],
        "last_login": row["last_login_at"],
        "organization": organization,
        "organization_name": organization_name or "",
        "current_profile": {
            "id": row["id"],
            "role": role,
            "is_approved_teacher": teaches,
            "teacher_approval_status": "approved" if teaches else row["application"] or "not_applied",
            "is_online": None,
            "avatar": avatar,
            "timezone": row["timezone"],
            "language": row["language"],
        },
    }
