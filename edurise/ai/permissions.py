"""Permissions of the tutor: a conversation belongs to one person, and nobody else reads it, administrators included."""

from __future__ import annotations

from edurise.authz import Grade, permission

STUDYING = (Grade.LEARNER, Grade.STAFF, Grade.ADMINISTRATOR, Grade.PLATFORM)
"""Who may open a course, and so ask about it: the same as ``courses.study``."""


class Ai:
    """Anybody with an account talks to the tutor; about a course only who may open it."""

    MINE = permission("ai.mine", Grade.PERSON)
    ABOUT_COURSE = permission("ai.about_course", *STUDYING)
    CONVERSE = permission("ai.converse", Grade.OWNER)
