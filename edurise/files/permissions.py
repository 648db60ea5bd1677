"""Permissions of files. They say who may ask at all; whether somebody may open, change or share one file is decided by
the one policy in ``access.py``, by how they stand to it."""

from __future__ import annotations

from edurise.authz import Grade, permission

_AT_HOME = (Grade.MEMBER, Grade.PLATFORM)


class Files:
    """Members keep files in their organization; administrators say of which kinds and sizes."""

    KEEP = permission("files.keep", *_AT_HOME)
    UPLOAD_TO_COURSE = permission(
        "files.upload_to_course", Grade.LEARNER, Grade.STAFF, Grade.ADMINISTRATOR, Grade.PLATFORM
    )
    OPEN = permission("files.open", Grade.PERSON)
    OPEN_PUBLIC = permission("files.open_public", Grade.PUBLIC, Grade.PERSON)
    UPLOAD = permission("files.upload", Grade.OWNER)
    CATEGORIZE = permission("files.categorize", Grade.ADMINISTRATOR, Grade.PLATFORM)
