"""Permissions of courses."""

from __future__ import annotations

from edurise.authz import ANYBODY, Grade, permission

_AUTHORS = (Grade.STAFF, Grade.ADMINISTRATOR, Grade.PLATFORM)


class Courses:
    """Anyone reads what is published; staff of the course and administrators of its organization write."""

    BROWSE = ANYBODY
    CREATE = permission("courses.create", Grade.TEACHER, Grade.ADMINISTRATOR, Grade.PLATFORM)
    READ = permission("courses.read", Grade.PUBLIC, Grade.LEARNER, *_AUTHORS)
    EDIT = permission("courses.edit", *_AUTHORS)
    STUDY = permission("courses.study", Grade.LEARNER, *_AUTHORS)
